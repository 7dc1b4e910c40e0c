"""The process behind one array of the local executor: starts its tasks in order, as many as this machine holds.

``python -P -m studies.cluster.localpool POOL``, started by `studies.cluster.local`. It has no terminal, survives the
one it came from, and takes turns with this user's other pools (`studies.cluster.localqueue`). SIGTERM asks its tasks
to checkpoint and leave; so does its death.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import claim
from studies import machine
from studies.cluster import localqueue
from studies.cluster.localqueue import PoolDir, PoolState, Ticket

_POLL_SECONDS = 0.25
_IDLE_SECONDS = 1.0
_KILL_SECONDS = 120.0
"""A task that was asked to leave and has not is killed after this long."""

_PR_SET_PDEATHSIG = 1
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)  # Linux has it


@dataclass
class _Task:
    index: int
    process: subprocess.Popen[bytes]
    started: float
    asked: float | None = None  # when it was asked to leave
    cancelled: bool = False


class LocalPool:
    """Runs the tasks of a ticket."""

    def __init__(self, pool: PoolDir, ticket: Ticket) -> None:
        self._pool = pool
        self._ticket = ticket
        self._state = PoolState(claim.this_process(), reason="Dependency" if ticket.after else "Resources")
        self._waiting = deque(range(ticket.size))
        self._running: list[_Task] = []
        self._stopping = False

    def run(self) -> None:
        """Runs until every task has ended, or a signal asks to stop; what is left then counts as died with it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._pool.write_state(self._state)
        while self._running or (self._waiting and not self._stopping):
            self._cancel()
            self._collect()
            if not self._stopping:
                with suppress(TimeoutError):
                    self._start()
            time.sleep(_POLL_SECONDS if self._running else _IDLE_SECONDS)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _cancel(self) -> None:
        """Asks tasks to leave: those that were cancelled, all of them when the pool has to stop."""
        cancelled = self._pool.cancelled(self._ticket.size)
        for index in [index for index in self._waiting if index in cancelled]:
            self._waiting.remove(index)
            self._pool.end(index, "CANCELLED")
        for task in self._running:
            task.cancelled = task.cancelled or task.index in cancelled
            if not (task.cancelled or self._stopping):
                continue
            if task.asked is None:
                task.asked = time.monotonic()
                task.process.terminate()
            elif time.monotonic() - task.asked > _KILL_SECONDS:
                task.process.kill()

    def _collect(self) -> None:
        ended = [task for task in self._running if task.process.poll() is not None]
        for task in ended:
            status = task.process.returncode
            self._pool.end(
                task.index,
                "CANCELLED" if task.cancelled else "FAILED" if status else "COMPLETED",
                exit=max(status, 0),
                signal=max(-status, 0),
                start=task.started,
            )
            self._running.remove(task)
            del self._state.running[task.index]
        if ended:
            self._pool.write_state(self._state)

    def _start(self) -> None:
        """Starts what may start now, and says why the rest waits."""
        while True:
            with localqueue.lock():
                reason, gpus = self._may_start()
                if reason != self._state.reason:
                    self._state.reason = reason
                    self._pool.write_state(self._state)
                if reason or not self._waiting:
                    return
                index = self._waiting.popleft()
                self._state.running[index] = {"start": time.time(), "gpus": gpus}
                self._pool.write_state(self._state)
            try:
                self._running.append(self._launch(index, gpus))
            except OSError as error:
                print(f"task {index} cannot be started: {error}", file=sys.stderr, flush=True)
                del self._state.running[index]
                self._pool.end(index, "FAILED", exit=1, start=time.time())

    def _may_start(self) -> tuple[str, list[str]]:
        """Why no task may start, as SLURM would say it, or the empty string; and the GPUs of one that may."""
        ticket = self._ticket
        if not self._waiting:
            return "", []
        if ticket.parallel is not None and len(self._running) >= ticket.parallel:
            return "JobArrayTaskLimit", []
        if ticket.after and localqueue.unfinished(ticket.after):
            return "Dependency", []
        if not localqueue.is_first(ticket.number):
            return "Priority", []
        cpus, memory, gpus = localqueue.free()
        if cpus < ticket.cpus or memory < ticket.memory_gb or len(gpus) < ticket.gpus:
            return "Resources", []
        return "", gpus[: ticket.gpus]

    def _launch(self, index: int, gpus: list[str]) -> _Task:
        environment = os.environ | {"WM_TASK": str(index), "WM_JOB": self._ticket.key(index)}
        if machine.gpus():
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        with (
            self._ticket.log(index, "out").open("ab") as out,
            self._ticket.log(index, "err").open("ab") as err,
        ):
            process = subprocess.Popen(
                ["/bin/bash", "-c", self._ticket.script],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                process_group=0,
                preexec_fn=partial(_leave_with, os.getpid()),  # noqa: PLW1509 - this process has one thread
            )
        return _Task(index, process, time.time())


def _leave_with(parent: int) -> None:
    """Has the kernel send this process SIGTERM when its parent dies."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before
            os._exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Leaves the process that started it, and runs the pool."""
    (path,) = arguments if arguments is not None else sys.argv[1:]
    if os.fork():
        os._exit(0)  # the parent waits for this one; init then has the pool
    pool = PoolDir(Path(path))
    if pool.ticket is None:
        print(f"{path}: no such pool", file=sys.stderr)
        return 1
    LocalPool(pool, pool.ticket).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
