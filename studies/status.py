"""The state of a run as shown to the user: one pure function of what is on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness import claim
from harness.rundir import RunState, read_state

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
        queued: a task of a scheduler that will run it, or runs it, is in the queue (or was when it last answered).
        job: what the scheduler calls the last task that lists the run.
        reason: why it waits in the queue, as the scheduler says it.
        confirmed: False: the scheduler does not answer, or its answers do not agree yet; to be looked at again.
        elsewhere: only on another machine or cluster, or by another user, could it be confirmed.
    """

    name: Name
    kind: str | None = None
    note: str = ""
    queued: bool = False
    job: str | None = None
    reason: str = ""
    confirmed: bool = True
    elsewhere: bool = False

    @property
    def may_settle(self) -> bool:
        """Whether nobody confirms it, and to ask again here may help."""
        return not self.confirmed and not self.elsewhere

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
        note = confirmation(state, now)
        return Condition("running", note=note, confirmed=not note)
    return _unfinished(recorded, ownership)


def _unfinished(recorded: str | None, ownership: Ownership) -> Condition:
    if recorded == "preempted":
        return Condition("preempted", note="stopped at a checkpoint; wm run continues it")
    if recorded == "running" or ownership == "dead":
        return Condition("lost", note="its process died; wm run continues it")
    return Condition("pending")


def confirmation(state: RunState | None, now: float) -> str:
    """How long an owner that this machine cannot see has not been heard of; empty if it was just now."""
    if state is None:
        return "claimed by a process that this machine cannot see"
    age = max(0.0, now - state.heartbeat)
    return f"unconfirmed for {age_words(age)}" if age > STALE_SECONDS else ""


def ownership(run_dir: Path) -> tuple[Ownership, claim.Owner | None]:
    """Whether a run directory has an owner, and who last claimed it; None if nobody did, or it cannot be read."""
    number = claim.highest(run_dir)
    if not number:
        return "free", None
    owner = claim.read(run_dir, number)
    if owner is None:
        return "unknown", None
    if owner.released:
        return "free", owner
    if not claim.is_alive(owner):
        return "dead", owner
    return "alive" if claim.is_visible(owner) else "unknown", owner


def read_run(run_dir: Path) -> tuple[Ownership, claim.Owner | None, RunState | None]:
    """The owner of a run and what it last wrote; the directory need not exist."""
    held, owner = ownership(run_dir)
    state = read_state(run_dir)
    if state is not None and state.state == "running" and held in {"free", "dead"}:
        held, owner = ownership(run_dir)  # it may have come or gone between the two files: look again
        state = read_state(run_dir)
    return held, owner, state


def observe(run_dir: Path, now: float) -> tuple[Condition, RunState | None]:
    """Reads the state of a run from its directory alone, without asking a scheduler."""
    held, _, state = read_run(run_dir)
    return with_remedy(derive(state, held, now), held, run_dir), state


def with_remedy(condition: Condition, held: Ownership, run_dir: Path) -> Condition:
    """The condition with what a person can do about an owner that nobody can see."""
    if held != "unknown" or condition.name != "running" or condition.confirmed:
        return condition
    note = f"{condition.note}; if it is gone for certain: {_take_over(run_dir)}"
    return replace(condition, note=note)


def _take_over(run_dir: Path) -> str:
    """The command that frees a run."""
    in_study = run_dir.parent.name == "runs"
    which = f"--run {run_dir.name.rpartition('-')[2]}" if in_study else str(run_dir)
    return f"wm retry --take-over {which}"


def age_words(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h`, `4 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
