"""A study on disk: which runs it planned, and where each of them is. Reads `plan.jsonl` and `study.yaml`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from analysis.claims.spec import ReportSpec
from harness.config import RunConfig
from harness.config.fields import walk
from harness.config.run import AXES, axes_label
from harness.errors import UserError
from harness.rundir import PLAN, planned_runs

REFERENCE_PREFIX = "reference-"
"""Begins the names of the designs of google-research/world_models, which a study does not write out."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of the plan; `path` may not exist yet, or lie in the study that it is reused from."""

    id: str
    study: str
    design: str
    task: str
    seed: int
    config: dict[str, Any]
    path: Path
    reused_from: str | None = None


@dataclass(frozen=True)
class Study:
    """RUNS/<study>: its plan, and the digests of what was planned.

    Attributes:
        spec: its section `report`; where that cannot be read, the defaults, with a note.
        defined: fields that make its designs, by dotted name: the axes of its factorials, and what its fragments, or
            those of the reference that every study knows, set of the model.
        label: what the report calls it; empty: by its directory's name.
        version: what made its runs, in a report with several versions of a study (`analysis.versions`), else empty.
    """

    path: Path
    runs: tuple[PlannedRun, ...]
    digests: dict[str, str]
    spec: ReportSpec = field(default_factory=ReportSpec)
    notes: tuple[str, ...] = field(default=())
    defined: frozenset[str] = frozenset()
    label: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        return self.label or self.path.name


def read_study(path: Path) -> Study:
    """Reads a study's directory; without a plan, every run directory that it holds counts as planned.

    Raises:
        UserError: the directory does not exist, holds neither plan nor runs, or its plan cannot be read.
    """
    path = path.absolute()
    if not path.is_dir():
        raise UserError(f"{path}: no such study; `wm run FILE` makes it")
    plan = path / PLAN
    runs = tuple(_planned(path)) if plan.exists() else tuple(_found(path))
    if not runs:
        raise UserError(f"{path}: the study has no runs: neither plan.jsonl nor runs/ names one")
    content = _content(path / "study.yaml")
    spec = _spec(content)
    unread = (
        [] if spec else [f"{path.name}: `report` of study.yaml is not of this version; its defaults are used"]
    )
    notes = (*_notes(path, runs, planned=plan.exists()), *unread)
    defined = frozenset([*_defined(content), *_of_the_reference(runs)])
    return Study(path, runs, _digests(path), spec or ReportSpec(), notes, defined)


def _planned(path: Path) -> list[PlannedRun]:
    return [
        PlannedRun(
            id=line["id"],
            study=path.name,
            design=line["design"] or line["config"].get("agent", "model"),
            task=line["task"],
            seed=line["seed"],
            config=line["config"],
            path=directory,
            reused_from=line.get("reused_from"),
        )
        for line, directory in planned_runs(path)
    ]


def _found(path: Path) -> list[PlannedRun]:
    runs = []
    for file in sorted((path / "runs").glob("*/run.yaml")):
        content = yaml.load(file.read_text(), Loader=_LOADER)  # noqa: S506 (a safe loader)
        config = content["config"]
        axes = axes_label(map(config.get, AXES[:3]), config.get("model", {}).get("name", "auto"))
        agent = config.get("agent", "model")
        design = agent if agent != "model" else config.get("design") or axes
        runs.append(
            PlannedRun(content["id"], path.name, design, config["task"], config["seed"], config, file.parent)
        )
    return runs


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _digests(path: Path) -> dict[str, str]:
    files = {name: path / name for name in ("study.yaml", "plan.jsonl")}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items() if file.exists()
    }


def report_spec(file: Path) -> ReportSpec | None:
    """The section `report` of a study file; None where it cannot be read, or is of another version."""
    content = _content(file)
    return _spec(content) if isinstance(content, dict) else None


def _content(file: Path) -> Any:
    """What a study file says; None where it cannot be read."""
    try:
        return yaml.load(file.read_text(), Loader=_LOADER)  # noqa: S506 (a safe loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def _spec(content: Any) -> ReportSpec | None:
    given = content.get("report") if isinstance(content, dict) else None
    try:
        return ReportSpec.model_validate(given or {})
    except ValueError:
        return None


def _defined(content: Any) -> Iterator[str]:
    """The fields that are what the designs of study.yaml are; of a fragment the model's alone.

    A planning budget or a batch size stays a difference even where a fragment sets it.
    """
    if not isinstance(content, dict):
        return
    fragments = content.get("designs")
    for fragment in fragments.values() if isinstance(fragments, dict) else []:
        yield from (name for name in _leaves(fragment) if name.startswith("model."))
    factorials = content.get("factorial")
    for factorial in factorials if isinstance(factorials, list) else [factorials]:
        axes = factorial.get("axes") if isinstance(factorial, dict) else None
        yield from map(str, axes if isinstance(axes, dict) else [])


def _of_the_reference(runs: tuple[PlannedRun, ...]) -> list[str]:
    """What designs that are known by name set, if the plan has one: loss weights and the like, as in a fragment."""
    known = any(run.design.startswith(REFERENCE_PREFIX) for run in runs)
    return [name for name, _ in walk(RunConfig) if name.startswith("model.")] if known else []


def _leaves(content: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of what a mapping sets, whether nested or written with dots."""
    for key, value in content.items() if isinstance(content, dict) else []:
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        yield f"{prefix}{key}"


def _notes(path: Path, runs: tuple[PlannedRun, ...], *, planned: bool) -> list[str]:
    if not planned:
        return [f"{path.name} has no plan.jsonl: what is missing from it cannot be told"]
    known = {run.path.name for run in runs}
    others = [p.parent.name for p in (path / "runs").glob("*/run.yaml") if p.parent.name not in known]
    if not others:
        return []
    return [f"{len(others)} of the runs on disk in {path.name} are not in its plan and are left out"]
