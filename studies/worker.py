"""One worker process: claims one run directory, executes the run, leaves an exit status.

``python -m studies.worker RUN_DIR --datasets DIR``, started by `studies.pool` with the environment of
`studies.packages`. A signal (or the death of its parent) asks the run to checkpoint and leave. Nothing heavy
is imported before the signal handlers stand.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.claim import Claim

EXECUTE = "harness.entry:execute"
LOG_BYTES = 4 * 2**20
"""Size that a run's log.txt may reach before its older half is dropped."""

EXIT_STATUS = {"done": 0, "failed": 1, "diverged": 3, "preempted": 75}
WRONG = 2  # the request was wrong, or the installation is
OWNED = 76  # another process owns the run
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
"""Each asks the run to checkpoint and leave."""

_POLL_SECONDS = 0.5
_ASK_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0)
"""Pauses between questions whether an owner in another job is gone: a scheduler may not answer at once."""


class Stop:
    """True once a signal has asked the run to leave; a plain flag, so that a handler never deadlocks."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        return self.requested

    def request(self, *_: object) -> None:
        self.requested = True

    def on_signals(self) -> None:
        """Listens to `SIGNALS`, also to one that the pool held back while this process started."""
        for number in SIGNALS:
            signal.signal(number, self.request)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def main(arguments: list[str] | None = None) -> int:
    """Runs the worker; returns its exit status."""
    stop = Stop()
    stop.on_signals()
    faulthandler.enable()
    parser = argparse.ArgumentParser(prog="python -m studies.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--datasets", type=Path, required=True)
    parser.add_argument("--parent", type=int, default=0, help="leave when this process is gone")
    parser.add_argument("--execute", default=EXECUTE, help="what executes the run, as module:function")
    parser.add_argument("--again", action="store_true", help="try a run again that is recorded as failed")
    options = parser.parse_args(arguments)

    from harness.claim import OwnedElsewhere
    from harness.errors import UserError
    from studies import packages

    try:
        packages.verify()
        claim = own(options.run, stop)
    except OwnedElsewhere as error:
        print(error, file=sys.stderr)
        return OWNED
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return WRONG
    try:
        log = _redirect_to(options.run / "log.txt")
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
        threading.Thread(target=_watch, args=(options.parent, stop, log), daemon=True).start()
        if options.again:
            forget_failure(options.run)
        ending = run_claimed(options.run, options.datasets, stop, claim.still_mine, options.execute)
        print(f"--- {ending}, {time.strftime('%Y-%m-%d %H:%M:%S')}", flush=True)
    finally:
        claim.release()
        for (
            number
        ) in SIGNALS:  # one that comes while Python ends would make a kill of an ending that is recorded
            signal.signal(number, signal.SIG_IGN)
    return EXIT_STATUS[ending]


def own(path: Path, stop: Stop) -> Claim:
    """Claims a run; asks again for minutes while it seems to belong to another job that gives no sign of life.

    Raises:
        OwnedElsewhere: its owner is alive, or nobody could say that it is not.
        UserError: as `harness.claim.acquire`.
    """
    from harness.claim import OwnedElsewhere, acquire, current, is_visible
    from harness.rundir import read_state
    from studies.cluster.owners import is_gone  # of a job that was requeued to another node

    first = read_state(path)
    pauses = list(_ASK_SECONDS)
    while True:
        try:
            return acquire(path, is_gone)
        except OwnedElsewhere:
            owner = current(path)
            here = owner is None or owner.job is None or is_visible(owner)
            if here or not pauses or read_state(path) != first:
                raise
        end = time.monotonic() + pauses.pop(0)
        while time.monotonic() < end:
            if stop():
                return acquire(path)
            time.sleep(0.1)


def run_claimed(path: Path, datasets: Path, stop: Stop, owns: object, execute: str = EXECUTE) -> str:
    """Executes a run that this process owns; a failure of `execute` itself is recorded in state.json.

    Returns:
        done, diverged, failed or preempted. What was recorded as done, diverged or failed is not run again.
    """
    from harness.registry import load
    from harness.rundir import Failure, RunDir, RunState

    run = RunDir(path)
    state = run.read_state()
    if state is not None and state.state in {"done", "diverged", "failed"}:
        return state.state
    try:
        return str(load(execute)(run, stop=stop, owns=owns, datasets=datasets))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is recorded
        text = traceback.format_exc()
        print(text, file=sys.stderr, flush=True)
        state = run.read_state() or RunState(id=run.id, state="failed")
        state.state, state.heartbeat = "failed", time.time()
        state.error = Failure("code", f"{type(error).__name__}: {error}", text)
        run.write_state(state)
        return "failed"


def forget_failure(path: Path) -> None:
    """Makes a failed run, which this process owns, startable again: it continues from its checkpoint."""
    from harness.rundir import RunDir

    run = RunDir(path)
    state = run.read_state()
    if state is not None and state.state == "failed":
        run.state_file.replace(path / "state.previous.json")


def _redirect_to(log: Path) -> int:
    """Appends what this process and its libraries print to a file, after a header for this attempt."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    print(f"\n=== attempt by process {os.getpid()}, {time.strftime('%Y-%m-%d %H:%M:%S')}", flush=True)
    return descriptor


def _watch(parent: int, stop: Stop, log: int) -> None:
    """Asks the run to leave when the parent is gone, and keeps the log within its size."""
    while True:
        if parent and os.getppid() != parent:
            stop.request()
        shorten(log)
        time.sleep(_POLL_SECONDS)


def shorten(log: int) -> None:
    """Drops the older half of a log, an open file that is appended to, once it is larger than `LOG_BYTES`."""
    size = os.fstat(log).st_size
    if size > LOG_BYTES:
        tail = os.pread(log, LOG_BYTES // 2, size - LOG_BYTES // 2)
        os.ftruncate(log, 0)
        os.write(log, b"[older lines dropped]\n" + tail.partition(b"\n")[2])


if __name__ == "__main__":
    sys.exit(main())
