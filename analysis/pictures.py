"""Forecasts that runs kept for pictures: forecasts/<dataset>.npz, of which only what is looked at is read.

Such a file holds every start that was measured, some 60 MB of frames; a figure shows one of them.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from harness.errors import UserError

Array = npt.NDArray[Any]
NEEDED = frozenset({"context", "truth", "reward", "reward_forecast", "start"})
"""What such a file holds of every design; those that predict images have `image`, stochastic ones also `sample`."""
META = "kept"
"""In a file that holds a part of the starts: JSON, the shape of every array by name (`part_of`)."""
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_BLOCK = 1 << 20
_SMALL = 1 << 16
"""Bytes of an array that is kept once all of it was read."""


class Stack:
    """An array over starts, n x ..., that is read where it is looked at: ``stack[start]``, ``stack[start, steps]``.

    `numpy.asarray` and any other index read all of it.

    Attributes:
        read: the starts that were looked at.
        whole: whether all of it was.

    Raises:
        UserError: on reading, of a damaged file, or of a start that a part of the forecasts lacks.
    """

    def __init__(self, file: Path, name: str, members: Collection[str], shape: Sequence[int] | None) -> None:
        self.file, self.name = file, name
        self.read: set[int] = set()
        self.whole = False
        self._members = members
        self._shape = tuple(shape) if shape is not None else None
        self._starts: dict[int, Array] = {}
        self._all: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array: n x ..."""
        if self._shape is None:
            with self._open(self.name) as file:
                self._shape = _header(file)[0]
        return self._shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if not isinstance(first, int | np.integer):
            return np.asarray(self)[key]
        start = int(first) + (len(self) if first < 0 else 0)
        if not 0 <= start < len(self):
            raise IndexError(f"{self.file}: {self.name} has {len(self)} starts, not {start}")
        if start not in self._starts:
            self._starts[start] = self._one(start) if self._all is None else self._all[start]
        self.read.add(start)
        return self._starts[start][rest] if rest else self._starts[start]

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> Array:
        self.whole = True
        found = self._all
        if found is None:
            with self._open(self.name) as file:
                found = np.lib.format.read_array(file, allow_pickle=False)
            self._shape = found.shape
            if found.nbytes <= _SMALL:
                self._all = found
        return np.asarray(found, dtype=dtype, copy=copy)

    def _one(self, start: int) -> Array:
        part = f"{self.name}@{start}"
        if part in self._members:
            with self._open(part) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        with self._open(self.name) as file:
            shape, dtype = _header(file)
            size = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
            skip = start * size
            while skip:
                skip -= len(file.read(min(skip, _BLOCK))) or skip
            return np.frombuffer(file.read(size), dtype).reshape(shape[1:])

    @contextmanager
    def _open(self, member: str) -> Iterator[IO[bytes]]:
        """An array of the npz as a file."""
        if member not in self._members:
            raise UserError(
                f"{self.file} holds a part of the forecasts, without {member}: the report that it was exported with "
                "did not show it"
            )
        try:
            with (
                self.file.open("rb") as raw,
                zipfile.ZipFile(raw) as opened,
                opened.open(f"{member}.npy") as file,
            ):
                yield file
        except _UNREADABLE as error:
            raise UserError(
                f"{self.file} is damaged ({member}); remove it, and the report leaves it out"
            ) from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = reader(file)
    if in_columns and len(shape) > 1:
        raise ValueError("in the order of columns")
    return shape, dtype


class Pictures(Mapping[str, Stack]):
    """The arrays of a forecasts/<dataset>.npz, or of a part of one.

    Raises:
        OSError, ValueError, ...: one of `_UNREADABLE`, where there is no such file, or it is not whole.
    """

    def __init__(self, file: Path) -> None:
        with file.open("rb") as raw, zipfile.ZipFile(raw) as opened:
            names = {name.removesuffix(".npy"): None for name in opened.namelist()}
            shapes: dict[str, list[int]] = {}
            if META in names:
                content = np.lib.format.read_array(io.BytesIO(opened.read(f"{META}.npy")), allow_pickle=False)
                shapes = json.loads(str(content))
        self._stacks = {name: Stack(file, name, names, shapes.get(name)) for name in shapes or names}
        if not self._stacks.keys() >= NEEDED or not len(np.asarray(self._stacks["start"])):
            raise ValueError(f"{file} has no forecasts")

    def __getitem__(self, name: str) -> Stack:
        return self._stacks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stacks)

    def __len__(self) -> int:
        return len(self._stacks)


class Forecasts:
    """The forecasts of many runs.

    Args:
        directories: of the runs, by run.

    Attributes:
        opened: those that were asked for, by run and dataset; None where there are none.
    """

    def __init__(self, directories: Mapping[str, str]) -> None:
        self._directories = directories
        self.opened: dict[tuple[str, str], Pictures | None] = {}

    def __call__(self, run: str, dataset: str) -> Pictures | None:
        """The arrays; None where there are none, or the file is not whole."""
        key = run, dataset
        if key not in self.opened:
            try:
                self.opened[key] = Pictures(Path(self._directories[run]) / "forecasts" / f"{dataset}.npz")
            except (*_UNREADABLE, UserError):
                self.opened[key] = None
        return self.opened[key]


def part_of(pictures: Pictures) -> dict[str, Array]:
    """The arrays of an npz that holds what was looked at, and stands for the whole in the same figures."""
    shapes = {name: list(stack.shape) for name, stack in pictures.items()}
    arrays: dict[str, Array] = {META: np.array(json.dumps(shapes, sort_keys=True))}
    for name, stack in sorted(pictures.items()):
        if stack.whole:
            arrays[name] = np.asarray(stack)
        else:
            arrays |= {f"{name}@{start}": stack[start] for start in sorted(stack.read)}
    return arrays
