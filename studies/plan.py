"""The plan of a study: its runs with their ids, what was dropped and why, and where each run is or will be."""

from __future__ import annotations

import functools
import operator
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.config import RunConfig, run_id
from harness.config.fields import Category, category_of, walk
from harness.errors import UserError
from harness.registry import suggest
from harness.rundir import SIMULATED, RunDir
from studies.language import Cell, Dropped, Problem, Study, StudyError, expand, load_study
from studies.notes import notes
from studies.offline import Datasets
from studies.store import StoredRun, StudyDir, open_study

MADE_UP = "simulated by `wm simulate`: no model was trained"
SIMULATED_RUN = "simulated"
"""The state of a run that `wm simulate` made up, in a plan: such a run is not done."""
HEX = 12
"""Digits of the hash at the end of a run's id."""


@dataclass(frozen=True)
class Plan:
    """What a study comes to.

    Attributes:
        home: its directory, which need not exist.
        runs: in the order of the file, each id once; `config` is JSON data.
        dropped: cells without a run.
        notes: what a person should know: merged cells, conditions that meet nothing, see `studies.notes`.
        study: the file as read; None for a plan that was read from disk.
    """

    home: StudyDir
    runs: list[StoredRun]
    dropped: list[Dropped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    study: Study | None = None

    @property
    def name(self) -> str:
        """The study's name."""
        return self.home.name

    def states(self) -> dict[str, str]:
        """The state of every run by hex, as `wm status` names it; only directories that exist are read."""
        return run_states(self.runs)


def read_plan(study: str, root: Path, overrides: Sequence[str] = (), *, strict: bool = False) -> Plan:
    """The plan of a study file, or the frozen plan of a study under RUNS.

    Args:
        study: a path, or a name under RUNS.
        root: RUNS.
        overrides: ``field=value`` texts; only a file can be overridden.
        strict: see `open_study`.

    Raises:
        StudyError: the file is wrong.
        UserError: there is no such study, or its plan is frozen and overrides are given.
    """
    path = Path(study)
    if path.is_file() or path.suffix in {".yaml", ".yml"}:
        return build_plan(load_study(path, overrides), root)
    home = _frozen(study, root, strict=strict)
    if overrides:
        raise UserError(
            f"{home.name} is planned already: overrides would make it another study. "
            f"Give the study's file together with {' '.join(overrides)}"
        )
    return Plan(home, home.planned)


def _frozen(name: str, root: Path, *, strict: bool) -> StudyDir:
    try:
        return open_study(name, root, strict=strict)
    except UserError as error:
        file = next((path for path in (Path(f"{name}.yaml"), Path(f"{name}.yml")) if path.is_file()), None)
        raise UserError(f"{error}; for the file give {file}" if file else str(error)) from None


def build_plan(study: Study, root: Path) -> Plan:
    """The plan of a study that was read from a file.

    Raises:
        StudyError: something in the file works in no cell, or a study to reuse does not exist.
        UserError: a dataset does not fit the runs that train on it.
    """
    home = StudyDir(root / study.name)
    expansion = expand(study)
    datasets = Datasets(root / "datasets")
    cells = [replace(cell, config=datasets.planned(cell.config)) for cell in expansion.cells]
    datasets.raise_problems()
    reusable = _reusable(study, root)
    here = home.on_disk
    runs: dict[str, StoredRun] = {}
    merged: dict[tuple[str, str], list[tuple[StoredRun, StoredRun]]] = {}
    for cell in cells:
        run = _planned(cell, home, here, reusable)
        first = runs.setdefault(run.hex, run)
        if first is not run:
            merged.setdefault((first.design, run.design), []).append((first, run))
    merges = [_merge_note(pairs) for pairs in merged.values()]
    shared = _reuse_baselines(runs, home, here)
    remarks = [*expansion.notes, *merges, *shared, *datasets.notes(), *notes(cell.config for cell in cells)]
    return Plan(home, list(runs.values()), expansion.dropped, remarks, study)


def simulated_warning(plan: Plan) -> str:
    """That the results of a study are made up; empty if they are not."""
    if not plan.home.is_simulated:
        return ""
    return f"warning: {plan.name} under {plan.home.root} is {MADE_UP}; none of its runs counts as done"


def refuse_simulated(plan: Plan) -> None:
    """Refuses to run or submit a study whose directory `wm simulate` wrote.

    Raises:
        UserError: with what to do.
    """
    if plan.home.is_simulated:
        raise UserError(
            f"{plan.home.path} is {MADE_UP}, so there is nothing to continue. To run the study itself, remove that "
            "directory (rm -r), give the file another name, or choose another RUNS with --runs; to simulate beside "
            "it: wm simulate --name"
        )


def _merge_note(pairs: list[tuple[StoredRun, StoredRun]]) -> str:
    """What became of the equal cells of two designs, and which of two values counts that no id tells apart.

    Args:
        pairs: the run that stays and the one that is merged into it, both of one configuration.
    """
    first, second = pairs[0][0].design, pairs[0][1].design
    cells = f"{len(pairs)} cell{'s' * (len(pairs) != 1)} of {second} merged into "
    lost: dict[str, None] = {}
    for name in _unidentified():
        for stays, goes in pairs:
            kept, dropped = (
                functools.reduce(operator.getitem, name.split("."), run.config) for run in (stays, goes)
            )
            if kept != dropped:
                lost[f"{name} stays {kept}, not {dropped}"] = None
    differ = f"; the first in the file counts: {', '.join(lost)}" if lost else ""
    return cells + (f"the equal runs of {first}" if first != second else "equal runs of it") + differ


@functools.cache
def _unidentified() -> tuple[str, ...]:
    """The fields that are no part of an id, but change what a run keeps or how it is computed."""
    found = {Category.NUMERIC, Category.STORAGE}
    return tuple(name for name, info in walk(RunConfig) if category_of(info) in found)


def run_states(runs: Sequence[StoredRun]) -> dict[str, str]:
    """The states of runs by hex. One listing per study's folder, then one look per directory that exists.

    As in `wm status`, but for what `wm simulate` made up: `SIMULATED_RUN`.
    """
    from studies.status import observe

    now = time.time()
    present: dict[Path, set[str]] = {}
    made_up: set[Path] = set()
    states = {}
    for run in runs:
        folder = run.path.parent
        if folder not in present:
            present[folder] = {path.name for path in StudyDir(folder.parent).on_disk.values()}
            made_up |= {folder} if (folder.parent / SIMULATED).exists() else set()
        if run.path.name not in present[folder]:
            states[run.hex] = "pending"
        else:
            states[run.hex] = SIMULATED_RUN if folder in made_up else str(observe(run.path, now)[0])
    return states


def plan_line(run: StoredRun) -> dict[str, Any]:
    """A run's line of plan.jsonl."""
    line = {name: getattr(run, name) for name in ("id", "hex", "design", "task", "seed", "config")}
    return line | {"reused_from": run.reused_from} if run.reused_from else line


def _planned(
    cell: Cell, home: StudyDir, here: dict[str, Path], reusable: dict[str, tuple[str, Path]]
) -> StoredRun:
    config: RunConfig = cell.config
    identity = run_id(config)
    digits = identity[-HEX:]
    source = None
    path = here.get(digits, home.runs / identity)
    if digits not in here and digits in reusable:
        source, path = reusable[digits]
    data = config.model_dump(mode="json")
    return StoredRun(identity, digits, config.label, config.task, config.seed, data, path, source, home.name)


def _reuse_baselines(runs: dict[str, StoredRun], home: StudyDir, here: dict[str, Path]) -> list[str]:
    """Points the runs of `random` and `oracle` at equal ones that are finished in any other study; a note for each.

    Such agents learn nothing: one run serves all studies. The first study by name that has it gives it.
    """
    agents = {
        run.hex: run.config["agent"]
        for run in runs.values()
        if run.config["agent"] != "model" and run.reused_from is None and run.hex not in here
    }
    found: Counter[tuple[str, str]] = Counter()
    for folder in sorted(home.root.glob("*/runs")) if agents else ():
        other = StudyDir(folder.parent)
        present = _directories(other)
        for digits in agents.keys() & present.keys():
            path = present[digits]
            if _is_finished(path):
                runs[digits] = replace(runs[digits], path=path, reused_from=other.name)
                found[other.name, agents.pop(digits)] += 1
    return [
        f"{count} run{'s' * (count != 1)} of the {agent} agent {'are' if count != 1 else 'is'} finished in {study}: "
        "read there, not run again"
        for (study, agent), count in sorted(found.items())
    ]


def _reusable(study: Study, root: Path) -> dict[str, tuple[str, Path]]:
    """The finished runs of the studies to reuse, by hex; the first study that has one gives it.

    Raises:
        StudyError: such a study does not exist.
    """
    found: dict[str, tuple[str, Path]] = {}
    problems = []
    for wanted in study.reuse:
        other = StudyDir(root / wanted.value)
        if wanted.value == study.name:
            problems.append(Problem(wanted.mark, wanted.path, "a study does not reuse itself"))
        elif not other.runs.is_dir():
            known = [path.parent.name for path in sorted(root.glob("*/runs"))]
            message = f"no study {wanted.value} under {root}{suggest(wanted.value, known)}"
            problems.append(Problem(wanted.mark, wanted.path, message))
        else:
            for digits, path in other.on_disk.items():
                if digits not in found and _is_finished(path):
                    found[digits] = (wanted.value, path)
    if problems:
        raise StudyError(problems)
    return found


def _directories(study: StudyDir) -> dict[str, Path]:
    """The run directories of another study; none where they cannot be listed."""
    try:
        return study.on_disk
    except OSError:
        return {}


def _is_finished(path: Path) -> bool:
    """Whether a run has a result that another study can use; one that `wm simulate` made up is none."""
    try:
        state = RunDir(path).read_state()
    except (OSError, ValueError, TypeError):
        return False
    return state is not None and state.state in {"done", "diverged"} and not state.extra.get("simulated")
