"""`wm run`, `wm retry` and `wm train`: what starts runs, or makes them startable again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studies.cli.options import RUN, Only, Overrides, Prefix, Runs, Study, say

if TYPE_CHECKING:
    from studies.dispatch import Seen
    from studies.pool import Report
    from studies.store import StoredRun

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def register(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command(rich_help_panel=RUN)(run)
    app.command(rich_help_panel=RUN)(retry)
    app.command(rich_help_panel=RUN)(train)


def run(
    study: Study,
    overrides: Overrides = None,
    only: Only = None,
    run_: Prefix = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", min=1, metavar="N", help="Runs at once; by default one per core."),
    ] = None,
    runs: Runs = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Let this file replace the study of the same name.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="One run, in this process; exceptions come through.")
    ] = False,
) -> None:
    """Runs a study here, several runs at once, with live progress.

    Ctrl-C stops cleanly; calling again continues. Failed runs wait for `wm retry`.
    """
    from studies import dispatch, store
    from studies.freeze import prepare

    opened = prepare(study, overrides or [], store.runs_root(runs), adopt=adopt)
    seen = dispatch.survey(store.select(opened.planned, only or [], run_ or []))
    todo = dispatch.to_do(seen)
    dispatch.check_rendering(todo)
    dispatch.check_disk(opened.root, todo, workers)
    datasets = opened.root / "datasets"
    if debug:
        _debug(todo, datasets)
        return
    seen, report = dispatch.run_all([one.run for one in seen], workers, datasets)
    raise typer.Exit(_conclude(opened.name, seen, report))


def _debug(todo: list[StoredRun], datasets: Path) -> None:
    from harness.errors import UserError
    from studies import dispatch

    if not todo:
        raise UserError("nothing is left to run; `wm retry` makes failed runs startable again")
    say(f"in this process: {todo[0].id}" + (f" (of {len(todo)}; choose with --run)" if len(todo) > 1 else ""))
    ending = dispatch.run_in_foreground(todo[0], datasets)
    say(ending)
    raise typer.Exit(1 if ending == "failed" else 0)


def _conclude(name: str, seen: list[Seen], report: Report | None) -> int:
    """Says how it ended and what to do next; returns the exit status."""
    from studies import dispatch

    say(dispatch.counts(seen))
    for message, members in dispatch.group_failures(seen):
        say(f"{len(members)} failed, {message}")
        say(f"  wm logs {members[0].run.hex}     (then: wm retry {name})")
    elsewhere = sum(one.condition.name == "running" for one in seen)
    if elsewhere:
        say(f"{elsewhere} of them run in another process; wm status {name} shows them")
    left = any(one.condition.name in {"pending", "preempted", "lost"} for one in seen)
    if left:
        say(f"continue with: wm run {name}")
    if report is not None and report.interrupted:
        return INTERRUPTED
    if not left and not elsewhere:
        say(f"see the results with: wm report {name}")
    bad = any(one.condition.name in {"failed", "lost"} for one in seen)
    return 1 if bad or (report is not None and report.stopped_because) else 0


def retry(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="A study; without it, all of RUNS.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only failures of this kind; may be repeated."),
    ] = None,
    only: Only = None,
    run_: Prefix = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Start anew; what is there moves to the study's history, also diverged runs."
        ),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Free runs whose process is gone, where this machine cannot tell."),
    ] = False,
    runs: Runs = None,
) -> None:
    """Makes failed runs startable again; `wm run` then continues them."""
    from studies import retrying, store

    root = store.runs_root(runs)
    opened = [store.open_study(study, root)] if study else store.studies(root)
    everything = [planned for one in opened for planned in one.planned]
    chosen = store.select(everything, only or [], run_ or [])
    if take_over:
        freed = retrying.take_over(chosen, by_name=bool(run_))
        say(f"{len(freed)} run{'s' * (len(freed) != 1)} freed")
    again = retrying.reset(chosen, kinds=kind or [], fresh=fresh, by_name=bool(run_))
    for one in again:
        say(f"pending  {one.id}")
    names = sorted({one.path.parent.parent.name for one in again})
    say(
        f"{len(again)} run{'s' * (len(again) != 1)} to do again"
        + "".join(f"; wm run {name}" for name in names)
    )


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file of a run's fields.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", metavar="DIR", help="The run's directory.")],
    overrides: Overrides = None,
    runs: Runs = None,
) -> None:
    """Trains one run, without a study; calling again continues it."""
    from harness.config import run_hex
    from harness.errors import UserError
    from harness.rundir import RunDir
    from studies import dispatch, store
    from studies.language import load_config

    wanted = load_config(config, overrides or [])
    path = output_dir.absolute()
    if (path / "run.yaml").exists() and run_hex(RunDir(path).read_config()) != run_hex(wanted):
        raise UserError(f"{path} holds a run of another configuration; `wm show {path}` shows it")
    one = store.StoredRun(
        path.name,
        run_hex(wanted),
        wanted.label,
        wanted.task,
        wanted.seed,
        wanted.model_dump(mode="json"),
        path,
    )
    dispatch.check_rendering([one])
    seen, report = dispatch.run_all([one], 1, store.runs_root(runs) / "datasets")
    condition = seen[0].condition
    say(f"{condition}: {path}" + (f"\n{condition.note}" if condition.note else ""))
    if report is not None and report.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(int(condition.name in {"failed", "lost"}))
