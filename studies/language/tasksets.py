"""The named sets of tasks of studies/tasks.yaml, which stand for their members in a grid or a condition."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from studies.language.document import parse_yaml, read_text
from studies.language.problems import Problems

TASKS_FILE = Path(__file__).parents[1] / "tasks.yaml"
"""Package data."""


@dataclass(frozen=True)
class TaskSet:
    """A set of tasks.

    Attributes:
        name: what a study writes.
        about: in a few words.
        repeats: the action repeat of each member, by the task's name.
        sources: where that number comes from.
    """

    name: str
    about: str
    repeats: dict[str, int]
    sources: dict[str, str]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of its members, in the order of the file."""
        return tuple(self.repeats)


@functools.cache
def task_sets() -> dict[str, TaskSet]:
    """The sets by name."""
    problems = Problems()
    root = parse_yaml(read_text(TASKS_FILE), TASKS_FILE.name, problems)
    problems.raise_any()
    assert root is not None
    content = root.plain()
    return {
        name: TaskSet(
            name,
            row["about"],
            {task: numbers["action_repeat"] for task, numbers in row["tasks"].items()},
            {task: numbers["source"] for task, numbers in row["tasks"].items()},
        )
        for name, row in content.items()
    }
