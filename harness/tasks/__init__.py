"""Tasks: a Gymnasium environment factory with a spec that is readable without a simulator."""

from harness.tasks.catalogue import check_task, find_task, task_exists, task_names
from harness.tasks.rendering import check_rendering, describe_backend, select_backend
from harness.tasks.spec import Restorable, Simulator, Task, TaskSpec

__all__ = [
    "Restorable",
    "Simulator",
    "Task",
    "TaskSpec",
    "check_rendering",
    "check_task",
    "describe_backend",
    "find_task",
    "select_backend",
    "task_exists",
    "task_names",
]
