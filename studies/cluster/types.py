"""What a cluster is asked, and how it answers. A question that it does not answer is None, never taken for "gone".

A *task* is one allocation: a job of SLURM, or one element of a job array. Its key is what SLURM calls it: ``123`` or
``123_4``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.errors import UserError
from studies.cluster.granting import Granted


class SubmissionError(UserError):
    """The scheduler refused a submission, with its own words; nothing of it is left behind."""


class LimitReached(SubmissionError):
    """It was refused for a limit that may be one on the tasks in the queue: a smaller array may be taken."""


class QueueFull(LimitReached):
    """It was refused for a limit on the tasks in the queue."""


class Silent(SubmissionError):
    """The scheduler could not be reached; nothing was submitted."""


class Unanswered(SubmissionError):
    """Nobody knows whether it was taken: what becomes of it is told by its name."""


@dataclass(frozen=True)
class Queued:
    """A task that the queue lists.

    Attributes:
        state: as SLURM writes it in full: PENDING, RUNNING, COMPLETING, SUSPENDED, REQUEUE_HOLD, ...
        reason: why it waits, as SLURM writes it (Resources, Priority, JobArrayTaskLimit, BeginTime, ...), or empty.
        node: where it runs, or empty.
        name: the job's name; a task of another name is not ours, whatever its number (numbers are used again).
        restarts: how often it was requeued, where the queue says so.
    """

    state: str
    reason: str = ""
    node: str = ""
    name: str = ""
    restarts: int | None = None

    @property
    def runs(self) -> bool:
        """Whether its processes may be alive."""
        return self.state not in {
            "PENDING",
            "REQUEUED",
            "REQUEUE_HOLD",
            "REQUEUE_FED",
            "SPECIAL_EXIT",
            "RESV_DEL_HOLD",
        }


@dataclass(frozen=True)
class Accounted:
    """The latest record of a task in the accounting.

    Attributes:
        state: as SLURM writes it, without ``by UID``: COMPLETED, FAILED, CANCELLED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL,
            PREEMPTED, BOOT_FAIL, DEADLINE, REQUEUED, PENDING, RUNNING, SUSPENDED, ...
        exit_code, signal: of the job.
        out_of_memory: the job or one of its steps was killed for its memory, whatever the job's own state says.
        name: the job's name.
        node: where it ran.
        start, end: unix seconds, None if unknown.
        peak_gb: the largest memory of a step, None if unknown.
    """

    state: str
    exit_code: int = 0
    signal: int = 0
    out_of_memory: bool = False
    name: str = ""
    node: str = ""
    start: float | None = None
    end: float | None = None
    peak_gb: float | None = None

    @property
    def terminal(self) -> bool:
        """Whether the task has ended as far as this record knows; a requeued one may still come back."""
        return self.state not in {
            "PENDING",
            "RUNNING",
            "SUSPENDED",
            "REQUEUED",
            "RESIZING",
            "CONFIGURING",
            "COMPLETING",
        }


@dataclass(frozen=True)
class Order:
    """A job array to submit.

    Attributes:
        name: of the job; no other submission has it.
        folder: ``dispatch/<submission>``.
        array: number of the array in it.
        size: tasks; the index of the first is 0.
        resources: of one allocation, already multiplied by the runs that share it.
        parallel: tasks at once, None for no limit.
        environment: variables that the jobs get.
        python: what starts Python in a job.
        after: keys or job numbers after whose end, however they end, it may start.
        call: the class, as module:name, whose objects the tasks call; one is made of (str(folder), array, index).
    """

    name: str
    folder: Path
    array: int
    size: int
    resources: Granted
    parallel: int | None
    environment: Mapping[str, str]
    python: str
    after: Sequence[str] = ()
    call: str = "studies.cluster.task:ArrayTask"


@dataclass(frozen=True)
class Partition:
    """A partition of the cluster: its time limit in hours (None: none), nodes, and GPUs and memory in GB of its
    largest node (None: unknown).
    """

    name: str
    default: bool
    hours: float | None
    nodes: int
    gpus: int
    up: bool = True
    memory_gb: float | None = None


@dataclass(frozen=True)
class Limits:
    """What a submission must keep to.

    Attributes:
        max_array_size: tasks of one array (SLURM's MaxArraySize limits the largest index, so one less than it may say
            elsewhere; here it is a count).
        max_queued: tasks of this user in the queue at once, with the default account and QOS; None if unknown or
            without limit.
        partitions: by name; empty if unknown.
        max_of: such limits of an account or a QOS that is named, by ("account" or "qos", name).
    """

    max_array_size: int
    max_queued: int | None = None
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    max_of: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Cluster(Protocol):
    """Where tasks are sent. Every call is bounded in time."""

    name: str  # "slurm" or "local"

    @property
    def has_accounting(self) -> bool:
        """Whether it keeps accounts at all; where it does not, `accounting` is always None."""
        ...

    @property
    def cluster_name(self) -> str | None:
        """What it calls itself; None if it does not say, or is none of several."""
        ...

    def submit(self, order: Order) -> str:
        """Submits an array and returns its job number.

        Raises:
            SubmissionError: it was refused; nothing of it is left in the queue or the folder.
            Unanswered: nobody knows whether it was.
        """
        ...

    def script(self, order: Order) -> str:
        """What `submit` would hand to the scheduler."""
        ...

    def queue(self) -> dict[str, Queued] | None:
        """This user's tasks that wait or run, by key, in one call; None if it could not be asked."""
        ...

    def accounting(self, jobs: Collection[str], since: float) -> dict[str, Accounted] | None:
        """The latest records of the tasks of some jobs, by key, in one call; None if it could not be asked.

        Args:
            jobs: job numbers without indices.
            since: unix seconds; what was submitted before is another job of the same number.
        """
        ...

    def cancel(self, keys: Sequence[str]) -> None:
        """Takes tasks out of the queue, or ends them.

        Raises:
            UserError: the scheduler could not be asked.
        """
        ...

    def throttle(self, job: str, parallel: int) -> None:
        """Lets at most so many tasks of an array run at once; those that run go on.

        Raises:
            UserError: the scheduler could not be asked, or does not allow it.
        """
        ...

    def limits(self) -> Limits:
        """What a submission must keep to.

        Raises:
            UserError: there is no scheduler, or it does not answer.
        """
        ...
