"""Hands job arrays over to a scheduler, one after another: recorded before it is asked, answered after.

What it takes is known whatever happens then; what it refuses leaves the runs as they were.
"""

from __future__ import annotations

import shlex
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from harness import claim
from harness.errors import UserError
from harness.rundir import RunDir
from studies.cluster.classes import Earlier, PlannedArray, cut
from studies.cluster.granting import Granted
from studies.cluster.owners import is_gone
from studies.cluster.records import Array, Dispatch, read_submission
from studies.cluster.types import Cluster, LimitReached, Order, Queued, QueueFull, Silent, Unanswered
from studies.worker import forget_failure

FOLLOW_UP = "studies.cluster.followup:FollowUp"
_SOON = "now+10minutes"
_FOLLOWED = "followed"


@dataclass
class Handed:
    """What the scheduler made of a submission.

    Attributes:
        arrays: that it took.
        refused: the arrays that it did not take, or was not given because it went silent.
        errors: why not, each in its own words.
        waiting: those for which it had no room.
        full: how it said so, or the empty string.
        stopped: whether the rest was not even tried.
        follow_up: the job that looks after them, or None.
        alone: why there is none although there should be, or the empty string.
    """

    arrays: list[Array] = field(default_factory=list)
    refused: list[PlannedArray] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    waiting: list[PlannedArray] = field(default_factory=list)
    full: str = ""
    stopped: bool = False
    follow_up: str | None = None
    alone: str = ""

    @property
    def error(self) -> str:
        """Why something was refused; the empty string if nothing was."""
        return "\n".join(dict.fromkeys(self.errors))

    @property
    def is_settled(self) -> bool:
        """Whether nothing more would come of it at once: nothing is left that nobody looks after."""
        return not (self.alone or self.stopped or (self.waiting and self.follow_up is None))


@dataclass(frozen=True)
class Handover:
    """A submission whose directory is made: hands its arrays and its follow-up to a cluster."""

    dispatch: Dispatch
    folder: Path
    cluster: Cluster
    environment: Mapping[str, str]

    def array(self, planned: PlannedArray) -> Array:
        """Submits one array; runs that failed are pending from here on, unless it is refused.

        Raises:
            UserError: it was refused; the runs are as they were.
            Unanswered: nobody knows whether it was; its record says neither.
        """
        tasks = [[(one.run, one.entry) for one in task] for task in planned.tasks]
        array = self.dispatch.add_array(self.folder, self.cluster.name, planned.resources, tasks)
        again = [one.run.path for task in planned.tasks for one in task if self._forget_failure(one.run.path)]
        try:
            job = self.cluster.submit(order(array, planned, self.environment))
        except Unanswered:
            raise
        except UserError as error:
            self.dispatch.answered(array, error=str(error))
            for path in again:
                _remember_failure(path)
            raise
        self.dispatch.answered(array, job=job)
        return replace(array, job=job)

    def follow_up(self, name: str, resources: Granted, after: Sequence[str]) -> str:
        """Submits the job that looks after some jobs once they have ended; without any, it does so soon.

        Raises:
            UserError: it was refused.
        """
        number = len(list(self.folder.glob("array-*.runs.jsonl")))
        return self.cluster.submit(
            follow_up_order(self.folder, number, name, resources, after, self.environment)
        )

    def _forget_failure(self, path: Path) -> bool:
        """Puts a recorded failure aside, so that a worker goes on; returns whether there was one."""
        run = RunDir(path)
        state = run.read_state() if path.exists() else None
        if state is None or state.state != "failed":
            return False
        try:
            held = claim.acquire(path, is_gone=partial(is_gone, cluster=self.cluster))
        except claim.OwnedElsewhere:
            return False
        try:
            forget_failure(path)
        finally:
            held.release()
        return True


def hand_over(
    handover: Handover,
    planned: Sequence[PlannedArray],
    *,
    say: Callable[[str], None],
    stop: Callable[[], str],
    look_after: Callable[[Handed], None],
) -> Handed:
    """Submits arrays one after another; one that is refused does not hold up the others.

    Where a limit is met that nobody knew of, an array is halved until a part of it fits; the rest waits.

    Args:
        handover: of the submission.
        planned: the arrays in their order.
        say: is told what happens.
        stop: why no more is to be submitted, or the empty string.
        look_after: submits the follow-up; called early, while there is still a place for it.
    """
    left = _Left(list(planned), look_after)
    handed = left.handed
    while left.arrays and not handed.stopped and not handed.waiting:
        one = left.take()
        if why := stop():
            left.silence(one, why)
            break
        try:
            array = handover.array(one)
        except LimitReached as error:
            left.no_room(one, error)
        except (Silent, Unanswered) as error:
            left.silence(one, str(error))
        except UserError as error:  # a refusal, or an option that no job can have
            left.refuse(one, str(error))
        else:
            handed.arrays.append(array)
            number = len(handed.arrays) + len(handed.refused)
            say(f"array {number} of {number + len(left.arrays)}: job {array.job}, {described(one)}")
            left.taken()
    return handed


