"""`wm submit` and `wm cancel`: what hands runs to a scheduler, and takes them back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from studies.cli.options import RUN, For, Only, Overrides, Prefix, Runs, Study, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from studies.cluster.cancelling import Cancelled
    from studies.cluster.submitting import Draft
    from studies.cluster.types import Cluster
    from studies.plan import Plan
    from studies.store import StoredRun, StudyDir

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_PATIENCE_SECONDS = 4.0
"""How long a submission waits for the accounting, which lags behind the queue."""


def register(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command(rich_help_panel=RUN)(submit)
    app.command(rich_help_panel=RUN)(cancel)


def submit(
    study: Study,
    overrides: Overrides = None,
    only: Only = None,
    run_: Prefix = None,
    for_: For = None,
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor", metavar="slurm|local", help="Where; by default SLURM, or what the profile says."
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="Another profile than ~/.config/wm/profile.yaml."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the batch scripts; write and submit nothing.")
    ] = False,
    yes: Yes = False,
    follow_up: Annotated[
        bool,
        typer.Option(
            "--follow-up/--no-follow-up",
            help="Let a small job look after the study once its jobs have ended, and try again what can be.",
        ),
    ] = True,
    runs: Runs = None,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Let this file replace the study of the same name.")
    ] = False,
) -> None:
    """Hands a study to SLURM as job arrays, or to a pool here that outlives the terminal; returns at once.

    Call it again at any time: it submits what is neither done nor queued, and failures that a retry may mend.

    `wm status` shows how it goes, `wm cancel` stops it.
    """
    from dataclasses import replace

    from studies import dispatch, store
    from studies.cluster import clusters, submitting
    from studies.cluster.telling import told
    from studies.cluster.types import SubmissionError
    from studies.difference import unreached
    from studies.freeze import freeze, report_changes
    from studies.needed import select_for
    from studies.plan import read_plan, refuse_simulated

    found = read_plan(study, store.runs_root(runs), overrides or [], strict=runs is not None)
    refuse_simulated(found)
    chosen = select_for(found, study, only or [], run_ or [], for_ or [])
    options = submitting.Options(
        executor=_executor(executor, profile),
        profile=profile,
        yes=yes,
        follow_up=follow_up,
        execute=dispatch.EXECUTE,
        command=tuple(sys.argv[1:]),
        patience=_PATIENCE_SECONDS,
        say=say,
    )
    cluster = clusters.cluster_for(options.executor)
    drafted = submitting.draft(found.home, chosen, replace(options, patience=0.0), cluster)
    _check(found, drafted, options.executor)
    if dry_run:
        for script in submitting.scripts(found.home, drafted, cluster):
            print(script)
        _say_draft(found.name, drafted)
        _say_abandoned(found.home, found.runs, cluster, drafted)
        return
    kept = [*unreached(found), *filter(None, [report_changes(found)])]
    opened = freeze(found, adopt=adopt)  # what is refused above writes nothing
    for line in kept:
        say(line)
    outcome = submitting.submit(opened, chosen, options, cluster, _asks)
    *lines, last = told(opened.name, outcome)
    for line in lines:
        say(line)
    _say_abandoned(opened, opened.planned, cluster, outcome.draft)
    if outcome.handed is not None and outcome.handed.error:
        raise SubmissionError(last)
    say(last)


def _say_abandoned(study: StudyDir, runs: Sequence[StoredRun], cluster: Cluster, drafted: Draft) -> None:
    """What the queue still has of runs that the plan no longer has."""
    from studies.cluster.outlook import abandoned

    if left := abandoned(study, runs, {cluster.name: drafted.queue}.get):
        say(left.sentence(study.name))


def _executor(given: str | None, profile: str | None) -> str:
    """The executor that was asked for, else the profile's, else SLURM where it is."""
    import shutil

    from harness.errors import UserError
    from harness.registry import suggest
    from studies.cluster.clusters import EXECUTORS
    from studies.cluster.profile import load_profile

    executor = given or load_profile(profile).executor
    if executor is None:
        if shutil.which("sbatch") is None:
            raise UserError(
                "there is no SLURM here: sbatch is not on the PATH. "
                "`--executor local` runs the study on this machine, in the background"
            )
        return "slurm"
    if executor not in EXECUTORS:
        hint = suggest(executor, EXECUTORS)
        raise UserError(f"--executor {executor}: there is {' and '.join(EXECUTORS)}{hint}")
    return executor


