"""What a person should know of planned runs that the matrix does not show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.config import RunConfig
from harness.own import is_own
from harness.registry import PLANNERS
from studies.language.designs import known_design
from studies.language.reference import reference_designs

_ORDINARY = {
    "reward_from": "state",
    "reward_gradient": "shared",
    "image_fraction": 1.0,
    "model.variant": "standard",
    "model.widths": {},
    "legacy.blind_inputs": False,
    "legacy.leaking_reward": False,
}
"""Forms of the built-in designs, which a model of the user's own may know nothing of."""

BUILT_IN_OPTIONS = tuple(dict.fromkeys(option for entry in PLANNERS.values() for option in entry.uses))
"""Fields of `planner` and `oracle` that planners of the user's own never see."""

Found = dict[str, dict[str, dict[str, None]]]
"""By whom the note is about and by field: the values that runs have, in their order."""


def notes(configs: Iterable[RunConfig]) -> list[str]:
    """A line for each design of the reference that a study changes, for each design of a model of the user's own
    that is given a form, for runs that share a task without a GPU, and for each planner of the user's own beside
    which fields of built-in ones are set.
    """
    changed: Found = {}
    given: Found = {}
    packed: dict[int, None] = {}
    unseen: Found = {}
    for config in configs:
        if config.agent == "model" and config.design in reference_designs():
            _note_changes(config, changed.setdefault(config.design, {}))
        if is_own(config):
            who = config.model.name + (f" (design {config.design})" if config.design else "")
            _note_forms(config, given.setdefault(who, {}))
        _note_unseen(config, unseen)
        asked = config.resources
        if asked.runs_per_gpu is not None and asked.runs_per_gpu > 1 and not asked.gpus and not asked.gres:
            packed[asked.runs_per_gpu] = None
    lines = [f"{who} is changed here: {_words(fields)}" for who, fields in changed.items() if fields]
    lines += [
        f"{who} is given {_words(fields)}: whether it heeds {'it' if len(fields) == 1 else 'them'} is its own affair"
        for who, fields in given.items()
        if fields
    ]
    lines += [
        f"resources.runs_per_gpu is {number} without a GPU: each task of wm submit carries {number} runs, with "
        f"{number} times the cores and memory of one"
        for number in packed
    ]
    return lines + [
        f"{who} does not get {_words(fields)}: that is for built-in planners; one of your own has options"
        for who, fields in unseen.items()
    ]


def _note_changes(config: RunConfig, fields: dict[str, dict[str, None]]) -> None:
    """The fields of a design of the reference that have another value in a run; as `field` -> `value (its own)`."""
    known = known_design(config.design or "")
    assert known is not None
    for name, located in known.fields.items():
        value = _value(config, name)
        if value != located.value:
            fields.setdefault(name, {})[f"{_show(value)} ({_show(located.value)})"] = None


def _note_forms(config: RunConfig, fields: dict[str, dict[str, None]]) -> None:
    for name, ordinary in _ORDINARY.items():
        value = _value(config, name)
        if value != ordinary:
            fields.setdefault(name, {})[_show(value)] = None


def _note_unseen(config: RunConfig, found: Found) -> None:
    """The fields of a planner of the user's own that only built-in ones get."""
    section = "oracle" if config.agent == "oracle" else "planner"
    planner = config.oracle if config.agent == "oracle" else config.planner
    if config.agent == "random" or ":" not in planner.name:
        return
    for field in BUILT_IN_OPTIONS:
        value = getattr(planner, field)
        if value != type(planner).model_fields[field].default:
            name = f"{section}.{field}"
            found.setdefault(planner.name, {}).setdefault(name, {})[_show(value)] = None


def _value(config: RunConfig, name: str) -> Any:
    """A field, or an entry of a mapping, by its dotted name."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part)
    return value


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items()) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(fields: dict[str, dict[str, None]]) -> str:
    return ", ".join(f"{name} {' and '.join(values)}" for name, values in fields.items())
