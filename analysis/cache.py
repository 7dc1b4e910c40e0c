"""What was read of finished runs, kept beside their study: a report on thousands of runs reads them once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.frames import RunData, read_run
from harness.rundir import RunDir


def read_runs(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None = None, *, keep: bool = True
) -> dict[Path, RunData]:
    """What the files of each run hold."""
    found, _ = {}, keep
    for done, path in enumerate(paths, 1):
        found[path] = read_run(RunDir(path))
        if progress is not None:
            progress(done, len(paths))
    return found
