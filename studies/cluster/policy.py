"""What happens to a run that failed: tried again how often, with which change, or left to a person.

What was raised for a run (memory, hours, an allocation of its own) stays raised for its later tasks, whatever they
are submitted for. `wm retry`, a person's word, begins a new count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

from harness.rundir import RunState
from studies.cluster.records import Assignment, Entry
from studies.status import FINISHED, Condition

_RETRY = "retry:"
_UNDONE_BY_PROGRESS = frozenset({"preempted", "node", "time-limit"})
"""Kinds that are nobody's fault while the run goes forward; any other kind would come back."""


@dataclass(frozen=True)
class Policy:
    """What is done about a kind of failure.

    Attributes:
        retries: how often it is tried again without a person; None: as often as it takes.
        memory, hours: factors on what was granted, for each try.
        alone: whether it then has an allocation of its own.
        elsewhere: whether the node it failed on is excluded.
    """

    retries: int | None = 0
    memory: float = 1.0
    hours: float = 1.0
    alone: bool = False
    elsewhere: bool = False


@dataclass(frozen=True)
class Decision:
    """What is to be done with a run.

    Attributes:
        start: whether a task is submitted for it.
        entry: how the task lists it.
        memory, hours: factors on what the run is granted.
        alone: whether it must not share an allocation.
        exclude: nodes it must not run on.
        because: one clause for a person, such as `retry 1 of 2 after host-memory, with 1.5 times the memory`.
    """

    start: bool
    entry: Entry
    memory: float = 1.0
    hours: float = 1.0
    alone: bool = False
    exclude: tuple[str, ...] = ()
    because: str = ""


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "host-memory": Policy(retries=2, memory=1.5, alone=True),
        "gpu-memory": Policy(retries=1, alone=True),
        "time-limit": Policy(retries=3, hours=2.0),  # without progress; with progress it is always continued
        "preempted": Policy(retries=None),
        "node": Policy(retries=3, elsewhere=True),
        "rendering": Policy(retries=1, elsewhere=True),
        "killed": Policy(retries=2),
        "setup": Policy(),
        "code": Policy(),
        "disk": Policy(),
        "corrupt": Policy(),
    }
)


def decide(
    hexadecimal: str,
    condition: Condition,
    history: Sequence[Assignment],
    state: RunState | None,
    policies: Mapping[str, Policy] = POLICIES,
    nodes: Sequence[str] = (),
) -> Decision:
    """What `wm submit` does with a run; pure.

    Args:
        hexadecimal: of the run.
        condition: its state.
        history: the tasks that listed it so far, oldest first.
        state: what its owner last wrote.
        policies: by kind of failure; a kind that is missing is left.
        nodes: where its last task ran.
    """
    entries = _since_retried([one.entry for one in history])
    now = state.progress if state else 0.0
    if condition.queued or condition.name == "running" or condition.name in FINISHED:
        word = "queued" if condition.queued and condition.name != "running" else condition.name
        return Decision(start=False, entry=Entry(hexadecimal, progress=now), because=word)
    limited = policies.get("preempted", POLICIES["preempted"]).retries is not None
    if condition.name in {"failed", "lost"} or (condition.name == "preempted" and entries and limited):
        return _after_failure(hexadecimal, condition, entries, now, policies, nodes)
    if condition.name == "pending" and history:
        return Decision(start=True, entry=Entry(hexadecimal, "retried", progress=now), because="wm retry")
    if not history and state is None:
        return Decision(start=True, entry=Entry(hexadecimal), because="new")
    entry = Entry(hexadecimal, "continue", progress=now)
    return _start(entry, entries, policies, _continued(condition.name, now))


def _after_failure(
    hexadecimal: str,
    condition: Condition,
    entries: Sequence[Entry],
    now: float,
    policies: Mapping[str, Policy],
    nodes: Sequence[str],
) -> Decision:
    """A run whose process died without a word (`lost`) counts as killed; one may have been preempted too often."""
    kind = {"lost": "killed", "preempted": "preempted"}.get(condition.name, condition.kind or "code")
    what = condition.kind or condition.name
    policy = policies.get(kind, Policy())
    exclude = tuple(nodes) if policy.elsewhere else ()
    if kind == "time-limit" and entries and now > _reached(entries):
        return _start(Entry(hexadecimal, "continue", 0, now), entries, policies, _continued(what, now))
    tries = _tries(kind, entries, now) + 1
    entry = Entry(hexadecimal, _RETRY + kind, tries, now)
    if policy.retries is None:
        return _start(entry, entries, policies, _continued(what, now), exclude)
    if tries <= policy.retries:
        text = f"retry {tries} of {policy.retries} after {what}"
        return _start(entry, entries, policies, text, exclude)
    how = condition.name
    often = f" {tries} times" if tries > 1 else ""
    name = f" with {kind}" if condition.name == "failed" else ""
    because = f"left: {how}{often}{name}; mend it, then wm retry"
    return Decision(start=False, entry=Entry(hexadecimal, progress=now), because=because)


def _start(
    entry: Entry,
    entries: Sequence[Entry],
    policies: Mapping[str, Policy],
    because: str,
    exclude: tuple[str, ...] = (),
) -> Decision:
    """A start with all that was ever raised for the run."""
    raised = {kind: tries for kind, tries in _most_tries([*entries, entry]).items() if kind in policies}
    memory = prod(policies[kind].memory ** tries for kind, tries in raised.items())
    hours = prod(policies[kind].hours ** tries for kind, tries in raised.items())
    alone = any(policies[kind].alone for kind in raised)
    changes = [
        f"{factor:.3g} times the {what}"
        for factor, what in ((memory, "memory"), (hours, "hours"))
        if factor != 1
    ]
    changes += ["alone in its allocation"] if alone else []
    changes += [f"not on {', '.join(exclude)}"] if exclude else []
    text = because
    if changes:
        text += ", " + ("with " if "times" in changes[0] else "") + ", ".join(changes)
    return Decision(True, entry, memory, hours, alone, exclude, text)


def _since_retried(entries: list[Entry]) -> list[Entry]:
    """The entries since a person last said `wm retry`."""
    words = [index for index, entry in enumerate(entries) if entry.reason == "retried"]
    return entries[words[-1] :] if words else entries


def _reached(entries: Sequence[Entry]) -> float:
    """How far the run had ever come when it was submitted."""
    return max((entry.progress for entry in entries), default=0.0)


def _tries(kind: str, entries: Sequence[Entry], now: float) -> int:
    """How often it was already tried again after failures of a kind."""
    last = max((index for index, entry in enumerate(entries) if entry.reason == _RETRY + kind), default=None)
    if last is None:
        return 0
    reached = max(now, _reached(entries))
    if kind in _UNDONE_BY_PROGRESS and reached > _reached(entries[: last + 1]):
        return 0
    return entries[last].tries


def _most_tries(entries: Sequence[Entry]) -> dict[str, int]:
    """The highest count of tries by kind."""
    found: dict[str, int] = {}
    for entry in entries:
        if entry.reason.startswith(_RETRY):
            kind = entry.reason.removeprefix(_RETRY)
            found[kind] = max(found.get(kind, 0), entry.tries)
    return found


def _continued(what: str, now: float) -> str:
    return f"continues after {what}" + (f", {now:.0%} done" if now else "")
