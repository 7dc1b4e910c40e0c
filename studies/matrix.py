"""The rows of a matrix of runs: designs, each form of one in a row of its own, and what else varies within a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from analysis.labels import design_labels
from analysis.study import PlannedRun
from harness.config import RunConfig
from harness.config.run import AXES
from harness.config.sections import LegacyConfig
from studies.store import StoredRun

_OF_MODEL = ("name", "variant")
_OF_FORM = {
    *AXES,
    *(f"model.{name}" for name in _OF_MODEL),
    *(f"legacy.{name}" for name in LegacyConfig.model_fields),
}
_NO_DIFFERENCE = {"task", "seed", "design", "runtime", "resources", "storage"}
_NOT_SHOWN = {"data.digest"}  # data.dataset says it
_MANY = 6  # values that a line lists


def row_names(runs: Sequence[StoredRun]) -> dict[str, str]:
    """The name of each run's row, by hex: its design, and where a design has several forms, the form as a report
    calls it (`analysis.labels`). A form is what the axes, the model's variant and the `legacy` switches make of it.
    """
    first: dict[str, StoredRun] = {}
    forms: dict[tuple[str, str], PlannedRun] = {}
    configs: dict[str, RunConfig | None] = {}
    keys = {}
    for run in runs:
        form = _form(run.config)
        key = keys[run.hex] = (run.design, repr(form))
        first.setdefault(run.design, run)
        if key not in forms:
            start = first[
                run.design
            ]  # whose other fields all forms share, so that the form alone makes the label
            seed = len(forms)  # no two are one cell and seed
            forms[key] = PlannedRun(run.id, "", run.design, start.task, seed, run.config, Path())
            configs[run.id] = _with_form(start.config, run.config)
    several = {design for design, _ in forms if sum(other == design for other, _ in forms) > 1}
    labels = design_labels([run for run in forms.values() if run.design in several], configs)
    return {run.hex: labels.get(forms[keys[run.hex]].id, run.design) for run in runs}


def varying(runs: Iterable[StoredRun], names: dict[str, str]) -> str:
    """`planner.horizon (6, 12), train.batch (8, 50)`: what varies among the runs of a row, besides task and seed."""
    start: dict[str, dict[str, Any]] = {}
    values: dict[str, dict[str, None]] = {}
    for run in runs:
        config = run.config
        other = start.setdefault(names[run.hex], config)
        for key, value in config.items():
            if key in _NO_DIFFERENCE or other.get(key) == value:
                continue
            for name, old, new in _differences(key, other.get(key), value):
                if name not in _OF_FORM | _NOT_SHOWN:
                    values.setdefault(name, {}).update({str(old): None, str(new): None})
    return ", ".join(
        f"{name} ({', '.join(list(found)[:_MANY])}{', ...' if len(found) > _MANY else ''})"
        for name, found in values.items()
    )


def _differences(name: str, old: Any, new: Any) -> Iterable[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if old.get(key) != new.get(key):
                yield from _differences(f"{name}.{key}", old.get(key), new.get(key))
    else:
        yield name, old, new


def _form(config: dict[str, Any]) -> tuple[Any, ...]:
    model, legacy = config.get("model", {}), config.get("legacy", {})
    return (
        *(config.get(axis) for axis in AXES),
        *(model.get(name) for name in _OF_MODEL),
        *legacy.items(),
    )


def _with_form(start: dict[str, Any], other: dict[str, Any]) -> RunConfig | None:
    """A configuration in the form of another one; no run, so it is not checked. None if one cannot be read, as in
    the plan of a later version.
    """
    try:
        config, chosen = RunConfig.model_validate(start), RunConfig.model_validate(other)
    except ValueError:
        return None
    fields = {axis: getattr(chosen, axis) for axis in AXES}
    model = config.model.model_copy(update={name: getattr(chosen.model, name) for name in _OF_MODEL})
    return config.model_copy(update={**fields, "model": model, "legacy": chosen.legacy})
