"""One process submits, cancels or reconciles a study at a time: a claim on ``dispatch/lock``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness import claim
from harness.disk import disk_errors
from harness.errors import UserError
from studies.cluster.owners import is_gone
from studies.cluster.types import Cluster

ABANDONED_SECONDS = 1800.0
"""Age after which a claim of a process that this machine cannot see is taken over.

If that process lives all the same, runs may be submitted twice; each is claimed before it is executed.
"""


class Locked(UserError):
    """Another process has the study."""


@contextmanager
def locked(dispatch: Path, cluster: Cluster | None = None) -> Iterator[claim.Claim]:
    """Holds a study's dispatch directory, which is made if it is missing.

    Args:
        dispatch: the directory.
        cluster: is asked whether a follow-up job that holds the lock is gone.

    Raises:
        Locked: another process has it; says which.
    """
    folder = dispatch / "lock"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if _abandoned(folder):
        claim.take_over(folder)
    try:
        held = claim.acquire(folder, is_gone=partial(is_gone, cluster=cluster))
    except claim.OwnedElsewhere as error:
        raise Locked(
            f"{dispatch.parent.name} is being submitted or cancelled by {error.owner}: try again once it has ended"
        ) from None
    try:
        yield held
    finally:
        held.release()


def _abandoned(folder: Path) -> bool:
    """Whether the holder cannot be seen from here and has held the lock for longer than any submission takes."""
    number = claim.highest(folder)
    owner = claim.read(folder, number) if number else None
    if owner is None:  # none, or a file that nobody can read
        return bool(number) and time.time() - _changed(folder / f"claim.{number}") > ABANDONED_SECONDS
    return not claim.is_visible(owner) and time.time() - owner.time > ABANDONED_SECONDS


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # claims are never deleted; the directory was
        return time.time()
