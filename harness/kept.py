"""Episodes that a run has finished before it is done, so that a killed one plays only what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from harness.disk import ArrayReader, save_arrays
from harness.episodes import Episode, from_arrays, to_arrays

_REMEDY = "Remove the file: the episode is then played again."
_SECONDS = "plan_seconds"


class KeptEpisodes:
    """A directory of episodes by number, each with the seconds that went into planning it.

    Args:
        directory: made with the first episode.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, number: int) -> tuple[Episode, float] | None:
        """An episode and its seconds; None if it is not there.

        Raises:
            RunError: kind ``corrupt``.
        """
        path = self._path(number)
        if not path.exists():
            return None
        with ArrayReader(path, _REMEDY) as reader:
            arrays = {name: reader.read(name) for name in reader.names}
        return from_arrays(arrays), float(arrays[_SECONDS])

    def write(self, number: int, episode: Episode, seconds: float) -> None:
        """Keeps an episode, whole or not at all.

        Raises:
            RunError: kind ``disk``.
        """
        self._directory.mkdir(exist_ok=True)
        save_arrays(self._path(number), to_arrays(episode) | {_SECONDS: np.array(seconds)})

    def clear(self) -> None:
        """Removes all of them."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:06d}.npz"
