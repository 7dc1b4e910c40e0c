"""The types that models share with whoever trains them and plans with them.

The timing convention, written down here and nowhere else::

    column     0          1          2                 t                t+1 .. t+H
    image      reset      o_1        o_2               o_t              to be forecast
    action     zeros      a_1 -> o_1 a_2 -> o_2        a_t -> o_t       given
    reward     0          r_1        r_2               r_t              to be forecast
               first                                   context ends

``action[:, t]`` is the action that *produced* ``image[:, t]`` and ``reward[:, t]``. Column 0 holds the first
image of the clip, a zero action and a zero reward. An open-loop forecast from the context ``0..t`` consumes
``action[:, t+1 .. t+H]`` and is compared with ``image`` and ``reward`` at the same indices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from torch import Tensor

Call = Literal["observe", "predict", "loss"]
Noise = Mapping[str, Tensor]
"""The random tensors of one call, by name, as `draws` declared them."""


class Draw(NamedTuple):
    """A tensor of independent standard random numbers that a call needs."""

    shape: tuple[int, ...]
    kind: Literal["normal", "uniform"] = "normal"  # N(0, 1), or U[0, 1)


@dataclass(frozen=True)
class ModelSpec:
    """What a model is asked to do.

    Attributes:
        action_dim: A; one-hot where actions are discrete.
        discrete: whether actions are discrete.
        image_shape: (3, h, w).
        predict_images: whether forecasts hold images.
        predict_continues: whether forecasts hold the probability that the episode goes on.
        stochastic: whether forecasts depend on noise.
        context: K, the columns that a pixel design or a windowed belief sees (1 for a belief that filters all).
        decodes_to_plan: whether a reward forecast needs decoded frames.
        predict_rewards: whether forecasts hold rewards; false only for the image half of a design whose reward
            model is separate, which then forecasts zeros and has no reward head.
    """

    action_dim: int
    discrete: bool
    image_shape: tuple[int, int, int]
    predict_images: bool
    predict_continues: bool
    stochastic: bool
    context: int = 1
    decodes_to_plan: bool = False
    predict_rewards: bool = True


@dataclass(frozen=True)
class LossWeights:
    """Loss weights in one unit for every family; `harness.config.ModelConfig` documents each."""

    image_scale: float = 1.0
    reward_scale: float = 10.0
    kl_scale: float = 1.0
    free_nats: float = 3.0
    open_loop_weight: float = 1.0


@dataclass(frozen=True)
class ModelDesign:
    """How a model is built and trained; `harness.config` documents the fields of a run that these come from.

    Attributes:
        size: preset of `models.sizes`.
        widths: layer widths that replace the preset's.
        weights: of the loss.
        variant: which form of the family: `standard`, `window`, `feedforward` or `actions`.
        reward_from: `state`, or `image` (the reward is read from decoded frames).
        reward_gradient: `shared`, `stopped` (the reward's gradient ends where the reward is read), or `separate`
            (built as `models.separate` from two models; a model of your own may do it its own way).
        image_fraction: part of the image whose prediction is trained (`models.regions`).
        open_loop_futures: independent forecasts of each clip in the open-loop term of stochastic latent designs.
        forecast: columns that a training clip has beyond its context.
        scheduled_sampling: part of the planned updates over which the inputs of a pixel design's forecast go
            from true frames to its own.
        dropout: of the heads of the reward predictors on pixels, in training.
        blind_inputs: restores a fault of google-research/world_models: frames of about 1e-7.
        leaking_reward: restores another: the reward head reads the reward that it is to predict.
        seed: of the initial parameters.
        region_seed: of the region of `image_fraction`; common to the designs of a study, unlike `seed`.
        options: configuration of a model of your own; the built-in ones have none.
    """

    size: str = "paper"
    widths: Mapping[str, int] = field(default_factory=dict)
    weights: LossWeights = LossWeights()
    variant: str = "standard"
    reward_from: str = "state"
    reward_gradient: str = "shared"
    image_fraction: float = 1.0
    open_loop_futures: int = 1
    forecast: int = 12
    scheduled_sampling: float = 0.1
    dropout: float = 0.0
    blind_inputs: bool = False
    leaking_reward: bool = False
    seed: int = 0
    region_seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


class Observation(NamedTuple):
    """One column for B environments."""

    image: Tensor  # u8[B, 3, h, w]
    action: Tensor  # f32[B, A]: the action that produced the image; zeros where `first`
    reward: Tensor  # f32[B]: the reward that came with the image; zero where `first`
    first: Tensor  # bool[B]: the row starts a new episode


class SequenceBatch(NamedTuple):
    """B clips of T columns in the timing convention above. A clip never crosses an episode."""

    image: Tensor  # u8[B, T, 3, h, w]
    action: Tensor  # f32[B, T, A]
    reward: Tensor  # f32[B, T]
    first: Tensor  # bool[B, T]: true in column 0 of every clip, wherever in its episode it was cut
    terminal: Tensor  # bool[B, T]: the task ended for good here (truncation is not termination)
    mask: Tensor  # f32[B, T]: 1 where the column exists; short clips are padded at the end


class Forecast(NamedTuple):
    """An open-loop forecast over H steps; ``..`` is [B] or [B, C]."""

    reward: Tensor  # f32[.., H], in units of the task's reward
    image: Tensor | None  # f32[.., H, 3, h, w] in [0, 1], or None
    continues: Tensor | None  # f32[.., H]: probability that the episode goes on after the step, or None


class Loss(NamedTuple):
    """What a training step minimises, and detached 0-d metrics to log beside it."""

    total: Tensor
    metrics: dict[str, Tensor]


S = TypeVar("S")


class WorldModel(Protocol[S]):
    """A world model: a class built as `Model(spec: ModelSpec, design: ModelDesign)`.

    S is its state, passed in and returned: a NamedTuple of tensors of leading dimension B, or of such NamedTuples
    (`models.trees` maps over them).

    A model of independent parts may list them as `parts`, a tuple of modules: the gradient norm of each is bounded
    by itself.

    No call draws random numbers: `draws` declares what it needs, the caller passes it in. Rows of a batch
    never see one another. Every call is a pure function of its arguments and the parameters.
    """

    version: int
    spec: ModelSpec

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """Declares the noise of a call.

        Args:
            call: which method.
            lead: (B,) for observe and loss; (B,) or (B, C) for predict. A dimension of size 1 in noise is
                broadcast, so that all candidates of a plan can share theirs.
            steps: T of the loss, H of predict.
        """
        ...

    def initial(self, batch: int) -> S:
        """The state before anything was observed."""
        ...

    def observe(self, state: S, obs: Observation, noise: Noise) -> S:
        """Takes in one column; rows with `first` start anew."""
        ...

    def expand(self, state: S, candidates: int) -> S:
        """[B, ...] -> [B, C, ...], as views where possible."""
        ...

    def predict(self, state: S, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:
        """Rolls out open loop: actions [.., H, A]. Images only if `decode` and the design predicts them."""
        ...

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:
        """The training loss; `progress` (0-d, 0..1) is the part of the planned updates that is done."""
        ...


AnyWorldModel = WorldModel[Any]
