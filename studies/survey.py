"""The runs of a study and the state that each is in: records, queue and accounting together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from studies.status import Condition, observe
from studies.store import StoredRun


@dataclass(frozen=True)
class Seen:
    """A run of the plan and the state it is in."""

    run: StoredRun
    condition: Condition


def survey(runs: Sequence[StoredRun]) -> list[Seen]:
    """The states of runs as they are now."""
    now = time.time()
    return [Seen(run, observe(run.path, now)[0]) for run in runs]
