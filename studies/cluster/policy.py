"""What happens to a run that failed: tried again how often, with which change, or left to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.rundir import RunState
from studies.cluster.records import Assignment, Entry
from studies.status import Condition


@dataclass(frozen=True)
class Policy:
    """What is done about a kind of failure.

    Attributes:
        retries: how often in a row it is tried again without a person; None: as often as it takes.
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


POLICIES: Mapping[str, Policy] = {}


def decide(
    hexadecimal: str,
    condition: Condition,
    history: Sequence[Assignment],
    state: RunState | None,
    policies: Mapping[str, Policy] = POLICIES,
) -> Decision:
    """What `wm submit` does with a run; pure.

    Args:
        hexadecimal: of the run.
        condition: its state.
        history: the tasks that listed it so far, oldest first.
        state: what its owner last wrote.
        policies: by kind of failure; a kind that is missing is left.
    """
    raise NotImplementedError
