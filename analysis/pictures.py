"""Forecasts that runs kept for pictures, wherever the results come from."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
"""The arrays of forecasts/<dataset>.npz."""
NEEDED = frozenset({"context", "truth", "reward", "reward_forecast", "start"})
"""What such a file holds of every design; those that predict images have `image`, stochastic ones also `sample`."""
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class Forecasts:
    """Reads forecasts, and keeps in mind which were asked for: an exported bundle holds those.

    Args:
        open_file: the content of a run's forecasts on a dataset; None where it kept none.
    """

    def __init__(self, open_file: Callable[[str, str], bytes | None]) -> None:
        self.content = open_file
        self.asked: dict[tuple[str, str], None] = {}

    def __call__(self, run: str, dataset: str) -> Arrays | None:
        """The arrays; None where there are none, or the file is damaged."""
        self.asked[run, dataset] = None
        content = self.content(run, dataset)
        arrays = read_arrays(io.BytesIO(content)) if content is not None else None
        whole = arrays is not None and arrays.keys() >= NEEDED and len(arrays["truth"])
        return arrays if whole else None


def of_directories(paths: dict[str, str]) -> Forecasts:
    """Forecasts of run directories, by run."""

    def content(run: str, dataset: str) -> bytes | None:
        try:
            return (Path(paths[run]) / "forecasts" / f"{dataset}.npz").read_bytes()
        except (OSError, KeyError):
            return None

    return Forecasts(content)


def read_arrays(file: IO[bytes]) -> Arrays | None:
    """The arrays of an npz; None where it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except _UNREADABLE:
        return None
