"""What `wm show` and `wm logs` say of the jobs that a run was given to."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.cli.options import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from studies.cluster.records import Assignment
    from studies.store import StoredRun
    from studies.survey import Seen


def find(text: str, root: Path, *, strict: bool) -> StoredRun:
    """The run that a text means, in any study, or at a path; one that was dispatched need not have begun.

    Its configuration is left out if it has begun: run.yaml holds it.

    Raises:
        UserError: there is none, it has neither begun nor been dispatched, or there are several.
    """
    from harness.errors import UserError
    from studies import store
    from studies.cluster.records import Dispatch

    run = store.find(text, root, strict=strict)
    if not run.path.exists() and run.hex not in Dispatch(run.path.parent.parent).assignments:
        raise UserError(store.has_not_begun(run))
    return run


def tasks(seen: Seen) -> Table:
    """A row per job that a run was given to."""
    from studies.cluster.outlook import why_it_waits

    table = plain_table("job", "submitted", "because", "granted", "node", "began", "state")
    for task in seen.history:
        last = task is seen.history[-1]
        began = [event for event in _events(task) if event["event"] == "begin"]
        state = ("in the queue" if seen.condition.queued else "ended") if last else "ended"
        reason = why_it_waits(seen)
        table.add_row(
            task.key or "unknown",
            _clock(task.array.time),
            task.entry.reason,
            _granted(task),
            began[-1].get("host", "") if began else "",
            f"{_clock(began[-1]['time'])}{f', {len(began)} times' if len(began) > 1 else ''}"
            if began
            else "never",
            f"{state}: {reason}" if last and reason else state,
        )
    return table


def log_files(history: Sequence[Assignment]) -> list[tuple[str, Path]]:
    """The job and the path of what each job printed, as far as it printed anything."""
    found = []
    for task in history:
        for file in task.array.log_files(task.index):
            try:
                if file.stat().st_size:
                    found.append((task.key or "", file))
            except OSError:
                continue
    return found


def print_logs(files: Sequence[tuple[str, Path]], lines: int | None) -> None:
    """Prints what jobs printed, each after a line that says whose it is.

    Args:
        files: as of `log_files`.
        lines: only the last of each; None: all.
    """
    for job, path in files:
        print(f"\n--- job {job}: {path}")
        with path.open(errors="replace") as file:
            for line in deque(file, maxlen=lines) if lines else file:
                sys.stdout.write(line)


def _events(task: Assignment) -> Sequence[dict[str, Any]]:
    from studies.cluster.records import read_events

    return read_events(task.array, task.index)


def _granted(task: Assignment) -> str:
    """`1 GPU, 4 cores, 16 GB, 24 h`."""
    one = task.array.resources
    gpus = [f"{one.gpus} GPU{'s' * (one.gpus != 1)}"] if one.gpus else []
    return ", ".join(
        [*gpus, f"{one.cpus} core{'s' * (one.cpus != 1)}", f"{one.memory_gb:g} GB", f"{one.hours:.3g} h"]
    )


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
