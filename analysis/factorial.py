"""The factorial of the study: effects of what is predicted, of the space and of the dynamics on score and errors."""

from __future__ import annotations

import pandas as pd

from analysis.evidence import Evidence
from analysis.tables import Table

COLUMNS = (
    *(
        "data",
        "factorial",
        "scope",
        "response",
        "effect",
        "estimator",
        "value",
        "low",
        "high",
        "interval",
        "level",
    ),
    *("n", "tasks", "seeds", "runs", "left_out", "note"),
)


def effects(evidence: Evidence) -> pd.DataFrame:
    """One row an effect and estimator."""
    raise NotImplementedError


def table(evidence: Evidence) -> Table | None:
    """The table `factorial`; None where there is no factorial."""
    raise NotImplementedError
