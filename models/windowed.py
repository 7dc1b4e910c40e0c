"""The windowed RSSM: its belief has seen the last `context` columns only.

The ablation that separates memory from space: the latent designs of `models.rssm`, which see no more of the
past than a pixel design does. A window begins as a clip does, from the initial belief and a zero action::

    in use, K = 3     column     0     1     2     3     4     5
                      belief     0     0-1   0-2   1-3   2-4   3-5         filtered anew at each column

    in training, k = 4, the column from which the forecast starts
                      filter     0  |  1     2     3  |  4     5     6  |
                      forecast                           4     5     6     from the belief of 1-3

In training one scan filters a clip, as of the ordinary RSSM, and begins a new window every K columns, at k
among them: the forecast starts from a belief that has seen min(K, k) columns. Beliefs within a window have
seen fewer, as after a reset. The columns that begin a window in the middle of a clip have a reward, and are
scored as all others are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.filtering import nothing_seen, restart
from models.networks import scale_image
from models.rssm import RSSM
from models.types import Call, Draw, Forecast, ModelDesign, ModelSpec, Noise, Observation


class WindowState(NamedTuple):
    """A belief and the window it has seen, oldest column first. Leading dimensions are [B] or [B, C]."""

    seen: Any  # the state of an RSSM that has seen the window and nothing else
    codes: Tensor  # f32[.., K, units]: of the frames
    actions: Tensor  # f32[.., K, A]
    columns: Tensor  # f32[..]: how many columns of the window exist, counted from its end


class WindowedRSSM(RSSM):
    """Recurrent state-space model whose belief has seen the last `spec.context` columns only.

    Args:
        spec: what to predict, from what.
        design: how.

    Raises:
        ValueError: as `models.rssm.RSSM`.
    """

    version = 1

    def __init__(self, spec: ModelSpec, design: ModelDesign) -> None:
        super().__init__(spec, design)
        self.window = self.columns = spec.context

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """As `models.rssm.RSSM.draws`, with a draw per column of the window to observe one."""
        draws = super().draws(call, lead, steps)
        if call == "observe" and "posterior" in draws:
            draws["posterior"] = Draw((*lead, self.columns, self.cell.widths.stochastic))
        return draws

    def initial(self, batch: int) -> WindowState:
        """An empty window: zeros [B, ...]."""
        seen, code = super().initial(batch), self.cell.code
        like = code.weight
        return WindowState(
            seen,
            like.new_zeros(batch, self.columns, code.out_features),
            like.new_zeros(batch, self.columns, self.spec.action_dim),
            like.new_zeros(batch),
        )

    def observe(self, state: WindowState, obs: Observation, noise: Noise) -> WindowState:
        """Takes in one column for the window's oldest, and filters the window anew, with noise [B, K, S]."""
        images = scale_image(obs.image)
        codes = _push(state.codes, self.cell.code(self.encoder(images)).float(), obs.first)
        actions = _push(state.actions, obs.action.masked_fill(obs.first[:, None], 0), obs.first)
        columns = (state.columns + 1).clamp(max=self.columns).masked_fill(obs.first, 1)
        posterior = noise.get("posterior")
        belief = nothing_seen(self.cell, len(columns))
        for t in range(self.columns):
            belief, action = restart(belief, actions[:, t], t <= self.columns - columns)
            hidden = self.cell.advance(belief, action)
            drawn = None if posterior is None else posterior[:, t]
            belief, _ = self.cell.correct(hidden, codes[:, t], drawn)
        return WindowState(self.remember(belief, images, obs), codes, actions, columns)

    def predict(self, state: WindowState, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:
        """As `models.rssm.RSSM.predict`, from the belief alone."""
        return super().predict(state.seen, actions, noise, decode=decode)


def _push(ring: Tensor, new: Tensor, first: Tensor) -> Tensor:
    """[B, K, W] without its oldest column and with `new` [B, W] as its last; zeros before it if `first`."""
    return torch.cat([ring[:, 1:].masked_fill(first[:, None, None], 0), new[:, None]], 1)
