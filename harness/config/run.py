"""`RunConfig`: everything that one run is, as a frozen tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from harness.config.fields import NO_NEUTRAL, Category, Section, other, semantic
from harness.config.sections import (
    DataConfig,
    EnvConfig,
    EvaluationConfig,
    ExplorationConfig,
    LegacyConfig,
    ModelConfig,
    OracleConfig,
    PlannerConfig,
    ResourcesConfig,
    RuntimeConfig,
    StorageConfig,
    TrainConfig,
)

AXES = ("predict", "space", "dynamics", "reward_from", "reward_gradient", "image_fraction", "size")
"""The design axes, in the order in which a design's name gives the first three."""


def axes_label(axes: Iterable[str | None], model: str) -> str:
    """What a design without a name is called.

    Args:
        axes: its first three; a model of the user's own needs none of them.
        model: `auto`, or the import path of a class of the user's own, whose name then comes first.
    """
    parts = [str(axis) for axis in axes if axis is not None]
    return "-".join([model.rpartition(":")[2], *parts] if model != "auto" else parts)


class RunConfig(Section):
    """One run: an agent on a task with a seed. Design axes are null unless `agent` is `model`."""

    agent: Literal["model", "random", "oracle"] = semantic(
        "model",
        neutral=NO_NEUTRAL,
        doc="a model with a planner, uniformly random actions, or the true simulator",
    )
    task: str = semantic(
        ...,
        neutral=NO_NEUTRAL,
        doc="dmc/<domain>-<task>, atari/<Game>, gym/<id>, toy/<name>, or package.module:Name",
    )
    seed: int = semantic(0, neutral=NO_NEUTRAL, doc="seed of every random stream of the run", ge=0, lt=2**31)
    design: str | None = other(Category.COSMETIC, None, "name of the design, as the study gave it")

    predict: Literal["images", "rewards"] | None = semantic(
        None, neutral=None, doc="images and rewards, or rewards only"
    )
    space: Literal["latent", "pixel"] | None = semantic(
        None, neutral=None, doc="a filtered belief, or a function of the last frames"
    )
    dynamics: Literal["deterministic", "stochastic"] | None = semantic(
        None, neutral=None, doc="whether the forecast is drawn or computed"
    )
    reward_from: Literal["state", "image"] | None = semantic(
        None, neutral="state", doc="what the reward is read from; state unless given"
    )
    reward_gradient: Literal["shared", "stopped", "separate"] | None = semantic(
        None, neutral="shared", doc="whether the reward's gradient reaches the dynamics; shared unless given"
    )
    image_fraction: float | None = semantic(
        None, neutral=1.0, doc="part of the image whose prediction is trained; 1 unless given", ge=0, le=1
    )
    size: Literal["tiny", "small", "paper", "large", "bench"] | None = semantic(
        None, neutral="paper", doc="capacity preset; paper unless given"
    )

    env: EnvConfig = Field(default_factory=EnvConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    planner: PlannerConfig = Field(default_factory=PlannerConfig)
    oracle: OracleConfig = Field(default_factory=OracleConfig)
    exploration: ExplorationConfig = Field(default_factory=ExplorationConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    legacy: LegacyConfig = Field(default_factory=LegacyConfig)
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)
    resources: ResourcesConfig = Field(default_factory=ResourcesConfig)
    storage: StorageConfig = Field(default_factory=StorageConfig)

    @model_validator(mode="before")
    @classmethod
    def _fill_axes(cls, data: object) -> object:
        """A model's axes that were not given take their ordinary values."""
        if not isinstance(data, dict) or data.get("agent", "model") != "model":
            return data
        ordinary = {
            "reward_from": "state",
            "reward_gradient": "shared",
            "image_fraction": 1.0,
            "size": "paper",
        }
        return data | {axis: value for axis, value in ordinary.items() if data.get(axis) is None}

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        given = [axis for axis in AXES if getattr(self, axis) is not None]
        if self.agent != "model" and given:
            raise ValueError(f"agent {self.agent} has no model: remove {', '.join(given)}")
        if self.agent == "model":
            missing = [axis for axis in AXES[:3] if getattr(self, axis) is None]
            if missing and self.model.name == "auto":
                raise ValueError(f"a model needs {', '.join(missing)} (or a design that sets it)")
            if not self.offline and self.exploration.cold_start > self.train.episodes:
                raise ValueError(
                    f"exploration.cold_start ({self.exploration.cold_start}) exceeds train.episodes "
                    f"({self.train.episodes})"
                )
            if self.model.context > self.evaluation.context:
                raise ValueError(
                    f"model.context ({self.model.context}) exceeds evaluation.context "
                    f"({self.evaluation.context}): all designs are scored from the same starts"
                )
        self._check_data()
        return self

    def _check_data(self) -> None:
        if not self.offline:
            if self.data.dataset is not None:
                raise ValueError("data.dataset needs data.mode: offline")
            return
        if self.agent != "model":
            raise ValueError(f"agent {self.agent} trains nothing: data.mode offline is for models")
        if self.data.dataset is None:
            raise ValueError("data.mode offline needs data.dataset; `wm dataset build` makes one")

    @property
    def offline(self) -> bool:
        """Whether the run trains on a fixed dataset."""
        return self.data.mode == "offline"

    @property
    def label(self) -> str:
        """The design's name: as given, else from the axes, else the class of a model of the user's own; `random`
        and `oracle` for those agents.
        """
        if self.agent != "model":
            return self.agent
        return self.design or axes_label((self.predict, self.space, self.dynamics), self.model.name)

    @property
    def clip_length(self) -> int:
        """Columns T of a training clip: context + forecast, the same for every design."""
        return self.model.context + self.train.forecast

    @property
    def total_updates(self) -> int:
        """Gradient steps planned for the whole run; online, training starts once the cold start is collected."""
        if self.agent != "model":
            return 0
        if self.offline:
            return self.train.episodes * self.train.updates_per_episode
        return (self.train.episodes - self.exploration.cold_start + 1) * self.train.updates_per_episode
