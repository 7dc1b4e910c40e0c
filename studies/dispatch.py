"""Runs a study's plan on this machine: what is left to do, what is checked first, and the pool."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.errors import RunError, UserError
from harness.rundir import RunDir
from studies import machine, worker
from studies.cost import estimate
from studies.pool import Job, Pool, Report
from studies.progress import Progress
from studies.status import CONTINUED, FINISHED, NAMES
from studies.store import StoredRun
from studies.survey import Seen, survey

EXECUTE = worker.EXECUTE
"""What executes a run, as module:function."""

_DAEMON = re.compile(r"\b(slurm\w+)-([\w.-]+):")
_NODE_FAILED = re.compile(r"^\S+ failed\b")
_PLACES = (
    (re.compile(r"(?<![\w.:/])/(?:[^\s/:'\"]+/)+"), ""),  # a path keeps its last part
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?"), "TIME"),
    (re.compile(r"\b((?:job|step|task|array)(?:id)?[ =]?)\d+(?:[_.][\w.]+)?", re.IGNORECASE), r"\1N"),
    (re.compile(r"\b(pid|process)([ =:]+)\d+", re.IGNORECASE), r"\1\2N"),
    (re.compile(r"\b\d+_\d+\b"), "JOB"),
    (re.compile(r"\b0x[0-9a-f]+\b"), "0xN"),
)
"""What in a message tells one job, process or node from another, and what stands in its place."""


def to_do(seen: Sequence[Seen]) -> list[StoredRun]:
    """The runs to start or continue, seed by seed, so that an early look compares all designs.

    A run that is reused from another study is that study's to run; one that is queued is its task's.
    """
    runs = [one.run for one in unqueued(seen) if one.condition.name in CONTINUED and not one.run.reused_from]
    return sorted(runs, key=lambda run: run.seed)


def check_rendering(runs: Sequence[StoredRun]) -> None:
    """Finds a backend that draws, if a task needs one; workers inherit it.

    Raises:
        UserError: none does; with the remedy.
    """
    if not any(run.task.startswith("dmc/") for run in runs):
        return
    from harness.tasks.rendering import select_backend

    try:
        select_backend()
    except RunError as error:
        raise UserError(str(error)) from error


def check_disk(root: Path, runs: Sequence[StoredRun], workers: int | None) -> None:
    """Compares what the runs need while they run with the free space.

    Raises:
        UserError: not even the runs that run at once fit.
    """
    if not runs:
        return
    needed = estimate(runs, dict.fromkeys((run.hex for run in runs), "pending"))
    division = machine.divide((run.config for run in runs), workers)
    at_once: float = needed["disk_running_gb"] * min(division.workers, len(runs))
    free = machine.free_gb(root)
    if at_once > free:
        raise UserError(
            f"the runs need {at_once:.1f} GB while they run and {free:.1f} GB are free at {root}: "
            "free some space, move --runs, or take fewer --workers"
        )


def run_all(
    runs: Sequence[StoredRun], workers: int | None, datasets: Path
) -> tuple[list[Seen], Report | None]:
    """Runs what is left to do, each run once, and what another process leaves undone meanwhile.

    Returns:
        The runs as they are afterwards, and what the pool last did; None if there was nothing to do.
    """
    begun: set[str] = set()
    report = None
    while True:
        seen = survey(runs)
        todo = [run for run in to_do(seen) if run.hex not in begun]
        if not todo or (report is not None and (report.interrupted or report.stopped_because)):
            return seen, report
        report = run_pool(seen, todo, workers, datasets)
        begun |= {run.hex for run in todo}


def run_pool(seen: Sequence[Seen], todo: Sequence[StoredRun], workers: int | None, datasets: Path) -> Report:
    """Runs some of the runs that were seen in a pool, with progress on standard error."""
    division = machine.divide((one.run.config for one in seen), workers)
    finished = sum(one.condition.name in FINISHED for one in seen)
    jobs = [Job(RunDir(run.path), run.config) for run in todo]
    with Progress(len(seen), finished) as progress:
        threads = f"{division.threads} thread{'s' * (division.threads > 1)}"
        number = f"{len(jobs)} run{'s' * (len(jobs) > 1)}"
        progress.say(f"{number} to do, {min(division.workers, len(jobs))} at a time with {threads} each")
        return Pool(jobs, division, datasets, progress, EXECUTE).run()


def run_in_foreground(run: StoredRun, datasets: Path) -> str:
    """Executes one run in this process, whose signals and terminal are left alone; its exceptions come through.

    Raises:
        OwnedElsewhere: another process owns the run.
    """
    from harness.claim import acquire
    from harness.config import RunConfig
    from harness.registry import load
    from studies.cluster.owners import is_gone

    directory = RunDir.create(run.path, RunConfig.model_validate(run.config))
    claim = acquire(directory.path, is_gone)
    try:
        return str(load(EXECUTE)(directory, owns=claim.still_mine, datasets=datasets, debug=True))
    finally:
        claim.release()


def unqueued(seen: Sequence[Seen]) -> list[Seen]:
    """The runs that wait in no scheduler's queue."""
    return [one for one in seen if one.condition.name == "running" or not one.condition.queued]


def queued(seen: Sequence[Seen], study: str) -> str:
    """`12 of them are queued: wm status mine`, or the empty string."""
    number = len(seen) - len(unqueued(seen))
    return f"{number} of them {'is' if number == 1 else 'are'} queued: wm status {study}" if number else ""


def counts(seen: Sequence[Seen]) -> str:
    """`12 runs: 9 done, 2 failed, 1 pending`."""
    number = Counter(one.condition.name for one in seen)
    words = ", ".join(f"{number[name]} {name}" for name in NAMES if number[name])
    return f"{len(seen)} run{'s' * (len(seen) != 1)}" + (f": {words}" if words else "")


def group_failures(seen: Sequence[Seen]) -> list[tuple[str, list[Seen]]]:
    """Failed runs by message, the commonest first; `code: ValueError: ...`.

    Messages that differ only in where they come from (a path, a job's number, a node) are one; where they differ, what
    they have in common is shown.
    """
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        if one.condition.name == "failed":
            groups.setdefault(f"{one.condition.kind}: {_everywhere(one)}", []).append(one)
    found = [(_shown(message, members), members) for message, members in groups.items()]
    return sorted(found, key=lambda group: -len(group[1]))


def _shown(message: str, members: Sequence[Seen]) -> str:
    """The message of runs that failed alike: as it is if it is the same for all."""
    own = {_own(one) for one in members}
    return f"{members[0].condition.kind}: {own.pop()}" if len(own) == 1 else message


def _own(one: Seen) -> str:
    return one.condition.note.replace(one.run.id, "RUN")


def _everywhere(one: Seen) -> str:
    """The message of a run without what tells its run, job, process or node from others."""
    text = _own(one).replace(one.run.hex, "RUN")
    text, node = _DAEMON.sub(r"\1:", text), _DAEMON.search(text)
    if node:
        text = re.sub(rf"\b{re.escape(node[2])}\b", "NODE", text)
    text = _NODE_FAILED.sub("NODE failed", text)
    for pattern, word in _PLACES:
        text = pattern.sub(word, text)
    return text
