"""The replay of a run in progress: append-only files, memory-mapped, cut back to a checkpoint on resume."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.disk import disk_errors, sync_directory
from harness.episodes import F32, F64, U8, Bools, Episode, action_vectors
from harness.errors import RunError
from harness.replay.layout import (
    COLUMNS,
    EPISODE,
    EPISODES,
    FRAMES,
    START_ANEW,
    Layout,
    check_sizes,
    cut,
    open_layout,
    read_table,
    write_at,
)
from harness.tasks.spec import TaskSpec

Position = Mapping[str, int]
"""Where a replay stood: {"episodes", "columns", "crc"}; JSON-able, kept in the checkpoint."""

EMPTY: Position = {"episodes": 0, "columns": 0, "crc": 0}
"""The position before the first episode."""


class ClipBatch(NamedTuple):
    """B clips of T columns; `models.types.SequenceBatch` in numpy. Column 0 has a zero action and reward."""

    image: U8  # u8[B, T, 3, h, w]
    action: F32  # f32[B, T, A], one-hot where discrete
    reward: F32  # f32[B, T]
    first: Bools  # bool[B, T], true in column 0 alone
    terminal: Bools  # bool[B, T]
    mask: F32  # f32[B, T], 0 where a clip of a short episode is padded at the end


class Replay:
    """Episodes on disk. One process writes; memory stays bounded by a few numbers per episode.

    Attributes:
        layout: the directory, the task's spec, and the records of the files.
    """

    def __init__(self, layout: Layout, table: npt.NDArray[np.void]) -> None:
        self.layout = layout
        self._table = table
        self._maps: tuple[U8, npt.NDArray[np.void]] | None = None

    @classmethod
    def open(cls, directory: Path, spec: TaskSpec | None = None, position: Position | None = None) -> Replay:
        """Opens a replay; makes an empty one if there is none and a spec is given.

        Args:
            directory: RUNS/<study>/runs/<id>/replay.
            spec: the task's; None reads it from the replay.
            position: on resume, what the checkpoint holds (`EMPTY` if there is none): what follows it is cut.

        Raises:
            RunError: kind ``corrupt``: bytes that the position (or else the table) counts on are missing.
        """
        layout = open_layout(directory, spec)
        replay = cls(layout, read_table(layout, None if position is None else position["episodes"]))
        if position is None:
            check_sizes(layout, replay._table)
        else:
            replay.truncate(position)
        return replay

    @property
    def spec(self) -> TaskSpec:
        return self.layout.spec

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """i64[episodes]: columns of each episode."""
        return self._table["columns"]

    @property
    def columns(self) -> int:
        """Columns of all episodes: frames stored."""
        return int(self._table["columns"].sum())

    @property
    def steps(self) -> int:
        """Agent steps of all episodes."""
        return self.columns - len(self)

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[Episode]:
        return (self.episode(index) for index in range(len(self)))

    def position(self) -> dict[str, int]:
        """Where the replay stands now; call `flush` before it is stored."""
        return {"episodes": len(self), "columns": self.columns, "crc": zlib.crc32(self._table.tobytes())}

    def truncate(self, position: Position) -> None:
        """Drops everything appended after `position`, also what a kill left half written.

        Raises:
            RunError: kind ``corrupt``: the files hold less than the position says, or other episodes.
        """
        table = self._table[: position["episodes"]]
        where = self.layout.directory / EPISODES
        if len(table) < position["episodes"]:
            message = (
                f"{where}: {len(self._table)} episodes, the checkpoint counts on {position['episodes']}."
            )
            raise RunError("corrupt", message, START_ANEW)
        if zlib.crc32(table.tobytes()) != position["crc"] or table["columns"].sum() != position["columns"]:
            raise RunError(
                "corrupt", f"{where}: not the episodes that the checkpoint was made with.", START_ANEW
            )
        check_sizes(self.layout, table)
        self._table, self._maps = table.copy(), None
        self._cut()

    def append(self, episode: Episode) -> None:
        """Adds an episode: frames and columns first, then the record that makes it exist.

        Raises:
            RunError: kind ``disk``: the disk is full; the episodes before this one are whole.
            UserError: the episode does not fit the task.
        """
        records = self.layout.pack(episode)
        frames = np.ascontiguousarray(episode.image).reshape(-1).data
        columns = records.view(np.uint8).data
        crc = zlib.crc32(columns, zlib.crc32(frames))
        entry = np.array([(self.columns, episode.columns, crc)], EPISODE)
        data = {EPISODES: entry.view(np.uint8).data, COLUMNS: columns, FRAMES: frames}
        with disk_errors(self.layout.directory):
            try:
                for path, offset in reversed(self.layout.sizes(self._table).items()):  # the table last
                    write_at(path, offset, data[path.name])
            except BaseException:
                with suppress(OSError):
                    self._cut()
                raise
        self._table, self._maps = np.concatenate([self._table, entry]), None

    def flush(self) -> None:
        """Makes everything appended so far durable.

        Raises:
            RunError: kind ``disk``.
        """
        with disk_errors(self.layout.directory):
            for path in reversed(self.layout.sizes(self._table)):
                if path.exists():
                    handle = os.open(path, os.O_RDONLY)
                    try:
                        os.fsync(handle)
                    finally:
                        os.close(handle)
            sync_directory(self.layout.directory)

    def episode(self, index: int) -> Episode:
        """A copy of an episode, verified.

        Raises:
            IndexError: there is none of that index.
            RunError: kind ``corrupt``: its bytes are not those that were appended.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)}")
        frames, columns = self._mapped()
        start, length, crc = self._table[index].item()
        image = np.array(frames[start : start + length])
        records = np.array(columns[start : start + length])
        if zlib.crc32(records.view(np.uint8).data, zlib.crc32(image.reshape(-1).data)) != crc:
            size = self.layout.frame_bytes
            where = f"{self.layout.directory / FRAMES} (bytes {start * size} to {(start + length) * size})"
            raise RunError("corrupt", f"{where} or {COLUMNS}: episode {index} is damaged.", START_ANEW)
        return self.layout.unpack(image, records)

    def states(self, columns: npt.NDArray[np.int64]) -> F64:
        """f64[n, D]: the simulator states of some columns, counted over all episodes; no frame is read."""
        if not self.spec.state_dim:
            raise ValueError(f"{self.spec.name} has no simulator state")
        _, records = self._mapped()
        found: F64 = records["state"][columns]
        return found.reshape(len(columns), self.spec.state_dim)

    def sample(
        self, rng: np.random.Generator, batch: int, length: int, shortest: int | None = None
    ) -> ClipBatch:
        """Draws clips uniformly over all valid starts of all episodes, with replacement.

        A clip that begins fewer than `length` columns before the episode's end is padded. So every column of an
        episode can be any column of a clip but the first few: ends of episodes are not only learnt at the far end
        of a forecast. An episode of N columns has N - shortest + 1 starts; a shorter one has one.

        Args:
            rng: draws `batch` integers, nothing else.
            batch: B clips.
            length: T columns of each.
            shortest: columns that a clip has at least, before padding, unless its episode has fewer; `length`
                if None.
        """
        if not len(self):
            raise ValueError("an empty replay has no clips")
        N = self._table["columns"]
        starts = np.maximum(N - (length if shortest is None else shortest) + 1, 1)
        edges = np.cumsum(starts)
        pick = rng.integers(edges[-1], size=batch)
        episode = np.searchsorted(edges, pick, side="right")
        offset = pick - (edges - starts)[episode]
        valid = np.minimum(N[episode] - offset, length)
        return self._gather(self._table["start"][episode] + offset, valid, length)

    def _gather(self, start: npt.NDArray[np.int64], valid: npt.NDArray[np.int64], length: int) -> ClipBatch:
        """Clips of `valid` columns from the global columns `start`, padded to `length`."""
        frames, columns = self._mapped()
        image = np.zeros((len(start), length, *self.spec.image_shape), np.uint8)
        for clip, (begin, count) in enumerate(zip(start.tolist(), valid.tolist(), strict=True)):
            image[clip, :count] = frames[begin : begin + count]
        step = np.arange(length)
        exists = step < valid[:, None]
        inner = exists & (step > 0)
        records = columns[start[:, None] + np.where(exists, step, 0)]
        action = records["action"].reshape(len(start) * length, *records["action"].shape[2:])
        vectors = action_vectors(action, self.spec.action_dim).reshape(len(start), length, -1)
        return ClipBatch(
            image=image,
            action=np.where(inner[..., None], vectors, np.float32(0)),
            reward=np.where(inner, records["reward"], np.float32(0)),
            first=np.broadcast_to(step == 0, exists.shape).copy(),
            terminal=exists & records["is_terminal"],
            mask=exists.astype(np.float32),
        )

    def _mapped(self) -> tuple[U8, npt.NDArray[np.void]]:
        """Frames u8[columns, 3, h, w] and column records, mapped."""
        if self._maps is None:
            directory, columns = self.layout.directory, self.columns
            shape = (columns, *self.spec.image_shape)
            frames: Any = np.memmap(directory / FRAMES, np.uint8, "r", shape=shape)
            records: Any = np.memmap(directory / COLUMNS, self.layout.column, "r", shape=(columns,))
            self._maps = frames.view(np.ndarray), records.view(np.ndarray)
        return self._maps

    def _cut(self) -> None:
        """Cuts the files to the episodes of the table."""
        with disk_errors(self.layout.directory):
            for path, size in self.layout.sizes(self._table).items():
                cut(path, size)
