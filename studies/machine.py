"""What this machine has, and how the pool divides it between workers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKER_GB = 2.0
"""Memory that a worker of a small study takes: torch, a simulator, a replay that is memory-mapped."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Division:
    """How many workers run at once, the CPU threads of each, and the GPUs they take turns on."""

    workers: int
    threads: int
    gpus: tuple[str, ...] = ()

    def environment(self, slot: int, threads: int | None = None) -> dict[str, str]:
        """The variables of the worker in a slot; `threads` is what its run asks for, if anything."""
        variables = dict.fromkeys(_THREAD_VARIABLES, str(threads or self.threads))
        if self.gpus:
            variables["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return variables


def divide(configs: Iterable[dict[str, Any]], workers: int | None = None) -> Division:
    """Divides this machine between workers, the same way every time.

    The threads of a run do not depend on how many runs are left: a continued run gets the threads it had.

    Args:
        configs: the configurations of the study's runs, as its plan holds them.
        workers: how many at once; None: one per core (or per share of a GPU), as far as memory goes.
    """
    runs_per_gpu = 1
    use_gpu = False
    for config in configs:
        if uses_gpu(config):
            use_gpu = True
            runs_per_gpu = max(runs_per_gpu, config["resources"]["runs_per_gpu"] or 1)
    found = gpus() if use_gpu else ()
    if workers is None:
        workers = len(found) * runs_per_gpu or max(1, min(cores(), int(memory_gb() / WORKER_GB)))
    return Division(workers, max(1, cores() // workers), found)


def uses_gpu(config: dict[str, Any]) -> bool:
    """Whether a run computes on a GPU where there is one."""
    return bool(config["agent"] == "model" and config["runtime"]["device"] != "cpu")


def cores() -> int:
    """CPU cores that this process may use: its affinity, and the quota of its container."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(allowed, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return allowed


def memory_gb() -> float:
    """Memory of this machine or container in GB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total / 1e9


def memory_kills() -> int:
    """How many processes the kernel has killed for memory so far.

    Counts those in the control group of this process, where its children are too; else on the whole machine.
    """
    for file in (*_group_files(), Path("/proc/vmstat")):
        with suppress(OSError, ValueError):
            fields = dict(line.split(maxsplit=1) for line in file.read_text().splitlines())
            if "oom_kill" in fields:
                return int(fields["oom_kill"])
    return 0


def _group_files() -> Iterator[Path]:
    """Where the control group of this process counts kills, by version 2 and by version 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            yield Path(f"/sys/fs/cgroup{place}/memory.events")
        elif "memory" in controllers.split(","):
            yield Path(f"/sys/fs/cgroup/memory{place}/memory.oom_control")


def gpus() -> tuple[str, ...]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; loads no torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() not in {"", "-1"})
    count = sum(1 for path in Path("/dev").glob("nvidia*") if path.name[6:].isdigit())
    return tuple(str(index) for index in range(count))


def free_gb(path: Path) -> float:
    """Free disk space where a directory is, or will be made, in GB."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / 1e9
