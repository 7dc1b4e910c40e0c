"""The datasets of a plan's offline runs: which content each run was planned with, and whether it is there to run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import RunConfig, run_hex
from harness.errors import RunError, UserError
from studies.store import StoredRun

_MOST = 10  # problems that a message lists


@dataclass
class _Missing:
    """A dataset that is not there, and what waits for it."""

    name: str
    facts: dict[str, None] = field(default_factory=dict)
    tasks: dict[str, None] = field(default_factory=dict)
    runs: dict[str, bool] = field(default_factory=dict)  # by hex: whether the digest is known

    def __str__(self) -> str:
        from harness.datasets.find import remedy

        return f"{'; '.join(self.facts)}; {remedy(self.name, self.tasks)}"


class Datasets:
    """Fills in `data.digest` while a study is planned.

    What was found wrong is kept, so that a plan can tell all of it at once: `problems` make no plan, of `missing`
    datasets a plan can be made all the same.

    Args:
        root: RUNS/datasets.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.problems: dict[str, None] = {}
        self._missing: dict[str, _Missing] = {}
        self._without_heldout: dict[str, None] = {}
        self._fits: dict[object, str] = {}

    def planned(self, config: RunConfig) -> RunConfig:
        """The configuration as its run is planned: with the digest of its dataset, if that is there."""
        name = config.data.dataset
        if not config.offline or name is None:
            return config
        from harness.datasets import Dataset
        from harness.datasets.find import MissingDatasetError, find_dataset

        try:
            found = find_dataset(name, config.task, self._root)
            dataset = Dataset(found, verify=False)
        except MissingDatasetError as error:
            waiting = self._missing.setdefault(name, _Missing(name))
            waiting.facts[error.fact] = waiting.tasks[config.task] = None
            waiting.runs[run_hex(config)] = config.data.digest is not None
            return config
        except (RunError, UserError) as error:
            self.problems[str(error)] = None
            return config
        given = config.data.digest
        if given not in {None, dataset.digest}:
            self.problems[
                f"data.digest is {given} here, but the dataset {found} has {dataset.digest}: leave data.digest out, "
                "wm fills it in"
            ] = None
        self._check(config, dataset)
        data = config.data.model_copy(update={"digest": dataset.digest, "dataset": self._stored(name)})
        return config.model_copy(update={"data": data})

    def notes(self) -> list[str]:
        """A line for every dataset that is missing, or has nothing to be measured on."""
        lines = []
        for waiting in self._missing.values():
            count = len(waiting.runs)
            lines.append(
                f"{waiting}. {count} run{'s wait' if count != 1 else ' waits'} for it ({', '.join(waiting.tasks)})"
                + ("" if all(waiting.runs.values()) else "; ids will change once it is there")
            )
        return lines + list(self._without_heldout)

    def raise_problems(self) -> None:
        """Refuses a plan whose datasets do not fit.

        Raises:
            UserError: with every problem.
        """
        if self.problems:
            raise UserError("\n".join(list(self.problems)[:_MOST]))

    def raise_missing(self) -> None:
        """Refuses what cannot run before its datasets are made.

        Raises:
            UserError: with the command that makes each.
        """
        if self._missing:
            raise UserError("\n".join(map(str, self._missing.values())))

    def _check(self, config: RunConfig, dataset: Any) -> None:
        """Once for all runs that ask the same of a dataset."""
        asked = (
            dataset.directory,
            config.task,
            config.env,
            config.model.context,
            config.evaluation.context,
            config.evaluation.horizon,
        )
        if asked in self._fits:
            return
        from harness.offline import offline_complaint
        from harness.tasks.catalogue import find_task

        try:
            complaint = offline_complaint(config, dataset, find_task(config.task, config.env).spec)
        except (RunError, UserError) as error:
            complaint = str(error)
        self._fits[asked] = complaint
        if complaint:
            self.problems[complaint] = None
        if not len(dataset.part("heldout")):
            self._without_heldout[
                f"dataset {dataset.directory} has no held-out episodes: its runs measure their forecasts on probe and "
                "own episodes alone"
            ] = None

    def _stored(self, name: str) -> str:
        """How a run remembers where its dataset is: by name within RUNS, so that RUNS can move; else absolutely."""
        place = self._root / name  # `name` itself if it is an absolute path
        if not place.exists():
            place = Path(name)
        place = Path(os.path.abspath(place))  # noqa: PTH100 - links stay: a dataset may be one
        return place.relative_to(self._root).as_posix() if place.is_relative_to(self._root) else str(place)


def fill(config: RunConfig, root: Path) -> RunConfig:
    """The configuration of a run without a study, as it is planned.

    Args:
        config: as read.
        root: RUNS/datasets.

    Raises:
        UserError: its dataset is missing, or does not fit.
    """
    datasets = Datasets(root)
    filled = datasets.planned(config)
    datasets.raise_missing()
    datasets.raise_problems()
    return filled


def check_datasets(root: Path, runs: Iterable[StoredRun]) -> None:
    """Refuses to start offline runs whose dataset is not there as it was planned with; reads manifests alone.

    Args:
        root: RUNS.
        runs: those to start.

    Raises:
        UserError: with every problem, and what to do.
    """
    problems: dict[str, None] = {}
    seen = set()
    for run in runs:
        data = run.config.get("data") or {}
        asked = (data.get("dataset"), data.get("digest"), run.task)
        if data.get("mode") != "offline" or asked in seen:
            continue
        seen.add(asked)
        from harness.datasets import find_dataset
        from harness.offline import planned_dataset

        try:
            if asked[1] is None:
                find_dataset(str(asked[0]), run.task, root / "datasets")
                problem = (
                    f"dataset {asked[0]} was made after the study was planned: plan it again from its file"
                )
                problems[problem] = None
            else:
                planned_dataset(RunConfig.model_validate(run.config), root / "datasets")
        except (RunError, UserError) as error:
            problems[str(error)] = None
    if problems:
        raise UserError("\n".join(list(problems)[:_MOST]))
