"""`wm report` and `wm evaluate`: what runs have shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from studies.cli.inspecting import RunArgument
from studies.cli.options import RESULTS, Runs, say


def register(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command(rich_help_panel=RESULTS)(report)
    app.command(rich_help_panel=RESULTS)(evaluate)


def report(
    study: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Studies under RUNS, or their files.")
    ],
    figure: Annotated[str | None, typer.Option("--figure", metavar="NAME", help="Only this figure.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; by default report/ of the study."),
    ] = None,
    runs: Runs = None,
) -> None:
    """Draws figures, tables and an HTML report, also of partial data."""
    from analysis.report import build_report
    from studies import store

    root = store.runs_root(runs)
    opened = [store.open_study(name, root, strict=runs is not None) for name in study]
    for one in opened:
        _ = one.planned  # a damaged plan is refused, not drawn
    result = build_report([one.path for one in opened], out, figure=figure)
    for text in (result.score_table, result.correlation_table):
        if text:
            print(text.rstrip() + "\n")
    for note in result.notes:
        say(note)
    print(f"report: {result.index}")


def evaluate(
    run: RunArgument,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="Episodes to measure forecasts on: probe, own (those just played), or a directory.",
        ),
    ] = "probe",
    episodes: Annotated[
        int, typer.Option("--episodes", min=0, metavar="N", help="Noise-free episodes to play.")
    ] = 5,
    video: Annotated[
        Path | None,
        typer.Option("--video", metavar="FILE", help="Write the first episode as GIF, WebP or PNG."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
    runs: Runs = None,
) -> None:
    """Plays a trained run again and measures its forecasts; writes nothing into the run."""
    import json

    from harness.errors import RunError, UserError
    from harness.evaluate import evaluate_run
    from harness.rundir import RunDir
    from studies import store

    root = store.runs_root(runs)
    directory = RunDir(store.find_run(run, root, strict=runs is not None))
    try:
        measured = evaluate_run(
            directory,
            dataset=dataset,
            episodes=episodes,
            video=video,
            datasets=root / "datasets",
            report=say,
        )
    except RunError as error:
        raise UserError(str(error)) from error
    if json_:
        print(json.dumps(measured))
        return
    errors = measured.pop("open_loop") or {}
    for name, value in (measured | errors).items():
        if value is not None:
            print(f"{name}: {_short(value)}")


def _short(value: object) -> str:
    """A number with four digits, a list of numbers likewise."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "  ".join(map(_short, value))
    return str(value)
