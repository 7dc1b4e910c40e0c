"""Merges the layers of a cell and builds its configuration."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from harness.config import RunConfig
from harness.config.fields import Section
from harness.config.run import AXES
from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.refusal import planner_refusal, refusal
from harness.supported import contradiction, not_built
from studies.language.designs import known_design, meaning
from studies.language.fields import find, sections
from studies.language.match import Grants
from studies.language.study import Design, Study, plain_fields

_NAME = re.compile(r"[a-z_]+(?:\.[a-z_]+)*")


class ImpossibleError(ValueError):
    """Fields that are right one by one make no run together. `fields`: the names in the message."""

    @property
    def fields(self) -> list[str]:
        return [name for name in _NAME.findall(str(self)) if find(name) is not None]


class TaskError(ImpossibleError):
    """The task cannot be made, or not with these fields of `env`."""

    @property
    def fields(self) -> list[str]:
        return [name for name in super().fields if name != "task"] or ["task"]


class RefusedError(ImpossibleError):
    """A component of the user's own, which `field` names, refuses to be built."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field

    @property
    def fields(self) -> list[str]:
        return [self.field]


class NotBuiltError(ImpossibleError):
    """The design is one of the design space, and its model does not exist yet."""


class Builder:
    """Builds the configurations of one study's cells.

    Precedence: resources.default < resources.rules < base < design < cell < overrides.
    """

    def __init__(self, study: Study) -> None:
        self.designs = study.designs
        self.base = exploded(plain_fields(study.base))
        self.overrides = exploded(plain_fields(study.overrides))
        self.grants = Grants(study.resources, study.rules)
        self.under: dict[str | None, dict[str, Any]] = {None: self.base}

    def merge(self, cell: dict[str, Any]) -> dict[str, Any]:
        """Every field that somebody wrote for a cell, by dotted name, and `design`: its label."""
        label = cell.get("design")
        if label is not None and label not in self.under:
            self.under[label] = self.base | exploded(plain_fields(self.design(label).fields))
        merged = self.under[label] | exploded(cell) | self.overrides
        if merged.get("agent", "model") != "model":
            for name in [*AXES, *(name for name in merged if name.startswith("data."))]:
                merged.pop(name, None)
            merged["design"] = merged["agent"]
        return self.grants(merged) | merged

    def design(self, label: str) -> Design:
        """The design of a name, written in the study or known."""
        design = self.designs.get(label) or known_design(label)
        assert design is not None, label
        return design

    def build(self, merged: dict[str, Any]) -> RunConfig:
        """The configuration of a cell; see `build_config`."""
        label = merged.get("design")
        return build_config(merged, label if isinstance(label, str) else None)


def build_config(merged: dict[str, Any], label: str | None) -> RunConfig:
    """A configuration from checked fields.

    Args:
        merged: values by dotted name.
        label: the name of the design, if it has one.

    Raises:
        ImpossibleError: the fields make no run together.
        NotBuiltError: no model exists for the design yet.
    """
    tree: dict[str, Any] = {}
    inner: dict[str, list[tuple[str, Any]]] = {section: [] for section in sections()}
    for name, value in merged.items():
        section, dot, rest = name.partition(".")
        if dot:
            inner[section].append((rest, value))
        else:
            tree[name] = value
    agent = merged.get("agent", "model")
    tree["design"] = label if agent == "model" else None
    if "task" not in tree:
        raise ImpossibleError("no task is given: add task to the grid")
    try:
        config = RunConfig.model_validate(
            tree | {name: _section(name, items) for name, items in inner.items()}
        )
    except ValidationError as error:
        raise ImpossibleError(_message(error)) from None
    _check_label(config)
    if contradiction(config):
        raise ImpossibleError(contradiction(config))
    if not_built(config):
        raise NotBuiltError(not_built(config))
    complaint = _task_complaint(config.task, config.env)
    if complaint:
        raise TaskError(complaint)
    if refused := refusal(config):
        raise RefusedError(refused, "model.name")
    field, refused = planner_refusal(config)
    if refused:
        raise RefusedError(refused, field)
    return config


def exploded(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with mappings written entry by entry, so that layers merge entry by entry."""
    if not any(isinstance(value, dict) for value in fields.values()):
        return fields
    result: dict[str, Any] = {}
    for name, value in fields.items():
        spec = find(name)
        if isinstance(value, dict) and spec is not None and spec.is_mapping:
            result.update({f"{name}.{key}": entry for key, entry in value.items()})
        else:
            result[name] = value
    return result


def _check_label(config: RunConfig) -> None:
    """A design of a known name is what its name says, whatever a cell or an override set."""
    for field, located in meaning(config.design or "").items():
        value = operator.attrgetter(field)(config)
        if value != located.value:
            have = f"{field} is {value} in a design named {config.design}"
            raise ImpossibleError(f"{have}: write a design of its own")


@functools.lru_cache(maxsize=4096)
def _task_complaint(task: str, env: EnvConfig) -> str:
    """Why the environment's configuration does not fit the task, or the empty string."""
    from harness.tasks.catalogue import find_task

    try:
        find_task(task, env)
    except UserError as error:
        return str(error)
    return ""


def _section(name: str, items: list[tuple[str, Any]]) -> Section:
    """A section of the configuration; frozen, so that equal ones of many cells are one object."""
    flat = all("." not in field and not isinstance(value, dict) for field, value in items)
    return _equal_section(name, tuple(items)) if flat else _new_section(name, items)


@functools.lru_cache(maxsize=4096)
def _equal_section(name: str, items: tuple[tuple[str, Any], ...]) -> Section:
    return _new_section(name, items)


def _new_section(name: str, items: Iterable[tuple[str, Any]]) -> Section:
    tree: dict[str, Any] = {}
    for field, value in items:
        owner, dot, entry = field.partition(".")
        if dot:
            tree.setdefault(owner, {})[entry] = value
        else:
            tree[field] = value
    kind = RunConfig.model_fields[name].annotation
    assert isinstance(kind, type)
    assert issubclass(kind, Section)
    return kind.model_validate(tree)


def _message(error: ValidationError) -> str:
    texts = []
    for detail in error.errors():
        place = ".".join(str(part) for part in detail["loc"])
        text = detail["msg"].removeprefix("Value error, ")
        texts.append(f"{place}: {text}" if place else text)
    return "; ".join(texts)
