"""The environments of one process, made when they are first needed and reused from episode to episode."""

from __future__ import annotations

from typing import Any

import gymnasium

from harness.tasks.spec import Task


class Environments:
    """Keeps environments of one task open; making one costs up to a second where frames are rendered."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._open: list[gymnasium.Env[Any, Any]] = []

    def take(self, count: int) -> list[gymnasium.Env[Any, Any]]:
        """The first `count` environments; whatever was played in them before leaves no trace after a reset."""
        while len(self._open) < count:
            self._open.append(self._task.make())
        return self._open[:count]

    def close(self) -> None:
        for env in self._open:
            env.close()
        self._open = []
