"""From a study to its cells: (grid x every zip block) - exclude + include, each a whole `RunConfig`.

A cell that is not valid is either dropped with its reason, or a problem of the file. It is a problem if one
of the values that the grid gives it is valid in no cell of its block: then that value is wrong. It is dropped
if each of them works elsewhere: then only the combination makes no sense. What does not exist yet is dropped;
only a design that the grid gives by its name is a problem then.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.config import RunConfig
from harness.config.run import AXES
from studies.language.build import Builder, ImpossibleError, NotBuiltError
from studies.language.match import Condition
from studies.language.problems import Problems
from studies.language.study import Block, Located, Study, plain_fields

Values = dict[str, Located]


@dataclass(frozen=True, slots=True)
class Cell:
    """A valid cell: what the grid says of it, and the configuration."""

    values: dict[str, Any]
    config: RunConfig


@dataclass(frozen=True, slots=True)
class Dropped:
    """A cell without a run, and why."""

    cell: dict[str, Any]
    reason: str


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

    def block(self, block: Block) -> None:
        """Expands one block; cells that are not valid are dropped or become problems."""
        self._refuse_axes_without_model(block)
        refused: list[tuple[Values, ImpossibleError]] = []
        working: set[int] = set()  # the values (by identity) that some valid cell has
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
            except ImpossibleError as error:
                refused.append((values, error))
        for values, reason in refused:
            self._judge(block, values, reason, working)

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

    def _judge(self, block: Block, values: Values, error: ImpossibleError, working: set[int]) -> None:
        """Whether an invalid cell is a problem of the file, or only dropped."""
        design = values.get("design")
        if isinstance(error, NotBuiltError):
            works = design is None or design.glob or id(design) in working
        else:
            works = all(id(located) in working for located in values.values())
        if works:
            self.result.dropped.append(Dropped(plain_fields(values), str(error)))
            return
        if isinstance(error, NotBuiltError) and design is not None:
            place = design
        else:
            place = self._written(values, error) or design or Located(None, block.mark, block.path)
        self.problems.add(place.mark, place.path, str(error))

    def _written(self, values: Values, error: ImpossibleError) -> Located | None:
        """Where the file says what an error is about: the strongest layer that has one of its fields."""
        design = values.get("design")
        fragment = self.study.designs.get(design.value) if design is not None else None
        for layer in (self.study.overrides, values, fragment.fields if fragment else {}, self.study.base):
            for name in error.fields:
                if name in layer:
                    return layer[name]
        return Located(None, fragment.mark, fragment.path) if fragment else None


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
