"""Who owns a run: numbered claims, so that one process writes a run directory however many try.

::

    claim.1  released          the attempt before
    claim.2  dead              its process was killed
    claim.3  alive             owns: the highest number does

A claim is a complete file that `os.link` puts in place, which fails if the number is taken. A claim is
never deleted: a number that could be used twice would give two owners. A takeover makes the next number,
and only when the owner has released the run or is known to be dead: on this machine, and its process is
gone, or a scheduler says so. Unknown means alive. The owner asks `still_mine` before every commit and
leaves if it was beaten.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.errors import UserError
from harness.rundir import write_atomically

_NAME = re.compile(r"claim\.([1-9][0-9]*)")


@dataclass(frozen=True)
class Owner:
    """A process that claimed a run.

    Attributes:
        host: host name and machine id, so that two machines called `localhost` are two.
        boot: the kernel's boot id; another one on the same host means that the process is gone.
        namespace: the pid namespace that `pid` is a number in (containers have their own).
        start: start of the process in clock ticks since boot; with `pid`, unique within a boot.
        time: unix seconds of the claim.
        job, task, restart: of SLURM; the job's number is that of the array if it belongs to one.
        released: whether the owner has left.
        cluster: of SLURM, by name; None outside a job.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    start: int
    time: float
    job: str | None = None
    task: str | None = None
    restart: str | None = None
    released: bool = False
    cluster: str | None = None

    def __str__(self) -> str:
        job = f", SLURM job {self.job}" if self.job else ""
        job += f"_{self.task}" if self.job and self.task else ""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.time))
        return f"process {self.pid} on {self.host.split(' ')[0]}{job}, since {since}"


class OwnedElsewhere(UserError):
    """Another process owns the run, or nobody can tell that it does not."""

    def __init__(self, run_dir: Path, owner: str) -> None:
        super().__init__(
            f"{run_dir.name} is owned by {owner}. If that process is gone for certain, "
            f"free the run with: wm retry --take-over {run_dir}"
        )
        self.owner = owner


class Claim:
    """Ownership of one run directory by this process."""

    def __init__(self, run_dir: Path, number: int, owner: Owner) -> None:
        self.run_dir = run_dir
        self.number = number
        self.owner = owner

    def still_mine(self) -> bool:
        """Whether nobody took the run over; asked before every commit."""
        if self.owner.released or highest(self.run_dir) != self.number:
            return False
        return (
            read(self.run_dir, self.number) == self.owner
        )  # the directory may have been archived and made anew

    def release(self) -> None:
        """Leaves the run; safe to call twice. Takes nothing away from whoever took the run over."""
        if self.owner.released:
            return
        self.owner = replace(self.owner, released=True)
        write_atomically(self.run_dir / f"claim.{self.number}", _dump(self.owner), sync=False)


def acquire(run_dir: Path, is_gone: Callable[[Owner, Path], bool] | None = None) -> Claim:
    """Makes this process the owner of a run directory, which must exist.

    Args:
        run_dir: of the run.
        is_gone: asked about an owner that this machine cannot see, of this run directory; true only if that one is
            known to be gone.

    Raises:
        OwnedElsewhere: its owner is alive, or may be.
        UserError: the file system has no hard links.
    """
    run_dir = Path(run_dir)
    while True:
        number = highest(run_dir)
        if number and is_alive(owner := read(run_dir, number)) and not _known_gone(owner, run_dir, is_gone):
            raise OwnedElsewhere(
                run_dir, str(owner) if owner else f"whoever wrote an unreadable claim.{number}"
            )
        claim = _link(run_dir, number + 1, this_process())
        if claim is not None:
            return claim


def _known_gone(owner: Owner | None, run_dir: Path, is_gone: Callable[[Owner, Path], bool] | None) -> bool:
    return owner is not None and is_gone is not None and not is_visible(owner) and is_gone(owner, run_dir)


