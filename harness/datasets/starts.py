"""Where open-loop forecasts start.

::

    column       0 .. t-context+1 .. t | t+1 .. t+horizon
                 history, observed     | actions given, images and rewards to be forecast
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from harness.episodes import I64, Episode
from harness.errors import UserError


class Episodes(Protocol):
    """A list of episodes: a plain list, or a `Dataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Episode: ...


def column_counts(episodes: Episodes) -> list[int]:
    """T of every episode, without loading those of a `Dataset`."""
    known: list[int] | None = getattr(episodes, "columns", None)
    return known if known is not None else [episodes[i].columns for i in range(len(episodes))]


def open_loop_starts(
    episodes: Episodes, starts: int, context: int, horizon: int, rng: np.random.Generator
) -> I64:
    """Draws (episode, column t) pairs uniformly without replacement from all that have context and horizon.

    Args:
        episodes: the dataset.
        starts: how many; all there are, if there are fewer.
        context: columns that must exist up to and including t.
        horizon: columns that must exist after t.
        rng: the only randomness.

    Returns:
        i64[N, 2], sorted.

    Raises:
        UserError: every episode is too short.
    """
    columns = np.asarray(column_counts(episodes), np.int64)
    valid = np.maximum(columns - horizon - context + 1, 0)
    ends = np.cumsum(valid)
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        longest = int(columns.max(initial=1)) - 1
        raise UserError(
            f"no open-loop start: {len(columns)} episodes of at most {longest} steps, but a context of "
            f"{context} columns and a horizon of {horizon} need {context + horizon - 1} steps; "
            "lower evaluation.context or evaluation.horizon, or raise env.time_limit where that is what ends episodes"
        )
    pick = np.sort(rng.choice(total, size=min(starts, total), replace=False))
    episode = np.searchsorted(ends, pick, side="right")
    return np.stack([episode, pick - (ends - valid)[episode] + context - 1], axis=1).astype(np.int64)
