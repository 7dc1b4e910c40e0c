"""`wm evaluate`: what trained runs do and foresee, on any data."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.cli.options import RESULTS, Only, Prefix, Runs, console, plain_table, say

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from studies.evaluating import Targets

_FEW = 5  # runs that a line names


class Part(StrEnum):
    """A part of a dataset."""

    TRAIN = "train"
    HELDOUT = "heldout"


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command(rich_help_panel=RESULTS)(evaluate)


def evaluate(
    target: Annotated[
        list[str],
        typer.Argument(metavar="RUN|STUDY...", help="Runs, by the start of an id or hex; or studies."),
    ],
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="Episodes to measure forecasts on: probe, own (those just played), heldout (of the run's dataset), "
            "or a dataset by its name or directory.",
        ),
    ] = "probe",
    part: Annotated[
        Part | None,
        typer.Option("--part", help="Of the dataset; by default heldout if it has that, else all of it."),
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            "--episodes",
            min=0,
            metavar="N",
            help="Noise-free episodes to play; by default 5 of one run, else 0.",
        ),
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save", help="Keep the errors on a dataset beside each run, for wm report; skips what is kept."
        ),
    ] = False,
    video: Annotated[
        Path | None,
        typer.Option("--video", metavar="FILE", help="Write the first episode as GIF, WebP or PNG."),
    ] = None,
    only: Only = None,
    run_: Prefix = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
    runs: Runs = None,
) -> None:
    """Plays trained runs again and measures their forecasts, on any dataset.

    Of a study, all finished runs with a model. Writes nothing into a run without --save.
    """
    from harness.errors import UserError
    from studies import evaluating, store

    root = store.runs_root(runs)
    found = evaluating.targets(target, root, only or [], run_ or [], strict=runs is not None)
    if video is not None and not found.one:
        raise UserError("--video shows one run: name it alone")
    if episodes is None:
        episodes = 5 if found.one and not save else 0
    request: dict[str, Any] = {"dataset": dataset, "part": part.value if part else None, "episodes": episodes}
    request |= {"save": save, "datasets": root / "datasets"}
    if found.one:
        _evaluate_one(found.runs[0], request | {"video": video}, json_=json_)
    else:
        _evaluate_many(found, request, json_=json_)


def _evaluate_one(path: Path, request: dict[str, Any], *, json_: bool) -> None:
    import json

    from harness.errors import RunError, UserError
    from harness.evaluate import evaluate_run
    from harness.rundir import RunDir

    try:
        measured = evaluate_run(RunDir(path), report=say, **request)
    except RunError as error:
        raise UserError(str(error)) from error
    if json_:
        print(json.dumps(measured))
        return
    errors = measured.pop("open_loop") or {}
    if not measured["n"]:
        for name in ("n", "returns", "lengths"):
            del measured[name]  # nothing was played
    del measured["kept"]  # said while it was evaluated
    for name, value in (measured | errors).items():
        if value is not None:
            print(f"{name}: {_short(value)}")


def _evaluate_many(found: Targets, request: dict[str, Any], *, json_: bool) -> None:
    """A row a run; exit status 1 if some failed."""
    import json

    from harness.errors import UserError
    from studies.evaluating import evaluate_all

    if found.unfinished:
        say(f"{found.unfinished} runs are not finished and are left out")
    with _progress() as progress:
        bar = progress.add_task("", total=len(found.runs))
        outcome = evaluate_all(
            found.runs,
            lambda done, run: progress.update(bar, completed=done, description=run[-40:]),
            **request,
        )
    if len(outcome.failed_alike()) == 1 and not outcome.results:
        raise UserError(next(iter(outcome.failed_alike())))  # it is the request that is wrong
    if json_:
        failed = [{"run": run, "error": error} for run, error in outcome.failures.items()]
        print(json.dumps([*outcome.results, *failed]))
    elif outcome.results:
        console().print(_table(outcome.results))
    if kept := sum(one["kept"] for one in outcome.results):
        say(f"{kept} of {len(found.runs)} measured before on the same episodes, and not again")
    for error, members in outcome.failed_alike().items():
        say(f"{len(members)} of {len(found.runs)} failed, {error}")
        say(f"  {' '.join(members[:_FEW])}" + (f" and {len(members) - _FEW} more" * (len(members) > _FEW)))
    if outcome.failures:
        raise typer.Exit(1)


def _table(results: list[dict[str, Any]]) -> Table:
    """Means over the horizon, beside those of "repeat the last frame / reward"."""
    columns = ("image_error_mean", "image_error_baseline", "reward_error_mean", "reward_error_baseline")
    names = ("image error", "repeated", "reward error", "repeated")
    table = plain_table("run", "return", *names)
    for one in results:
        errors = one["open_loop"] or {}
        means = (_mean(errors.get(name)) for name in columns)
        table.add_row(one["run"], "" if one["mean"] is None else _short(one["mean"]), *means)
    return table


def _mean(values: list[float | None] | None) -> str:
    if not values or None in values:
        return ""
    return _short(sum(value for value in values if value is not None) / len(values))


def _progress() -> Progress:
    """A bar over the runs on standard error; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    to = Console(stderr=True, highlight=False)
    return Progress(*columns, console=to, transient=True, disable=not sys.stderr.isatty())


def _short(value: object) -> str:
    """A number with four digits, a list of numbers likewise."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "  ".join(map(_short, value))
    return str(value)
