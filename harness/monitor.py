"""A run's state file while it runs: progress, heartbeat, and the question whether to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness.rundir import RunDir, RunState

_EVERY = 2.0  # seconds between heartbeats


class Stopped(Exception):
    """The run was asked to stop: checkpoint and leave."""


class Monitor:
    """Keeps `state.json` current.

    Args:
        run: the run.
        state: as the attempt begins.
        stop: polled at every tick.
        owns: asked before the state is replaced; a run that was taken over writes nothing.
    """

    def __init__(
        self, run: RunDir, state: RunState, stop: Callable[[], bool], owns: Callable[[], bool]
    ) -> None:
        self.run = run
        self.state = state
        self._stop = stop
        self._owns = owns
        self._written = 0.0

    def tick(self, **changes: Any) -> None:
        """Takes in changes of the state, writes it now and then.

        Raises:
            Stopped: the run is to stop.
        """
        for name, value in changes.items():
            setattr(self.state, name, value)
        now = time.time()
        if now - self._written >= _EVERY:
            self.write()
        if self._stop():
            raise Stopped

    def write(self, **changes: Any) -> None:
        """Takes in changes and writes the state now, unless the run is no longer ours."""
        for name, value in changes.items():
            setattr(self.state, name, value)
        self.state.heartbeat = self._written = time.time()
        if self._owns():
            self.run.write_state(self.state)
