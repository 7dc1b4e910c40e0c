"""Options that several verbs share, and how the command line writes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from harness.errors import UserError

PLAN, RUN, LOOK, RESULTS, UPKEEP = "Plan", "Run", "Look", "Results", "Upkeep"
"""The panels of `wm --help`."""

POST_MORTEM = "raised in a run under --debug"
"""How the note begins that such an exception carries."""


def _directory(text: str) -> Path:
    """A directory; an empty text is what a shell makes of a variable that is not set."""
    if not text.strip():
        raise typer.BadParameter("is empty: name a directory, or leave the option out")
    return Path(text)


Runs = Annotated[
    Path | None,
    typer.Option(
        "--runs",
        metavar="DIR",
        parser=_directory,
        help="The directory of all studies; by default $WM_RUNS, else ./runs.",
    ),
]
Study = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or the name of a study under RUNS.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[K=V]", help="Fields to override, such as train.episodes=20."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="FIELD=GLOB", help="Only runs with this value, such as task=dmc/*; may be repeated."
    ),
]
Prefix = Annotated[
    list[str] | None,
    typer.Option("--run", metavar="PREFIX", help="Only runs whose id or hex starts so; may be repeated."),
]
For = Annotated[
    list[str] | None,
    typer.Option(
        "--for", metavar="CLAIM|FIGURE", help="Only runs that this needs, such as H4; may be repeated."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]


MISSING = {"study": "STUDY", "run": "RUN", "target": "RUN or STUDY"}
"""Arguments that a verb may be called without by mistake, and what stands there."""


def missing(verb: str, argument: str, runs: Path | None) -> UserError:
    """What to say of a verb that was called without its study or run: what there is.

    Args:
        verb: as it was called: `wm status`.
        argument: a key of `MISSING`.
        runs: as given with `--runs`.
    """
    from harness.errors import UserError
    from studies import store

    root = store.runs_root(runs)
    known = [study.name for study in store.studies(root)]
    text = f"{verb} needs a {MISSING[argument]}: {verb} {MISSING[argument].split()[0]}"
    if not known:
        return UserError(
            f"{text}; there is no study under {root} yet, `wm init NAME` writes one to start from"
        )
    lists = "" if argument == "study" else f"; `wm status {known[0]}` lists the runs of one"
    return UserError(f"{text}; the studies under {root} are {', '.join(known)}{lists}")


def console() -> Console:
    """For standard output; wide where it is not a terminal, so that nothing is cut."""
    from rich.console import Console

    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 200)


def say(text: str) -> None:
    """A diagnostic, on standard error."""
    print(text, file=sys.stderr)


def plain_table(*columns: str) -> Table:
    """An empty table in the style of this command line; the first column keeps its whole text."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(columns):
        table.add_column(name, no_wrap=index == 0, overflow="fold")
    return table
