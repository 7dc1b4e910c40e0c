"""The types that planners share with whoever asks them for a plan.

B environments, C candidates, H horizon, A action dimensions. Actions are in [-1, 1], or one-hot where discrete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import Tensor


class ActionSpace(NamedTuple):
    """What a planner chooses from: `dim` numbers in [-1, 1], or one of `dim` choices as a one-hot vector."""

    dim: int
    discrete: bool = False


class Budget(NamedTuple):
    """How far and how much a planner may look: H steps, iterations of C candidates."""

    horizon: int = 12
    iterations: int = 10
    proposals: int = 1000


Noise = Mapping[str, Tensor]
Context = Any
"""Whatever the score needs: an opaque tree that the planner only passes on."""

Score = Callable[[Context, Tensor], Tensor]
"""(context, actions [B, C, H, A]) -> returns [B, C]. Its own noise is bound into it, the same for all candidates."""


class Plan(NamedTuple):
    """What a planner decided."""

    action: Tensor  # [B, A], the first action
    sequence: Tensor  # [B, H, A]
    returns: Tensor  # [B], the expected return of the chosen plan
    diagnostics: dict[str, Tensor]


P = TypeVar("P")


class Planner(Protocol[P]):
    """Maximises a score over action sequences; P is its state between calls (a warm start), or None.

    Built as ``Planner(space, budget, **options)`` with an `ActionSpace` and a `Budget`; raises ValueError for what
    it cannot plan, such as discrete actions. `horizon` is H. `draws(batch)` declares the noise of one call as
    {name: (shape, "normal" | "uniform")}; the leading dimension of each is the batch. A planner keeps nothing
    between calls and draws nothing itself. Where actions are discrete, candidates and plans are one-hot.
    """

    version: int
    horizon: int

    def draws(self, batch: int) -> dict[str, tuple[tuple[int, ...], str]]: ...

    def initial(self, batch: int) -> P: ...

    def plan(self, score: Score, context: Context, state: P, noise: Noise) -> tuple[Plan, P]: ...