def _check(found: Plan, drafted: Draft, executor: str) -> None:
    """What must be there before anything is written."""
    from studies import dispatch
    from studies.cluster import submitting
    from studies.offline import check_datasets

    check_datasets(found.home.root, drafted.starts)
    if executor == "local":
        dispatch.check_rendering(drafted.starts)
    submitting.check_disk(found.home, drafted)


def _say_draft(name: str, drafted: Draft) -> None:
    """What would be submitted, and what is left."""
    from studies.cli.costs import hours_in_words
    from studies.cluster.handing import described
    from studies.cluster.telling import left, started

    for number, array in enumerate(drafted.now, 1):
        say(f"array {number} of {len(drafted.now)}: {described(array)}")
    if drafted.later:
        tasks = sum(len(array.tasks) for array in drafted.later)
        say(f"{_count(tasks, 'task')} for which the queue has no room now would come later")
    if words := left(drafted.choices, name):
        say(words)
    runs = sum(array.runs for array in drafted.now)
    hours = sum(len(array.tasks) * array.allocation.hours for array in drafted.now)
    what = f"{_count(drafted.tasks, 'task')} of {_count(runs, 'run')}, at most {hours_in_words(hours)} in all"
    detail = started(drafted.choices)
    say(f"would submit {what}: {detail}" if drafted.now else "would submit nothing")


def _asks(question: str) -> bool:
    from harness.errors import UserError

    if not sys.stdin.isatty():
        raise UserError(f"{question} There is no terminal to ask on: add --yes")
    return typer.confirm(f"{question} Go on?", err=True)


def cancel(
    study: Study,
    only: Only = None,
    run_: Prefix = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Only runs that failed in this way or are tried again after it; may be repeated.",
        ),
    ] = None,
    unplanned: Annotated[
        bool,
        typer.Option("--unplanned", help="Only runs in the queue that the plan no longer has."),
    ] = False,
    yes: Yes = False,
    runs: Runs = None,
) -> None:
    """Stops submitted runs; they write a checkpoint, and `wm submit` continues them."""
    from harness.errors import UserError
    from studies import store
    from studies.cluster import cancelling
    from studies.survey import survey

    opened = store.open_study(study, store.runs_root(runs), strict=runs is not None)
    chosen = store.select(opened.planned, only or [], run_ or [])
    _check_kinds(kind or [])
    if unplanned:
        if only or run_ or kind:
            raise UserError(
                "--unplanned goes with no other selection: it means all that the plan no longer has"
            )
        number, tasks = cancelling.cancel_unplanned(opened)
        say(f"{_count(number, 'run')} that the plan no longer has cancelled, {_ended(tasks)}")
        return
    if not (only or run_ or kind or yes):
        alive = sum(one.condition.name == "running" or one.condition.queued for one in survey(chosen))
        are = "is" if alive == 1 else "are"
        if alive and not _asks(f"{_count(alive, 'run')} of {opened.name} {are} to stop."):
            raise UserError("nothing was cancelled")
    done = cancelling.cancel(opened, chosen, kind or [])
    for line in _told(done, opened.name):
        say(line)
    if done.unasked:
        silent, left = " and ".join(done.silent), _count(len(done.unasked), "run")
        raise UserError(f"{silent} does not answer: {left} there not cancelled; try again")


def _told(done: Cancelled, name: str) -> Iterator[str]:
    """What a cancellation did and did not do."""
    words = [
        f"{len(runs):,} {what}"
        for runs, what in ((done.running, "running"), (done.waiting, "waiting"))
        if runs
    ]
    number = len(done.running) + len(done.waiting)
    if number:
        yield f"{' and '.join(words)} run{'s' * (number != 1)} cancelled, {_ended(done.tasks)}"
    else:
        yield "nothing was cancelled" + (f", {_ended(done.tasks)}" if done.tasks else "")
    idle = ((count, f"{state}, not in the queue") for state, count in done.idle_states.items())
    others = (
        (len(done.finished), "done"),
        *idle,
        (len(done.elsewhere), "running outside of the queue (`wm run`): stop them there"),
    )
    yield from (f"{count:,} not cancelled: {why}" for count, why in others if count)
    if done.follow_ups:
        yield "the job that was to look after the study is cancelled too"
    if number:
        yield f"continue with: wm submit {name}"


def _ended(tasks: int) -> str:
    return f"{_count(tasks, 'task')} ended"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _check_kinds(kinds: list[str]) -> None:
    from harness.errors import UserError
    from harness.registry import suggest
    from studies.cluster.profile import KINDS

    for kind in kinds:
        if kind not in KINDS:
            near = suggest(kind, KINDS)
            raise UserError(f"--kind {kind}: no such kind{near}; there are {', '.join(KINDS)}")
