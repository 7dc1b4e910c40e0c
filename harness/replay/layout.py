"""The files of a live replay, byte by byte.

::

    replay.json     the task's spec, written once
    frames.u8       one frame of 3*h*w bytes per column
    columns.bin     one record per column: action, reward, flags, simulator state
    episodes.bin    one record per episode: first column, number of columns, CRC-32 of its bytes

An episode exists once its record in `episodes.bin` is whole; bytes beyond that are what a kill left.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.disk import disk_errors
from harness.episodes import Episode, layout_problems
from harness.errors import RunError, UserError
from harness.rundir import write_atomically
from harness.tasks.spec import TaskSpec

HEADER, FRAMES, COLUMNS, EPISODES = "replay.json", "frames.u8", "columns.bin", "episodes.bin"
LIVE_FILES = (EPISODES, COLUMNS, FRAMES, HEADER)
SHARDS_FILE = "shards.json"
EPISODE = np.dtype([("start", "<i8"), ("columns", "<i8"), ("crc", "<u4")])
START_ANEW = "Run it again with --fresh, which keeps these files aside."
_SCHEMA = 1


@dataclass(frozen=True)
class Layout:
    """Where the files are and how long their records are."""

    directory: Path
    spec: TaskSpec

    @cached_property
    def frame_bytes(self) -> int:
        return int(np.prod(self.spec.image_shape))

    @cached_property
    def column(self) -> np.dtype[np.void]:
        """The record of a column."""
        action: tuple[Any, ...] = (
            ("action", "<i8") if self.spec.discrete else ("action", "<f4", self.spec.action_dim)
        )
        fields = [action, ("reward", "<f4"), ("is_last", "?"), ("is_terminal", "?")]
        if self.spec.state_dim:
            fields.append(("state", "<f8", self.spec.state_dim))
        return np.dtype(fields)

    def pack(self, episode: Episode) -> npt.NDArray[np.void]:
        """The column records of an episode.

        Raises:
            UserError: the episode does not fit the task.
        """
        wrong = layout_problems(episode, self.spec)
        if self.spec.state_dim and episode.state is None:
            wrong.append(f"it has no simulator state, {self.spec.name} has {self.spec.state_dim} numbers")
        if wrong:
            raise UserError(f"{self.directory}: cannot take in the episode: " + "; ".join(wrong))
        records = np.zeros(episode.columns, self.column)
        for name in self.column.names or ():
            records[name] = getattr(episode, name).reshape(records[name].shape)
        return records

    def unpack(self, image: npt.NDArray[np.uint8], records: npt.NDArray[np.void]) -> Episode:
        """The episode that `pack` packed."""
        return Episode(
            image=image,
            action=records["action"].copy(),
            reward=records["reward"].copy(),
            is_last=records["is_last"].copy(),
            is_terminal=records["is_terminal"].copy(),
            state=records["state"].copy() if self.spec.state_dim else None,
        )

    def sizes(self, table: npt.NDArray[np.void]) -> dict[Path, int]:
        """The bytes that each file needs to hold the episodes of a table; the table first."""
        columns = int(table["columns"].sum())
        return {
            self.directory / EPISODES: len(table) * EPISODE.itemsize,
            self.directory / COLUMNS: columns * self.column.itemsize,
            self.directory / FRAMES: columns * self.frame_bytes,
        }


def open_layout(directory: Path, spec: TaskSpec | None) -> Layout:
    """The layout of a replay; makes an empty one if there is none and a spec is given.

    Raises:
        RunError: kind ``corrupt``: the header is missing or damaged, or belongs to another task.
    """
    header = directory / HEADER
    if (directory / SHARDS_FILE).exists():
        raise RunError(
            "corrupt", f"{directory}: this replay is finished; its episodes are in shards.", START_ANEW
        )
    if not header.exists():
        lost = [name for name in (EPISODES, COLUMNS, FRAMES) if size_of(directory / name)]
        if lost or spec is None:
            raise RunError(
                "corrupt", f"{header}: missing, beside {', '.join(lost) or 'nothing'}.", START_ANEW
            )
        with disk_errors(header):
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(header, json.dumps({"schema": _SCHEMA, "spec": asdict(spec)}))
    written = _read_header(header)
    if spec is not None and (changed := _differences(written, spec)):
        raise RunError("corrupt", f"{header}: made for another task: {changed}.", START_ANEW)
    return Layout(directory, written)


def read_table(layout: Layout, most: int | None = None) -> npt.NDArray[np.void]:
    """The whole records of `episodes.bin`; a last one that is half written is left out.

    Args:
        layout: of the replay.
        most: records to read; what a power cut may have left behind them is not looked at.

    Raises:
        RunError: kind ``corrupt``: the records contradict one another.
    """
    path = layout.directory / EPISODES
    content = path.read_bytes() if path.exists() else b""
    records = len(content) // EPISODE.itemsize
    whole = (records if most is None else min(records, most)) * EPISODE.itemsize
    table = np.frombuffer(content[:whole], EPISODE).copy()
    ends = np.cumsum(table["columns"])
    if np.any(table["columns"] < 2) or np.any(table["start"] != ends - table["columns"]):
        raise RunError("corrupt", f"{path}: {whole} bytes that are no table of episodes.", START_ANEW)
    return table


def check_sizes(layout: Layout, table: npt.NDArray[np.void]) -> None:
    """Verifies that the files hold all bytes of the episodes of a table.

    Raises:
        RunError: kind ``corrupt``: names each file that is too short, with both byte counts.
    """
    short = [
        f"{path} has {size_of(path)} bytes, {len(table)} episodes need {needed}"
        for path, needed in layout.sizes(table).items()
        if size_of(path) < needed
    ]
    if short:
        remedy = "Continue from an earlier checkpoint if there is one. " + START_ANEW
        raise RunError("corrupt", f"The replay is truncated: {'; '.join(short)}.", remedy)


def cut(path: Path, size: int) -> None:
    """Cuts a file to `size` bytes if it is longer."""
    if size_of(path) > size:
        os.truncate(path, size)


def write_at(path: Path, offset: int, data: memoryview) -> None:
    """Writes all of `data` at `offset`, however many calls that takes."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(handle, data[done:], offset + done)
    finally:
        os.close(handle)


def size_of(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _read_header(path: Path) -> TaskSpec:
    try:
        content = json.loads(path.read_bytes())
        spec = dict(content["spec"])
        spec["image_shape"] = tuple(spec["image_shape"])
        spec["reward_range"] = tuple(spec["reward_range"]) if spec["reward_range"] else None
        return TaskSpec(**spec)
    except (ValueError, KeyError, TypeError) as error:
        raise RunError("corrupt", f"{path}: damaged ({size_of(path)} bytes: {error}).", START_ANEW) from error


def _differences(written: TaskSpec, spec: TaskSpec) -> str:
    """What of two specs would make other bytes or other episodes."""
    names = ("name", "image_shape", "action_dim", "discrete", "state_dim", "action_repeat")
    pairs = [(name, getattr(written, name), getattr(spec, name)) for name in names]
    return ", ".join(f"{name} is {old}, not {new}" for name, old, new in pairs if old != new)
