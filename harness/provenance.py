"""What ran: digests of the code and of the environment, the host and its devices."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("harness", "models", "planners", "studies", "analysis")
"""The five packages of this distribution."""

_SLURM = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT")


def code_root() -> Path:
    """The folder that holds the five packages."""
    return Path(__file__).resolve().parent.parent


@cache
def snapshot() -> dict[str, Any]:
    """What snapshot.json says of the code that runs: commit, dirty, digest, ...; empty if it is no snapshot."""
    try:
        content: dict[str, Any] = json.loads((code_root() / "snapshot.json").read_text())
    except (OSError, ValueError):
        return {}
    return content


@cache
def source() -> dict[str, Any]:
    """Where the code that runs is, its commit, and whether it differs from that; None where nobody knows."""
    found = snapshot() or _checkout()
    return {"code_root": str(code_root()), "commit": found.get("commit"), "dirty": found.get("dirty")}


def _checkout() -> dict[str, Any]:
    """What git says of the code, if it is a work tree."""
    if not (code_root() / ".git").exists():
        return {}
    try:
        commit = _git("rev-parse", "HEAD")
        dirty = bool(_git("status", "--porcelain", "--", *PACKAGES))
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "dirty": dirty}


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(code_root()), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


@cache
def code_digest(own: tuple[str, ...] = ()) -> str:
    """12 hex digits of every Python file of the packages that compute a run (not of studies and analysis).

    Args:
        own: import paths of the user's components, `package.module:Name`, whose packages compute it as well.
    """
    digest = hashlib.sha256()
    for package in PACKAGES[:3]:
        _add(digest, code_root() / package, code_root())
    for package in sorted({path.partition(":")[0].partition(".")[0] for path in own}):
        found = find_spec(package)
        for place in (found.submodule_search_locations or [found.origin or ""]) if found else []:
            _add(digest, Path(place), Path(place).parent)
    return digest.hexdigest()[:12]


def _add(digest: Any, place: Path, root: Path) -> None:
    """Adds the Python files of a folder, or a file."""
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())


@cache
def environment_digest() -> str:
    """12 hex digits of the Python version and of every installed distribution's name and version."""
    installed = sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()})
    return hashlib.sha256("\n".join([sys.version, *installed]).encode()).hexdigest()[:12]


def peak_memory_mb(pid: int | None = None) -> float:
    """The largest resident size of a process so far, in MB; 0 if it is gone.

    Args:
        pid: of the process; None: this one.
    """
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text()
    except OSError:
        status = ""
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    if found:
        return int(found[1]) / 1024
    # elsewhere than on Linux; there it would count what the parent had when it started this process
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 if pid is None else 0.0


def gpu_memory() -> dict[str, Any]:
    """The GPU's name and memory, and the most of it that torch held for this process, in MB; empty without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    peak, number = max((torch.cuda.max_memory_reserved(i), i) for i in range(torch.cuda.device_count()))
    device = torch.cuda.get_device_properties(number)
    total = device.total_memory / 2**20
    return {"gpu": device.name, "gpu_memory_mb": total, "peak_gpu_memory_mb": peak / 2**20}


def whereabouts() -> dict[str, Any]:
    """Host, process and SLURM job, for the record of an attempt."""
    slurm = {name.lower(): value for name in _SLURM if (value := os.environ.get(name))}
    return {"host": socket.gethostname(), "pid": os.getpid(), **slurm}
