"""Datasets from the episodes of finished runs: what a request would take, task by task, and the building of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.datasets.find import check_name, task_slug
from harness.datasets.holdout import one_sided
from harness.datasets.parts import Label, PartName
from harness.datasets.selection import Choice, Quota, choose
from harness.datasets.sources import Found, Kind, Origin, Renderer, kept_episodes, read_episodes, unrenderable
from harness.disk import full_disk_remedy
from harness.errors import UserError
from harness.rundir import RunDir
from harness.tasks.catalogue import find_task
from studies import machine
from studies.dataset_words import choosing, counted, why_nothing
from studies.status import FINISHED, observe
from studies.store import StoredRun, open_study, select

if TYPE_CHECKING:
    from harness.tasks.spec import Task

_LISTED = 8  # runs that a note names
_FULL = (
    "Free space (or raise the quota), or take fewer --episodes, and call it again; nothing is left behind."
)
_COMPRESSED = 0.3  # of the bytes of a rendered frame, at most as far as was measured: 0.03 to 0.2

Tell = Callable[[str], None]
Step = Callable[[], None]


@dataclass(frozen=True)
class Request:
    """What `wm dataset build` is asked for.

    Attributes:
        studies: names or paths.
        only: conditions as for every verb; `prefixes` likewise.
        tasks: globs; none: all.
        kind: training or evaluation episodes.
    """

    name: str
    studies: tuple[str, ...]
    only: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    kind: Kind = "replay"
    quota: Quota = field(default_factory=Quota)


@dataclass(frozen=True)
class TaskPlan:
    """What a dataset will hold of one task.

    Attributes:
        directory: where it goes.
        recipe: of its manifest.
        exists: whether that very dataset is there already.
    """

    task: Task
    directory: Path
    choice: Choice
    recipe: dict[str, Any]
    exists: bool

    @property
    def steps(self) -> int:
        return sum(one.columns - 1 for one in self.choice.episodes)

    @property
    def to_render(self) -> list[Found]:
        return [one for one in self.choice.episodes if not one.framed]

    @property
    def raw_bytes(self) -> int:
        """Of the frames, uncompressed: what training on the dataset takes beside it."""
        c, h, w = self.task.spec.image_shape
        return sum(one.columns for one in self.choice.episodes) * c * h * w

    @property
    def disk_bytes(self) -> float:
        """About what the dataset takes."""
        c, h, w = self.task.spec.image_shape
        return sum(one.stored_bytes or _COMPRESSED * one.columns * c * h * w for one in self.choice.episodes)


@dataclass(frozen=True)
class Built:
    """A task's part of a dataset, as it is now."""

    plan: TaskPlan
    digest: str
    state: Literal["built", "exists"]


def plan_request(
    request: Request, root: Path, note: Tell, step: Step = lambda: None, *, strict: bool = False
) -> list[TaskPlan]:
    """What a request takes, task by task; nothing is written.

    Args:
        request: what is wanted.
        root: RUNS.
        note: told what contributes nothing, and why.
        step: called after every run that was looked into.
        strict: as in `studies.store.open_study`.

    Raises:
        UserError: nothing is there to take, or it cannot make a dataset; says what to do.
        RunError: kind ``corrupt``: a run's files are damaged.
    """
    check_name(request.name)
    runs, studies = _selected(request, root, strict=strict)
    found, waiting = _contributions(runs, request.kind, note, step)
    tasks = list(dict.fromkeys(run.task for run in runs))
    plans = []
    for task in tasks:
        designs = list(dict.fromkeys(run.design for run in runs if run.task == task))
        here = [one for one in found if one.origin.config.task == task]
        plan = _plan_task(request, root, task, designs, here, studies)
        if plan is None:
            ours = [run for run in runs if run.task == task]
            note(f"{task}: nothing is taken: {why_nothing(request.kind, request.quota, ours, here, waiting)}")
        else:
            plans.append(plan)
            if empty := one_sided(plan.choice.parts, request.quota.heldout):
                note(f"{task}: {empty}")
    if not plans:
        why = why_nothing(request.kind, request.quota, runs, found, waiting)
        raise UserError(f"dataset {request.name}: nothing is taken: {why}")
    return plans


