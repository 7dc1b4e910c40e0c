"""A bounded pool of worker processes on this machine: one process a run, and one failure stops no other.

A signal is passed on: the first asks the workers to checkpoint and leave, the second kills them (unless whoever made
the pool listens to the signals itself). Workers are process groups of their own, so that Ctrl-C reaches the pool
alone, and leave when the pool dies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from harness.config import RunConfig
from harness.disk import disk_errors
from harness.errors import RunError
from harness.provenance import peak_memory_mb
from harness.rundir import RunDir
from studies import machine, packages
from studies.machine import Division
from studies.status import Condition, observe
from studies.worker import EXECUTE, OWNED, SIGNALS

_POLL_SECONDS = 0.1
_PATIENCE = 60.0  # seconds that a single run has to leave before it is killed
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Job:
    """A run to execute; its directory is made from `config` when its turn comes, unless it holds run.yaml.

    Attributes:
        again: a failure that is recorded for it is tried again.
    """

    run: RunDir
    config: dict[str, Any] | None = None
    again: bool = False

    @property
    def hex(self) -> str:
        """The digits that name the run."""
        return self.run.id[-12:]

    @property
    def threads(self) -> int | None:
        """What the configuration asks for, else what the run last had: another number gives other bits."""
        threads: int | None = self.config["runtime"]["threads"] if self.config else None
        if threads is None:
            with suppress(ValueError):  # a damaged line is its next attempt's to name
                had = [record.get("threads") for record in self.run.read_attempts()]
                threads = next((number for number in reversed(had) if number), None)
        return threads


@dataclass
class Worker:
    """A process that executes a job."""

    job: Job
    slot: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]  # what it said before it owned the run
    started: float
    packed: bool = False  # another one ran at its side at some time
    told: float | None = None  # when it alone was asked to leave
    peak_mb: float = 0.0  # its largest resident size so far


@dataclass(frozen=True)
class Outcome:
    """How a run that the pool started has ended.

    Attributes:
        elsewhere: another process turned out to own it.
        status: of the process; negative: the signal that killed it.
        peak_memory_mb: the largest resident size of the process, or of one that it started, in MB.
        oom: the kernel killed it because memory ran out.
        packed: other runs ran at its side.
    """

    job: Job
    condition: Condition
    seconds: float
    elsewhere: bool = False
    status: int = 0
    peak_memory_mb: float = 0.0
    oom: bool = False
    packed: bool = False

    @property
    def run(self) -> RunDir:
        """Its directory."""
        return self.job.run


@dataclass
class Report:
    """What the pool did.

    Attributes:
        outcomes: by order of ending.
        unstarted: the runs that were not started.
        interrupted: it was asked to stop.
        stopped_because: why it started no further run; otherwise empty.
        stopped_by: the kind of failure that this is for the runs that were not started; empty: none of theirs.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    unstarted: list[RunDir] = field(default_factory=list)
    interrupted: bool = False
    stopped_because: str = ""
    stopped_by: str = ""

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
    """Executes jobs in order, `division.workers` at a time.

    Args:
        jobs: the runs.
        division: of the machine between them.
        datasets: RUNS/datasets.
        observer: is told what happens.
        execute: what executes a run, as module:function.
        asked: what was asked of the pool: 0 nothing, 1 that the runs checkpoint and leave, 2 that they are killed;
            None: the pool counts the signals of this process.

    Attributes:
        limit: how many run at once; may be lowered, which stops none that runs.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        division: Division,
        datasets: Path,
        observer: Observer,
        execute: str = EXECUTE,
        asked: Callable[[], int] | None = None,
    ) -> None:
        self._waiting = deque(jobs)
        self._division = division
        self._datasets = datasets
        self._observer = observer
        self._execute = execute
        self._running: list[Worker] = []
        self._report = Report()
        self._signals = 0  # that came
        self._asked = asked
        self._passed_on = 0
        self._memory_kills = machine.memory_kills()
        self.limit = division.workers

    def run(self) -> Report:
        """Runs until every job has ended, or a signal asked to stop."""
        with self._handling_signals():
            try:
                while self._running or (self._waiting and not self._stopping):
                    self._start_waiting()
                    self._pass_on()
                    self._collect_ended()
                    self._observer.tick(self._running, len(self._waiting))
                    time.sleep(_POLL_SECONDS)
            finally:
                for worker in self._running:  # only after an error of our own
                    _signal(worker, signal.SIGTERM)
        self._report.unstarted = [job.run for job in self._waiting]
        self._report.interrupted = self._level > 0
        return self._report

    def drop(self, hexes: Collection[str]) -> None:
        """Asks single runs to leave, and starts none of them; one that does not leave within a minute is killed."""
        self._waiting = deque(job for job in self._waiting if job.hex not in hexes)
        for worker in self._running:
            if worker.job.hex in hexes and worker.told is None:
                worker.told = time.time()
                _signal(worker, signal.SIGTERM)

    @property
    def _level(self) -> int:
        return self._asked() if self._asked else min(self._signals, 2)

    @property
    def _stopping(self) -> bool:
        return self._level > 0 or bool(self._report.stopped_because)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self.limit and not self._stopping:
            slot = min(set(range(self._division.workers)) - {worker.slot for worker in self._running})
            try:
                worker = self._start(self._waiting[0], slot)
            except (OSError, RunError) as error:
                kind = error.kind if isinstance(error, RunError) else "node"
                self._stop_because(f"cannot start {self._waiting[0].run.id}: {error}", kind)
                return
            self._waiting.popleft()
            self._running.append(worker)
            for one in self._running if len(self._running) > 1 else ():
                one.packed = True
            self._observer.started(worker)

    def _stop_because(self, reason: str, kind: str = "") -> None:
        if not self._stopping:
            self._report.stopped_because, self._report.stopped_by = reason, kind
            self._observer.say(f"no further run is started: {reason}")

    def _start(self, job: Job, slot: int) -> Worker:
        if job.config is not None and not job.run.config_file.exists():
            with disk_errors(job.run.path):
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
        if job.again:
            command.append("--again")
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the worker has ended
        try:
            with _deaf():
                process = subprocess.Popen(
                    command,
                    env=packages.environment(self._division.environment(slot, job.threads)),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    process_group=0,
                )
        except OSError:
            said.close()
            raise
        return Worker(job, slot, process, said, time.time())

    def _collect_ended(self) -> None:
        ended = [worker for worker in self._running if _has_ended(worker)]
        if not ended:
            return
        kills = machine.memory_kills()
        oom, self._memory_kills = kills > self._memory_kills, kills
        for worker in ended:
            self._running.remove(worker)
            outcome = self._outcome(worker, oom=oom)
            worker.said.close()
            self._report.outcomes.append(outcome)
            self._observer.ended(outcome)
            if outcome.condition.kind == "disk":
                self._stop_because(f"cannot write to the disk ({outcome.condition.note})")

    def _outcome(self, worker: Worker, *, oom: bool) -> Outcome:
        run, status = worker.job.run, worker.process.returncode
        condition, _ = observe(run.path, time.time())
        asked = self._level > 0 or worker.told is not None
        oom = oom and status == -signal.SIGKILL and not asked
        recorded = condition.name in {"done", "diverged", "failed", "preempted"}
        if status != OWNED and not recorded and not asked:  # else it had not begun, or was killed by us
            worker.said.seek(0)
            said = worker.said.read().decode(errors="replace").strip().splitlines()
            note = (
                _death(status, oom=oom, submitted=self._asked is not None)
                if status < 0
                else (said or [f"ended with status {status}"])[-1]
            )
            condition = Condition("lost", note=note)
        seconds = time.time() - worker.started
        return Outcome(
            worker.job, condition, seconds, status == OWNED, status, worker.peak_mb, oom, worker.packed
        )

    def _pass_on(self) -> None:
        for worker in self._running:
            if worker.told is not None and time.time() - worker.told > _PATIENCE:
                _signal(worker, signal.SIGKILL)
        if self._passed_on == self._level:
            return
        self._passed_on = self._level
        number = signal.SIGTERM if self._passed_on == 1 else signal.SIGKILL
        if self._running:
            first = "stopping: runs write a checkpoint and leave"
            first += "" if self._asked else " (Ctrl-C again kills them)"
            self._observer.say(first if self._passed_on == 1 else "killing the workers")
        for worker in self._running:
            _signal(worker, number)

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        if self._asked:
            yield
            return

        def count(*_: object) -> None:
            self._signals += 1

        before = {number: signal.signal(number, count) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _signal(worker: Worker, number: signal.Signals) -> None:
    """Signals a worker, and what it started if it is to be killed.

    Not by `Popen.send_signal`: that would also take the status of one that has just ended, which is `_has_ended`'s.
    """
    send = os.killpg if number == signal.SIGKILL else os.kill
    with suppress(ProcessLookupError):
        send(worker.process.pid, number)


@contextmanager
def _deaf() -> Iterator[None]:
    """Holds back the signals that a worker answers; one that starts hears them once its handlers stand."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _has_ended(worker: Worker) -> bool:
    """Whether a worker has ended; notes its peak memory meanwhile.

    What the kernel says at the end counts only if it is more than this process ever had, which a child begins with.
    """
    worker.peak_mb = max(worker.peak_mb, peak_memory_mb(worker.process.pid))
    pid, status, usage = os.wait4(worker.process.pid, os.WNOHANG)
    if not pid:
        return False
    worker.process.returncode = os.waitstatus_to_exitcode(status)
    if usage.ru_maxrss / 1024 > peak_memory_mb():
        worker.peak_mb = usage.ru_maxrss / 1024
    return True


def _death(status: int, *, oom: bool, submitted: bool) -> str:
    """`killed by SIGKILL (often: memory ran out; ...)`, from a negative exit status; a task of `wm submit` says what
    such a run is to be granted.
    """
    number = signal.Signals(-status)
    if oom:
        return f"killed by {number.name}: memory ran out"
    remedy = "raise its memory_gb" if submitted else "try fewer --workers"
    hint = {
        signal.SIGKILL: f" (often: memory ran out; {remedy})",
        signal.SIGSEGV: " (a crash inside a library; see log.txt)",
    }
    return f"killed by {number.name}{hint.get(number, '')}"
