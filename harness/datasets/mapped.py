"""A part of a dataset as a memory-mapped replay, made once beside the npz files and shared by all processes.

::

    <dataset>/mapped/<part>/     replay.json frames.u8 columns.bin episodes.bin   as `harness.replay.layout`
                                 mapped.json                                      which episodes, and that it is whole

It is a copy: it may be deleted at any time, and one that is damaged or of other episodes is made anew.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NoReturn

from harness.datasets.fixed import Dataset, content_digest
from harness.datasets.parts import Part, PartName, remedy
from harness.disk import ArrayReader, disk_errors, sync_directory
from harness.episodes import Episode, spec_problems
from harness.errors import RunError, UserError
from harness.replay.layout import Layout, check_sizes, open_layout, read_table
from harness.replay.live import Replay
from harness.rundir import write_atomically
from harness.tasks.spec import TaskSpec

FOLDER = "mapped"
_MARK = "mapped.json"
_SCHEMA = 1
_POLL_SECONDS = 0.2
_PROBLEMS = 10  # that a message lists

Tick = Callable[[], None]


class MappedReplay(Replay):
    """A replay that is only read: `sample`, `episode`, `lengths`."""

    def append(self, episode: Episode) -> NoReturn:
        """Always raises: other processes read the same files."""
        del episode
        raise TypeError(f"{self.layout.directory}: a dataset never changes")

    def truncate(self, position: Any) -> NoReturn:
        """Always raises: other processes read the same files."""
        del position
        raise TypeError(f"{self.layout.directory}: a dataset never changes")


def open_mapped(dataset: Dataset, part: PartName, spec: TaskSpec, tick: Tick | None = None) -> MappedReplay:
    """A part of a dataset to draw clips from; never in memory as a whole.

    The first process makes the mapped files, others wait for it. All their bytes are verified at every opening.
    Simulator states are there if every episode of the part has one.

    Args:
        dataset: which one; its files need not have been verified, each is while it is copied.
        part: `train` or `heldout`.
        spec: of the task that the episodes are for.
        tick: called often while waiting and copying; may raise to stop.

    Raises:
        UserError: the part is empty, or its episodes do not fit the task.
        RunError: kind ``disk`` or ``corrupt``.
    """
    chosen = dataset.part(part)
    if not len(chosen):
        raise UserError(f"{dataset.directory}: no episode is in its part {part}")
    _check_repeat(dataset, spec)
    tick = tick or _nothing
    place = dataset.directory / FOLDER / part
    found = _open(place, chosen, spec, tick)
    if found is None:
        with disk_errors(place):
            place.parent.mkdir(exist_ok=True)
        with _turn(place.with_name(f".{part}.lock"), tick) as alone:
            found = _open(place, chosen, spec, tick)
            if found is None:
                found = _make(place, chosen, spec, tick, alone=alone)
    return found


def _nothing() -> None:
    pass


def _check_repeat(dataset: Dataset, spec: TaskSpec) -> None:
    """Frames of another action repeat have the same shape, but are another task; see `fitting.env_complaint`."""
    repeat = dataset.recipe.get("action_repeat", spec.action_repeat)
    if repeat != spec.action_repeat:
        raise UserError(
            f"{dataset.directory}: its episodes have action repeat {repeat}, the run has {spec.action_repeat}; "
            f"set env.action_repeat={repeat}"
        )


def _open(place: Path, part: Part, spec: TaskSpec, tick: Tick) -> MappedReplay | None:
    """The mapped files if they are whole and hold the part's episodes, else None."""
    try:
        mark = json.loads((place / _MARK).read_bytes())
        if (mark["schema"], mark["digest"]) != (_SCHEMA, part.digest):
            return None
        fitted = spec if mark["states"] else replace(spec, state_dim=0)
        layout = replace(open_layout(place, fitted), spec=fitted)
        replay = MappedReplay(layout, read_table(layout))
        if replay.position() != mark["position"]:
            return None
        check_sizes(layout, read_table(layout))
    except (OSError, ValueError, KeyError, TypeError, RunError):
        return None
    for index in range(len(replay)):
        try:
            replay.episode(index)  # verifies its checksum
        except (OSError, RunError):
            return None
        tick()
    return replay


def _make(place: Path, part: Part, spec: TaskSpec, tick: Tick, *, alone: bool) -> MappedReplay:
    """Copies the episodes beside `place` and renames the copy there."""
    _discard(place, alone=alone)
    side = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.tmp")
    states = spec.state_dim > 0 and _all_have_states(part)
    fitted = spec if states else replace(spec, state_dim=0)
    with disk_errors(place):
        try:
            replay = Replay.open(side, fitted)
            for index in range(len(part)):
                replay.append(_verified(part, index, spec))
                tick()
            replay.flush()
            mark = {"schema": _SCHEMA, "digest": part.digest, "states": states, "position": replay.position()}
            write_atomically(side / _MARK, json.dumps(mark))
            sync_directory(side)
            _move(side, place)
            sync_directory(place.parent)
        finally:
            shutil.rmtree(side, ignore_errors=True)
    layout = Layout(place, fitted)
    return MappedReplay(layout, read_table(layout))


def _move(side: Path, place: Path) -> None:
    """Renames into place; a copy that another process put there first stands."""
    try:
        side.rename(place)
    except OSError:
        if not (place / _MARK).exists():
            raise


def _all_have_states(part: Part) -> bool:
    """Whether every episode holds simulator states; reads the files' tables of contents."""
    for entry in part.entries:
        with ArrayReader(part.directory / entry["file"], remedy(part.directory)) as reader:
            if "physics" not in reader.names:
                return False
    return True


def _verified(part: Part, index: int, spec: TaskSpec) -> Episode:
    """An episode of the part that is the one of the manifest and fits the task."""
    episode, entry = part[index], part.entries[index]
    path = part.directory / entry["file"]
    if content_digest(episode) != entry["content"]:
        raise RunError("corrupt", f"{path}: not the episode that was built.", remedy(part.directory))
    if wrong := spec_problems(episode, spec):
        raise UserError(f"{path} does not fit {spec.name} as configured: " + "; ".join(wrong[:_PROBLEMS]))
    return episode


def _discard(place: Path, *, alone: bool) -> None:
    """Removes mapped files that are not used, and what kills left of others; readers keep what they have open."""
    if place.exists():
        place.rename(place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.tmp"))
    for left in place.parent.glob(f".{place.name}.*.tmp") if alone else ():
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _turn(lock: Path, tick: Tick) -> Iterator[bool]:
    """Waits until no other process is in this block; the system frees the lock of one that is killed.

    Gives False where the file system has no locks: then nobody waits, and one of several copies stays.
    """
    with disk_errors(lock):
        file = lock.open("a")
    with file:
        yield _locked(file, tick)


def _locked(file: IO[str], tick: Tick) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tick()
            time.sleep(_POLL_SECONDS)
        except OSError:
            return False
        else:
            return True
