"""Hands job arrays over to a scheduler, one after another: recorded before it is asked, answered after.

What it takes is known whatever happens then; what it refuses leaves the runs as they were.
"""

from __future__ import annotations

import shlex
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from harness import claim
from harness.errors import UserError
from harness.rundir import RunDir
from studies.cluster.classes import PlannedArray
from studies.cluster.granting import Granted
from studies.cluster.owners import is_gone
from studies.cluster.records import Array, Dispatch, read_submission
from studies.cluster.types import Cluster, Order, Queued

FOLLOW_UP = "studies.cluster.followup:FollowUp"
_SOON = "now+10minutes"


@dataclass
class Handed:
    """What the scheduler made of a submission.

    Attributes:
        arrays: that it took.
        refused: the arrays that it was not given, or did not take.
        error: why it refused the first of those, in its own words, or the empty string.
        follow_up: the job that looks after them, or None.
        alone: why there is none although there should be, or the empty string.
    """

    arrays: list[Array] = field(default_factory=list)
    refused: list[PlannedArray] = field(default_factory=list)
    error: str = ""
    follow_up: str | None = None
    alone: str = ""


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
        """
        tasks = [[(one.run, one.entry) for one in task] for task in planned.tasks]
        array = self.dispatch.add_array(self.folder, self.cluster.name, planned.resources, tasks)
        again = [one.run.path for task in planned.tasks for one in task if self._forget_failure(one.run.path)]
        try:
            job = self.cluster.submit(order(array, planned, self.environment))
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
        if not after:
            resources = resources.model_copy(update={"begin": _SOON})
        return self.cluster.submit(
            Order(
                name=name,
                folder=self.folder,
                array=number,
                size=1,
                resources=resources,
                parallel=None,
                environment=self.environment,
                python=python_of(resources),
                after=tuple(after),
                call=FOLLOW_UP,
            )
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
            run.state_file.replace(path / "state.previous.json")
        finally:
            held.release()
        return True


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
    """The follow-up jobs of a study that are in the queue: names by key."""
    files = sorted(dispatch.path.glob("[0-9]*/submission.json"))
    names = {read_submission(file.parent).follow_up for file in files}
    return {key: task.name for key, task in queue.items() if task.name in names}


def live(arrays: Iterable[Array], queue: Mapping[str, Queued], executor: str) -> list[str]:
    """The job numbers of the arrays of which a task is in the queue."""
    names = {task.name for task in queue.values()}
    return [array.job for array in arrays if array.executor == executor and array.job and array.name in names]


def _remember_failure(path: Path) -> None:
    run = RunDir(path)
    if not run.state_file.exists():
        with suppress(FileNotFoundError):
            (path / "state.previous.json").replace(run.state_file)
