"""The state of a run as shown to the user: one pure function of what is on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness import claim
from harness.rundir import RunDir, RunState

Name = Literal["pending", "running", "preempted", "cancelled", "lost", "failed", "diverged", "done"]
NAMES: tuple[Name, ...] = (
    "done",
    "diverged",
    "running",
    "preempted",
    "cancelled",
    "lost",
    "failed",
    "pending",
)
"""Every state, in the order in which counts are shown."""

FINISHED: frozenset[Name] = frozenset({"done", "diverged"})
"""States that are results."""

CONTINUED: frozenset[Name] = frozenset({"pending", "preempted", "cancelled", "lost"})
"""States from which `wm run` goes on."""

Ownership = Literal["free", "alive", "dead", "unknown"]
"""Of the highest claim: never made or released; its process lives; is gone; this machine cannot tell."""

STALE_SECONDS = 60.0
"""A heartbeat older than this, of an owner that this machine cannot see, is called unconfirmed."""


@dataclass(frozen=True)
class Condition:
    """The state of a run.

    Attributes:
        name: the state.
        kind: the class of failure, if it failed.
        note: what a person needs to know beyond the name, or the empty string.
        queued: a task of a scheduler that will run it, or runs it, is in the queue.
        job: what the scheduler calls the last task that lists the run.
        reason: why it waits in the queue, as the scheduler says it.
    """

    name: Name
    kind: str | None = None
    note: str = ""
    queued: bool = False
    job: str | None = None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.kind}" if self.kind else self.name


def derive(state: RunState | None, ownership: Ownership, now: float) -> Condition:
    """The state of a run. A recorded result wins; an owner that cannot be seen counts as alive.

    Args:
        state: what the owner last wrote, or None.
        ownership: whether there is an owner.
        now: unix seconds.
    """
    recorded = state.state if state else None
    if recorded == "done" or recorded == "diverged":  # noqa: PLR1714 - a set would lose the literal's type
        return Condition(recorded)
    if ownership == "alive":
        return Condition("running")
    if state and recorded == "failed":
        error = state.error
        return Condition("failed", error.kind if error else "code", error.message if error else "")
    if ownership == "unknown" and recorded != "preempted":
        return Condition("running", note=_confirmation(state, now))
    return _unfinished(recorded, ownership)


def _unfinished(recorded: str | None, ownership: Ownership) -> Condition:
    if recorded == "preempted":
        return Condition("preempted", note="stopped at a checkpoint; wm run continues it")
    if recorded == "running" or ownership == "dead":
        return Condition("lost", note="its process died; wm run continues it")
    return Condition("pending")


def _confirmation(state: RunState | None, now: float) -> str:
    """How long an owner that this machine cannot see has not been heard of; empty if it was just now."""
    if state is None:
        return "claimed by a process that this machine cannot see"
    age = max(0.0, now - state.heartbeat)
    return f"unconfirmed for {_age(age)}" if age > STALE_SECONDS else ""


def ownership(run_dir: Path) -> Ownership:
    """Whether a run directory has an owner."""
    number = claim.highest(run_dir)
    if not number:
        return "free"
    owner = claim.read(run_dir, number)
    if owner is None:
        return "unknown"
    if owner.released:
        return "free"
    if not claim.is_alive(owner):
        return "dead"
    return "alive" if claim.is_visible(owner) else "unknown"


def observe(run_dir: Path, now: float) -> tuple[Condition, RunState | None]:
    """Reads the state of a run from its directory, which need not exist."""
    condition, state = _observe(run_dir, now)
    if condition.name == "lost":  # or its owner came or went between the two files that were read: look again
        condition, state = _observe(run_dir, now)
    return condition, state


def _observe(run_dir: Path, now: float) -> tuple[Condition, RunState | None]:
    held = ownership(run_dir)
    state = RunDir(run_dir).read_state()
    condition = derive(state, held, now)
    if held == "unknown" and condition.name == "running" and condition.note:
        note = f"{condition.note}; if it is gone for certain: {_take_over(run_dir)}"
        condition = replace(condition, note=note)
    return condition, state


def _take_over(run_dir: Path) -> str:
    """The command that frees a run."""
    in_study = run_dir.parent.name == "runs"
    which = f"--run {run_dir.name.rpartition('-')[2]}" if in_study else str(run_dir)
    return f"wm retry --take-over {which}"


def _age(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h`, `4 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
