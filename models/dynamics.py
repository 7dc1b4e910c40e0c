"""Recurrent latent dynamics: how a belief moves with an action, and what an observation does to it.

::

    stochastic                                      deterministic
    s, a -> layer -> x                              h, a -> layer -> x
    x, h -> GRU -> h'                               x, h -> GRU -> h'
    h'       -> layer -> prior      N(mean, std)    forecast:     h' itself
    h', code -> layer -> posterior  N(mean, std)    observation:  h'' = (1 - g) h' + g c,
    s' drawn from one of the two                                  (g, c) from a layer on h', code

`code` is the encoding of a frame, already multiplied by its part of the layer's weights: that product
needs no recurrence, so it is batched over time. The stochastic cell is that of google-research/planet.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.distributions import Gaussian
from models.networks import GRU

MIN_STD = 0.1


class RSSMState(NamedTuple):
    """A belief. Leading dimensions are [B] or [B, C]."""

    deterministic: Tensor  # f32[.., D]
    stochastic: Tensor  # f32[.., S]; S is 0 in the deterministic design

    @property
    def features(self) -> Tensor:
        """[.., S + D]: what the heads read."""
        return torch.cat([self.stochastic, self.deterministic], -1)


class StochasticCell(nn.Module):
    """The dynamics of the RSSM: a recurrent state and a sampled one."""

    def __init__(self, encoding: int, actions: int, deterministic: int, stochastic: int, units: int) -> None:
        super().__init__()
        self.widths = RSSMWidths(deterministic, stochastic)
        self.input = nn.Linear(stochastic + actions, units)
        self.gru = GRU(units, deterministic)
        self.prior_hidden = nn.Linear(deterministic, units)
        self.prior_stats = nn.Linear(units, 2 * stochastic)
        self.code = nn.Linear(encoding, units)
        self.posterior_hidden = nn.Linear(deterministic, units, bias=False)
        self.posterior_stats = nn.Linear(units, 2 * stochastic)

    def advance(self, state: RSSMState, action: Tensor) -> Tensor:
        """The next recurrent state [.., D] after `action` [.., A]."""
        x = F.relu(self.input(torch.cat([state.stochastic, action], -1)))
        return self.gru(x, state.deterministic)  # type: ignore[no-any-return]

    def prior(self, hidden: Tensor) -> Gaussian:
        """What the stochastic state may be, before its frame is seen."""
        return _gaussian(self.prior_stats(F.relu(self.prior_hidden(hidden))))

    def posterior(self, hidden: Tensor, code: Tensor) -> Gaussian:
        """What the stochastic state may be, given its frame's code [.., units]."""
        return _gaussian(self.posterior_stats(F.relu(self.posterior_hidden(hidden) + code)))

    def forecast(self, hidden: Tensor, noise: Tensor | None) -> RSSMState:
        """The state without an observation, drawn with standard normal noise [.., S]."""
        assert noise is not None
        return RSSMState(hidden, self.prior(hidden).sample(noise))

    def correct(
        self, hidden: Tensor, code: Tensor, noise: Tensor | None
    ) -> tuple[RSSMState, Gaussian | None]:
        """The state given its frame's code, drawn with noise [.., S], and the posterior it was drawn from."""
        assert noise is not None
        posterior = self.posterior(hidden, code)
        return RSSMState(hidden, posterior.sample(noise)), posterior


class DeterministicCell(nn.Module):
    """A recurrent state alone, as wide as the two of the stochastic cell together, so that the heads match.

    An observation moves it by a gate towards a candidate; both come from one hidden layer, `correction` wide,
    as the mean and the deviation of the stochastic cell's posterior do. A state stays within [-1, 1].
    """

    def __init__(
        self, encoding: int, actions: int, deterministic: int, stochastic: int, units: int, correction: int
    ) -> None:
        super().__init__()
        width = deterministic + stochastic
        self.widths = RSSMWidths(width, 0)
        self.input = nn.Linear(width + actions, units)
        self.gru = GRU(units, width)
        self.code = nn.Linear(encoding, correction)
        self.correction_hidden = nn.Linear(width, correction, bias=False)
        self.correction = nn.Linear(correction, 2 * width)

    def advance(self, state: RSSMState, action: Tensor) -> Tensor:
        """The next recurrent state [.., D] after `action` [.., A]."""
        x = F.relu(self.input(torch.cat([state.deterministic, action], -1)))
        return self.gru(x, state.deterministic)  # type: ignore[no-any-return]

    def prior(self, hidden: Tensor) -> None:
        """There is none."""

    def forecast(self, hidden: Tensor, noise: Tensor | None) -> RSSMState:  # noqa: ARG002
        """The state without an observation; takes no noise."""
        return RSSMState(hidden, hidden[..., :0])

    def correct(
        self,
        hidden: Tensor,
        code: Tensor,
        noise: Tensor | None,  # noqa: ARG002
    ) -> tuple[RSSMState, Gaussian | None]:
        """The state given its frame's code [.., correction]; takes no noise, has no posterior."""
        x = F.relu(self.correction_hidden(hidden) + code)
        gate, candidate = self.correction(x).chunk(2, -1)
        corrected = hidden + gate.sigmoid() * (candidate.tanh() - hidden)
        return RSSMState(corrected, corrected[..., :0]), None


class RSSMWidths(NamedTuple):
    """Widths of the two parts of a state."""

    deterministic: int
    stochastic: int


Cell = StochasticCell | DeterministicCell


def _gaussian(stats: Tensor) -> Gaussian:
    mean, std = stats.float().chunk(2, -1)
    return Gaussian(mean, F.softplus(std.contiguous()) + MIN_STD)  # strided, softplus takes ten times as long
