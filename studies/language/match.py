"""Whether a run meets a condition of `exclude` or of a resource rule."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

from harness.config.run import AXES, axes_label
from studies.language.fields import default_of
from studies.language.names import is_glob
from studies.language.study import Fields, ResourceRule, Where, plain_fields

Test = Callable[[Any], bool]


class Condition:
    """A condition, prepared to be asked often."""

    def __init__(self, where: Where) -> None:
        self.tests = {name: [_test(item.value) for item in items] for name, items in where.fields.items()}

    def __call__(self, merged: dict[str, Any]) -> bool:
        """Whether every field of the condition has one of its values.

        Args:
            merged: the fields of the run by dotted name; those that are missing have their defaults.
        """
        return all(any(test(value_of(merged, name)) for test in tests) for name, tests in self.tests.items())


class Grants:
    """A default and rules that are merged over it from the top."""

    def __init__(self, default: Fields, rules: Sequence[ResourceRule]) -> None:
        self.default = plain_fields(default)
        self.rules = [(Condition(rule.where), plain_fields(rule.fields)) for rule in rules]

    def __call__(self, merged: dict[str, Any]) -> dict[str, Any]:
        """The fields that a run is granted, by dotted name; see `Condition`."""
        granted = dict(self.default)
        for condition, fields in self.rules:
            if condition(merged):
                granted.update(fields)
        return granted


def value_of(merged: dict[str, Any], name: str) -> Any:
    """The value of a field in a run that is given by the fields that somebody wrote."""
    if name in merged:
        return merged[name]
    agent = merged.get("agent", "model")
    if name == "design":
        axes = (merged.get(axis) for axis in AXES[:3])
        return axes_label(axes, merged.get("model.name", "auto")) if agent == "model" else agent
    return None if name in AXES and agent != "model" else default_of(name)


def _test(wanted: Any) -> Test:
    if isinstance(wanted, range):
        return lambda value: isinstance(value, int) and value in wanted
    if isinstance(wanted, str) and is_glob(wanted):
        return lambda value: (
            isinstance(value, str) and (value == wanted or fnmatch.fnmatchcase(value, wanted))
        )
    return lambda value: bool(value == wanted)
