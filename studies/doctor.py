"""Checks of this machine and installation, each with the remedy. What is slow loads when it is checked."""

from __future__ import annotations

import importlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.errors import UserError
from studies import doctor_slurm, machine, packages
from studies.cluster.slurm import Slurm
from studies.findings import Finding

_LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "seaborn",
    "pydantic",
    "gymnasium",
    "dm_control",
    "mujoco",
)
_OPTIONAL = {"tensorboard": "pip install 'world-models-study[tensorboard]'"}
_LITTLE_GB = 5.0
_CLOCK_SECONDS = 30.0


def examine(runs: Path) -> Iterator[Finding]:
    """Checks everything that a study on this machine needs, one finding after another.

    Args:
        runs: the directory of all studies; need not exist.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _libraries,
        _torch,
        _rendering,
        _drawing_gpu,
        _hardware,
        lambda: _disk(runs),
        lambda: doctor_slurm.examine(Slurm()),
    )
    for check in checks:
        yield from check()


def _python() -> Iterator[Finding]:
    words = f"{sys.version.split()[0]} at {sys.executable}"
    yield Finding(
        "python", sys.version_info >= (3, 11), words, "install Python 3.11 or newer, make a new .venv"
    )


def _packages() -> Iterator[Finding]:
    try:
        packages.verify()
    except UserError as error:
        yield Finding("packages", ok=False, detail=str(error), remedy="see there")
    else:
        yield Finding("packages", ok=True, detail=f"all five in {packages.code_root()}")


def _libraries() -> Iterator[Finding]:
    for name in _LIBRARIES:
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, ok=False, detail="not installed", remedy="make setup")
            continue
        ok = name != "mujoco" or int(found.split(".")[0]) < 4
        yield Finding(
            name, ok, found, "" if ok else "dm_control needs mujoco < 4: pip install 'mujoco>=3.2,<4'"
        )
    for name, remedy in _OPTIONAL.items():
        try:
            yield Finding(name, ok=True, detail=version(name), needed=False)
        except PackageNotFoundError:
            yield Finding(name, ok=False, detail="not installed (optional)", remedy=remedy, needed=False)


def _torch() -> Iterator[Finding]:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        yield Finding("torch", ok=False, detail=str(error), remedy="make setup")
        return
    threads = torch.get_num_threads()
    detail = f"{torch.__version__}, {threads} thread{'s' * (threads != 1)}"
    yield Finding("torch", ok=True, detail=detail)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
    if names or not machine.gpus():
        yield Finding("gpu", ok=True, detail=names or "none; runs use the CPU", needed=False)
    else:
        remedy = "install a torch that is built for its driver (see pytorch.org)"
        yield Finding(
            "gpu", ok=False, detail="there is one, but torch cannot use it", remedy=remedy, needed=False
        )


def _rendering() -> Iterator[Finding]:
    from harness.tasks.rendering import check_rendering

    checks = check_rendering()
    works = any(check.ok for check in checks)
    for check in checks:
        yield Finding(check.name, check.ok, check.detail, check.remedy, needed=not works)


def _drawing_gpu() -> Iterator[Finding]:
    """Whether EGL can draw on the GPU that CUDA computes on; nothing where CUDA has none."""
    from harness import devices

    seen = devices.look()
    if seen.gpu is None:
        return
    name = "egl device of the gpu"
    same = [device.number for device in seen.candidates if seen.is_same(device, "") is not False]
    asked = os.environ.get("MUJOCO_EGL_DEVICE_ID")
    if not same:
        detail = f"EGL does not know {seen.gpu.name}: frames are drawn by software, which is slower"
        remedy = "install the driver's EGL (libnvidia-gl); in a container, NVIDIA_DRIVER_CAPABILITIES=all"
        yield Finding(name, ok=False, detail=detail, remedy=remedy, needed=False)
    elif asked is not None and asked not in map(str, same):
        detail = f"MUJOCO_EGL_DEVICE_ID={asked}, but {seen.gpu.name}, which CUDA was given, is {same[0]}"
        remedy = "unset MUJOCO_EGL_DEVICE_ID: each run finds its own"
        yield Finding(name, ok=False, detail=detail, remedy=remedy, needed=False)
    else:
        yield Finding(name, ok=True, detail=f"{asked or same[0]} is {seen.gpu.name}", needed=False)


def _hardware() -> Iterator[Finding]:
    cores, memory = machine.cores(), machine.memory_gb()
    detail = f"{cores} core{'s' * (cores != 1)}, {memory:.0f} GB"
    if granted := _granted():
        detail = f"this job has {granted}; seen are {detail}"
    enough = memory >= machine.WORKER_GB
    yield Finding(
        "cpu and memory", enough, detail, f"a worker wants about {machine.WORKER_GB:.0f} GB", needed=False
    )


def _granted() -> str:
    """What SLURM granted to the job that this process is in: `2 cores, 4 GB`; empty outside of one."""
    cores, megabytes = (os.environ.get(name, "") for name in ("SLURM_CPUS_ON_NODE", "SLURM_MEM_PER_NODE"))
    words = [f"{cores} core{'s' * (cores != '1')}"] if cores else []
    if megabytes.isdigit():
        words.append(f"{int(megabytes) / 1024:.3g} GB")
    return ", ".join(words)


def _disk(runs: Path) -> Iterator[Finding]:
    free = machine.free_gb(runs)
    yield Finding(
        "disk", free >= _LITTLE_GB, f"{free:.0f} GB free at {runs}", "free space, or set --runs", needed=False
    )
    folder = runs
    while not folder.exists():
        folder = folder.parent
    file, link = (folder / f".wm-{uuid.uuid4().hex}" for _ in range(2))
    try:
        file.write_text("")
        os.link(file, link)
        drift = abs(file.stat().st_mtime - time.time())
    except OSError as error:
        remedy = "set --runs (or WM_RUNS) to a directory that you can write, on a file system with hard links"
        yield Finding("runs directory", ok=False, detail=f"{folder}: {error.strerror}", remedy=remedy)
        return
    finally:
        file.unlink(missing_ok=True)
        link.unlink(missing_ok=True)
    yield Finding("runs directory", ok=True, detail=f"{folder} can be written and has hard links")
    agrees = drift < _CLOCK_SECONDS
    detail = "agrees with the file system's" if agrees else f"{drift:.0f} s away from the file system's"
    yield Finding("clock", agrees, detail, "set both machines' clocks (NTP)", needed=False)
