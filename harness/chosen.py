"""The episodes that `wm evaluate --dataset` names."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datasets import (
    Dataset,
    Episodes,
    PartName,
    find_dataset,
    manifest_digest,
    task_slug,
)
from harness.datasets.fitting import env_complaint
from harness.datasets.parts import Part
from harness.episodes import Episode, spec_problems
from harness.errors import UserError
from harness.offline import planned_dataset
from harness.registry import suggest

if TYPE_CHECKING:
    from harness.measure import Measurer
    from harness.tasks.spec import TaskSpec

OF_THE_RUN = ("probe", "own", "heldout")
"""Names that mean episodes of the run's own study; every other one is a dataset."""
_CACHED_BYTES = 2**29  # of episodes that stay in memory from run to run


@dataclass(frozen=True)
class Chosen:
    """Episodes to measure forecasts on.

    Attributes:
        name: what records call them; open-loop starts depend on it.
        part: of the dataset; `all` where it has no held-out episodes, or is no dataset.
        digest: of these very episodes.
        episodes: read when they are asked for.
    """

    name: str
    part: str
    digest: str
    episodes: Episodes


class CheckedEpisodes:
    """Episodes of a dataset that are known to fit a task; those that were read stay in memory up to a bound.

    Args:
        episodes: of the dataset.
        spec: of the task.
        where: the dataset, for messages.
    """

    def __init__(self, episodes: Dataset | Part, spec: TaskSpec, where: Path) -> None:
        self.columns = episodes.columns
        self._episodes, self._spec, self._where = episodes, spec, where
        self._kept: dict[int, Episode] = {}
        self._room = _CACHED_BYTES

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, index: int, /) -> Episode:
        if index in self._kept:
            return self._kept[index]
        episode = self._episodes[index]
        if wrong := spec_problems(episode, self._spec):
            raise UserError(
                f"{self._where} does not fit {self._spec.name}: episode {index}: {'; '.join(wrong)}"
            )
        self._room -= episode.image.nbytes
        if self._room >= 0:
            self._kept[index] = episode
        return episode


def choose(measurer: Measurer, dataset: str | Path, part: PartName | None) -> Chosen | None:
    """The episodes of a name; None for `own`, whose episodes are not played yet.

    Args:
        measurer: of the run.
        dataset: `probe`, `own`, `heldout` (of the dataset that an offline run was trained on), or a dataset by name
            or path.
        part: of a dataset; None: the held-out part if it has one, else all of it.

    Raises:
        UserError: there are none, or they do not fit the task.
        RunError: a file is damaged.
    """
    config, datasets, name = measurer.config, measurer.datasets, str(dataset)
    if part is not None and name in OF_THE_RUN:
        raise UserError(f"--part {part}: {name} has no parts; it is for a dataset")
    if name == "own":
        return None
    if name == "probe":
        probe, digest = measurer.probe_episodes()
        return Chosen("probe", "all", digest, probe)
    if name == "heldout":
        if not config.offline:
            raise UserError(
                "heldout is the held-out part of the dataset of an offline run; this one collected its own"
            )
        found, part = planned_dataset(config, datasets).directory, "heldout"
    else:
        found = _find(name, config.task, datasets)
    known = _opened(found, manifest_digest(found))
    if other := env_complaint(known.recipe, config.env, measurer.task.spec):
        raise UserError(f"{found}: {other}")
    part = part or ("heldout" if len(known.part("heldout")) else None)
    episodes = known if part is None else known.part(part)
    if not len(episodes):
        raise UserError(f"{found}: no episode is in its part {part}")
    label = name if name == "heldout" else _label(found, config.task, datasets)
    if part == "train" and len(known.part("heldout")):
        label += "-train"
    return Chosen(
        label, part or "all", episodes.digest, _checked(found, known.digest, part, measurer.task.spec)
    )


def _find(name: str, task: str, datasets: Path) -> Path:
    try:
        return find_dataset(name, task, datasets)
    except UserError as error:
        hint = suggest(name, OF_THE_RUN) or f"; without a dataset there are {', '.join(OF_THE_RUN)}"
        raise UserError(f"{error}{hint}") from error


def _label(found: Path, task: str, datasets: Path) -> str:
    """What a dataset is called: its folder under RUNS/datasets, or its own, without that of the task."""
    parts: Sequence[str] = found.parts
    if found.is_relative_to(datasets.absolute()):
        parts = found.relative_to(datasets.absolute()).parts
    if len(parts) > 1 and parts[-1] == task_slug(task):
        parts = parts[:-1]
    label = "-".join(parts) if found.is_relative_to(datasets.absolute()) else parts[-1]
    if label in OF_THE_RUN:
        raise UserError(f"{found}: rename it: {label} means other episodes")
    return label


@functools.lru_cache(maxsize=16)
def _opened(found: Path, digest: str) -> Dataset:
    """A dataset whose files were verified, once for all runs."""
    del digest
    return Dataset(found)


@functools.lru_cache(maxsize=2)
def _checked(found: Path, digest: str, part: PartName | None, spec: TaskSpec) -> CheckedEpisodes:
    known = _opened(found, digest)
    episodes = CheckedEpisodes(known if part is None else known.part(part), spec, found)
    _ = episodes[0]  # what does not fit is told before anything is played
    return episodes