def build(plans: Sequence[TaskPlan], note: Tell, step: Step) -> Iterator[Built]:
    """Builds what does not exist, one task after another; each appears whole or not at all.

    Args:
        plans: of `plan_request`.
        note: told what to be aware of.
        step: called after every episode.

    Raises:
        UserError: the disk is too full for all of it.
        RunError: kind ``disk`` or ``corrupt``, or rendering does not work.
    """
    from harness.datasets.fixed import build as build_dataset

    _check_disk([plan for plan in plans if not plan.exists])
    for plan in plans:
        labels = list(map(_label, plan.choice.episodes, plan.choice.parts, plan.choice.twins))
        with Renderer(plan.task, lambda: None) as renderer:
            notes = {} if plan.exists else _provenance(plan, renderer, note)
            episodes = _episodes(plan, renderer, step)
            with full_disk_remedy(_FULL):
                dataset = build_dataset(plan.directory, episodes, plan.recipe, labels, notes)
        yield Built(plan, dataset.digest, "exists" if plan.exists else "built")


def _selected(request: Request, root: Path, *, strict: bool) -> tuple[list[StoredRun], list[str]]:
    """The runs of the request, each once, in the order of the studies; and the names of these."""
    studies = [open_study(name, root, strict=strict) for name in request.studies]
    runs = {run.hex: run for study in studies for run in study.planned}
    only = list(request.only)
    if request.tasks:
        only.append("task=" + ",".join(request.tasks))
    chosen = select(list(runs.values()), only, list(request.prefixes))
    return chosen, sorted({study.name for study in studies})


def _contributions(
    runs: Sequence[StoredRun], kind: Kind, note: Tell, step: Step
) -> tuple[list[Found], set[str]]:
    """The episodes that the runs kept, and the ids of runs that are not finished."""
    now = time.time()
    unfinished: dict[str, str] = {}
    empty: list[str] = []
    found: list[Found] = []
    for run in runs:
        condition = observe(run.path, now)[0]
        if condition.name in FINISHED:
            origin = Origin(RunDir(run.path), run.path.parent.parent.name, run.design)
            kept = kept_episodes(origin, kind)
            found += kept
            if not kept:
                empty.append(f"{run.id} ({_why_empty(origin, kind, condition.name)})")
        else:
            unfinished[run.id] = f"{run.id} ({condition})"
        step()
    _note_runs(note, "not finished", list(unfinished.values()))
    _note_runs(note, "without such episodes", empty)
    return found, set(unfinished)


def _why_empty(origin: Origin, kind: Kind, state: str) -> str:
    storage = origin.config.storage
    if kind == "evaluation":
        if state == "diverged":
            return "diverged before its final episodes"
        return f"storage.evaluation_episodes: {str(storage.evaluation_episodes).lower()}"
    if origin.config.agent != "model" or origin.config.offline:
        return "collects none; it has evaluation episodes"
    return f"storage.training_frames: {storage.training_frames}, or cleaned away"


def _note_runs(note: Tell, what: str, runs: Sequence[str]) -> None:
    if runs:
        more = f" and {len(runs) - _LISTED} more" if len(runs) > _LISTED else ""
        plural = "s contribute" if len(runs) > 1 else " contributes"
        note(f"{len(runs)} run{plural} nothing, {what}: {', '.join(runs[:_LISTED])}{more}")


def _plan_task(
    request: Request,
    root: Path,
    task_name: str,
    designs: Sequence[str],
    found: Sequence[Found],
    studies: Sequence[str],
) -> TaskPlan | None:
    """What is taken of a task; None if it is nothing."""
    choice = choose(found, designs, request.quota)
    if not choice.episodes:
        return None
    task = _common_task(choice.episodes, task_name)
    if why := unrenderable(choice.episodes, task):
        raise UserError(f"dataset {request.name}, {task_name}: {why}")
    recipe = _recipe(request, studies, task_name, task, choice)
    directory = root / "datasets" / request.name / task_slug(task_name)
    return TaskPlan(task, directory, choice, recipe, _exists(request.name, directory, recipe))


