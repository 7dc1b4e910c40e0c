"""Arrays whose answer is missing: the process that submitted them died between the scheduler's answer and its record.

Such an array is known by its name, which no other job has: in the queue, or in what its tasks said.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from harness.disk import disk_errors
from harness.errors import UserError
from studies.cluster.records import Array, Dispatch, read_array, read_events
from studies.cluster.types import Cluster, Order, Queued

UNCERTAIN_SECONDS = 300.0
"""How long an array that the queue does not list may still be on its way: its sbatch may outlive who called it, and
tries for two minutes.
"""

NO_ANSWER = (
    "the scheduler does not answer, so that nobody can tell what is queued; nothing was changed: try again, and "
    "`wm doctor` says more"
)

ABSENT = "never reached the scheduler"


def ask_queue(cluster: Cluster) -> dict[str, Queued]:
    """The queue.

    Raises:
        UserError: it could not be asked.
    """
    queue = cluster.queue()
    if queue is None:
        raise UserError(NO_ANSWER)
    return queue


def reconcile(dispatch: Dispatch, queue: Mapping[str, Queued], executor: str) -> list[str]:
    """Records what became of the arrays of an executor whose answer is missing, as far as it can be told.

    Args:
        dispatch: this process holds its lock.
        queue: asked just now.
        executor: whose queue it is.

    Returns:
        The jobs that were found in the queue.
    """
    found = []
    numbers = {task.name: key.partition("_")[0] for key, task in queue.items()}
    open_ = [array for array in dispatch.arrays if array.executor == executor and array.job is None]
    for array in [*open_, *_arrived(dispatch, numbers)]:
        job = numbers.get(array.name) or _said(array)
        if job is not None:
            if array.name in numbers and executor == "slurm":
                _complete(dispatch, replace(array, job=job), queue)
            dispatch.answered(array, job=job)
            found += [job] if array.name in numbers else []
        elif time.time() - array.time > UNCERTAIN_SECONDS:
            dispatch.answered(array, error=ABSENT)
    return found


def _arrived(dispatch: Dispatch, names: Collection[str]) -> Iterator[Array]:
    """The arrays that the queue lists although they were given up."""
    pattern = re.compile(rf"wm-{re.escape(dispatch.path.parent.name)}-(\d+)-(\d+)-[0-9a-f]+")
    for match in filter(None, map(pattern.fullmatch, names)):
        folder = dispatch.path / match[1]
        if (folder / f"array-{match[2]}.json").exists():
            array = read_array(folder, int(match[2]))
            if array.name == match[0] and array.error == ABSENT:
                yield array


def _complete(dispatch: Dispatch, array: Array, queue: Mapping[str, Queued]) -> None:
    """Writes what the tasks of a job wait for, if its submitter was killed before it did; those that have already
    ended without it are to be tried again.
    """
    from studies.cluster.sbatch import hold_out

    order = Order(
        name=array.name,
        folder=array.folder,
        array=array.number,
        size=len(array.tasks),
        resources=array.resources,
        parallel=None,
        environment={},
        python="",
    )
    assert array.job is not None
    with disk_errors(array.folder):
        missing = set(hold_out(order, array.job))
    ended = [
        entry.hex
        for index, entries in enumerate(array.tasks)
        if array.key(index) in missing - queue.keys() and not read_events(array, index)
        for entry in entries
    ]
    dispatch.mark([digits for digits in ended if digits not in dispatch.marks], "retried")


def _said(array: Array) -> str | None:
    """The job number that one of its tasks said when it began."""
    for index in range(len(array.tasks)):
        for event in read_events(array, index):
            if event["event"] == "begin" and event.get("job"):
                return str(event["job"]).partition("_")[0]
    return None
