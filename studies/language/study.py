"""A study as its file says it, checked field by field but not yet expanded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from studies.language.problems import Mark

MAX_RUNS = 100_000
MAX_DESIGNS = 10_000


@dataclass(frozen=True, slots=True)
class Located:
    """A checked value and where it was written; `glob` if a pattern stands there."""

    value: Any
    mark: Mark
    path: str
    glob: bool = False


Fields = dict[str, Located]
"""Fields of a run by dotted name."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One field of a grid and the values it takes: checked ones, and ranges that are not yet written out."""

    name: str
    values: list[Located | tuple[range, Mark, str]]
    mark: Mark
    path: str

    @property
    def count(self) -> int:
        """Number of values; ranges are counted, not written out."""
        return sum(1 if isinstance(value, Located) else range_length(value[0]) for value in self.values)

    def expand(self) -> Iterator[Located]:
        """The values, ranges written out."""
        for value in self.values:
            if isinstance(value, Located):
                yield value
            else:
                numbers, mark, path = value
                yield from (Located(number, mark, path) for number in numbers)


@dataclass(frozen=True, slots=True)
class Block:
    """A small grid: the cross product of its groups; the axes of one group vary together.

    Attributes:
        groups: lists of axes; an axis of the grid is a group of one, a zip block is one group.
        excludable: whether `exclude` applies (to the grid) or not (to an include).
    """

    groups: list[list[Axis]]
    mark: Mark
    path: str
    excludable: bool = False

    @property
    def count(self) -> int:
        """Number of cells, by arithmetic."""
        return math.prod(group[0].count for group in self.groups)


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on a run: every field is one of its values; texts may be globs."""

    fields: dict[str, list[Located]]
    mark: Mark
    path: str


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """Resources of the runs that a condition selects."""

    where: Where
    fields: Fields


@dataclass(frozen=True, slots=True)
class Design:
    """A named fragment of fields."""

    name: str
    fields: Fields
    mark: Mark
    path: str
    written: bool = True  # False: one of the known names

    @property
    def axes(self) -> Fields:
        """Of a design that a factorial writes out: the values of its axes, which designs of it share; else none."""
        if not self.path.startswith("factorial"):
            return {}
        inside = f"{self.path}.axes."
        return {name: value for name, value in self.fields.items() if value.path.startswith(inside)}


@dataclass(frozen=True, slots=True)
class Known:
    """The names of designs that a study writes.

    Attributes:
        designs: in the order of the file.
        complete: False if some could not be read: an unknown name may be one of them, no second problem.
    """

    designs: tuple[str, ...] = ()
    complete: bool = True


@dataclass(slots=True)
class Study:
    """A whole study file.

    Attributes:
        name: the folder under RUNS.
        text: the file as it was read.
        report: as written, checked; analysis reads it from the dispatched file.
        overrides: the file's own `overrides`, then those of the command line.
        given: the command line's overrides as typed.
    """

    name: str
    mark: Mark
    source: str = ""
    text: str = ""
    base: Fields = field(default_factory=dict)
    designs: dict[str, Design] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    exclude: list[Where] = field(default_factory=list)
    reuse: list[Located] = field(default_factory=list)
    resources: Fields = field(default_factory=dict)
    rules: list[ResourceRule] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    overrides: Fields = field(default_factory=dict)
    given: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of cells before exclusions and merges, by arithmetic."""
        return sum(block.count for block in self.blocks)


def range_length(numbers: range) -> int:
    """`len`, for ranges of any size."""
    return max(0, numbers.stop - numbers.start)


def plain_fields(fields: Fields) -> dict[str, Any]:
    """The values alone."""
    return {name: located.value for name, located in fields.items()}
