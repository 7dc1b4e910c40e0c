"""The effects of a factorial from a mixed model: tasks and seeds are random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import pandas as pd

from analysis.inference.estimate import LEVEL
from analysis.inference.factorial import Effect

INSTALL = "pip install 'world-models-study[stats]'"


@dataclass(frozen=True)
class Mixed:
    """A fitted mixed model.

    Attributes:
        effects: its fixed effects, but for the mean.
        components: variance by random effect: `task`, `seed` (within task), `task x AXIS`, `residual`.
        note: what went wrong or what it rests on, or "".
    """

    effects: list[Effect]
    components: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def available() -> bool:
    """Whether statsmodels is there (the extra `stats`)."""
    return find_spec("statsmodels") is not None


def mixed(frame: pd.DataFrame, axes: Sequence[str], *, level: float = LEVEL) -> Mixed:
    """Fits it; see `factorial.contrasts` for the frame. Empty without statsmodels, or too few runs: the note says so."""
    raise NotImplementedError
