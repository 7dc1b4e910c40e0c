"""Names for what is compared: a design's name, and what else differs between runs that share it."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from analysis.environments import Setting, setting
from analysis.study import PlannedRun
from harness.config import RunConfig, semantic_fields
from harness.config.fields import walk

_NOT_A_DIFFERENCE = {"task", "seed", "agent"}
DATA = "data"
"""Stands for `data.mode`, `data.dataset` and `data.digest` together: what a run is trained on."""
_DEFAULT = "default"
"""In place of null in a field of `env`: the task's own value."""
_NO_WORDS = {"True", "False", "None", _DEFAULT}
_BEFORE = {"reward_from": "from "}
"""What a value needs before it to be understood alone."""
_ORACLE = "oracle"
"""The section of fields that the agent `oracle` alone has."""


def design_labels(
    runs: Sequence[PlannedRun],
    configs: Mapping[str, RunConfig | None],
    versions: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What to call each run's design, by run id.

    Runs of one (design, task) cell that differ in more than the seed are different things to compare: the
    fields that differ are added to the name, as short as they stay clear (`_shown`): ``rssm (planner.horizon=6)``,
    ``rssm (window, from image)``, ``rssm (on pooled)``. So are those of the oracle; of the random agent, which has no
    others, those of `env`. Both are named by what decides returns in `env` also where other runs of the task differ
    from them: ``random (time_limit=200)``. A design that several versions of the code have run is named with the
    version: ``rssm [c0de0001]``.

    Args:
        runs: the runs of all studies of the report.
        configs: their validated configurations by id; None where one could not be read.
        versions: which version a run is of, by id; none: there is one.
    """
    fields = {run.id: _fields(configs.get(run.id)) for run in runs}
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for run in runs:
        cells[run.design, run.task].append(run.id)
    varying: dict[str, set[str]] = defaultdict(set)
    for (design, _), ids in cells.items():
        names = {name for run in ids for name in fields[run]}
        varying[design] |= {
            name
            for name in names
            if len({fields[run].get(name) for run in ids if _uses(configs[run], name)}) > 1
        }
    for design, names in _of_environments(runs, configs).items():
        varying[design] |= names
    of_design: dict[str, list[RunConfig | None]] = defaultdict(list)
    for run in runs:
        of_design[run.design].append(configs[run.id])
    labels = {}
    for run in runs:
        cell = of_design[run.design]
        random = run.config.get("agent") == "random"
        told = [name for name in sorted(varying[run.design]) if name.startswith("env.") or not random]
        shown = [_shown(name, configs[run.id], cell) for name in told]
        labels[run.id] = run.design + (f" ({', '.join(shown)})" if shown else "")
    return _unique(runs, _of_versions(labels, versions or {}))


def _of_versions(labels: dict[str, str], versions: Mapping[str, str]) -> dict[str, str]:
    several: dict[str, set[str]] = defaultdict(set)
    for run, label in labels.items():
        several[label].add(versions.get(run, ""))
    return {
        run: f"{label} [{versions[run]}]" if len(several[label]) > 1 else label
        for run, label in labels.items()
    }


def _of_environments(
    runs: Sequence[PlannedRun], configs: Mapping[str, RunConfig | None]
) -> dict[str, set[str]]:
    """Fields of `env` that decide returns and differ between a baseline and other runs of its task, by baseline."""
    known = [run for run in runs if configs[run.id] is not None]
    of_task: dict[str, set[Setting]] = defaultdict(set)
    for run in known:
        of_task[run.task].add(setting(run.task, run.config.get("env")))
    found: dict[str, set[str]] = defaultdict(set)
    for run in known:
        if run.config.get("agent", "model") != "model":
            several = of_task[run.task]
            names = {name for each in several for name, _ in each}
            found[run.design] |= {
                f"env.{name}" for name in names if len({dict(each).get(name) for each in several}) > 1
            }
    return found


def _unique(runs: Sequence[PlannedRun], labels: dict[str, str]) -> dict[str, str]:
    """Adds the study, or the id, where two runs would otherwise be the same cell and seed."""
    owners: dict[tuple[str, str, int], dict[str, str]] = defaultdict(dict)
    for run in runs:
        owners[labels[run.id], run.task, run.seed][run.id] = run.study
    random = {labels[run.id] for run in runs if run.config.get("agent") == "random"}
    clashing = {key[0] for key, ids in owners.items() if len(ids) > 1} - random
    if not clashing:
        return labels
    studies = {run.id: run.study for run in runs}
    by_study = all(len(set(ids.values())) == len(ids) for ids in owners.values())
    suffix = studies if by_study else {run.id: run.id.rpartition("-")[2] for run in runs}
    return {run: f"{label} [{suffix[run]}]" if label in clashing else label for run, label in labels.items()}


def _fields(config: RunConfig | None) -> dict[str, str]:
    if config is None:
        return {}
    fields = {
        name: json.dumps(value, sort_keys=True)
        for name, value in semantic_fields(config).items()
        if name not in _NOT_A_DIFFERENCE and not name.startswith(f"{DATA}.")
    }
    return fields | {DATA: f"{dataset_name(config)} {config.data.digest}"}


def _uses(config: RunConfig | None, name: str) -> bool:
    """Whether a field can tell a run from another: one that collects nothing does not explore."""
    return config is None or not (config.offline and name.startswith("exploration."))


def dataset_name(config: RunConfig) -> str:
    """The dataset that a run is trained on, by its name; `online` if it collects its own."""
    return PurePath(config.data.dataset or "").name if config.offline else "online"


def _shown(name: str, config: RunConfig | None, cell: Sequence[RunConfig | None]) -> str:
    """A value: alone where the field has words for values, else with the shortest name that one field has."""
    if name == DATA:
        return _data(config, cell)
    value = _show(config, name)
    values = {_show(other, name) for other in cell}
    if all(text.isidentifier() for text in values) and not values & _NO_WORDS:
        return f"{_BEFORE.get(name, '')}{value}"
    section, _, last = name.rpartition(".")
    return f"{last if section == _ORACLE or _last_parts().count(last) == 1 else name}={value}"


def _data(config: RunConfig | None, cell: Sequence[RunConfig | None]) -> str:
    """`online`, or the dataset; with the start of its digest where the runs have several datasets of the name."""
    if config is None:
        return "unknown data"
    name = dataset_name(config)
    if not config.offline:
        return name
    same = {
        (other.task, other.data.digest) for other in cell if other is not None and dataset_name(other) == name
    }
    several = len(same) > len({task for task, _ in same})
    return f"on {name}" + (f" {str(config.data.digest)[:6]}" if several else "")


@functools.cache
def _last_parts() -> list[str]:
    """The names of all fields of models, without their sections."""
    names = [name.rpartition(".") for name, _ in walk(RunConfig)]
    return [last for section, _, last in names if section != _ORACLE]


def _show(config: RunConfig | None, dotted: str) -> str:
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part, None)
    if isinstance(value, float):
        return f"{value:g}"
    return _DEFAULT if value is None and dotted.startswith("env.") else str(value)
