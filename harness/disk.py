"""Files that survive a kill and a full disk: written aside, fsynced, renamed; damage has a clear error."""

from __future__ import annotations

import errno
import io
import math
import os
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from harness.errors import RunError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_RUN_REMEDY = (
    "Free space (or raise the quota), then `wm retry` and `wm run`: what was committed before is whole."
)
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    OverflowError,
)
"""What numpy and zipfile raise on a damaged npz (RuntimeError: a flipped bit says that it is encrypted)."""


def as_disk_error(error: OSError, path: Path | None = None) -> RunError | None:
    """A `RunError` of kind ``disk`` with the remedy, if the disk or the quota is full; else None."""
    if error.errno not in _FULL:
        return None
    where = path or error.filename or "the run's directory"
    return RunError("disk", f"{where}: cannot write: {error.strerror or error}.", _RUN_REMEDY)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns an operating system error on `path` into a `RunError` of kind ``disk`` with the remedy."""
    try:
        yield
    except OSError as error:
        full = as_disk_error(error, path)
        if full is not None:
            raise full from error
        reason = error.strerror or str(error)
        raise RunError("disk", f"{path}: {reason}.", "Check the file system and its permissions.") from error


@contextmanager
def full_disk_remedy(remedy: str) -> Iterator[None]:
    """Within it, what helps against a full disk is this, and not what helps a run."""
    try:
        yield
    except RunError as error:
        if error.remedy != _RUN_REMEDY:
            raise
        raise RunError(error.kind, str(error).removesuffix(error.remedy).strip(), remedy) from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path`, fsynced, when the block ends without an error."""
    side = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with disk_errors(path):
        try:
            with side.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            side.replace(path)
        except BaseException:
            with suppress(OSError):
                side.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class ArrayWriter:
    """Writes arrays one after another into an npz, so that only one needs to be in memory."""

    def __init__(self, file: IO[bytes], level: int) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def write(self, name: str, array: npt.NDArray[Any]) -> None:
        # A ZipInfo made from a name alone carries a fixed date: equal arrays make equal bytes.
        info = zipfile.ZipInfo(f"{name}.npy")
        info.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(info, "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]], level: int = 6) -> None:
    """Writes a compressed npz atomically; equal arrays give equal bytes.

    Raises:
        RunError: kind ``disk``; an earlier file of that name is untouched.
    """
    with replacing(path) as file, ArrayWriter(file, level) as writer:
        for name, array in arrays.items():
            writer.write(name, array)


class ArrayReader:
    """An npz whose arrays load when they are asked for.

    Raises:
        RunError: kind ``corrupt``, here and in `read`: the file is missing, truncated or damaged.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        self._path, self._remedy = path, remedy
        with self._readable(), ExitStack() as opened:  # numpy's own reader leaves a damaged file open
            self._zip = zipfile.ZipFile(opened.enter_context(path.open("rb")))
            opened.callback(self._zip.close)
            self._opened = opened.pop_all()
        members = self._zip.namelist()
        self.names: list[str] = sorted(name.removesuffix(".npy") for name in members if name.endswith(".npy"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def read(self, name: str) -> npt.NDArray[Any]:
        """One array."""
        with self._readable():
            # All of it, so that its checksum is verified before it is used.
            content = self._zip.read(f"{name}.npy")
            array: npt.NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        return array

    def read_row(self, name: str) -> npt.NDArray[Any]:
        """The first row of an array. The rest is not read, so that its checksum is not verified."""
        with self._readable(), self._zip.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            shape, by_columns, dtype = header[version](member)
            if by_columns:
                return self.read(name)[:1].reshape(shape[1:])
            content = member.read(dtype.itemsize * math.prod(shape[1:]))
            row: npt.NDArray[Any] = np.frombuffer(content, dtype).reshape(shape[1:])
        return row

    def stored_bytes(self, name: str) -> int:
        """Bytes that an array takes in the file."""
        return self._zip.getinfo(f"{name}.npy").compress_size

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            size = self._path.stat().st_size if self._path.is_file() else 0
            missing = isinstance(error, FileNotFoundError)
            reason = "missing" if missing else f"damaged or truncated, {size} bytes"
            raise RunError("corrupt", f"{self._path}: {reason} ({error}).", self._remedy) from error
