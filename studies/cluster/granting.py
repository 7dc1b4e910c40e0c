"""What a run is granted: the study's word, else what was measured, else the user's profile, else a default.

What a run failed for then raises it (`studies.cluster.policy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from harness.config.fields import Category, other
from harness.config.sections import ResourcesConfig

_FOLLOW_UP: Mapping[str, Any] = {"gpus": 0, "cpus": 1, "memory_gb": 2.0, "hours": 3.0, "runs_per_gpu": 1}
_SHARED = ("partition", "account", "qos", "reservation", "setup", "python", "srun")
"""What a follow-up has like the arrays that it follows, unless its profile says otherwise."""


class Granted(ResourcesConfig):
    """The resources of a single run with everything settled that a scheduler must be told."""

    memory_gb: float = other(Category.RESOURCE, 8.0, "host memory in GB", gt=0)
    hours: float = other(Category.RESOURCE, 24.0, "hours in all", gt=0)
    runs_per_gpu: int = other(Category.RESOURCE, 1, "runs side by side", ge=1)


@dataclass(frozen=True)
class Measured:
    """What a run of this kind was seen to need, with room to spare; None where nothing was measured.

    Attributes:
        memory_gb: host memory of a single run.
        hours: of a single run, beside `runs_per_gpu - 1` others.
        runs_per_gpu: how many fit side by side.
        basis: where the numbers come from, for a person.
    """

    memory_gb: float | None = None
    hours: float | None = None
    runs_per_gpu: int | None = None
    basis: str = ""


class UserProfile(Protocol):
    """A user's profile, as far as runs are concerned."""

    def grants(self, config: dict[str, Any]) -> dict[str, Any]:
        """Fields of `ResourcesConfig` for a run, by name."""
        ...


class Change(Protocol):
    """What a run's earlier failures change; `studies.cluster.policy.Decision` is one."""

    @property
    def memory(self) -> float: ...

    @property
    def hours(self) -> float: ...

    @property
    def alone(self) -> bool: ...

    @property
    def exclude(self) -> tuple[str, ...]: ...


def granted(
    config: dict[str, Any],
    *,
    profile: UserProfile | None = None,
    measured: Measured | None = None,
    decision: Change | None = None,
) -> Granted:
    """The resources of a single run.

    Args:
        config: of the run, as its plan holds it. A plan has a number for `gpus` and `cpus`, so that these are always
            the study's.
        profile: of the user.
        measured: what `wm estimate` and finished runs say.
        decision: what earlier failures change: factors on what would be granted otherwise.
    """
    fields = dict(profile.grants(config)) if profile is not None else {}
    if measured is not None:
        fields |= _given({name: getattr(measured, name) for name in ("memory_gb", "hours", "runs_per_gpu")})
    fields |= _given(config["resources"])
    settled = Granted.model_validate(_given(fields))
    return settled if decision is None else _changed(settled, decision)


def follow_up(like: Granted, wanted: Mapping[str, Any]) -> Granted:
    """The resources of the job that looks after a submission.

    Args:
        like: resources of the runs, whose cluster names it shares.
        wanted: fields of the profile's `follow_up`, which win.
    """
    shared = _given({name: getattr(like, name) for name in _SHARED})
    return Granted.model_validate({**_FOLLOW_UP, **shared, **_given(wanted)})


def _changed(settled: Granted, decision: Change) -> Granted:
    nodes = [*filter(None, [settled.exclude]), *decision.exclude]
    return settled.model_copy(
        update={
            "memory_gb": round(settled.memory_gb * decision.memory, 3),
            "hours": round(settled.hours * decision.hours, 3),
            "runs_per_gpu": 1 if decision.alone else settled.runs_per_gpu,
            "exclude": ",".join(dict.fromkeys(nodes)) or None,
        }
    )


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
