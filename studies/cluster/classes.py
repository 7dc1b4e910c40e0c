"""From runs to job arrays: one array per resource class, in chunks, seed by seed. Pure.

::

    wanted  (run, entry, what it is granted)
      |  equal grants             a class
      |  seed, then plan order    runs of a class in order
      |  runs_per_gpu at a time   tasks: one allocation each
      |  rounds and chunks        arrays, those of low seeds first
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.registry import suggest
from studies.cluster.granting import Granted
from studies.cluster.records import Entry
from studies.cluster.types import Limits, Partition
from studies.store import StoredRun

ROUNDS = 5
"""Arrays that a class is cut into where there are several classes: a scheduler starts array after array, so whole
classes in a row would leave an interrupted study without the last ones."""


@dataclass(frozen=True)
class Wanted:
    """A run to submit, how its task lists it, and what it is granted."""

    run: StoredRun
    entry: Entry
    granted: Granted


@dataclass(frozen=True)
class Earlier:
    """An array of the study that is in the queue.

    Attributes:
        job: its number.
        parallel: of its resources.
        left: its tasks that wait or run.
        waits: whether some wait, of several, so that their number at once matters and can be limited.
    """

    job: str
    parallel: int
    left: int
    waits: bool = True


Task = tuple[Wanted, ...]


@dataclass(frozen=True)
class PlannedArray:
    """A job array to submit.

    Attributes:
        resources: of a single run; `runs_per_gpu` is the size of the largest task and `hours` is within the
            partition's limit.
        tasks: the runs of each.
        parallel: tasks at once; None for no limit.
    """

    resources: Granted
    tasks: tuple[Task, ...]
    parallel: int | None = None

    @property
    def runs(self) -> int:
        return sum(len(task) for task in self.tasks)

    @property
    def allocation(self) -> Granted:
        """The resources of one task."""
        return allocation(self.resources, self.resources.runs_per_gpu)

    @property
    def allocations(self) -> int:
        """How many allocations, one after the other, its longest run is expected to need."""
        longest = max(one.granted.hours for task in self.tasks for one in task)
        return math.ceil(longest / self.resources.hours)


def allocation(granted: Granted, runs: int) -> Granted:
    """What a scheduler must grant to runs side by side, from what it must grant to one: their GPU is shared."""
    return granted.model_copy(
        update={"cpus": granted.cpus * runs, "memory_gb": round(granted.memory_gb * runs, 3)}
    )


def plan_arrays(
    wanted: Sequence[Wanted], limits: Limits, earlier: Sequence[Earlier] = ()
) -> list[PlannedArray]:
    """The arrays of a submission, in the order in which they are to be submitted.

    Args:
        wanted: in the order of the plan.
        limits: of the cluster.
        earlier: arrays of the study that are in the queue, which share its `parallel`.
    """
    classes: dict[Granted, list[Wanted]] = {}
    for one in sorted(wanted, key=lambda one: one.run.seed):  # stable: the plan's order within a seed
        classes.setdefault(settled(one.granted, limits), []).append(one)
    tasks = {granted: _packed(runs, granted.runs_per_gpu) for granted, runs in classes.items()}
    ends = _round_ends(wanted) if len(classes) > 1 else []
    arrays = [
        _array(granted, chunk)
        for granted, of_class in tasks.items()
        for part in (_rounds(of_class, ends) if granted.parallel is None else [of_class])
        for chunk in _chunks(part, max(1, limits.max_array_size))
    ]
    arrays.sort(key=lambda array: array.tasks[0][0].run.seed)
    return _throttled(arrays, earlier)


def share(parallel: int, sizes: Sequence[int]) -> list[int]:
    """How many tasks of each array may run at once, so that all of them together keep to a number.

    Every array gets at least 1, which may be more in all; the rest is shared out in proportion to the sizes.
    """
    shares = [1] * len(sizes)
    for _ in range(min(parallel, sum(sizes)) - len(sizes)):
        open_ = [index for index, size in enumerate(sizes) if shares[index] < size]
        shares[max(open_, key=lambda index: sizes[index] / (shares[index] + 1))] += 1
    return shares


def fitting(
    planned: Sequence[PlannedArray], limits: Limits, queued: int, reserve: int = 1
) -> tuple[list[PlannedArray], list[PlannedArray]]:
    """What may be submitted now, and what later; an array is cut in two where the room ends.

    Args:
        planned: in their order.
        limits: of the cluster.
        queued: tasks of this user in the queue.
        reserve: places that are kept free, for the follow-up.
    """
    named = {
        (kind, getattr(array.resources, kind)) for array in planned for kind in ("account", "qos")
    } & limits.max_of.keys()
    most = [limits.max_of[name] for name in named]  # what is queued may be under another account and QOS
    if limits.max_queued is not None:
        most.append(limits.max_queued - queued)
    if not most:
        return list(planned), []
    room = max(0, min(most) - reserve)
    now, later = [], []
    for array in planned:
        if room:
            now.append(cut(array, 0, room))
        if room < len(array.tasks):
            later.append(cut(array, room, len(array.tasks)))
        room = max(0, room - len(array.tasks))
    return now, later


def settled(granted: Granted, limits: Limits) -> Granted:
    """What a cluster can grant: hours within the partition's limit, and no packing over several GPUs."""
    longest = _longest_hours(granted, limits)
    runs = granted.runs_per_gpu if _gpus(granted) <= 1 else 1
    hours = granted.hours if longest is None else min(granted.hours, longest)
    return granted.model_copy(update={"hours": hours, "runs_per_gpu": runs})


