"""`wm run`, `wm retry` and `wm train`: what starts runs, or makes them startable again."""

from __future__ import annotations

import shlex
import sys
from bdb import BdbQuit
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from studies.cli.options import POST_MORTEM, RUN, For, Only, Overrides, Prefix, Runs, Study, say

if TYPE_CHECKING:
    from studies.pool import Report
    from studies.store import StoredRun
    from studies.survey import Seen

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
    for_: For = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-j", min=1, metavar="N", help="Runs at once; by default one per core."),
    ] = None,
    runs: Runs = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Let this file replace the study of the same name.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="One run, in this process, for a debugger.")] = False,
) -> None:
    """Runs a study here, several runs at once, with live progress.

    Ctrl-C stops cleanly; calling again continues. Failed runs wait for `wm retry`, queued ones for their job.
    """
    from harness.errors import UserError
    from studies import dispatch, store
    from studies.difference import unreached
    from studies.freeze import freeze, report_changes
    from studies.needed import select_for
    from studies.offline import check_datasets
    from studies.plan import read_plan, refuse_simulated
    from studies.survey import survey

    found = read_plan(study, store.runs_root(runs), overrides or [], strict=runs is not None)
    refuse_simulated(found)
    seen = survey(select_for(found, study, only or [], run_ or [], for_ or []))
    todo = dispatch.to_do(seen)
    queued = dispatch.queued(seen, found.name)
    if debug and not todo:
        raise UserError(queued or "nothing is left to run; `wm retry` makes failed runs startable again")
    check_datasets(found.home.root, todo)
    dispatch.check_rendering(todo)
    dispatch.check_disk(found.home.root, todo, workers)
    kept = [*unreached(found), *filter(None, [report_changes(found)])]
    opened = freeze(found, adopt=adopt)  # what is refused above writes nothing
    for line in kept:
        say(line)
    datasets = opened.root / "datasets"
    if debug:
        _debug(todo, datasets)
    if queued and todo:
        say(f"left alone: {queued}")
    seen, report = dispatch.run_all([one.run for one in seen], workers, datasets)
    raise typer.Exit(_conclude(opened.name, seen, report))


def _debug(todo: list[StoredRun], datasets: Path) -> NoReturn:
    """One run here, under whatever debugger there is; an exception of the run's carries a note for `main`."""
    from harness.claim import OwnedElsewhere
    from studies import dispatch

    say(f"in this process: {todo[0].id}" + (f" (of {len(todo)}; choose with --run)" if len(todo) > 1 else ""))
    try:
        ending = dispatch.run_in_foreground(todo[0], datasets)
    except BdbQuit:
        if sys.gettrace() is not None:  # of a debugger that this program runs under
            raise
        say("left the debugger; the same command, or wm run, continues from the last checkpoint")
        raise typer.Exit(INTERRUPTED) from None
    except OwnedElsewhere:
        raise
    except Exception as error:
        command = f"python -m pdb -m studies.cli {shlex.join(sys.argv[1:])}"
        error.add_note(f"{POST_MORTEM}; to look around where it is raised: {command}")
        raise
    say(ending)
    raise typer.Exit(1 if ending == "failed" else 0)


def _conclude(name: str, seen: list[Seen], report: Report | None) -> int:
    """Says how it ended and what to do next; returns the exit status."""
    from studies import dispatch

    say(dispatch.counts(seen))
    for message, members in dispatch.group_failures(seen):
        say(f"{len(members)} failed, {message}")
        say(f"  wm logs {name}/{members[0].run.hex}     (then: wm retry {name})")
    elsewhere = sum(one.condition.name == "running" for one in seen)
    if elsewhere:
        say(f"{elsewhere} of them run in another process; wm status {name} shows them")
    if queued := dispatch.queued(seen, name):
        say(queued)
    left = any(one.condition.name in {"pending", "preempted", "lost"} for one in dispatch.unqueued(seen))
    if left:
        say(f"continue with: wm run {name}")
    if report is not None and report.interrupted:
        return INTERRUPTED
    if (
        not left
        and not elsewhere
        and not queued
        and any(one.condition.name in {"done", "diverged"} for one in seen)
    ):
        say(f"see the results with: wm report {name}")
    bad = any(one.condition.name in {"failed", "lost"} for one in seen)
    return 1 if bad or (report is not None and report.stopped_because) else 0


def retry(
    study: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY|DIR]", help="A study, or a run's directory; without it, all of RUNS."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", help="Only failures of this kind, cancelled or lost; may be repeated."
        ),
    ] = None,
    only: Only = None,
    run_: Prefix = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Start anew, also diverged runs, and finished runs that --run names; what is there moves to "
            "the study's history (a run of `wm train`: to its side).",
        ),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Free runs whose process is gone, where this machine cannot tell."),
    ] = False,
    runs: Runs = None,
) -> None:
    """Makes failed runs startable again, whatever failed; `wm submit` or `wm run` then continues them."""
    from studies import retrying, store

    everything, alone = _to_retry(study, runs)
    chosen = store.select(everything, only or [], run_ or [])
    by_name = alone or bool(run_)
    freed = retrying.take_over(chosen, by_name=by_name) if take_over else []
    if take_over:
        say(f"{len(freed)} run{'s' * (len(freed) != 1)} freed{_commands(freed)}")
    again = retrying.reset(chosen, kinds=kind or [], fresh=fresh, by_name=by_name, required=not freed)
    for one in again:
        say(f"pending  {one.id}")
    if again:
        say(f"{len(again)} run{'s' * (len(again) != 1)} to do again{_commands(again)}")


def _to_retry(study: str | None, runs: Path | None) -> tuple[list[StoredRun], bool]:
    """The runs among which `wm retry` chooses, and whether they are one that was named by its directory."""
    from studies import alone, store

    root = store.runs_root(runs)
    if study is None:
        return [planned for one in store.studies(root) for planned in one.planned], False
    is_study = (root / study / "plan.jsonl").exists()
    if not is_study and alone.is_run(Path(study)):
        return [alone.run_at(Path(study))], True
    return store.open_study(study, root, strict=runs is not None).planned, False


def _commands(again: list[StoredRun]) -> str:
    """What starts runs again: `; wm run mine`."""
    from studies.retrying import commands

    return "".join(f"; {text}" for text in commands(again))


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file of a run's fields.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", metavar="DIR", help="The run's directory.")],
    overrides: Overrides = None,
    runs: Runs = None,
) -> None:
    """Trains one run, without a study; calling again continues it."""
    from studies import alone, dispatch, store
    from studies.language import load_config
    from studies.offline import check_datasets, fill

    root = store.runs_root(runs)
    one = alone.run_for(output_dir, fill(load_config(config, overrides or []), root / "datasets"))
    check_datasets(root, [one])
    dispatch.check_rendering([one])
    alone.make(one)
    seen, report = dispatch.run_all([one], 1, root / "datasets")
    condition = seen[0].condition
    say(f"{condition}: {one.path}" + (f"\n{condition.note}" if condition.note else ""))
    if condition.name == "failed":
        say(f"  wm logs {one.path}     (then: wm retry {one.path}, and the same command again)")
    if report is not None and report.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(int(condition.name in {"failed", "lost"}))
