"""Names in a study that mean something elsewhere: designs, tasks, planners, models, studies."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import re
from collections.abc import Iterable
from typing import Any

from harness.errors import UserError
from harness.registry import OBJECTIVES, is_own_task, load, planner_path, suggest
from studies.language.tasksets import task_sets

CANONICAL: dict[str, dict[str, str]] = {
    f"{predict}-{space}-{dynamics}": {"predict": predict, "space": space, "dynamics": dynamics}
    for predict, space, dynamics in itertools.product(
        ("images", "rewards"), ("latent", "pixel"), ("stochastic", "deterministic")
    )
}
"""The eight designs of the first three axes: known without being written."""

AGENTS = ("random", "oracle")  # agents without a model; also their labels
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,79}")
_RESERVED = {"datasets"}
_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]+)?")


def is_glob(text: str) -> bool:
    """Whether a text is a pattern rather than a name."""
    return any(character in text for character in "*?[")


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern matches, in their order; a name matches itself."""
    return [name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)]


def check_study_name(name: str) -> str:
    """The name of a study, which is a folder under RUNS.

    Raises:
        ValueError: it is no plain folder name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise ValueError(
            f"{name[:80]!r} cannot name a folder under the runs directory: "
            "use letters, digits, '-', '_' and '.', at most 80, the first a letter or a digit"
        )
    if name.lower() in _RESERVED:
        raise ValueError(f"{name!r} is the folder of datasets that all studies share: choose another name")
    return name


def check_design_name(name: str) -> None:
    """Checks the name of a design.

    Raises:
        ValueError: it cannot be told from a glob, an agent or a path.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} cannot name a design: use letters, digits and - _ . + =, at most 80")
    if name in AGENTS:
        raise ValueError(f"{name!r} is an agent, not a design (write agent: {name})")


def known_tasks() -> list[str]:
    """The names of the built-in tasks; loads the catalogue, not a simulator."""
    return list(_tasks())


@functools.cache
def _tasks() -> tuple[str, ...]:
    from harness.tasks.catalogue import task_names

    return tuple(task_names())


def check_name(field: str, value: Any) -> None:
    """Checks the value of a field that names a component.

    Raises:
        ValueError: there is none of that name; suggests the nearest.
    """
    check = _CHECKS.get(field)
    if check is not None and value is not None:
        try:
            check(value)
        except UserError as error:
            raise ValueError(str(error)) from None


def _own(path: str) -> None:
    """A class of the user's own can be imported and has a version."""
    version = getattr(load(path), "version", None)
    if not isinstance(version, int):
        raise ValueError(  # noqa: TRY004  every problem of a value is a ValueError here
            f"{path} needs an integer attribute `version`, so that results of two versions never mix"
        )


def _task(name: str) -> None:
    if is_own_task(name):
        _own(name)
    elif name.startswith("gym/"):
        from harness.tasks.catalogue import check_task

        check_task(name)
    elif name in task_sets():
        have = ", ".join(task_sets()[name].tasks)
        raise ValueError(
            f"{name!r} is a set of tasks ({have}): sets stand in a grid, an include or a condition; here is one task"
        )
    elif name not in _tasks():
        raise ValueError(f"unknown task {name[:80]!r}{suggest_task(name)}")


def suggest_task(name: str) -> str:
    """` (did you mean X?)` for the nearest task or set of tasks, in its family or out of it, or where to look."""
    from harness.tasks import catalogue

    return catalogue.suggest_task(name, [*_tasks(), *task_sets()]) or _TASK_HINT


def _planner(name: str) -> None:
    planner_path(name)
    if ":" in name:
        _own(name)


def _model(name: str) -> None:
    if name != "auto" and ":" not in name:
        raise ValueError(f"unknown model {name[:80]!r}: write auto, or package.module:Name")
    if ":" in name:
        _own(name)


def _objective(name: str) -> None:
    if name not in OBJECTIVES and ":" not in name:
        have = ", ".join(OBJECTIVES)
        raise ValueError(
            f"unknown objective {name[:80]!r}{suggest(name, OBJECTIVES)}; there are {have} and package.module:Name"
        )


def _device(name: str) -> None:
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"unknown device {name[:80]!r}: write auto, cpu, cuda or cuda:N")


_TASK_HINT = " (`wm list tasks` shows what there is)"
_CHECKS = {
    "task": _task,
    "planner.name": _planner,
    "model.name": _model,
    "planner.objective": _objective,
    "oracle.name": _planner,
    "oracle.objective": _objective,
    "runtime.device": _device,
}