def raised(granted: Granted, factor: float, limits: Limits) -> Granted:
    """What a run is granted whose memory was raised by a factor: no more than some node has, or than it had before."""
    sizes = [one.memory_gb for one in _partitions(granted, limits)]
    if factor <= 1 or not sizes or None in sizes:
        return granted
    largest = max(size for size in sizes if size is not None) / granted.runs_per_gpu
    memory = min(granted.memory_gb, max(largest, granted.memory_gb / factor))
    return granted.model_copy(update={"memory_gb": math.floor(memory * 1000) / 1000})


def unfit(array: PlannedArray, limits: Limits) -> str:
    """Why no node of the cluster can ever run the tasks of an array, as far as it tells; empty if one may."""
    asked, known = array.allocation, limits.partitions
    if not known or "clusters" in (asked.sbatch or ""):
        return ""
    named = [name.strip() for name in (asked.partition or "").split(",") if name.strip()]
    for name in named:
        if name not in known:
            return f"partition {name}: there is none{suggest(name, known)}; there are {', '.join(known)}"
    places = _partitions(asked, limits)
    where = f"of {'partition ' * bool(named)}{', '.join(named) if named else 'the default partition'}"
    gpus = max((one.gpus for one in places), default=None)
    if gpus is not None and not asked.gres and asked.gpus > gpus:
        return f"gpus {asked.gpus}: a node {where} has {gpus or 'none'}"
    sizes = [one.memory_gb for one in places]
    largest = max((size for size in sizes if size is not None), default=math.inf)
    if None not in sizes and math.ceil(asked.memory_gb * 1024 - 1e-6) > largest * 1024:
        runs = asked.runs_per_gpu
        each = f" for {runs} runs side by side" if runs > 1 else ""
        return f"memory_gb {asked.memory_gb:g}{each}: a node {where} has at most {largest:.4g}"
    return ""


def _longest_hours(granted: Granted, limits: Limits) -> float | None:
    """The hours that every partition allows in which the run may be put; None without a limit."""
    hours = [one.hours for one in _partitions(granted, limits)]
    return min((one for one in hours if one is not None), default=None)


def _partitions(granted: Granted, limits: Limits) -> list[Partition]:
    """Where a run may be put."""
    if not granted.partition:
        return [partition for partition in limits.partitions.values() if partition.default]
    names = [name.strip() for name in granted.partition.split(",")]
    return [limits.partitions[name] for name in names if name in limits.partitions]


def _gpus(granted: Granted) -> int:
    """GPUs of an allocation; `gres` (gpu:a100:2, or gpu) stands in place of `gpus`."""
    if not granted.gres:
        return granted.gpus
    words = [one.partition("(")[0].split(":") for one in granted.gres.split(",")]
    counts = [parts[-1] for parts in words if parts[0].strip() == "gpu"]
    return sum(int(count) if count.isdigit() else 1 for count in counts)


def _packed(runs: Sequence[Wanted], together: int) -> list[Task]:
    return [tuple(runs[start : start + together]) for start in range(0, len(runs), together)]


def _round_ends(wanted: Sequence[Wanted]) -> list[int]:
    """The seeds at which a round ends, the last round's left out."""
    seeds = sorted({one.run.seed for one in wanted})
    rounds = min(ROUNDS, len(seeds))
    return [seeds[len(seeds) * number // rounds - 1] for number in range(1, rounds)]


def _rounds(tasks: Sequence[Task], ends: Sequence[int]) -> Iterator[list[Task]]:
    """Tasks by the round of their first run."""
    for low, high in zip([-math.inf, *ends], [*ends, math.inf], strict=True):
        part = [task for task in tasks if low < task[0].run.seed <= high]
        if part:
            yield part


def _chunks(tasks: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    for start in range(0, len(tasks), size):
        yield tasks[start : start + size]


def _array(granted: Granted, tasks: Sequence[Task]) -> PlannedArray:
    largest = max(len(task) for task in tasks)
    return PlannedArray(granted.model_copy(update={"runs_per_gpu": largest}), tuple(tasks))


def _throttled(arrays: Sequence[PlannedArray], earlier: Sequence[Earlier]) -> list[PlannedArray]:
    """Arrays of one `parallel` share it."""
    result = list(arrays)
    for parallel in {array.resources.parallel for array in arrays} - {None}:
        assert parallel is not None
        members = [index for index, array in enumerate(arrays) if array.resources.parallel == parallel]
        _, shares = _shares(parallel, [arrays[index] for index in members], earlier)
        for index, number in zip(members, shares, strict=True):
            result[index] = replace(arrays[index], parallel=number)
    return result


def throttles(arrays: Sequence[PlannedArray], earlier: Sequence[Earlier]) -> dict[str, int]:
    """How many tasks of earlier arrays may run at once beside new ones of the same `parallel`, by job."""
    found: dict[str, int] = {}
    for parallel in {one.parallel for one in earlier}:
        members = [array for array in arrays if array.resources.parallel == parallel]
        if members:
            before = [one for one in earlier if one.parallel == parallel]
            shares, _ = _shares(parallel, members, earlier)
            found |= {one.job: most for one, most in zip(before, shares, strict=True) if one.waits}
    return found


def _shares(
    parallel: int, arrays: Sequence[PlannedArray], earlier: Sequence[Earlier]
) -> tuple[list[int], list[int]]:
    """The shares of the earlier arrays of one `parallel`, and those of the new ones."""
    before = [one.left for one in earlier if one.parallel == parallel]
    shares = share(parallel, [*before, *(len(array.tasks) for array in arrays)])
    return shares[: len(before)], shares[len(before) :]


def cut(array: PlannedArray, start: int, end: int) -> PlannedArray:
    """An array of some of the tasks of another."""
    tasks = array.tasks[start:end]
    part = _array(array.resources, tasks)
    return replace(part, parallel=array.parallel and min(array.parallel, len(tasks)))
