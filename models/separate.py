r"""A design whose rewards come from a model of their own: two models that share nothing.

::

    observation --> image model  --> frames            trained on frames alone
              \---> reward model --> rewards           trained on rewards alone; the only one that plans
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from models.types import (
    AnyWorldModel,
    Call,
    Draw,
    Forecast,
    Loss,
    ModelDesign,
    ModelSpec,
    Noise,
    Observation,
    SequenceBatch,
)

Half = tuple[ModelSpec, ModelDesign]


def halves(spec: ModelSpec, design: ModelDesign) -> tuple[Half, Half]:
    """What the image model and the reward model of a design with a separate reward are built from.

    The two differ in their seed, and each has the whole of the loss weights, of which it uses its own.

    Raises:
        ValueError: the design has nothing to separate.
    """
    if not spec.predict_images:
        raise ValueError("reward_gradient separate needs a design that predicts images (predict: images)")
    if design.reward_from != "state":
        raise ValueError(
            "reward_gradient separate with reward_from image is what stopped is: the net that reads the frames "
            "has parameters of its own; write reward_gradient: stopped"
        )
    image = replace(spec, predict_rewards=False, predict_continues=False)
    reward = replace(spec, predict_images=False)
    shared = replace(design, reward_gradient="shared")
    return (image, shared), (reward, replace(shared, image_fraction=1.0, seed=design.seed ^ 1))


class SeparateState(NamedTuple):
    """The states of both models."""

    image: Any
    reward: Any


class SeparateReward(nn.Module):
    """Frames from one model, rewards and continuation from another.

    Args:
        image: predicts images and no rewards.
        reward: predicts rewards and no images.
    """

    version = 1

    def __init__(self, image: AnyWorldModel, reward: AnyWorldModel) -> None:
        super().__init__()
        self.image: Any = image
        self.reward: Any = reward
        self.spec = replace(reward.spec, predict_images=True)

    @property
    def parts(self) -> tuple[nn.Module, nn.Module]:
        """What a trainer clips the gradient norm of one by one: the two share nothing, that bound neither."""
        return self.image, self.reward

    def draws(self, call: Call, lead: tuple[int, ...], steps: int = 1) -> dict[str, Draw]:
        """Noise of both, their names under `image.` and `reward.`."""
        parts = {"image": self.image, "reward": self.reward}
        return {
            f"{part}.{name}": draw
            for part, model in parts.items()
            for name, draw in model.draws(call, lead, steps).items()
        }

    def initial(self, batch: int) -> SeparateState:
        """See `models.types.WorldModel.initial`."""
        return SeparateState(self.image.initial(batch), self.reward.initial(batch))

    def observe(self, state: SeparateState, obs: Observation, noise: Noise) -> SeparateState:
        """See `models.types.WorldModel.observe`."""
        return SeparateState(
            self.image.observe(state.image, obs, _part(noise, "image")),
            self.reward.observe(state.reward, obs, _part(noise, "reward")),
        )

    def expand(self, state: SeparateState, candidates: int) -> SeparateState:
        """See `models.types.WorldModel.expand`."""
        return SeparateState(
            self.image.expand(state.image, candidates), self.reward.expand(state.reward, candidates)
        )

    def predict(self, state: SeparateState, actions: Tensor, noise: Noise, *, decode: bool) -> Forecast:
        """Rewards from the one; frames from the other, which rests while nothing is decoded."""
        forecast: Forecast = self.reward.predict(state.reward, actions, _part(noise, "reward"), decode=False)
        if not decode:
            return forecast
        frames = self.image.predict(state.image, actions, _part(noise, "image"), decode=True)
        return forecast._replace(image=frames.image)

    def loss(self, batch: SequenceBatch, noise: Noise, progress: Tensor) -> Loss:
        """The sum of both losses. A metric that both have is the reward model's, the other's is `image_model_*`."""
        image = self.image.loss(batch, _part(noise, "image"), progress)
        reward = self.reward.loss(batch, _part(noise, "reward"), progress)
        metrics = {
            f"image_model_{name}" if name in reward.metrics else name: value
            for name, value in image.metrics.items()
        }
        return Loss(image.total + reward.total, metrics | reward.metrics)


def _part(noise: Noise, part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {name.removeprefix(prefix): value for name, value in noise.items() if name.startswith(prefix)}
