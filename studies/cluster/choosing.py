"""What a submission does with each run of a selection."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from studies.cluster.policy import Decision, Policy, decide
from studies.cluster.records import Assignment, Dispatch, read_events
from studies.cluster.types import Queued
from studies.store import StoredRun
from studies.survey import Seen, survey

_AGAIN_SECONDS = 2.0
_SELDOM_SECONDS = 60.0


@dataclass(frozen=True)
class Choice:
    """A run, the state it is in, and what is done with it."""

    seen: Seen
    decision: Decision

    @property
    def run(self) -> StoredRun:
        """The run."""
        return self.seen.run


def settled(runs: Sequence[StoredRun], patience: float, queue: Mapping[str, Queued]) -> list[Seen]:
    """The states of runs once all that matters is certain, or as they are when the patience ends.

    The accounting hears of the end of a job after the queue: in between nobody knows how it ended.

    Args:
        runs: any.
        patience: seconds.
        queue: as it was asked before; what it lists need not be certain.
    """
    end, pause = time.monotonic() + patience, _AGAIN_SECONDS
    while True:
        seen = survey(runs)
        unsettled = [one for one in seen if one.condition.may_settle and not is_queued(one, queue)]
        if not unsettled or time.monotonic() >= end:
            return seen
        time.sleep(pause)
        pause = min(2 * pause, _SELDOM_SECONDS)


def choose(
    seen: Sequence[Seen],
    dispatch: Dispatch,
    queue: Mapping[str, Queued],
    policies: Mapping[str, Policy],
    *,
    automatic: bool = False,
) -> list[Choice]:
    """Decides for each run; those that another study has are that study's to run.

    Args:
        seen: the runs and their states, as they are now.
        dispatch: where people's marks are.
        queue: as it was before `seen` was gathered; a run whose last task it lists is never started.
        policies: by kind of failure.
        automatic: nobody asked for it: what was cancelled stays so.
    """
    chosen = []
    for one in seen:
        if one.run.reused_from:
            continue
        failed = one.history and one.condition.name in {"failed", "lost"}
        nodes = _nodes(one.history[-1]) if failed else ()
        decision = decide(one.run.hex, one.condition, one.history, one.state, policies, nodes)
        if decision.start and is_queued(one, queue):
            decision = replace(decision, start=False, because="queued")
        if decision.start and automatic and _cancelled(one, dispatch):
            decision = replace(decision, start=False, because="cancelled")
        chosen.append(Choice(one, decision))
    return chosen


def is_queued(one: Seen, queue: Mapping[str, Queued]) -> bool:
    """Whether the queue lists the last task of a run, or nobody can say yet whether it does."""
    if not one.history:
        return False
    last = one.history[-1]
    if last.key is None:
        return True
    task = queue.get(last.key)
    return task is not None and task.name == last.array.name


def _cancelled(one: Seen, dispatch: Dispatch) -> bool:
    """Whether a person cancelled a run since it was last submitted, through `wm cancel` or by hand."""
    if one.condition.name == "cancelled":
        return True
    mark = dispatch.marks.get(one.run.hex)
    if mark is None or mark.name != "cancelled":
        return False
    return not one.history or mark.time >= one.history[-1].array.time


def _nodes(last: Assignment) -> tuple[str, ...]:
    """Where a task ran last, as its scheduler calls it; a host's own name is nothing that SLURM knows."""
    nodes = [event.get("node") for event in read_events(last.array, last.index) if event["event"] == "begin"]
    return tuple(str(node) for node in nodes[-1:] if node)
