"""The command line `wm`: one module per group of verbs. Nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from harness.errors import RunError, UserError
from studies import packages
from studies.cli import (
    checking,
    datasets,
    estimating,
    evaluating,
    inspecting,
    listing,
    planning,
    reporting,
    running,
    simulating,
    status,
    submitting,
    upkeep,
)
from studies.cli.options import MISSING, POST_MORTEM, missing

_HELP = """Studies of visual world models: a YAML grid of designs, tasks and seeds becomes runs and figures.

    wm init mine          a commented study to start from: mine.yaml
    wm plan mine.yaml     what it would run, and what that costs
    wm run mine.yaml      runs it here; call it again to continue
    wm submit mine.yaml   hands it to SLURM and returns; wm status mine shows it
    wm report mine        figures, tables and an HTML report
"""


class _Verbs(TyperGroup):
    """The verbs; one that is called without its study or run is told what there is."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            param, of_verb = error.param, error.ctx
            is_missing = type(error).__name__ == "MissingParameter"  # typer does not export it
            if not is_missing or of_verb is None or param is None or param.name not in MISSING:
                raise
            raise missing(of_verb.command_path, param.name, of_verb.params.get("runs")) from None


app = typer.Typer(
    name="wm",
    cls=_Verbs,
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(version("world-models-study"))
        except PackageNotFoundError:
            print(f"not installed; from {packages.code_root()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options before the verb."""
    del version


for module in (
    planning,
    estimating,
    simulating,
    listing,
    checking,
    running,
    submitting,
    status,
    inspecting,
    reporting,
    evaluating,
    datasets,
    upkeep,
):
    module.register(app)


def main() -> None:
    """The console script: runs a verb and exits with 0 (all well), 1 (some run failed) or 2 (wrong request)."""
    try:
        packages.verify()
        app(prog_name="wm")
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if _is_of_debugged_run(error):
            raise
        if isinstance(error, UserError):
            print(error, file=sys.stderr)
            sys.exit(2)
        if isinstance(error, RunError):
            print(error, file=sys.stderr)
            sys.exit(2 if error.kind == "corrupt" else 1)  # what the request names is damaged; no run failed
        print(
            "a bug in wm; the traceback says where, `wm doctor` checks the installation",
            file=sys.stderr,
        )
        raise


def _is_of_debugged_run(error: Exception) -> bool:
    """Whether an exception came out of a run under `--debug`, for whoever debugs it."""
    notes: list[str] = getattr(error, "__notes__", [])
    return any(note.startswith(POST_MORTEM) for note in notes)
