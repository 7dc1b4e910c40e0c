"""metrics.jsonl: one JSON object a line, appended by the run's owner, truncated to the checkpoint on resume."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


class MetricsLog:
    """Appends records and says where the file ends.

    Args:
        path: the file; made if it does not exist.
        offset: bytes to keep; what a killed attempt wrote after its checkpoint is cut off and computed again.
    """

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("ab")
        self._file.truncate(offset)
        self._file.seek(offset)

    def write(self, kind: str, record: dict[str, Any]) -> None:
        """Appends a record; non-finite numbers become null and are named in `nonfinite`."""
        nonfinite: list[str] = []
        clean = {"kind": kind} | {name: _finite(value, name, nonfinite) for name, value in record.items()}
        if nonfinite:
            clean["nonfinite"] = sorted(set(nonfinite))
        self._file.write(json.dumps(clean, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        self._file.flush()

    def commit(self) -> int:
        """Makes everything written durable and returns the file's length in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Makes everything written durable and closes the file."""
        self.commit()
        self._file.close()


def _finite(value: Any, name: str, nonfinite: list[str]) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        nonfinite.append(name)
        return None
    if isinstance(value, list):
        return [_finite(item, name, nonfinite) for item in value]
    return value
