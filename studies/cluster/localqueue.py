"""The pools of this user on this machine: who is before whom, what each holds, and what became of its tasks.

::

    ~/.cache/wm/pools/<machine>/
      lock                   held while a pool decides whether a task of its may start
      7-3f2a/                the pool of job L7-3f2a; the number is its place in the queue
        pool.json            what was ordered, and by which process; immutable
        state.json           written by the pool: its process, the tasks that run and what they hold
        ended.jsonl          appended by the pool: how each task ended
        cancel-4, cancel-all what is asked of the pool
      over                 its process was seen to be gone

A pool is alive if its process is (`harness.claim` says how that is known). What is left of a dead one never runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

from harness import claim
from harness.rundir import read_jsonl, write_atomically
from studies import machine

KEPT_SECONDS = 30 * 86400.0
"""How long a pool that has ended is remembered."""

LOCK_SECONDS = 20.0
ALL = "all"


@dataclass(frozen=True)
class Ticket:
    """A pool as ordered.

    Attributes:
        number, token: make the job's number; the lower number goes first.
        name: of the job.
        folder: ``dispatch/<submission>``.
        array: number of the array in it.
        size: tasks.
        script: shell lines that start a task; ``$WM_TASK`` is its index.
        cpus, memory_gb, gpus: of one task, no more than this machine has.
        parallel: tasks at once, None for no limit.
        after: jobs or tasks that must have ended.
        time: unix seconds.
        starter: the process that ordered it.
    """

    number: int
    token: str
    name: str
    folder: str
    array: int
    size: int
    script: str
    cpus: int
    memory_gb: float
    gpus: int
    parallel: int | None
    after: tuple[str, ...]
    time: float
    starter: claim.Owner

    @property
    def job(self) -> str:
        """The job's number."""
        return f"L{self.number}-{self.token}"

    def key(self, index: int) -> str:
        """What a task is called."""
        return self.job if self.size == 1 else f"{self.job}_{index}"

    def log(self, index: int, end: str) -> Path:
        """Where a task's output (`out` or `err`) goes, as `records.Array.log_files` has it."""
        return Path(self.folder) / "logs" / f"{self.key(index)}_0_log.{end}"


@dataclass
class PoolState:
    """What a pool last wrote: its process, its running tasks (start and GPUs by index), why the others wait."""

    owner: claim.Owner
    running: dict[int, dict[str, Any]] = field(default_factory=dict)
    reason: str = ""


class PoolDir:
    """The directory of one pool: readers, and the few writers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_file = path / "state.json"
        self.ended_file = path / "ended.jsonl"

    @cached_property
    def ticket(self) -> Ticket | None:
        """What was ordered; None if it is not, or no longer, there."""
        content = _json(self.path / "pool.json")
        if content is None:
            return None
        after = {"after": tuple(content["after"]), "starter": claim.Owner(**content["starter"])}
        return Ticket(**content | after)

    def read_state(self) -> PoolState | None:
        """What the pool last wrote; None before it has begun."""
        content = _json(self.state_file)
        if content is None:
            return None
        running = {int(index): task for index, task in content["running"].items()}
        return PoolState(claim.Owner(**content["owner"]), running, content["reason"])

    def write_state(self, state: PoolState) -> None:
        """Replaces state.json."""
        write_atomically(self.state_file, json.dumps(asdict(state)), sync=False)

    def ended(self) -> dict[int, dict[str, Any]]:
        """How tasks ended, by index."""
        return {line["index"]: line for line in read_jsonl(self.ended_file)}

    def end(self, index: int, state: str, **fields: Any) -> None:
        """Records how a task ended."""
        with self.ended_file.open("a") as file:
            file.write(json.dumps({"index": index, "state": state, "end": time.time(), **fields}) + "\n")

    def cancel(self, which: str) -> None:
        """Asks the pool to end a task, or `ALL`."""
        with suppress(FileNotFoundError):
            (self.path / f"cancel-{which}").touch()

    def cancelled(self, size: int) -> set[int]:
        """The tasks that were to be ended."""
        with suppress(FileNotFoundError):
            words = {name.partition("-")[2] for name in os.listdir(self.path) if name.startswith("cancel-")}  # noqa: PTH208 - names alone
            return set(range(size)) if ALL in words else {int(word) for word in words}
        return set()

    def owner(self) -> claim.Owner | None:
        """The pool's process, or before it has begun the one that ordered it."""
        state = self.read_state()
        if state is not None:
            return state.owner
        return self.ticket.starter if self.ticket else None

    @property
    def alive(self) -> bool:
        """Whether its process lives; one that has begun and is over is not asked after again.

        One that has not may still begin, although the process that ordered it is gone.
        """
        over = self.path / "over"
        if over.exists():
            return False
        has_begun = self.state_file.exists()
        owner = self.owner()
        lives = owner is not None and claim.is_alive(owner)
        if has_begun and not lives:
            with suppress(OSError):
                over.touch()
        return lives


