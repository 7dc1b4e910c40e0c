"""A bounded pool of worker processes on this machine: one process a run, and one failure stops no other.

A signal is passed on: the first asks the workers to checkpoint and leave, the second kills them. Workers are
process groups of their own, so that Ctrl-C reaches the pool alone, and leave when the pool dies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from harness.config import RunConfig
from harness.rundir import RunDir
from studies import packages
from studies.machine import Division
from studies.status import Condition, observe
from studies.worker import EXECUTE, OWNED

_POLL_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Job:
    """A run to execute; its directory is made from `config` when its turn comes, unless it holds run.yaml."""

    run: RunDir
    config: dict[str, Any] | None = None

    @property
    def threads(self) -> int | None:
        """What the configuration asks for, if anything."""
        threads: int | None = self.config["runtime"]["threads"] if self.config else None
        return threads


@dataclass
class Worker:
    """A process that executes a job."""

    job: Job
    slot: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]  # what it said before it owned the run
    started: float


@dataclass(frozen=True)
class Outcome:
    """How a run that the pool started has ended; `elsewhere` if another process turned out to own it."""

    run: RunDir
    condition: Condition
    seconds: float
    elsewhere: bool = False


@dataclass
class Report:
    """What the pool did: outcomes by order of ending, and the runs that were not started."""

    outcomes: list[Outcome] = field(default_factory=list)
    unstarted: list[RunDir] = field(default_factory=list)
    interrupted: bool = False
    stopped_because: str = ""

    def count(self, name: str) -> int:
        """How many runs ended in a state."""
        return sum(outcome.condition.name == name for outcome in self.outcomes)

    @property
    def failed(self) -> list[Outcome]:
        """Runs that failed or whose process died, not counting those that were told to stop."""
        return [outcome for outcome in self.outcomes if outcome.condition.name in {"failed", "lost"}]


class Observer(Protocol):
    """Shows what the pool does."""

    def started(self, worker: Worker) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...

    def tick(self, running: Sequence[Worker], waiting: int) -> None: ...

    def say(self, text: str) -> None: ...


class Pool:
    """Executes jobs in order, `division.workers` at a time."""

    def __init__(
        self,
        jobs: Sequence[Job],
        division: Division,
        datasets: Path,
        observer: Observer,
        execute: str = EXECUTE,
    ) -> None:
        self._waiting = deque(jobs)
        self._division = division
        self._datasets = datasets
        self._observer = observer
        self._execute = execute
        self._running: list[Worker] = []
        self._report = Report()
        self._signals = 0  # that came
        self._passed_on = 0

    def run(self) -> Report:
        """Runs until every job has ended, or a signal asked to stop."""
        with self._handling_signals():
            try:
                while self._running or (self._waiting and not self._stopping):
                    self._start_waiting()
                    self._pass_on_signals()
                    self._collect_ended()
                    self._observer.tick(self._running, len(self._waiting))
                    time.sleep(_POLL_SECONDS)
            finally:
                for worker in self._running:  # only after an error of our own
                    _signal(worker, signal.SIGTERM)
        self._report.unstarted = [job.run for job in self._waiting]
        self._report.interrupted = self._signals > 0
        return self._report

    @property
    def _stopping(self) -> bool:
        return self._signals > 0 or bool(self._report.stopped_because)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._division.workers and not self._stopping:
            slot = min(set(range(self._division.workers)) - {worker.slot for worker in self._running})
            try:
                worker = self._start(self._waiting[0], slot)
            except OSError as error:
                self._stop_because(f"cannot start {self._waiting[0].run.id}: {error}")
                return
            self._waiting.popleft()
            self._running.append(worker)
            self._observer.started(worker)

    def _stop_because(self, reason: str) -> None:
        if not self._stopping:
            self._report.stopped_because = reason
            self._observer.say(f"no further run is started: {reason}")

    def _start(self, job: Job, slot: int) -> Worker:
        if job.config is not None and not job.run.config_file.exists():
            RunDir.create(job.run.path, RunConfig.model_validate(job.config))
        command = [sys.executable, "-P", "-m", "studies.worker", str(job.run.path)]
        command += [
            "--datasets",
            str(self._datasets),
            "--parent",
            str(os.getpid()),
            "--execute",
            self._execute,
        ]
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the worker has ended
        process = subprocess.Popen(
            command,
            env=packages.environment(self._division.environment(slot, job.threads)),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            process_group=0,
        )
        return Worker(job, slot, process, said, time.time())

    def _collect_ended(self) -> None:
        for worker in [worker for worker in self._running if worker.process.poll() is not None]:
            self._running.remove(worker)
            outcome = self._outcome(worker)
            worker.said.close()
            self._report.outcomes.append(outcome)
            self._observer.ended(outcome)
            if outcome.condition.kind == "disk":
                self._stop_because(f"cannot write to the disk ({outcome.condition.note})")

    def _outcome(self, worker: Worker) -> Outcome:
        run, status = worker.job.run, worker.process.returncode
        seconds = time.time() - worker.started
        condition, _ = observe(run.path, time.time())
        if status == OWNED:
            return Outcome(run, condition, seconds, elsewhere=True)
        if condition.name in {"done", "diverged", "failed", "preempted"}:
            return Outcome(run, condition, seconds)
        if self._signals:  # it had not begun, or was killed by the second signal
            return Outcome(run, condition, seconds)
        worker.said.seek(0)
        said = worker.said.read().decode(errors="replace").strip().splitlines()
        note = _death(status) if status < 0 else (said or [f"ended with status {status}"])[-1]
        return Outcome(run, Condition("lost", note=note), seconds)

    def _pass_on_signals(self) -> None:
        if self._passed_on == self._signals:
            return
        self._passed_on = self._signals
        number = signal.SIGTERM if self._signals == 1 else signal.SIGKILL
        if self._running:
            first = "stopping: runs write a checkpoint and leave (Ctrl-C again kills them)"
            self._observer.say(first if self._signals == 1 else "killing the workers")
        for worker in self._running:
            _signal(worker, number)

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        def count(*_: object) -> None:
            self._signals += 1

        before = {number: signal.signal(number, count) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _signal(worker: Worker, number: signal.Signals) -> None:
    """Signals a worker, and what it started if it is to be killed."""
    try:
        if number == signal.SIGKILL:
            os.killpg(worker.process.pid, number)
        else:
            worker.process.send_signal(number)
    except ProcessLookupError:
        pass


def _death(status: int) -> str:
    """`killed by SIGKILL (often: out of memory)`, from a negative exit status."""
    number = signal.Signals(-status)
    hint = {
        signal.SIGKILL: " (often: this machine ran out of memory; try fewer --workers)",
        signal.SIGSEGV: " (a crash inside a library; see log.txt)",
    }
    return f"killed by {number.name}{hint.get(number, '')}"
