"""Errors with a remedy, and what the command line makes of them."""

from __future__ import annotations

from typing import Literal

FailureKind = Literal[
    "code",
    "disk",
    "rendering",
    "host-memory",
    "gpu-memory",
    "corrupt",
    "time-limit",
    "preempted",
    "node",
    "setup",
    "killed",
    "diverged",
]


class UserError(Exception):
    """The request was wrong: one message that says where and what to do. `wm` prints it and exits with 2."""


class RunError(Exception):
    """A run cannot go on, for a reason the user can act on.

    Attributes:
        kind: the class of failure that status groups by and retry policies select.
        remedy: what the user can do, one sentence.
    """

    def __init__(self, kind: FailureKind, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.kind: FailureKind = kind
        self.remedy = remedy
