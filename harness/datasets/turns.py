"""Whose turn it is to build a dataset, when thousands of runs start together: one builds, the others wait.

A claim beside the dataset says who builds (`harness.claim`), and how fresh it is that the builder lives. The turn
passes on when the builder is known to be dead, or shows no sign of life for `STALE_SECONDS`. Claims only save work:
a dataset is renamed into its place whole, so two builders, should there ever be two, do no harm.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.claim import Claim, OwnedElsewhere, acquire, current, highest, take_over
from harness.errors import UserError

STALE_SECONDS = 120.0
"""How long a builder that may be alive can be silent before another one builds too."""
_POLL_SECONDS = 0.5
_BEAT_SECONDS = 2.0

log = logging.getLogger("wm")


class Heartbeat:
    """Called while a dataset is built, at least after every episode: tells those who wait that its builder lives.

    Args:
        tick: called along with it, and by who waits; may raise to stop.
    """

    def __init__(self, tick: Callable[[], None] = lambda: None) -> None:
        self.tick = tick
        self._claim: Path | None = None
        self._beaten = 0.0

    def __call__(self) -> None:
        if self._claim is not None and time.monotonic() - self._beaten >= _BEAT_SECONDS:
            self._beaten = time.monotonic()
            with suppress(FileNotFoundError):  # taken over: then two build
                os.utime(self._claim)
        self.tick()

    def follow(self, claim: Path | None) -> None:
        """Keeps this claim fresh from now on, or none."""
        self._claim = claim


@contextmanager
def turn(directory: Path, heartbeat: Heartbeat) -> Iterator[bool]:
    """Waits until the dataset is there, or it is this process's turn to build it.

    Args:
        directory: of the dataset; its parent exists.
        heartbeat: to be called while the block runs.

    Yields:
        Whether it is to be built in the block.
    """
    claims = directory.with_name(f".{directory.name}.building")
    claim = _claimed(directory, claims, heartbeat)
    if claim is None:
        yield False
        return
    heartbeat.follow(claims / f"claim.{claim.number}")
    try:
        yield True
    finally:
        heartbeat.follow(None)
        shutil.rmtree(claims, ignore_errors=True)


def _claimed(directory: Path, claims: Path, heartbeat: Heartbeat) -> Claim | None:
    """The claim of this process; None once the dataset is there."""
    sign, since, told = None, time.monotonic(), False
    while not directory.exists():
        claim = _try(claims)
        if claim is not None:
            if not directory.exists():
                return claim
            shutil.rmtree(claims, ignore_errors=True)  # it was finished in between
            break
        if not told:
            log.info("waiting for %s, which builds %s", current(claims) or "another process", directory)
            told = True
        if (seen := _sign_of_life(claims)) != sign:
            sign, since = seen, time.monotonic()
        elif time.monotonic() - since > STALE_SECONDS:
            log.warning("%s has shown no sign of life; building %s here", current(claims), directory)
            take_over(claims)
        heartbeat.tick()
        time.sleep(_POLL_SECONDS)
    return None


def _try(claims: Path) -> Claim | None:
    """A claim, if nobody who may be alive has one."""
    # A builder that ends removes the directory, and one that fails those around it that are empty.
    with suppress(OwnedElsewhere, FileNotFoundError):
        claims.mkdir(parents=True, exist_ok=True)
        try:
            return acquire(claims)
        except OwnedElsewhere:
            raise
        except (UserError, OSError):
            if claims.exists():
                with suppress(OSError):  # not empty: another process claimed it
                    claims.rmdir()
                raise
    return None


def _sign_of_life(claims: Path) -> tuple[int, int]:
    """Changes as long as somebody builds."""
    number = highest(claims)
    try:
        return number, (claims / f"claim.{number}").stat().st_mtime_ns
    except FileNotFoundError:
        return number, 0
