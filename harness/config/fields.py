"""How a configuration field says what it is: semantic, numeric, resource, storage or cosmetic."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


class Category(StrEnum):
    """What a change of the field changes; only semantic fields make a run's id."""

    SEMANTIC = "semantic"  # what is computed
    NUMERIC = "numeric"  # perhaps the last bits
    RESOURCE = "resource"  # what a scheduler must grant
    STORAGE = "storage"  # what is kept
    COSMETIC = "cosmetic"  # nothing but names


class Section(BaseModel):
    """A frozen, strictly validated part of a configuration; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


NO_NEUTRAL = object()  # the field always enters the id
"""Marks a semantic field that has no neutral value."""


def semantic(default: Any, *, neutral: Any, doc: str, **bounds: Any) -> Any:
    """A field that changes what is computed.

    Args:
        default: today's default; may change from one release to the next.
        neutral: the value that reproduces the behaviour from before the field existed. Frozen for ever:
            a field that equals it is left out of the id, so a new field orphans no run.
        doc: one sentence for `--help`, the schema and the documentation.
        bounds: pydantic constraints, such as ``ge=1``.
    """
    extra: dict[str, Any] = {"category": Category.SEMANTIC.value}
    if neutral is not NO_NEUTRAL:
        extra["neutral"] = neutral
    return Field(default, description=doc, json_schema_extra=extra, **bounds)


def other(category: Category, default: Any, doc: str, **bounds: Any) -> Any:
    """A field that does not change what is computed."""
    return Field(default, description=doc, json_schema_extra={"category": category.value}, **bounds)


def walk(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yields (dotted name, field) of every leaf field of a section, in order of declaration."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from walk(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def category_of(field: FieldInfo) -> Category:
    """The category that a leaf field was declared with."""
    extra = field.json_schema_extra
    if not isinstance(extra, dict) or "category" not in extra:
        raise TypeError("every leaf field of a configuration is declared with semantic() or other()")
    return Category(str(extra["category"]))
