"""Cancels runs: marks them, and ends the tasks that have nothing else left to do.

A marked run leaves its task within seconds (`studies.cluster.task`), so that runs packed beside it go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import UserError
from studies.cluster import clusters
from studies.cluster.handing import follow_ups
from studies.cluster.lock import locked
from studies.cluster.records import Assignment, Dispatch
from studies.cluster.types import Cluster, Queued
from studies.cluster.unanswered import NO_ANSWER, reconcile
from studies.status import FINISHED, Condition, Name
from studies.store import StoredRun, StudyDir
from studies.survey import Seen, survey

_OVER: frozenset[Name] = FINISHED | {"failed", "lost", "cancelled"}
"""States in which a run needs nothing more of its task."""


@dataclass
class Cancelled:
    """What a cancellation did, and did not do.

    Attributes:
        running, waiting: runs that were cancelled.
        finished: runs that have a result.
        elsewhere: runs that no task in the queue executes; nothing reaches them from here.
        idle: runs that were not in the queue; a follow-up that is left does not try them again.
        idle_states: how many of them are in which state.
        tasks: that were ended or taken out of the queue.
        follow_ups: jobs that were to look after the study and were taken out of the queue.
        silent: schedulers that did not answer.
        unasked: runs that were left as they are, since they are with such a one.
    """

    running: list[StoredRun] = field(default_factory=list)
    waiting: list[StoredRun] = field(default_factory=list)
    finished: list[StoredRun] = field(default_factory=list)
    elsewhere: list[StoredRun] = field(default_factory=list)
    idle: list[StoredRun] = field(default_factory=list)
    idle_states: Counter[str] = field(default_factory=Counter)
    tasks: int = 0
    follow_ups: int = 0
    silent: list[str] = field(default_factory=list)
    unasked: list[StoredRun] = field(default_factory=list)


def cancel(
    study: StudyDir,
    runs: Sequence[StoredRun],
    kinds: Sequence[str] = (),
    places: Mapping[str, Cluster] | None = None,
) -> Cancelled:
    """Cancels runs of a study; where it is all of them, the jobs that look after it as well.

    Args:
        study: whose runs they are.
        runs: of its plan.
        kinds: of failure; only runs that failed so, or are tried again after it.
        places: the clusters by executor; by default all on which the study has ever been.

    Raises:
        UserError: the study was never submitted, no scheduler answers that has it (nothing was marked), or another
            process submits the study.
    """
    dispatch, places = _dispatched(study, places)
    with locked(dispatch.path):
        queues, silent = _queues(places)
        for name, queue in queues.items():
            reconcile(dispatch, queue, name)
        everything = not kinds and {run.hex for run in runs} >= {run.hex for run in study.planned}
        seen = [one for one in survey(study.planned) if not one.run.reused_from]
        chosen = {run.hex for run in runs}
        wanted = list(_of_kinds([one for one in seen if one.run.hex in chosen], dispatch, kinds))
        cancelled = _sorted(one for one in wanted if _place(one) not in silent)
        cancelled.silent = silent
        cancelled.unasked = [
            one.run for one in wanted if _place(one) in silent and one.condition.name not in FINISHED
        ]
        marked = [run.hex for run in (*cancelled.running, *cancelled.waiting)]
        looked_after = any(follow_ups(dispatch, queue) for queue in queues.values())
        idle = [run.hex for run in cancelled.idle] if looked_after and not everything else []
        dispatch.mark([*marked, *idle], "cancelled")
        conditions = {one.run.hex: one.condition for one in seen}
        for name in queues:
            keys = list(_tasks(dispatch, queues[name], set(marked), conditions, everything=everything))
            jobs = list(follow_ups(dispatch, queues[name])) if everything else []
            if keys or jobs:
                places[name].cancel([*jobs, *keys])  # those first that would submit again
            cancelled.tasks += len(keys)
            cancelled.follow_ups += len(jobs)
    return cancelled


def cancel_unplanned(study: StudyDir, places: Mapping[str, Cluster] | None = None) -> tuple[int, int]:
    """Cancels the runs that the plan no longer has and the queue still has.

    Args:
        study: whose plan was edited.
        places: as `cancel`.

    Returns:
        How many runs were cancelled, and how many tasks ended or taken out of the queue.

    Raises:
        UserError: as `cancel`.
    """
    dispatch, places = _dispatched(study, places)
    with locked(dispatch.path):
        queues, _ = _queues(places)
        for name, queue in queues.items():
            reconcile(dispatch, queue, name)
        gone = set(dispatch.assignments) - {run.hex for run in study.planned}
        marked = {digits for digits in gone if _is_listed(dispatch.assignments[digits][-1], queues)}
        dispatch.mark(sorted(marked), "cancelled")
        conditions = {one.run.hex: one.condition for one in survey(study.planned)}
        ended = 0
        for name, queue in queues.items():
            keys = list(_tasks(dispatch, queue, gone, conditions, everything=False)) if marked else []
            if keys:
                places[name].cancel(keys)
            ended += len(keys)
    return len(marked), ended


def _is_listed(last: Assignment, queues: Mapping[str, Mapping[str, Queued]]) -> bool:
    task = queues.get(last.array.executor, {}).get(last.key or "")
    return task is not None and task.name == last.array.name


def _dispatched(
    study: StudyDir, places: Mapping[str, Cluster] | None
) -> tuple[Dispatch, Mapping[str, Cluster]]:
    """The records of a study, and the clusters on which it has ever been.

    Raises:
        UserError: it was never submitted.
    """
    dispatch = Dispatch(study.path)
    if not dispatch.exists:
        raise UserError(f"{study.name} was never submitted; what `wm run` runs is stopped with Ctrl-C there")
    if places is None:
        names = dict.fromkeys(array.executor for array in dispatch.arrays)
        places = {name: clusters.cluster_for(name) for name in names}
    return dispatch, places


def _queues(places: Mapping[str, Cluster]) -> tuple[dict[str, dict[str, Queued]], list[str]]:
    """The queues by executor, and the executors whose queue could not be asked.

    Raises:
        UserError: none answers.
    """
    asked = {name: cluster.queue() for name, cluster in places.items()}
    silent = [name for name, queue in asked.items() if queue is None]
    if silent and len(silent) == len(asked):
        raise UserError(NO_ANSWER)
    return {name: queue for name, queue in asked.items() if queue is not None}, silent


def _place(one: Seen) -> str | None:
    """The executor that a run was last given to."""
    return one.history[-1].array.executor if one.history else None


def _of_kinds(seen: Sequence[Seen], dispatch: Dispatch, kinds: Sequence[str]) -> Iterator[Seen]:
    """The runs that failed in some ways or are being tried again after it; without a kind all of them."""
    wanted = {f"retry:{kind}" for kind in kinds}
    for one in seen:
        history = dispatch.assignments.get(one.run.hex)
        again = history is not None and history[-1].entry.reason in wanted
        if not kinds or again or one.condition.kind in kinds:
            yield one


def _sorted(seen: Iterator[Seen]) -> Cancelled:
    """What becomes of each run."""
    found = Cancelled()
    for one in seen:
        condition = one.condition
        if condition.name in FINISHED:
            kind = found.finished
        elif condition.name == "running":
            kind = found.running if condition.queued else found.elsewhere
        else:
            kind = found.waiting if condition.queued else found.idle
            found.idle_states[str(condition)] += not condition.queued
        kind.append(one.run)
    return found


def _tasks(
    dispatch: Dispatch,
    queue: Mapping[str, Queued],
    marked: set[str],
    conditions: Mapping[str, Condition],
    *,
    everything: bool,
) -> Iterator[str]:
    """The queued tasks that have nothing left to do once some runs are marked: of all of a study, all its tasks."""
    for array in dispatch.arrays:
        for index, entries in enumerate(array.tasks):
            key = array.key(index)
            if key is None or key not in queue or queue[key].name != array.name:
                continue
            hexes = {entry.hex for entry in entries}
            if everything or (hexes & marked and all(_over(one, marked, conditions) for one in hexes)):
                yield key


def _over(digits: str, marked: set[str], conditions: Mapping[str, Condition]) -> bool:
    """Whether a run needs nothing more of its task; one that the plan no longer has may."""
    return digits in marked or (digits in conditions and conditions[digits].name in _OVER)
