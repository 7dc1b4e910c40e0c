"""Filters training clips into beliefs, and forecasts them open loop in the same scan."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.columns import begins_window
from models.distributions import Gaussian
from models.dynamics import Cell, RSSMState
from models.types import Noise


class Track(NamedTuple):
    """What the scan over a batch of clips leaves."""

    closed: Tensor  # [B, T, F]: features of the beliefs that saw every column up to theirs
    open: Tensor | None  # [N, B, T, F]: features of N independent forecasts, meaningful from column k on
    hidden: Tensor  # [B, T, D]: recurrent states before their column was seen
    posterior: Gaussian | None  # [B, T, S]


def nothing_seen(cell: Cell, batch: int) -> RSSMState:
    """The belief before anything was observed: zeros [B, ...]."""
    like = next(cell.parameters())
    return RSSMState(*(like.new_zeros(batch, width) for width in cell.widths))


def restart(state: RSSMState, action: Tensor, rows: Tensor) -> tuple[RSSMState, Tensor]:
    """The state and action [B, A] with which a column is entered: zeros in `rows` bool[B], where it is the first."""
    first = rows[:, None]
    return RSSMState(*(part.masked_fill(first, 0) for part in state)), action.masked_fill(first, 0)


def scan(
    cell: Cell, codes: Tensor, actions: Tensor, noise: Noise, split: Tensor | None, window: int | None
) -> Track:
    """Filters clips, and forecasts each from column `split` [B] on in the same scan, unless it is None.

    Args:
        cell: the dynamics.
        codes: [B, T, units], of the frames.
        actions: [B, T, A].
        noise: where the dynamics are stochastic, standard normal `posterior` [B, T, S] and `prior` [B, N, T, S], for
            N forecasts of each clip; else there is one.
        split: integers in 1 .. T - 1, or None.
        window: columns after which the filter starts anew (`models.windowed`), or None.
    """
    posterior, prior = noise.get("posterior"), noise.get("prior")
    clips, futures = codes.shape[0], 1 if prior is None else prior.shape[1]
    state, ahead = nothing_seen(cell, clips), nothing_seen(cell, futures * clips)
    closed, opened, hiddens, posteriors = [], [], [], []
    for t in range(codes.shape[1]):
        action = entering = actions[:, t]
        before = state
        if window is not None and t > 0:
            begins = begins_window(t, split, window, codes)
            before, entering = restart(state, action, begins)
        if split is None or t == 0:
            hidden = cell.advance(before, entering)
        else:  # the filter and the forecasts move as one batch of (1 + N) B rows
            start = (split >= t).repeat(futures)[:, None]  # the column before is still observed
            tiled = _tile(state, futures)
            origin = [torch.where(start, left, right) for left, right in zip(tiled, ahead, strict=True)]
            rows = RSSMState(*(torch.cat(pair) for pair in zip(before, origin, strict=True)))
            moved = cell.advance(rows, torch.cat([entering, action.repeat(futures, 1)]))
            hidden, ahead_hidden = moved[:clips], moved[clips:]
            ahead = cell.forecast(
                ahead_hidden, None if prior is None else prior[:, :, t].movedim(1, 0).flatten(0, 1)
            )
        state, gaussian = cell.correct(hidden, codes[:, t], None if posterior is None else posterior[:, t])
        if t == 0:
            ahead = _tile(state, futures)
        closed.append(state.features)
        opened.append(ahead.features)
        hiddens.append(hidden)
        if gaussian is not None:
            posteriors.append(gaussian)
    stacked = None
    if posteriors:
        stacked = Gaussian(*(torch.stack(part, 1) for part in zip(*posteriors, strict=True)))
    ahead_features = (
        None if split is None else torch.stack(opened, 1).view(futures, clips, codes.shape[1], -1)
    )
    return Track(torch.stack(closed, 1), ahead_features, torch.stack(hiddens, 1), stacked)


def _tile(state: RSSMState, futures: int) -> RSSMState:
    """[B, ...] to [N B, ...], one forecast of all clips after the other."""
    return RSSMState(*(part.repeat(futures, 1) for part in state))
