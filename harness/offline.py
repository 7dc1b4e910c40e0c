"""An offline run's data: clips of the `train` part of a fixed dataset, and the `heldout` part to be measured on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.config import RunConfig
from harness.datasets import Dataset, Episodes, MappedReplay, find_dataset, open_mapped
from harness.datasets.fitting import env_complaint
from harness.episodes import Episode, layout_problems
from harness.errors import UserError
from harness.tasks.spec import TaskSpec

log = logging.getLogger("wm")


@dataclass(frozen=True)
class OfflineData:
    """What a run trains on and is measured on; nothing of it changes.

    Attributes:
        replay: the episodes of the part `train`.
        heldout: those of the part `heldout`; None if there are none.
    """

    replay: MappedReplay
    heldout: Episodes | None


class MappedEpisodes:
    """A mapped replay as a list of episodes, each read when it is asked for."""

    def __init__(self, replay: MappedReplay) -> None:
        self._replay = replay
        self.columns: list[int] = replay.lengths.tolist()

    def __len__(self) -> int:
        return len(self._replay)

    def __getitem__(self, index: int, /) -> Episode:
        return self._replay.episode(index)


def open_offline(
    config: RunConfig, spec: TaskSpec, datasets: Path, tick: Callable[[], None]
) -> OfflineData | None:
    """Opens and verifies the dataset of an offline run; None for an online one.

    Args:
        config: with `data.dataset`, and `data.digest` as it was when the run was planned.
        spec: of the run's task as configured.
        datasets: RUNS/datasets.
        tick: called often while waiting and verifying; may raise to stop.

    Raises:
        UserError: there is no such dataset, it is another one than was planned with, or it does not fit the task.
        RunError: kind ``corrupt`` or ``disk``.
    """
    if not config.offline:
        return None
    dataset = planned_dataset(config, datasets)
    if complaint := offline_complaint(config, dataset, spec):
        raise UserError(complaint)
    replay = open_mapped(dataset, "train", spec, tick)
    heldout = MappedEpisodes(open_mapped(dataset, "heldout", spec, tick)) if dataset.part("heldout") else None
    log.info(
        "offline: %d episodes of %s to train on, %s held out",
        len(replay),
        dataset.directory,
        len(heldout) if heldout else "none",
    )
    return OfflineData(replay, heldout)


def planned_dataset(config: RunConfig, datasets: Path) -> Dataset:
    """The dataset that an offline run was planned with, by its manifest; no episode is read.

    Raises:
        UserError: there is none, or another one.
        RunError: kind ``corrupt``: its manifest is damaged.
    """
    name, digest = config.data.dataset, config.data.digest
    assert name is not None
    if digest is None:
        raise UserError(
            f"data.digest is missing: which content of dataset {name} is meant is written down when a run is "
            "planned; start it by `wm run` or `wm train`"
        )
    dataset = Dataset(find_dataset(name, config.task, datasets), verify=False)
    if dataset.digest != digest:
        raise UserError(
            f"{dataset.directory} has another content (digest {dataset.digest[:12]}) than when the run was planned "
            f"({digest[:12]}). Put the old one back, or plan the study again: the other data makes other runs"
        )
    return dataset


def offline_complaint(config: RunConfig, dataset: Dataset, spec: TaskSpec) -> str:
    """Why a dataset is nothing for a run, told from its manifest and its first episode, or the empty string."""
    where = f"dataset {dataset.directory}"
    train, heldout = dataset.part("train"), dataset.part("heldout")
    if not len(train):
        return f"{where} has no episodes in its part train"
    if other := env_complaint(dataset.recipe, config.env, spec):
        return f"{where}: {other}"
    if wrong := layout_problems(train[0], spec):
        return f"{where} does not fit {spec.name} as configured: {'; '.join(wrong)}"
    if max(train.columns) <= config.model.context:
        return (
            f"{where}: its longest episode to train on has {max(train.columns) - 1} steps, too few for model.context "
            f"({config.model.context}) and a step to forecast"
        )
    needed = config.evaluation.context + config.evaluation.horizon - 1
    measured, kind = (heldout, "held-out episode") if len(heldout) else (train, "episode")
    if max(measured.columns) - 1 < needed:
        return (
            f"{where}: its longest {kind} has {max(measured.columns) - 1} steps; evaluation.context "
            f"({config.evaluation.context}) and evaluation.horizon ({config.evaluation.horizon}) need {needed}"
        )
    return ""
