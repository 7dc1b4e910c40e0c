"""In what the configurations of designs differ beyond their names: what a comparison of them mixes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.labels import dataset_name
from analysis.load import Results
from analysis.words import short_task
from harness.config import RunConfig, semantic_fields
from harness.config.run import AXES

_NAMES = {"agent", "task", "seed", *AXES}
_OF_IMAGES = {"model.image_scale"}
"""Fields without a meaning for designs that predict rewards only."""
_NEVER_OF_A_DESIGN = ("legacy.shifted_evaluation",)
"""Told even where a study says that its designs differ in it: errors measured otherwise are not compared."""
_COMMON_DATA = (
    "env.",
    "evaluation.horizon",
    "evaluation.context",
    "evaluation.starts",
    "evaluation.probe_episodes",
    "evaluation.probe_oracle",
    "legacy.shifted_evaluation",
)
_MOST_DESIGNS = 4


@dataclass(frozen=True)
class Difference:
    """A field in which designs differ.

    Attributes:
        field: its dotted name.
        values: in words, each with the designs that have it: `100 (a, b), 500 (c)`.
        tasks: where.
        everywhere: whether these are all tasks.
    """

    field: str
    values: str
    tasks: tuple[str, ...]
    everywhere: bool

    @property
    def of_data(self) -> bool:
        """Whether the designs' errors are measured on different data."""
        return self.field.startswith(_COMMON_DATA)

    def __str__(self) -> str:
        where = "" if self.everywhere else f" on {', '.join(map(short_task, self.tasks))}"
        warning = ": errors of these designs are not on common data" if self.of_data else ""
        return f"mixed {self.field}{where}: {self.values}{warning}"


def differences(results: Results) -> list[Difference]:
    """Semantic fields whose values differ between the designs of a task, in the order of their names.

    Left out: the axes; what the study says its designs are (`Study.defined`); fields that a design does not use. A
    field that is swept over the same values in every design is no difference. The random agent and the oracle have
    configurations of their own and are not compared.
    """
    defined = _NAMES.union(*(study.defined for study in results.studies)).difference(_NEVER_OF_A_DESIGN)
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    cells = _cells(results)
    for task, designs in cells.items():
        for name in sorted(_varying(designs) - defined):
            values = {
                design: _values(configs, name)
                for design, configs in designs.items()
                if not (name in _OF_IMAGES and configs[0].predict == "rewards")
            }
            if len(set(values.values())) > 1:
                found[name, _in_words(values)].append(task)
    return [
        Difference(name, values, tuple(tasks), everywhere=len(tasks) == len(cells))
        for (name, values), tasks in sorted(found.items())
    ]


def _cells(results: Results) -> dict[str, dict[str, list[RunConfig]]]:
    """Configurations of models by task and by the design's name in the plan."""
    cells: dict[str, dict[str, list[RunConfig]]] = defaultdict(lambda: defaultdict(list))
    for run in {run.id: run for study in results.studies for run in study.runs}.values():
        config = results.configs.get(run.id)
        if config is not None and config.agent == "model":
            cells[run.task][run.design].append(config)
    return cells


def _varying(designs: Mapping[str, list[RunConfig]]) -> set[str]:
    """Fields that are not the same in all configurations; a field at its neutral value is missing in some."""
    known = [semantic_fields(config) for configs in designs.values() for config in configs]
    names = {name for fields in known for name in fields}
    return {name for name in names if len({json.dumps(fields.get(name)) for fields in known}) > 1}


def _values(configs: list[RunConfig], name: str) -> tuple[str, ...]:
    """The values that a design has over its seeds and sweeps, in words."""
    return tuple(sorted({_shown(config, name) for config in configs}, key=lambda text: (len(text), text)))


def _shown(config: RunConfig, dotted: str) -> str:
    if dotted == "data.digest":
        return dataset_name(config)
    value: object = config
    for part in dotted.split("."):
        value = getattr(value, part)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _in_words(values: Mapping[str, tuple[str, ...]]) -> str:
    owners: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for design, value in values.items():
        owners[value].append(design)
    return ", ".join(f"{' and '.join(value)} ({_listed(names)})" for value, names in owners.items())


def _listed(names: list[str]) -> str:
    rest = len(names) - _MOST_DESIGNS
    return ", ".join(names) if rest < 2 else f"{', '.join(names[:_MOST_DESIGNS])} and {rest} others"