def take_over(run_dir: Path) -> Owner | None:
    """Frees a run whose owner a person knows to be gone, where this machine cannot tell.

    Returns:
        The owner it was taken from; None if the run was free.
    """
    number = highest(run_dir)
    owner = read(run_dir, number) if number else None
    if not number or not is_alive(owner):
        return None
    claim = _link(run_dir, number + 1, this_process())
    if claim is not None:
        claim.release()
    return owner


def highest(run_dir: Path) -> int:
    """The number of the claim that owns; 0 if the run was never claimed."""
    try:
        names = os.listdir(run_dir)  # noqa: PTH208 - names alone, before every commit
    except FileNotFoundError:
        return 0
    return max((int(match[1]) for match in map(_NAME.fullmatch, names) if match), default=0)


def current(run_dir: Path) -> Owner | None:
    """The owner as last claimed, whether it lives or not; None if never claimed or unreadable."""
    number = highest(run_dir)
    return read(run_dir, number) if number else None


def read(run_dir: Path, number: int) -> Owner | None:
    """The owner that a claim names; None if the file is not a claim that this version understands."""
    try:
        return Owner(**json.loads((run_dir / f"claim.{number}").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_of_another_user(run_dir: Path) -> bool:
    """Whether the claim that owns is another user's, of whose jobs a scheduler need not tell this one."""
    try:
        return (run_dir / f"claim.{highest(run_dir)}").stat().st_uid != os.getuid()
    except OSError:
        return False


def is_alive(owner: Owner | None) -> bool:
    """Whether an owner may still write: False only if it released the run or is known to be dead."""
    if owner is None:
        return True
    if owner.released:
        return False
    here = this_machine()
    if owner.host != here[0]:
        return True
    if owner.boot != here[1]:
        return False
    if owner.namespace != here[2] or owner.start == 0:
        return True
    return _start_of(owner.pid) == owner.start


def is_visible(owner: Owner) -> bool:
    """Whether this process can see if the owner's lives, so that `is_alive` is knowledge and not caution."""
    host, _, namespace = this_machine()
    return owner.host == host and owner.namespace == namespace and owner.start != 0


def this_process() -> Owner:
    """This process, as a claim names it."""
    host, boot, namespace = this_machine()
    return Owner(
        host=host,
        boot=boot,
        namespace=namespace,
        pid=os.getpid(),
        start=_start_of(os.getpid()) or 0,
        time=time.time(),
        job=os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID"),
        task=os.environ.get("SLURM_ARRAY_TASK_ID"),
        restart=os.environ.get("SLURM_RESTART_COUNT"),
        cluster=os.environ.get("SLURM_CLUSTER_NAME"),
    )


def this_machine() -> tuple[str, str, str]:
    """Host name with machine id, boot id, and pid namespace; empty where the system does not say."""
    host = f"{socket.gethostname()} {_text('/etc/machine-id')}".strip()
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - the target is no path
    except OSError:
        namespace = ""
    return host, _text("/proc/sys/kernel/random/boot_id"), namespace


def _link(run_dir: Path, number: int, owner: Owner) -> Claim | None:
    """Puts claim.<number> in place; None if another process was faster."""
    side = run_dir / f".claim.{uuid.uuid4().hex}.tmp"
    try:
        with side.open("w") as file:
            file.write(_dump(owner))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(side, run_dir / f"claim.{number}")
        except FileExistsError:
            return None
        except OSError as error:
            hint = (
                ""
                if error.errno == errno.ENOSPC
                else "; does its file system have hard links? if not, move --runs"
            )
            raise UserError(f"{run_dir}: cannot claim the run: {error.strerror}{hint}") from error
    finally:
        side.unlink(missing_ok=True)
    return Claim(run_dir, number, owner)


def _dump(owner: Owner) -> str:
    return json.dumps(asdict(owner))


def _start_of(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if it is gone or only waits to be reaped."""
    stat = _text(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    if not fields or fields[0] in {"Z", "X"}:
        return None
    return int(fields[19])


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
