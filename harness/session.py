"""What one attempt at a run works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.config import RunConfig
from harness.monitor import Monitor
from harness.rundir import RunDir
from harness.tasks.spec import Task


@dataclass(frozen=True)
class Session:
    """The pieces that the parts of an attempt share.

    Attributes:
        run: the run's directory.
        config: what it is to do.
        task: what it plays.
        device: where its model lives.
        monitor: progress, heartbeat, and the question whether to stop.
        owns: whether the run is still ours; asked before every commit.
        datasets: RUNS/datasets, shared by the runs of all studies.
    """

    run: RunDir
    config: RunConfig
    task: Task
    device: torch.device
    monitor: Monitor
    owns: Callable[[], bool]
    datasets: Path
