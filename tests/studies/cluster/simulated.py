"""A cluster that is simulated: nodes, processes, a queue that may not answer, accounting that may be missing.

Time is a number. A worker is an object that owns a run by a real claim in a real run directory, under the name of its
node; what the harness asks about processes is answered from the simulation's own table.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness import claim
from harness.config import RunConfig
from harness.rundir import Failure, RunDir, RunState
from studies.cluster import records
from studies.cluster.types import Accounted, Limits, Order, Queued, QueueFull, SubmissionError

LOGIN = "login"


@dataclass
class Task:
    """A task as the scheduler truly has it."""

    key: str
    name: str
    folder: Path | None  # None: a job of somebody else
    array: int
    index: int
    submitted: float
    after: tuple[str, ...] = ()
    looks_after: bool = False  # the follow-up job
    state: str = "PENDING"
    node: str = ""
    restarts: int = 0
    ended: float | None = None
    visible: bool = True  # False: neither the queue nor the accounting knows it any more
    step_out_of_memory: bool = False
    workers: list[Worker] = field(default_factory=list)


@dataclass
class Worker:
    """A process that executes a run; `alive` is the truth that nobody can see from another node."""

    run: RunDir
    claim: claim.Claim
    node: str
    pid: int
    task: Task
    alive: bool = True

    @property
    def owns(self) -> bool:
        return self.alive and self.claim.still_mine()


class Simulation:
    """Implements `Cluster`, and what happens on it."""

    name = "slurm"
    cluster_name = None

    def __init__(self, monkeypatch, *, array_size=4, max_queued=None) -> None:
        self.now = 1_800_000_000.0
        self.tasks: dict[str, Task] = {}
        self.foreign: dict[str, Task] = {}
        self.queue_answers = self.accounting_answers = self.has_accounting = True
        self.crashes = False
        self.refuses = lambda order: False
        self.room = None  # a limit that `limits` does not tell
        self.asked: list[str] = []
        self._numbers = itertools.count(1)
        self._pids = itertools.count(100)
        self._where = LOGIN
        self._acting: tuple[str, int, Task] | None = None
        self._limits = Limits(array_size, max_queued)
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(claim, "this_machine", lambda: (self._where, f"boot of {self._where}", "pids"))
        monkeypatch.setattr(claim, "_start_of", self._start_of)
        monkeypatch.setattr(claim, "this_process", self._this_process)

    # What `Cluster` promises.

    def submit(self, order: Order) -> str:
        """One element of an array a task; a single one is a plain job."""
        if self.refuses(order):
            raise SubmissionError("sbatch: error: Batch job submission failed: Requested node configuration")
        queued = sum(task.ended is None for task in self.tasks.values())
        if self.room is not None and order.size > self.room - queued:
            raise QueueFull("sbatch: error: QOSMaxSubmitJobPerUserLimit")
        job = str(next(self._numbers))
        self.foreign.pop(job, None)
        for index in range(order.size):
            key = job if order.size == 1 else f"{job}_{index}"
            self.tasks[key] = Task(
                key=key,
                name=order.name,
                folder=order.folder,
                array=order.array,
                index=index,
                submitted=self.now,
                after=tuple(order.after),
                looks_after=order.call.endswith("FollowUp"),
            )
        if self.crashes:
            self.crashes = False
            raise KeyboardInterrupt
        return job

    def script(self, order: Order) -> str:
        return order.name

    def queue(self) -> dict[str, Queued] | None:
        self.asked.append("queue")
        if not self.queue_answers:
            return None
        listed = [
            task
            for task in (*self.tasks.values(), *self.foreign.values())
            if task.visible and task.ended is None
        ]
        return {
            task.key: Queued(task.state, "Priority" if task.state == "PENDING" else "", task.node, task.name)
            for task in listed
        }

    def accounting(self, jobs, since) -> dict[str, Accounted] | None:
        self.asked.append("accounting")
        if not (self.accounting_answers and self.has_accounting):
            return None
        return {
            task.key: Accounted(
                task.state,
                out_of_memory=task.step_out_of_memory,
                name=task.name,
                node=task.node,
                end=task.ended,
            )
            for task in (*self.foreign.values(), *self.tasks.values())
            if task.visible and task.key.partition("_")[0] in jobs and task.submitted >= since - 1
        }

    def cancel(self, keys) -> None:
        for key in keys:
            for task in list(self.tasks.values()):
                if key in {task.key, task.key.partition("_")[0]} and task.ended is None:
                    self.end(task, "CANCELLED")

    def throttle(self, job, parallel) -> None:
        pass

    def limits(self) -> Limits:
        return self._limits

    # What happens.

    def may_start(self, task: Task) -> bool:
        """Whether all that a task waits for has ended."""
        left = [one for one in self.tasks.values() if one.ended is None]
        return not any({one.key, one.key.partition("_")[0]} & {*task.after} for one in left)

    def start(self, task: Task, node: str) -> None:
        """The scheduler starts a task on a node; its supervisor starts a worker for every run that is left."""
        task.state, task.node = "RUNNING", node
        array = records.read_array(task.folder, task.array)
        records.say(array, task.index, "begin", host=node, job=task.key, restart=task.restarts)
        for planned in records.read_task(task.folder, task.array, task.index):
            self._start_worker(task, array, planned)

    def _start_worker(self, task: Task, array: records.Array, planned: records.TaskRun) -> None:
        run = RunDir.create(planned.path, RunConfig.model_validate(planned.config))
        state = run.read_state()
        if state is not None and state.state in {"done", "diverged", "failed"}:
            return
        from studies.cluster.owners import is_gone

        pid = next(self._pids)
        with self._on(task.node, pid, task):
            try:
                owned = claim.acquire(run.path, is_gone=lambda owner, path: is_gone(owner, path, self))
            except claim.OwnedElsewhere:
                return
        worker = Worker(run, owned, task.node, pid, task)
        task.workers.append(worker)
        records.say(array, task.index, "started", hex=planned.hex)
        self.write(worker, "running")

    def write(self, worker: Worker, ending: str, kind: str | None = None) -> bool:
        """A worker replaces its state, if it still owns the run; returns whether it did."""
        if not worker.owns:
            return False
        state = worker.run.read_state() or RunState(id=worker.run.id, state="running")
        state.state, state.heartbeat = ending, self.now
        state.error = Failure(kind, f"{kind} by chance") if kind else None
        if ending == "running":
            state.iteration += 1
            state.progress = 1 - 1 / (1 + state.iteration)
        worker.run.write_state(state)
        if ending != "running":
            worker.alive = False
            worker.claim.release()
        return True

    def supervisor_ends(self, task: Task) -> None:
        """A task whose workers have all ended is over; one whose run another process holds leaves it to that."""
        if task.state == "RUNNING" and not any(worker.alive for worker in task.workers):
            self.end(task, "COMPLETED")

    def preempt(self, task: Task) -> None:
        """The signal comes: workers checkpoint and leave, the task waits again."""
        for worker in task.workers:
            if not self.write(worker, "preempted"):
                worker.alive = False
        self.requeue(task)

    def requeue(self, task: Task, *, zombies: bool = False) -> None:
        """The scheduler takes a task back, with its processes unless its node only lost touch."""
        if not zombies:
            self._kill(task)
        task.state, task.node, task.restarts = "PENDING", "", task.restarts + 1

    def end(self, task: Task, state: str, *, step_out_of_memory: bool = False) -> None:
        """A task ends in a state, and its processes with it."""
        self._kill(task)
        task.state, task.ended, task.step_out_of_memory = state, self.now, step_out_of_memory

    def take_number(self, number: str) -> None:
        """Somebody else's job has a number that was ours."""
        self.foreign[number] = Task(
            number, "somebody-elses", None, 0, 0, self.now, state="RUNNING", node="n9"
        )

    def _kill(self, task: Task) -> None:
        for worker in task.workers:
            worker.alive = False

    @property
    def workers(self) -> list[Worker]:
        """Every worker whose process lives."""
        return [worker for task in self.tasks.values() for worker in task.workers if worker.alive]

    # What a process sees of others.

    def _on(self, node: str, pid: int, task: Task):
        return _Elsewhere(self, node, pid, task)

    def _start_of(self, pid: int) -> int | None:
        return (
            pid if any(worker.pid == pid and worker.node == self._where for worker in self.workers) else None
        )

    def _this_process(self) -> claim.Owner:
        host, boot, namespace = claim.this_machine()
        if self._acting is None:
            return claim.Owner(host, boot, namespace, 1, 1, self.now)
        _, pid, task = self._acting
        job, _, index = task.key.partition("_")
        return claim.Owner(
            host, boot, namespace, pid, pid, self.now, job=job, task=index or None, restart=str(task.restarts)
        )


class _Elsewhere:
    """In this block the code runs as a process of a task on its node."""

    def __init__(self, simulation: Simulation, node: str, pid: int, task: Task) -> None:
        self._simulation, self._as = simulation, (node, pid, task)

    def __enter__(self) -> None:
        self._simulation._where, self._simulation._acting = self._as[0], self._as

    def __exit__(self, *_: object) -> None:
        self._simulation._where, self._simulation._acting = LOGIN, None
