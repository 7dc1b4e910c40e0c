"""From a study to its cells: (grid x every zip block) - exclude + include, each a whole `RunConfig`.

A cell that is not valid is either dropped with its reason, or a problem of the file. It is a problem if one
of the values that the grid gives it is valid in no cell of its block: then that value is wrong. It is dropped
if each of them works elsewhere: then only the combination makes no sense. The values of a factorial are judged
likewise, over the whole study, where a glob reaches its designs. What does not exist yet is dropped; only a design
that the grid gives by its name is a problem then.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.config import RunConfig
from harness.config.run import AXES
from studies.language.build import Builder, ImpossibleError, NotBuiltError
from studies.language.match import Condition
from studies.language.problems import Mark, Problems
from studies.language.study import Block, Located, Study, plain_fields

Values = dict[str, Located]


@dataclass(frozen=True, slots=True)
class Cell:
    """A valid cell: what the grid says of it, and the configuration."""

    values: dict[str, Any]
    config: RunConfig


@dataclass(frozen=True, slots=True)
class Dropped:
    """A cell without a run, and why.

    Attributes:
        cell: what the grid says of it.
        reason: in words.
        matter: those values of the cell that the reason is about.
        place: where the file says it (`line 4`), or the empty string.
    """

    cell: dict[str, Any]
    reason: str
    matter: dict[str, Any] = field(default_factory=dict)
    place: str = ""


@dataclass(frozen=True, slots=True)
class _Refused:
    """A cell that is not valid. `working`: the values of its block (by identity) that some valid cell has."""

    block: Block
    values: Values
    error: ImpossibleError
    working: set[int]


@dataclass(slots=True)
class Expansion:
    """The cells of a study."""

    cells: list[Cell] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def expand(study: Study) -> Expansion:
    """The cells of a study, in the order of the file.

    Raises:
        StudyError: a value of the file works in no cell, or no run is left.
    """
    problems = Problems()
    expander = _Expander(study, problems)
    for block in study.blocks:
        expander.block(block)
    expander.judge()
    problems.raise_any()
    result = expander.result
    result.notes.extend(
        f"{where.path} (line {where.mark.line}) excludes nothing: no cell of the grid meets it"
        for where, hits in zip(study.exclude, expander.hits, strict=True)
        if not hits
    )
    if not result.cells:
        reasons = Counter(dropped.reason for dropped in result.dropped).most_common(3)
        why = "; ".join(f"{count} cells {reason}" for reason, count in reasons)
        problems.add(study.blocks[0].mark, study.blocks[0].path, f"no run is left: {why}")
    problems.raise_any()
    return result


class _Expander:
    """Expands block after block into one result."""

    def __init__(self, study: Study, problems: Problems) -> None:
        self.study = study
        self.problems = problems
        self.result = Expansion()
        self.builder = Builder(study)
        self.exclude = [Condition(where) for where in study.exclude]
        self.hits = [0] * len(study.exclude)
        self.refused: list[_Refused] = []
        self.working: set[str | None] = set()  # the designs that some valid cell has, in any block
        self.said: set[tuple[Mark, str]] = set()

    def block(self, block: Block) -> None:
        """Expands one block; cells that are not valid are kept for `judge`."""
        self._refuse_axes_without_model(block)
        working: set[int] = set()
        for values in _product(block):
            plain = plain_fields(values)
            merged = self.builder.merge(plain)
            rule = self._excluded(merged) if block.excludable else None
            if rule is not None:
                self.result.dropped.append(Dropped(plain, rule))
                continue
            try:
                self.result.cells.append(Cell(plain, self.builder.build(merged)))
                working.update(map(id, values.values()))
                self.working.add(plain.get("design"))
            except ImpossibleError as error:
                self.refused.append(_Refused(block, values, error, working))

    def judge(self) -> None:
        """Drops every invalid cell, or makes it a problem of the file."""
        useful = {
            id(value)
            for name, design in self.study.designs.items()
            if name in self.working
            for value in design.axes.values()
        }
        for cell in self.refused:
            self._judge(cell, useful)

    def _excluded(self, merged: dict[str, Any]) -> str | None:
        """The reason of an excluded cell."""
        for index, condition in enumerate(self.exclude):
            if condition(merged):
                self.hits[index] += 1
                where = self.study.exclude[index]
                return f"excluded by {where.path} (line {where.mark.line})"
        return None

    def _refuse_axes_without_model(self, block: Block) -> None:
        """A block of random or oracle agents alone says nothing about models."""
        axes = {axis.name: axis for group in block.groups for axis in group}
        agents = {str(value.value) for value in axes["agent"].expand()} if "agent" in axes else {"model"}
        for name in ("design", *AXES):
            if name in axes and "model" not in agents:
                message = f"the agent {' or '.join(sorted(agents))} has no model: remove {name}"
                self.problems.add(axes[name].mark, axes[name].path, message)

    def _judge(self, cell: _Refused, useful: set[int]) -> None:
        """Whether an invalid cell is a problem of the file, or only dropped.

        Args:
            cell: the cell.
            useful: the values of factorials (by identity) that some valid cell of the study has.
        """
        values, error = cell.values, cell.error
        design = values.get("design")
        idle = {name: value for name, value in values.items() if id(value) not in cell.working}
        axes = self._axes(design)
        if axes and "design" in idle and design is not None and design.glob:
            del idle["design"]
            idle |= {name: value for name, value in axes.items() if id(value) not in useful}
        unbuilt = isinstance(error, NotBuiltError)
        by_name = design is not None and not design.glob
        if not idle or (unbuilt and not (by_name and "design" in idle)):
            self._drop(values, error)
            return
        place = design if unbuilt or (axes and by_name) else self._written(values, error, idle) or design
        self._say(place or Located(None, cell.block.mark, cell.block.path), error, design, axes)

    def _say(self, place: Located, error: ImpossibleError, design: Located | None, axes: Values) -> None:
        """Notes a problem once, with the combination that does not work if a factorial wrote it."""
        if (place.mark, str(error)) in self.said:
            return
        self.said.add((place.mark, str(error)))
        combination = ", ".join(f"{name} {value.value}" for name, value in axes.items())
        written = f" (the design {design.value}: {combination})" if axes and design is not None else ""
        self.problems.add(place.mark, place.path, f"{error}{written}")

    def _drop(self, values: Values, error: ImpossibleError) -> None:
        plain = plain_fields(values)
        named = {"design", *error.fields}
        matter = {name: value for name, value in plain.items() if name in named}
        place = self._written(values, error, {})
        words = "" if place is None else f"line {place.mark.line}" if place.mark.line else place.mark.source
        self.result.dropped.append(Dropped(plain, str(error), matter, words))

    def _axes(self, design: Located | None) -> Values:
        """The factorial's values of a design that one wrote out."""
        fragment = self.study.designs.get(design.value) if design is not None else None
        return fragment.axes if fragment is not None else {}

    def _written(self, values: Values, error: ImpossibleError, idle: Values) -> Located | None:
        """Where the file says what an error is about: a value that works nowhere, or else the strongest layer that
        has one of its fields.
        """
        design = values.get("design")
        fragment = self.study.designs.get(design.value) if design is not None else None
        inner = fragment.fields if fragment else {}
        for layer in (self.study.overrides, idle, values, inner, self.study.base):
            for name in error.fields:
                if found := _entry(layer, name, str(error)):
                    return found
        return Located(None, fragment.mark, fragment.path) if fragment else None


def _entry(layer: Values, name: str, message: str) -> Located | None:
    """A field of a layer, or the entry of a mapping (`model.widths.units`) that a message names."""
    if name in layer:
        return layer[name]
    entries = {
        key.removeprefix(f"{name}."): value for key, value in layer.items() if key.startswith(f"{name}.")
    }
    return next((entries[word] for word in re.findall(r"\w+", message) if word in entries), None)


def _product(block: Block) -> Iterator[Values]:
    """The cells of a block; the last axis varies fastest."""
    groups: list[list[Values]] = []
    for group in block.groups:
        columns = [[(axis.name, value) for value in axis.expand()] for axis in group]
        groups.append([dict(row) for row in zip(*columns, strict=True)])
    for parts in itertools.product(*groups):
        cell: Values = {}
        for part in parts:
            cell |= part
        yield cell
