"""The runs of a study and the state that each is in: records, queue and accounting together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.rundir import RunState
from studies import status
from studies.cluster.facts import Asked, Gatherer, Schedulers
from studies.cluster.records import Assignment, Dispatch
from studies.cluster.truth import Facts, derive
from studies.status import Condition
from studies.store import StoredRun


@dataclass(frozen=True)
class Seen:
    """A run of the plan and the state it is in.

    Attributes:
        state: what its owner last wrote, if anything.
        history: the tasks that listed it, oldest first.
    """

    run: StoredRun
    condition: Condition
    state: RunState | None = None
    history: Sequence[Assignment] = ()


@dataclass(frozen=True)
class Look:
    """Runs as they were seen at a time, and what the schedulers were asked for it.

    Attributes:
        asked: by executor; empty if there was nothing to ask.
        time: unix seconds.
    """

    seen: list[Seen]
    asked: Mapping[str, Asked]
    time: float


def survey(runs: Sequence[StoredRun]) -> list[Seen]:
    """The states of runs as they are now; one question to each scheduler that may have one of them."""
    return look(runs, Schedulers()).seen


def look(runs: Sequence[StoredRun], schedulers: Schedulers) -> Look:
    """The states of runs as they are now.

    Args:
        runs: of any studies.
        schedulers: may know answers that are recent enough.
    """
    schedulers.forget(time.time())
    studies: dict[Path, list[StoredRun]] = {}
    for run in runs:
        studies.setdefault(_home(run), []).append(run)
    seen: dict[Path, Seen] = {}
    for study, members in studies.items():
        found = Gatherer(study, schedulers).gather(members, time.time())
        now = time.time()
        for run, facts in zip(members, found, strict=True):
            seen[run.path] = Seen(run, _condition(run, facts, now), facts.state, facts.history)
    return Look([seen[run.path] for run in runs], dict(schedulers.asked), time.time())


def history_of(run: StoredRun) -> Sequence[Assignment]:
    """The tasks that listed a run, oldest first."""
    return Dispatch(_home(run)).assignments.get(run.hex, ())


def _home(run: StoredRun) -> Path:
    """The study that a run is in; a run without a study is alone in its directory."""
    return run.path.parent.parent if run.path.parent.name == "runs" else run.path


def _condition(run: StoredRun, facts: Facts, now: float) -> Condition:
    return status.with_remedy(derive(facts, now), facts.ownership, run.path)
