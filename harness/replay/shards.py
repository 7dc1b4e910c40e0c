"""What a finished run keeps of its replay: a few compressed, immutable npz shards, and `shards.json`.

A shard holds the arrays of its episodes under ``<index>.<name>``, names as in the npz of an episode. Once
`shards.json` exists, the shards are whole; the live files go after that: no kill loses anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.disk import ArrayReader, ArrayWriter, disk_errors, replacing, sync_directory
from harness.episodes import U8, Episode, from_arrays, to_arrays
from harness.errors import RunError, UserError
from harness.replay.layout import LIVE_FILES, SHARDS_FILE
from harness.replay.live import Replay
from harness.rundir import write_atomically

RAW_BYTES = 256 * 2**20
"""Uncompressed size at which a shard is full, unless the replay would then need more than `MOST_SHARDS`."""
MOST_SHARDS = 8
_LEVEL = 1  # of deflate: rendered frames shrink about as well as at 6, in a third of the time
_REMEDY = "Restore the file from a copy; the run's metrics and summary do not need it."


@dataclass(frozen=True)
class Retention:
    """Which episodes are kept, and whether with frames."""

    keep: int | None  # the last so many; None is all
    frames: bool


def parse_retention(text: str, restores_state: bool) -> Retention:
    """`all`, `states`, `last:N` or `none`, as `StorageConfig.training_frames` says it.

    `states` keeps the frames where the task cannot restore a state to render them from.

    Raises:
        UserError: it says something else.
    """
    name, _, count = text.partition(":")
    if name == "last" and count.isdigit() and int(count) > 0:
        return Retention(int(count), frames=True)
    known = {
        "all": Retention(None, frames=True),
        "states": Retention(None, frames=not restores_state),
        "none": Retention(0, frames=False),
    }
    if text not in known:
        raise UserError(f"retention {text!r}: expected all, states, last:N (N at least 1) or none")
    return known[text]


def finish(directory: Path, retention: str, raw_bytes: int = RAW_BYTES) -> None:
    """Turns the live replay of a run that is done into shards; called again after a kill, it goes on.

    Args:
        directory: RUNS/<study>/runs/<id>/replay; one that does not exist is left alone.
        retention: `StorageConfig.training_frames`.
        raw_bytes: uncompressed size at which a shard is full.

    Raises:
        RunError: kind ``disk`` or ``corrupt``; the live files are all there still.
    """
    if not directory.exists():
        return
    if not is_finished(directory):
        replay = Replay.open(directory)
        kept = parse_retention(retention, replay.spec.restores_state)
        with disk_errors(directory):
            _remove_unfinished(directory)
            names = _write_shards(replay, kept, raw_bytes)
            content = {"schema": 1, "retention": retention, "task": replay.spec.name, "shards": names}
            write_atomically(directory / SHARDS_FILE, json.dumps(content, indent=1))
            sync_directory(directory)
    with disk_errors(directory):
        for name in LIVE_FILES:
            (directory / name).unlink(missing_ok=True)


def is_finished(directory: Path) -> bool:
    """Whether a replay is kept in shards."""
    return (directory / SHARDS_FILE).exists()


def read_shards(
    directory: Path, render: Callable[[npt.NDArray[np.float64]], U8] | None = None
) -> Iterator[Episode]:
    """The episodes that a finished run kept, one in memory at a time.

    Args:
        directory: the replay directory.
        render: f64[T, D] simulator states -> u8[T, 3, h, w], for episodes kept without frames;
            without it they come as they are (`Episode.has_frames` is false).

    Raises:
        RunError: kind ``corrupt``: a shard is missing or damaged.
    """
    for shard in _read_manifest(directory):
        with ArrayReader(directory / shard["file"], _REMEDY) as reader:
            for index in range(shard["first"], shard["first"] + shard["episodes"]):
                prefix = f"{index:06d}."
                own = [name for name in reader.names if name.startswith(prefix)]
                episode = from_arrays({name.removeprefix(prefix): reader.read(name) for name in own})
                if render is not None and not episode.has_frames and episode.state is not None:
                    episode = replace(episode, image=render(episode.state))
                yield episode


def shard_files(directory: Path) -> list[Path]:
    """The shards of a finished run, in order.

    Raises:
        RunError: kind ``corrupt``: `shards.json` is missing or damaged.
    """
    return [directory / shard["file"] for shard in _read_manifest(directory)]


def _write_shards(replay: Replay, kept: Retention, raw_bytes: int) -> list[dict[str, Any]]:
    """Writes the shards of the episodes that are kept, one episode in memory at a time."""
    count = len(replay) if kept.keep is None else min(kept.keep, len(replay))
    layout, indices = replay.layout, range(len(replay) - count, len(replay))
    per_column = layout.column.itemsize + kept.frames * layout.frame_bytes
    ends = np.cumsum(replay.lengths[indices.start :]) * per_column
    full = max(raw_bytes, -(-int(ends[-1]) // MOST_SHARDS)) if count else raw_bytes
    # The bytes before an episode decide which shard it goes to: each is full to within one episode.
    before = [0, *ends.tolist()]
    groups = groupby(indices, key=lambda index: before[index - indices.start] // full)
    shards: list[dict[str, Any]] = []
    for number, (_, group) in enumerate(groups):
        members = list(group)
        name = f"shard-{number:05d}.npz"
        with replacing(layout.directory / name) as file, ArrayWriter(file, _LEVEL) as writer:
            for index in members:
                _write_episode(writer, index, replay.episode(index), kept)
        shards.append({"file": name, "first": members[0], "episodes": len(members)})
    return shards


def _write_episode(writer: ArrayWriter, index: int, episode: Episode, kept: Retention) -> None:
    for name, array in to_arrays(episode).items():
        if kept.frames or name != "image":
            writer.write(f"{index:06d}.{name}", array)


def _remove_unfinished(directory: Path) -> None:
    """Removes what a kill left of shards that no `shards.json` lists."""
    for pattern in ("shard-*.npz", ".shard*.tmp"):
        for path in directory.glob(pattern):
            path.unlink()


def _read_manifest(directory: Path) -> list[dict[str, Any]]:
    path = directory / SHARDS_FILE
    try:
        shards: list[dict[str, Any]] = json.loads(path.read_bytes())["shards"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("corrupt", f"{path}: missing or damaged ({error}).", _REMEDY) from error
    return shards
