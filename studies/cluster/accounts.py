"""Records of tasks that have ended for good: ``dispatch/accounting.json``.

They are never asked for again, and outlive the accounting's own memory. To keep them is a convenience: a file that
cannot be read or written is no error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from harness.rundir import write_atomically
from studies.cluster.types import Accounted

SETTLED_SECONDS = 60.0
"""Age of an end after which a task that the queue does not list does not come back by itself."""


class Accounts:
    """The kept records of a study's tasks.

    Args:
        dispatch: ``RUNS/<study>/dispatch``.
    """

    def __init__(self, dispatch: Path) -> None:
        self.file = dispatch / "accounting.json"

    def read(self) -> dict[str, Accounted]:
        """The kept records by key."""
        try:
            content = json.loads(self.file.read_text())
            return {key: Accounted(**record) for key, record in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def keep(self, records: Mapping[str, Accounted], now: float) -> None:
        """Keeps those records of tasks that are settled.

        Args:
            records: by key, of tasks that the queue does not list.
            now: unix seconds.
        """
        settled = {
            key: record
            for key, record in records.items()
            if record.terminal and record.end is not None and now - record.end > SETTLED_SECONDS
        }
        before = self.read()
        after = before | settled
        if after != before:
            with suppress(OSError):
                content = {key: asdict(record) for key, record in after.items()}
                write_atomically(self.file, json.dumps(content), sync=False)
