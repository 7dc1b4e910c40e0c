"""What a plan changes in a study that is on disk: new, renamed, stale and orphaned runs, and which keys differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.config import RunConfig
from harness.config.fields import Category, category_of, walk
from harness.errors import UserError
from studies.plan import Plan
from studies.store import StoredRun

_FINISHED = {"done", "diverged"}


@dataclass
class Change:
    """A key with one value before and another now, in some runs. Without a key: a component's version differs."""

    field: str | None
    before: Any
    after: Any
    runs: int = 1

    def __str__(self) -> str:
        if self.field is None:
            return "the version of a component"
        return f"{self.field}: {_shown(self.before)} -> {_shown(self.after)}"


@dataclass
class Difference:
    """A plan compared with the frozen plan and the run directories.

    Attributes:
        new: ids of runs that are not on disk and were not planned before.
        done: ids of runs with a result.
        open: ids of runs that were planned before and have no result yet.
        stale: (id on disk or planned before, the id that takes its place): the same design, task and seed, but
            another configuration.
        orphaned: ids on disk or planned before that the plan no longer has.
        renamed: (id before, id now) of equal runs.
        changed: which keys differ between stale runs and what takes their place, the commonest first.
        unused: the same for keys that are not part of the id: the runs stay as they are.
    """

    new: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    stale: list[tuple[str, str]] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    unused: list[Change] = field(default_factory=list)


def compare(plan: Plan, states: dict[str, str]) -> Difference:
    """Compares a plan with what is on disk.

    Args:
        plan: of the study as its file is now.
        states: of its runs, by hex (`Plan.states`).
    """
    result = Difference()
    changed: list[Change] = []
    unused: list[Change] = []
    before = _before(plan)
    now = {run.hex: run for run in plan.runs}
    for run in plan.runs:
        old = before.get(run.hex)
        if old is not None and old.id != run.id:
            result.renamed.append((old.id, run.id))
        if old is not None and old.config:
            unused += _changes(old.config, run.config, semantic=False)
        finished = states[run.hex] in _FINISHED
        (result.done if finished else result.new if old is None else result.open).append(run.id)
    fresh = {_cell(run): run for run in plan.runs if run.hex not in before}
    for digits, old in before.items():
        if digits in now:
            continue
        successor = fresh.get(_cell(old))
        if successor is None:
            result.orphaned.append(old.id)
        else:
            result.stale.append((old.id, successor.id))
            changes = list(_changes(old.config, successor.config, semantic=True))
            changed += changes or [Change(None, None, None)]
    result.changed, result.unused = _counted(changed), _counted(unused)
    return result


def unreached(plan: Plan) -> list[str]:
    """A line for each change of the study that runs which have begun never see, for they go by their own run.yaml.

    Asked before the plan replaces the frozen one; only what differs between those two is looked at.
    """
    try:
        before = {run.hex: run.config for run in plan.home.planned} if plan.study else {}
    except UserError:  # there is none yet, or a damaged one that is now replaced
        return []
    kept: dict[str, Change] = {}
    for run in plan.runs:
        old = before.get(run.hex)
        if old is None or run.reused_from or not any(_own_fields(old, run.config)):
            continue
        for change in _own_fields(_of_unfinished(run), run.config):
            kept.setdefault(repr(change), replace(change, runs=0)).runs += 1
    again = f"`wm retry {plan.name} --fresh --run PREFIX` starts one anew with it"
    return [
        f"{change.runs:,} run{'s' * (change.runs != 1)} that ha{'ve' if change.runs != 1 else 's'} begun "
        f"keep{'s' * (change.runs == 1)} {change.field} {_shown(change.before)}, not {_shown(change.after)}; {again}"
        for change in kept.values()
    ]


def _of_unfinished(run: StoredRun) -> dict[str, Any]:
    """What run.yaml says of a run that has begun and may go on; empty of any other."""
    from harness.rundir import RunDir

    found = RunDir(run.path)
    state = found.read_state()
    if not found.config_file.exists() or (state is not None and state.state in _FINISHED):
        return {}
    try:
        return found.read_config().model_dump(mode="json")
    except (OSError, ValueError, TypeError, KeyError, UserError):  # its next attempt says so
        return {}


def _own_fields(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """The keys, outside of the id, that a run reads in its run.yaml; the scheduler's come from the plan."""
    if old and old != new:
        for change in _changes(old, new, semantic=False):
            if change.field and change.field.split(".")[0] != "resources":
                yield change


def _counted(changes: list[Change]) -> list[Change]:
    """Equal changes as one, the commonest first."""
    found: dict[str, Change] = {}
    for change in changes:
        first = found.setdefault(repr(change), replace(change, runs=0))  # values may be mappings
        first.runs += 1
    return sorted(found.values(), key=lambda change: -change.runs)


def _before(plan: Plan) -> dict[str, StoredRun]:
    """The runs planned before, and those on disk that no plan has, by hex."""
    before = {}
    if plan.home.plan_file.exists():
        before = {run.hex: run for run in plan.home.planned}
    for digits, path in plan.home.on_disk.items():
        if digits not in before:
            before[digits] = _stored(path.name, digits, plan)
        elif before[digits].id != path.name and before[digits].reused_from is None:
            old = before[digits]
            before[digits] = StoredRun(path.name, digits, old.design, old.task, old.seed, old.config, path)
    return before


def _stored(name: str, digits: str, plan: Plan) -> StoredRun:
    """A run of which only the directory is left."""
    from harness.rundir import RunDir

    path = plan.home.runs / name
    try:
        config = RunDir(path).read_config()
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        UserError,
    ):  # not a run, or one of another version of wm
        return StoredRun(name, digits, "", "", -1, {}, path)
    return StoredRun(
        name, digits, config.label, config.task, config.seed, config.model_dump(mode="json"), path
    )


def _cell(run: StoredRun) -> tuple[str, str, int]:
    return run.design, run.task, run.seed


def _changes(old: dict[str, Any], new: dict[str, Any], *, semantic: bool) -> Iterator[Change]:
    """The keys of one sort in which two configurations differ."""
    if old == new:
        return
    for name, info in walk(RunConfig):
        if (category_of(info) is Category.SEMANTIC) is semantic and name != "design":
            was, is_now = _get(old, name), _get(new, name)
            if was != is_now:
                yield Change(name, was, is_now)


def _get(config: dict[str, Any], name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