@dataclass
class _Left:
    """The arrays that are still to be handed over, and what became of the others.

    Attributes:
        room: tasks that the next one may have at most, once a limit was met.
    """

    arrays: list[PlannedArray]
    look_after: Callable[[Handed], None]
    handed: Handed = field(default_factory=Handed)
    room: int | None = None

    def take(self) -> PlannedArray:
        one = self.arrays.pop(0)
        if self.room is None or self.room >= len(one.tasks):
            return one
        self.arrays.insert(0, cut(one, self.room, len(one.tasks)))
        return cut(one, 0, self.room)

    def taken(self) -> None:
        """Less than half of what was refused last has room now; one task more is not worth an array of its own."""
        self.room = None if self.room is None else self.room // 2
        if self.room == 0:
            self.handed.waiting += self.arrays

    def no_room(self, one: PlannedArray, error: LimitReached) -> None:
        if not self.handed.full:
            self.look_after(self.handed)
        self.handed.full = str(error)
        self.room = len(one.tasks) // 2
        if self.room:
            self.arrays.insert(0, one)
        elif isinstance(error, QueueFull):
            self.handed.waiting += [one, *self.arrays]
        else:  # a single task: it is not their number
            self.room = None
            self.refuse(one, str(error))

    def refuse(self, one: PlannedArray, why: str) -> None:
        self.handed.refused.append(one)
        self.handed.errors.append(why)

    def silence(self, one: PlannedArray, why: str) -> None:
        self.handed.stopped = True
        self.handed.refused += [one, *self.arrays]
        self.handed.errors.append(why)


def order(array: Array, planned: PlannedArray, environment: Mapping[str, str]) -> Order:
    """What a cluster is told of an array."""
    return Order(
        name=array.name,
        folder=array.folder,
        array=array.number,
        size=len(planned.tasks),
        resources=planned.allocation,
        parallel=planned.parallel,
        environment=environment,
        python=python_of(planned.resources),
    )


def follow_up_order(
    folder: Path,
    number: int,
    name: str,
    resources: Granted,
    after: Sequence[str],
    environment: Mapping[str, str],
) -> Order:
    """What a cluster is told of a follow-up; without jobs to wait for it starts soon."""
    if not after:
        resources = resources.model_copy(update={"begin": _SOON})
    return Order(
        name=name,
        folder=folder,
        array=number,
        size=1,
        resources=resources,
        parallel=None,
        environment=environment,
        python=python_of(resources),
        after=tuple(after),
        call=FOLLOW_UP,
    )


def described(array: PlannedArray) -> str:
    """`250 tasks, 500 runs, each task 1 GPU, 4 cores, 16 GB, 24 h`."""
    one = array.allocation
    tasks = len(array.tasks)
    words = [f"{tasks} task{'s' * (tasks != 1)}", f"{array.runs} run{'s' * (array.runs != 1)}"]
    devices = one.gres or (f"{one.gpus} GPU{'s' * (one.gpus != 1)}" if one.gpus else "")
    each = [devices, f"{one.cpus} core{'s' * (one.cpus != 1)}", f"{one.memory_gb:g} GB", f"{one.hours:.3g} h"]
    words.append("each task " + ", ".join(filter(None, each)))
    if array.allocations > 1:
        words.append(f"about {array.allocations} times in a row")
    if array.parallel is not None:
        words.append(f"at most {array.parallel} at once")
    return ", ".join(words)


def python_of(resources: Granted) -> str:
    """What starts Python in a job: what the resources say, else this process's own."""
    return resources.python or shlex.quote(sys.executable)


def new_follow_up(study: str) -> str:
    """A name that no other job has."""
    return f"wm-{study}-follow-up-{uuid.uuid4().hex[:6]}"


def follow_ups(dispatch: Dispatch, queue: Mapping[str, Queued]) -> dict[str, str]:
    """The follow-up jobs of a study that are in the queue and have not yet looked after it: names by key."""
    names = {name for name, folder in _looked_after(dispatch).items() if not (folder / _FOLLOWED).exists()}
    return {key: task.name for key, task in queue.items() if task.name in names}


def followed(dispatch: Dispatch, name: str) -> None:
    """Notes that a follow-up job has done what it does: whoever comes next does not count on it any more."""
    folder = _looked_after(dispatch).get(name)
    if folder is not None:
        with suppress(OSError):
            (folder / _FOLLOWED).touch()


def _looked_after(dispatch: Dispatch) -> dict[str, Path]:
    """The folders of submissions by the names of their follow-up jobs."""
    folders = [file.parent for file in sorted(dispatch.path.glob("[0-9]*/submission.json"))]
    names = {folder: read_submission(folder).follow_up for folder in folders}
    return {name: folder for folder, name in names.items() if name is not None}


def live(arrays: Iterable[Array], queue: Mapping[str, Queued], executor: str) -> list[str]:
    """The job numbers of the arrays of which a task is in the queue."""
    names = {task.name for task in queue.values()}
    return [array.job for array in arrays if array.executor == executor and array.job and array.name in names]


def sharing(dispatch: Dispatch, queue: Mapping[str, Queued]) -> list[Earlier]:
    """The arrays in SLURM's queue that share a `parallel`."""
    found = []
    for array in dispatch.arrays:
        if array.executor != "slurm" or array.job is None or array.resources.parallel is None:
            continue
        keys = [array.key(index) or "" for index in range(len(array.tasks))]
        left = [queue[key] for key in keys if key in queue and queue[key].name == array.name]
        if left:
            waits = len(keys) > 1 and not all(task.runs for task in left)
            found.append(Earlier(array.job, array.resources.parallel, len(left), waits))
    return found


def _remember_failure(path: Path) -> None:
    run = RunDir(path)
    if not run.state_file.exists():
        with suppress(FileNotFoundError):
            (path / "state.previous.json").replace(run.state_file)
