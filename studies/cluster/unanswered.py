"""Arrays whose answer is missing: the process that submitted them died between the scheduler's answer and its record.

Such an array is known by its name, which no other job has: in the queue, or in what its tasks said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from harness.errors import UserError
from studies.cluster.records import Array, Dispatch, read_events
from studies.cluster.types import Cluster, Queued

UNCERTAIN_SECONDS = 60.0
"""How long an array that the queue does not list may still be on its way: its sbatch may outlive who called it."""

ABSENT = "never reached the scheduler"


def ask_queue(cluster: Cluster) -> dict[str, Queued]:
    """The queue.

    Raises:
        UserError: it could not be asked.
    """
    queue = cluster.queue()
    if queue is None:
        raise UserError(
            "the scheduler does not answer, so that nobody can tell what is queued; nothing was changed: "
            "try again, and `wm doctor` says more"
        )
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
    for array in [array for array in dispatch.arrays if array.executor == executor and array.job is None]:
        job = numbers.get(array.name) or _said(array)
        if job is not None:
            dispatch.answered(array, job=job)
            found += [job] if array.name in numbers else []
        elif time.time() - array.time > UNCERTAIN_SECONDS:
            dispatch.answered(array, error=ABSENT)
    return found


def _said(array: Array) -> str | None:
    """The job number that one of its tasks said when it began."""
    for index in range(len(array.tasks)):
        for event in read_events(array, index):
            if event["event"] == "begin" and event.get("job"):
                return str(event["job"]).partition("_")[0]
    return None
