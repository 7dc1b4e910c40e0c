"""One task of a dispatched array: runs its runs in one allocation, several at a time, and stops when it is told to.

``python -P -m studies.cluster.task FOLDER ARRAY INDEX``, or an `ArrayTask` that submitit calls. All that a task knows
is in ``dispatch/``, so starting one again is always safe: it goes on with what is left.

::

    SIGUSR2            preemption or time limit: runs checkpoint and leave; if work remains the job is requeued
    SIGTERM            cancelled, or the end: runs checkpoint and leave
    a cancelled run    its mark is seen within seconds: it alone checkpoints and leaves
    memory ran out     the survivors go on, what comes later runs one at a time, the victim once more alone
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import claim
from harness.provenance import snapshot
from harness.rundir import RunDir
from studies import machine, packages
from studies.cluster import allocation, records
from studies.machine import Division
from studies.pool import Job, Outcome, Pool, Worker

LEFT = 75
"""Exit status of a task that was stopped with work left."""

_MARKS_SECONDS = 3.0


@dataclass(frozen=True)
class ArrayTask:
    """A task as a scheduler holds it: nothing but its place in ``dispatch/``.

    Attributes:
        folder: ``dispatch/<submission>``.
        array, index: of the array in it, and of the task in the array.
    """

    folder: str
    array: int
    index: int

    def __call__(self) -> None:
        """Runs what is left of the task.

        Raises:
            SystemExit: with status 75: it was stopped, and work is left.
        """
        if Session(Path(self.folder), self.array, self.index).run():
            sys.exit(LEFT)


class Asked:
    """What signals have asked of this process; takes over every handler that was there.

    The handlers stay when the task has ended: one that stood before would requeue a job with no work left.
    """

    def __init__(self) -> None:
        self.warned = False  # SIGUSR2 came
        self.ended = False  # SIGTERM came
        signal.signal(signal.SIGUSR2, self._warn)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)

    def __call__(self) -> int:
        return int(self.warned or self.ended)

    def _warn(self, *_: object) -> None:
        self.warned = True

    def _end(self, *_: object) -> None:
        self.ended = True


class Session:
    """One start of a task. It is the observer of its pools."""

    def __init__(self, folder: Path, number: int, index: int) -> None:
        self._asked = Asked()
        packages.verify()
        self._array = records.read_array(folder, number)
        self._index = index
        self._submission = records.read_submission(folder)
        self._runs = records.read_task(folder, number, index)
        self._dispatch = records.Dispatch(folder.parent.parent)
        self._history = records.read_events(self._array, index)
        self._settled: set[str] = set()  # needs nothing more of this task
        self._retried: set[str] = set()
        self._again: list[Job] = []  # once more, alone
        self._end = {"because": "", "kind": ""}  # why it ends with work left, and what failure that is
        self._pool: Pool | None = None
        self._marks_read = time.monotonic()

    def run(self) -> list[str]:
        """Runs until nothing is left, or a signal asks to stop; returns the hexes of what is left."""
        visible = machine.gpus() if os.environ.get("CUDA_VISIBLE_DEVICES") is not None else ()
        self._say_begin(visible)
        jobs = self._to_do()
        before = self._progress()
        resources = self._array.resources
        self._run(jobs, Division(resources.runs_per_gpu, resources.cpus, visible))
        if self._again and not self._end["because"]:
            jobs_alone, self._again = self._again, []
            self._run(jobs_alone, Division(1, resources.cpus, visible))
        left = [job.hex for job in jobs if job.hex not in self._settled]
        grown = self._progress() > before
        if not (left and self._asked() and self._requeue(left, grown=grown)):
            self._event("end", left=left, **self._end)
        return left

    def _run(self, jobs: Sequence[Job], division: Division) -> None:
        """Runs jobs in a pool; notes why it stopped before the end."""
        datasets, execute = Path(self._submission.datasets), self._submission.execute
        self._pool = Pool(jobs, division, datasets, self, execute, self._asked)
        report = self._pool.run()
        if report.interrupted:
            self._ends("asked to stop")
        else:
            self._ends(report.stopped_because, report.stopped_by)

    def _to_do(self) -> list[Job]:
        """The runs of this task that have no result and no owner elsewhere that is known."""
        reasons = {entry.hex: entry.reason for entry in self._array.tasks[self._index]}
        begun = {event["hex"] for event in self._history if event["event"] == "started"}
        cancelled = self._cancelled()
        jobs = []
        for one in self._runs:
            run = RunDir(one.path)
            state = run.read_state()
            recorded = state.state if state else None
            again = reasons.get(one.hex, "").startswith("retry:") and one.hex not in begun
            if recorded in {"done", "diverged"} or (recorded == "failed" and not again):
                continue
            if one.hex not in cancelled:
                jobs.append(Job(run, one.config, again=again))
        return jobs

    def _requeue(self, left: Sequence[str], *, grown: bool) -> bool:
        """Requeues this job if that is what is to happen; notes why not."""
        if self._array.executor != "slurm" or allocation.key() is None:
            return False
        lead = allocation.signal_lead(self._array.resources.sbatch)
        why = allocation.why_requeue(allocation.standing(), warned=self._asked.warned, lead=lead)
        if not why:
            return False
        kind = "time-limit" if why == "time limit" else ""
        if why != "preempted" and not grown:  # else it could come back for ever
            self._ends(f"{why}, and nothing was gained in this allocation", kind)
            return False
        self._event("requeue", left=left, because=why)
        error = allocation.requeue()
        if error:
            self._ends(f"{why}, and could not be requeued: {error}", kind)
        return not error

    def _ends(self, because: str, kind: str = "") -> None:
        self._end = {"because": because, "kind": kind}

    def _progress(self) -> float:
        """How far the runs of this task are, in runs."""
        states = [RunDir(one.path).read_state() for one in self._runs]
        return sum(state.progress for state in states if state)

    def _cancelled(self) -> set[str]:
        """The runs of this task that were cancelled after it was submitted."""
        marks = {one.hex: self._dispatch.mark_of(one.hex) for one in self._runs}
        return {
            digits
            for digits, mark in marks.items()
            if mark and mark.name == "cancelled" and mark.time > self._array.time
        }

    def started(self, worker: Worker) -> None:
        """A run's worker has started."""
        self._event("started", hex=worker.job.hex)
        self.say(f"started {worker.job.run.id}")

    def ended(self, outcome: Outcome) -> None:
        """A run's worker has ended: decides whether the run is settled, and what follows from its end."""
        digits = outcome.job.hex
        self._say_ended(outcome)
        if digits in self._settled:  # it was cancelled
            return
        died = outcome.condition.name == "lost" and not self._asked()
        if outcome.elsewhere or outcome.condition.name in {"done", "diverged", "failed"}:
            self._settled.add(digits)
        short_of_memory = died and outcome.status == -signal.SIGKILL
        if short_of_memory and self._pool is not None:
            self._pool.limit = 1
        if not died and outcome.condition.kind != "gpu-memory":
            return
        memory = short_of_memory or outcome.condition.kind == "gpu-memory"
        if digits not in self._retried and (outcome.packed or not memory):
            self._retried.add(digits)
            self._again.append(replace(outcome.job, again=not died))
        else:
            self._settled.add(digits)

    def tick(self, running: Sequence[Worker], waiting: int) -> None:
        """Looks for cancelled runs every few seconds."""
        del running, waiting
        now = time.monotonic()
        if now - self._marks_read < _MARKS_SECONDS:
            return
        self._marks_read = now
        cancelled = self._cancelled()
        self._settled |= cancelled
        if cancelled and self._pool is not None:
            self._pool.drop(cancelled)

    def say(self, text: str) -> None:
        """Prints a line of the task's log."""
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)

    def _say_ended(self, outcome: Outcome) -> None:
        owner = {"owner": str(claim.current(outcome.run.path) or "")} if outcome.elsewhere else {}
        self._event(
            "ended",
            hex=outcome.job.hex,
            condition=str(outcome.condition),
            status=outcome.status,
            oom=outcome.oom,
            peak_memory_mb=round(outcome.peak_memory_mb, 1),
            **owner,
        )
        self.say(f"ended {outcome.run.id}: {outcome.condition} {outcome.condition.note}".rstrip())

    def _say_begin(self, gpus: Sequence[str]) -> None:
        on_slurm = self._array.executor == "slurm"
        begun = sum(event["event"] == "begin" for event in self._history)
        self._event(
            "begin",
            host=socket.gethostname(),
            node=os.environ.get("SLURMD_NODENAME") if on_slurm else None,
            job=(allocation.key() if on_slurm else os.environ.get("WM_JOB")) or self._array.key(self._index),
            restart=allocation.restarts() if on_slurm else begun,
            pid=os.getpid(),
            gpus=list(gpus),
            code=snapshot().get("digest"),
        )

    def _event(self, event: str, **fields: object) -> None:
        records.say(self._array, self._index, event, **fields)


def main(arguments: list[str] | None = None) -> int:
    """Runs a task; returns 0, or 75 if it was stopped with work left."""
    parser = argparse.ArgumentParser(prog="python -P -m studies.cluster.task", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("array", type=int)
    parser.add_argument("index", type=int)
    options = parser.parse_args(arguments)
    return LEFT if Session(options.folder, options.array, options.index).run() else 0


if __name__ == "__main__":
    sys.exit(main())