def registry() -> Path:
    """Where the pools of this user on this machine are; another container is another machine."""
    host, _, namespace = claim.this_machine()
    digest = hashlib.sha256(f"{host} {namespace}".encode()).hexdigest()[:8]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "wm" / "pools" / f"{socket.gethostname()}-{digest}"


def pools() -> list[PoolDir]:
    """Every pool that is remembered, the first in the queue first."""
    found = []
    with suppress(FileNotFoundError):
        for name in os.listdir(registry()):  # noqa: PTH208 - many names
            number, _, token = name.partition("-")
            if number.isdigit() and token:
                found.append((int(number), PoolDir(registry() / name)))
    return [pool for _, pool in sorted(found, key=itemgetter(0))]


def living() -> list[PoolDir]:
    """The pools whose process lives, the first in the queue first."""
    return [pool for pool in pools() if pool.alive]


def pool_of(key: str) -> tuple[PoolDir, str] | None:
    """The pool of a job or task, and the task's index or `ALL`; None if the key is not of this machine's."""
    job, _, index = key.partition("_")
    pool = PoolDir(registry() / job.removeprefix("L"))
    if not job.startswith("L") or pool.ticket is None:
        return None
    return pool, index or ALL


def add(order: Mapping[str, Any]) -> PoolDir:
    """Puts a pool at the end of the queue.

    Args:
        order: the fields of its `Ticket` that are not told by place and time.
    """
    home, token = registry(), uuid.uuid4().hex[:4]
    side = home / f".{token}"
    side.mkdir(parents=True)
    _prune()
    try:
        with lock():
            number = 1 + max((int(pool.path.name.partition("-")[0]) for pool in pools()), default=0)
            place = {"number": number, "token": token, "time": time.time()}
            content = {**order, **place, "starter": asdict(claim.this_process())}
            write_atomically(side / "pool.json", json.dumps(content), sync=False)
            return PoolDir(side.rename(home / f"{number}-{token}"))
    except OSError:
        shutil.rmtree(side, ignore_errors=True)
        raise


def _prune() -> None:
    """Forgets pools that ended long ago."""
    for pool in pools():
        with suppress(OSError):
            if time.time() - pool.path.stat().st_mtime > KEPT_SECONDS and not pool.alive:
                shutil.rmtree(pool.path, ignore_errors=True)


@contextmanager
def lock() -> Iterator[None]:
    """Nobody else is in it meanwhile; it is held for moments only.

    Raises:
        TimeoutError: another process has it all the same, and may have been stopped there.
    """
    file_name = registry() / "lock"
    end = time.monotonic() + LOCK_SECONDS
    with file_name.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"another process holds {file_name}") from None
                time.sleep(0.02)
        yield


def is_first(number: int) -> bool:
    """Whether no earlier pool has a task that waits for room."""
    for pool in living():
        if int(pool.path.name.partition("-")[0]) >= number:
            return True
        state = pool.read_state()
        if state is None or state.reason in {"Resources", "Priority"}:
            return False
    return True


def free() -> tuple[float, float, list[str]]:
    """The CPU cores, GB of memory and GPUs that no pool holds."""
    cpus, memory, gpus = float(machine.cores()), machine.memory_gb(), list(machine.gpus())
    for pool in living():
        state, ticket = pool.read_state(), pool.ticket
        if state is None or ticket is None:
            continue
        cpus -= ticket.cpus * len(state.running)
        memory -= ticket.memory_gb * len(state.running)
        taken = {name for task in state.running.values() for name in task["gpus"]}
        gpus = [name for name in gpus if name not in taken]
    return cpus, memory, gpus


def unfinished(keys: Collection[str]) -> bool:
    """Whether a job or task of these may still run or wait."""
    for key in keys:
        found = pool_of(key)
        if found is None or not found[0].alive or found[0].ticket is None:
            continue
        pool, which = found
        left = set(range(found[0].ticket.size)) - set(pool.ended())
        if left if which == ALL else int(which) in left:
            return True
    return False


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None
