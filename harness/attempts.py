"""attempts.jsonl: how each attempt at a run began and ended, and a reserve of disk to say so when the disk is full."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from harness.config import Category, RunConfig
from harness.config.fields import category_of, walk
from harness.devices import Proven
from harness.disk import disk_errors
from harness.errors import RunError
from harness.monitor import Monitor
from harness.own import own_paths
from harness.provenance import (
    code_digest,
    environment_digest,
    gpu_memory,
    peak_memory_mb,
    source,
    whereabouts,
)
from harness.rundir import Ending, Failure, RunDir

_RESERVE = ".reserve"
_RESERVE_BYTES = 64 * 1024

log = logging.getLogger("wm")


def record_start(
    run: RunDir,
    config: RunConfig,
    attempt: int,
    device: str,
    gpu: dict[str, Any] | None,
    drawing: Proven | None,
    threads: int,
) -> None:
    """Appends the `start` line of an attempt and sets disk space aside for its ending.

    Args:
        run: the run.
        config: its configuration.
        attempt: its number.
        device: as torch writes it.
        gpu: that it is: name, uuid, and its index in CUDA_VISIBLE_DEVICES.
        drawing: what draws; None: the task needs no OpenGL.
        threads: of torch.

    Raises:
        RunError: the disk is full.
    """
    numeric = {
        name: _dotted(config, name)
        for name, field in walk(RunConfig)
        if category_of(field) is Category.NUMERIC
    }
    record = {
        "event": "start",
        "attempt": attempt,
        "time": time.time(),
        **whereabouts(),
        **source(),
        "code": code_digest(own_paths(config)),
        "environment": environment_digest(),
        "device": device,
        "gpu": gpu,
        "rendering": drawing.rendering if drawing else None,
        "renderer": drawing.renderer if drawing else None,
        "egl_device": drawing.egl_device if drawing else None,
        "threads": threads,
        "numeric": numeric,
    }
    _append(run.attempts, record)
    reserve = run.path / _RESERVE
    with disk_errors(reserve):
        reserve.write_bytes(os.urandom(_RESERVE_BYTES))  # random: no file system can compress it away


def record_end(run: RunDir, monitor: Monitor, ending: Ending, error: Failure | None) -> None:
    """Appends the `end` line of an attempt and writes the run's last state, from the reserve if the disk is full."""
    record: dict[str, Any] = {
        "event": "end",
        "attempt": monitor.state.attempt,
        "time": time.time(),
        "ending": ending,
        "peak_memory_mb": peak_memory_mb(),
        **gpu_memory(),
    }
    if error is not None:
        record["error"] = {"kind": error.kind, "message": error.message}
    (run.path / _RESERVE).unlink(missing_ok=True)
    try:
        monitor.write(state=ending, error=error, phase=ending)
        _append(run.attempts, record)
    except (OSError, RunError):
        log.exception("could not record the ending %s", ending)


def _append(path: Path, record: dict[str, Any]) -> None:
    with disk_errors(path), path.open("ab") as file:
        if file.tell() and not path.read_bytes().endswith(b"\n"):
            file.write(b"\n")  # a kill left half a line
        file.write(json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _dotted(config: RunConfig, name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value
