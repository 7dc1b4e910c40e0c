"""Why a model or a planner of the user's own cannot be built: told by building it, which loads torch. Imports none
before.
"""

from __future__ import annotations

from typing import Any

from harness.config import RunConfig
from harness.config.run import AXES
from harness.config.sections import PlannerConfig
from harness.errors import RunError, UserError
from harness.own import is_own
from harness.places import where_in

_BUILT_FROM: Any = dict.fromkeys(("task", "env", "model", "legacy", *AXES), True) | {"train": {"forecast"}}
"""The fields that a model and what is asked of it depend on, the seed aside."""


_TOLD: dict[str, str] = {}  # what was found, by those fields


def refusal(config: RunConfig) -> str:
    """Why the model of the user's own in a configuration cannot be built, or the empty string.

    It is built once per model and design, on the CPU, so that a study refuses what every run would.
    """
    if not is_own(config):
        return ""
    key = config.model_dump_json(include=_BUILT_FROM)
    if key not in _TOLD:
        _TOLD[key] = _build(config)
    return _TOLD[key]


def planner_refusal(config: RunConfig) -> tuple[str, str]:
    """The field that names a planner of the user's own which cannot be built, or declares no noise that there is,
    and why; two empty strings otherwise.
    """
    section = "oracle" if config.agent == "oracle" else "planner"
    planner = config.oracle if config.agent == "oracle" else config.planner
    if config.agent == "random" or ":" not in planner.name:
        return "", ""
    key = config.model_dump_json(include={"task": True, "env": True, section: True})
    if key not in _TOLD:
        _TOLD[key] = _build_planner(config, planner)
    return (f"{section}.name", _TOLD[key]) if _TOLD[key] else ("", "")


def _build_planner(config: RunConfig, planner: PlannerConfig) -> str:
    from harness.build import build_planner
    from harness.tasks import find_task

    try:
        built = build_planner(planner, find_task(config.task, config.env).spec)
    except UserError as error:
        return str(error)
    try:
        built.draws(1)
    except RunError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 (code of the user's)
        return f"{planner.name}: draws() fails: {where_in(error, [planner.name])}"
    return ""


def _build(config: RunConfig) -> str:
    from harness.build import build_model, make_streams
    from harness.tasks import find_task

    try:
        build_model(config, find_task(config.task, config.env).spec, make_streams(config))
    except UserError as error:
        return str(error)
    return ""
