"""The local executor: this machine as a cluster, with a queue that outlives the terminal and GPU slots.

`Local.submit` starts one detached process per array (`studies.cluster.localpool`); who comes first is in
`studies.cluster.localqueue`. Nothing else runs: there is no daemon.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from harness import claim
from harness.errors import UserError
from harness.rundir import read_jsonl
from studies import machine
from studies.cluster import localqueue
from studies.cluster.localqueue import PoolDir, Ticket
from studies.cluster.types import Accounted, Limits, Order, Queued, SubmissionError

_BEGIN_SECONDS = 60.0
"""How long a pool may take to begin; a busy machine loads Python slowly."""

_FOREIGN = ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_", "SUBMITIT_")
"""Variables of a job in which `wm submit` is called; its tasks are no part of that job."""

_TASKS = 1_000_000


class Local:
    """This machine; see `studies.cluster.types.Cluster`."""

    name = "local"
    has_accounting = True
    cluster_name = None

    def submit(self, order: Order) -> str:
        """Starts a pool in the background and returns its job number."""
        try:
            pool = localqueue.add(_ticket(order))
        except OSError as error:
            raise SubmissionError(f"{localqueue.registry()}: {error.strerror or error}") from error
        assert pool.ticket is not None
        try:
            _launch(pool, order)
        except SubmissionError:
            shutil.rmtree(pool.path, ignore_errors=True)
            raise
        return pool.ticket.job

    def script(self, order: Order) -> str:
        """The shell lines that start a task; ``$WM_TASK`` is its index."""
        module = order.call.partition(":")[0]
        python = order.python.removeprefix("exec ")
        call = f"-P -m {module} {shlex.quote(str(order.folder))} {order.array} $WM_TASK"
        setup = [order.resources.setup.rstrip("\n")] if order.resources.setup else []
        return "\n".join(["set -e", *setup, f"exec {python} {call}", ""])

    def queue(self) -> dict[str, Queued] | None:
        """The tasks of pools that live."""
        found: dict[str, Queued] = {}
        for pool in localqueue.living():
            if (ticket := pool.ticket) is not None:
                found |= {ticket.key(index): task for index, task in _unended(pool, ticket).items()}
        return found

    def accounting(self, jobs: Collection[str], since: float) -> dict[str, Accounted] | None:
        """What became of the tasks of some jobs; those of a pool that was killed died with it."""
        del since  # no number is ever used again
        found: dict[str, Accounted] = {}
        for job in jobs:
            named = localqueue.pool_of(job)
            if named is not None and (ticket := named[0].ticket) is not None:
                found |= {ticket.key(index): record for index, record in _records(named[0], ticket).items()}
        return found

    def cancel(self, keys: Sequence[str]) -> None:
        """Asks the pools; what waits is out of the queue at once, what runs leaves at a checkpoint."""
        for key in keys:
            found = localqueue.pool_of(key)
            if found is None:
                continue
            pool, which = found
            try:
                pool.cancel(which)
            except OSError as error:
                raise UserError(f"{pool.path}: {error.strerror or error}") from error

    def throttle(self, job: str, parallel: int) -> None:
        """Nothing: the next array begins once all tasks of this one have begun."""

    def limits(self) -> Limits:
        """None."""
        return Limits(max_array_size=_TASKS)


def _ticket(order: Order) -> dict[str, object]:
    """The fields of an order's ticket: what a task holds is at most what this machine has."""
    asked = order.resources
    gpus = asked.gpus
    if not gpus and machine.gpus():  # what `wm run` would give a GPU gets one here
        tasks: Iterator[Any] = read_jsonl(order.folder / f"array-{order.array}.runs.jsonl")
        gpus = int(any(machine.uses_gpu(run["config"]) for task in tasks for run in task))
    return {
        "name": order.name,
        "folder": str(order.folder),
        "array": order.array,
        "size": order.size,
        "script": Local().script(order),
        "cpus": min(asked.cpus, machine.cores()),
        "memory_gb": min(asked.memory_gb, machine.memory_gb()),
        "gpus": min(gpus, len(machine.gpus())),
        "parallel": order.parallel,
        "after": list(order.after),
    }


def _launch(pool: PoolDir, order: Order) -> None:
    """Starts a pool's process and waits until it says that it lives.

    Raises:
        SubmissionError: it does not.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    log = order.folder / "logs" / f"local-{order.array}.log"
    command = [sys.executable, "-P", "-m", "studies.cluster.localpool", str(pool.path)]
    try:
        with log.open("ab") as output:
            ended = subprocess.run(
                command,
                env={**inherited, **order.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                timeout=_BEGIN_SECONDS,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SubmissionError(f"the pool cannot be started: {error}") from error
    end = time.monotonic() + _BEGIN_SECONDS
    while ended.returncode == 0 and time.monotonic() < end:
        if pool.state_file.exists():
            return
        time.sleep(0.02)
    with suppress(OSError):
        raise SubmissionError(f"the pool did not begin; {log} ends with:\n{log.read_text()[-1000:]}")
    raise SubmissionError(f"the pool did not begin; see {log}")


def _unended(pool: PoolDir, ticket: Ticket) -> dict[int, Queued]:
    """The tasks of a living pool that wait or run, by index."""
    state = pool.read_state()  # before what has ended: a task that ends in between is in both
    ended = pool.ended()
    cancelled = pool.cancelled(ticket.size)
    node = socket.gethostname()
    found = {}
    for index in range(ticket.size):
        if index in ended:
            continue
        if state is not None and index in state.running:
            found[index] = Queued("RUNNING", node=node, name=ticket.name)
        elif index not in cancelled:
            reason = (state.reason if state else "") or "Resources"
            found[index] = Queued("PENDING", reason, name=ticket.name)
    return found


def _records(pool: PoolDir, ticket: Ticket) -> dict[int, Accounted]:
    """What is known of every task of a pool, by index.

    A task that ran when its pool was killed, or the machine restarted, ended with it; one that had not begun is said to
    have been preempted: nothing was wrong with it, and nothing was lost.
    """
    alive, state = pool.alive, pool.read_state()
    running = state.running if state else {}
    cancelled, ended, queued = pool.cancelled(ticket.size), pool.ended(), _unended(pool, ticket)
    same_boot = state is not None and state.owner.boot == claim.this_machine()[1]
    node = socket.gethostname()
    found = {}
    for index in range(ticket.size):
        begun = running.get(index, {}).get("start")
        if index in ended:
            found[index] = _of_line(ended[index], ticket.name, node)
        elif alive and index in queued:
            found[index] = Accounted(queued[index].state, name=ticket.name, node=node, start=begun)
        elif index in cancelled:
            found[index] = Accounted("CANCELLED", name=ticket.name, node=node, start=begun)
        elif begun is None:
            found[index] = Accounted("PREEMPTED", name=ticket.name, node=node)
        elif same_boot:
            found[index] = Accounted("FAILED", signal=9, name=ticket.name, node=node, start=begun)
        else:
            found[index] = Accounted("NODE_FAIL", name=ticket.name, node=node, start=begun)
    return found


def _of_line(line: Mapping[str, Any], name: str, node: str) -> Accounted:
    return Accounted(
        line["state"],
        line.get("exit", 0),
        line.get("signal", 0),
        name=name,
        node=node,
        start=line.get("start"),
        end=line["end"],
    )
