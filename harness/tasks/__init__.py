"""Tasks: a Gymnasium environment factory with a spec that is readable without a simulator."""

from harness.tasks.catalogue import find_task, task_names
from harness.tasks.spec import Task, TaskSpec

__all__ = ["Task", "TaskSpec", "find_task", "task_names"]