def _common_task(chosen: Sequence[Found], name: str) -> Task:
    """The task as all runs have it configured."""
    tasks: dict[str, Task] = {}
    members: dict[str, dict[str, dict[str, Any]]] = {}
    for origin in {one.origin.id: one.origin for one in chosen}.values():
        env = origin.config.env
        task = find_task(name, env)
        written = env.model_dump(mode="json")
        resolved = {"action_repeat": task.spec.action_repeat, "time_limit": task.spec.time_limit}
        known = json.dumps(written | resolved | {"task version": origin.task_version}, sort_keys=True)
        tasks.setdefault(known, task)
        members.setdefault(known, {})[f"{origin.study}/{origin.id}"] = written
    if len(tasks) == 1:
        return next(iter(tasks.values()))
    settings = [json.loads(known) for known in members]
    differing = [field for field in settings[0] if len({str(one[field]) for one in settings}) > 1]
    lines = [
        f"  {', '.join(f'{field} {setting[field]}' for field in differing)} ({choosing(differing, runs.values())}): "
        + ", ".join(list(runs)[:_LISTED])
        + (f" and {len(runs) - _LISTED} more" if len(runs) > _LISTED else "")
        for setting, runs in zip(settings, members.values(), strict=True)
    ]
    raise UserError(
        f"{name}: the runs see different environments, and a dataset holds one of them; choose one:\n"
        + "\n".join(lines)
    )


def _recipe(
    request: Request, studies: Sequence[str], task_name: str, task: Task, choice: Choice
) -> dict[str, Any]:
    """What decides the dataset's content; what it was built with is in the notes of the manifest."""
    taken = [f"{one.place} {part}" for one, part in zip(choice.episodes, choice.parts, strict=True)]
    env = choice.episodes[0].origin.config.env
    return {
        "kind": "build",
        "task": task_name,
        "task_version": task.version,
        "env": env.model_dump(mode="json"),
        "action_repeat": task.spec.action_repeat,
        "studies": list(studies),
        "only": sorted(request.only),
        "run": sorted(request.prefixes),
        "from": request.kind,
        "episodes": request.quota.episodes,
        "returns": [str(bounds) for bounds in request.quota.ranges],
        "heldout": request.quota.heldout,
        "seed": request.quota.seed,
        "heldout_seed": request.quota.heldout_seed,
        "selection": hashlib.sha256("\n".join(taken).encode()).hexdigest(),
    }


def _exists(name: str, directory: Path, recipe: dict[str, Any]) -> bool:
    """Whether this very dataset is there.

    Raises:
        UserError: another one is.
    """
    from harness.datasets.fixed import read_manifest

    if not directory.exists():
        return False
    there = read_manifest(directory)["recipe"]
    if there == recipe:
        return True
    differing = [key for key in recipe | there if recipe.get(key) != there.get(key)]
    if differing == ["selection"]:
        what = "from other episodes: since then runs have finished, or have been done again or cleaned away"
    else:
        told = (key for key in differing if key != "selection")
        what = "differently: " + ", ".join(
            f"{key} was {there.get(key)}, now {recipe.get(key)}" for key in told
        )
    raise UserError(
        f"{directory} exists and was made {what}. A dataset never changes, since runs refer to it: take another "
        f"name than {name}, or remove that directory if no run needs it"
    )


def _check_disk(plans: Sequence[TaskPlan]) -> None:
    if not plans:
        return
    needed = sum(plan.disk_bytes for plan in plans) / 1e9
    root = plans[0].directory.parent.parent
    free = machine.free_gb(root)
    if needed > free:
        raise UserError(
            f"the dataset needs about {needed:.1f} GB and {free:.1f} GB are free at {root}: free some space, or "
            "take fewer --episodes"
        )


def _provenance(plan: TaskPlan, renderer: Renderer, note: Tell) -> dict[str, Any]:
    """With what a dataset is built; warns where frames do not come out as the runs saw them."""
    from harness.provenance import code_digest, environment_digest

    drawn = {one.origin.id: one.origin for one in plan.to_render}
    differing = {id_: off for id_, origin in drawn.items() if (off := renderer.difference(origin))}
    if differing:
        note(
            f"{plan.recipe['task']}: frames of {counted(len(differing), 'run')} are rendered here with differences "
            f"of up to {max(differing.values())} of 255 to what the runs saw (another renderer, such as a GPU's); the "
            "manifest says which"
        )
    return {
        "code": code_digest(),
        "environment": environment_digest(),
        "rendered": len(plan.to_render),
        "rendered_otherwise": differing,
    }


def _label(one: Found, part: PartName, twins: Sequence[Found]) -> Label:
    """What the manifest says of an episode: where it is from, and `also`, where the same one was kept."""
    also = [
        {"run": twin.origin.id, "design": twin.origin.design, "kind": twin.kind, "index": twin.index}
        for twin in twins
    ]
    return Label(part, one.describe() | ({"also": also} if also else {}))


def _episodes(plan: TaskPlan, renderer: Renderer, step: Step) -> Iterator[Any]:
    for episode in read_episodes(plan.choice.episodes, renderer):
        yield episode
        step()
