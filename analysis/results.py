"""What studies planned and what there is of it, as tidy frames; and results computed from them once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import pandas as pd

from analysis.evaluated import COLUMNS as EVALUATED
from analysis.pictures import Forecasts, Pictures
from analysis.study import Study
from harness.config import RunConfig

AXES = ("predict", "space", "dynamics", "reward_from", "reward_gradient", "image_fraction", "size")
COSTS = (
    "parameters",
    "training_parameters",
    "flops_per_step",
    "train_seconds",
    "plan_seconds",
    "collect_seconds",
    "wall_seconds",
    "peak_memory_mb",
)
KEYS = ("run", "design", "task", "seed")
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Read:
    """What results were assembled from: enough, with the frames, to assemble them again.

    Attributes:
        studies: before versions of a run are told apart.
        facts: what is known of every run directory beside its records (`frames.RunData.facts`).
    """

    studies: tuple[Study, ...] = ()
    facts: Mapping[Path, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """What the studies planned and what there is of it. All frames have run, design, task and seed; in all but `runs`
    names are categoricals.

    Attributes:
        studies: as given, in this order.
        runs: one row a planned run: study, version (`versions`; "" where there is one alone), configured (equal for
            runs of several versions that are configured alike), agent, the axes, state (`pending` if it was not
            begun), progress, costs, confounds, `final` (whether the final phase is complete), source, digest. `run` is
            the id; of runs that several versions made, with the version.
        episodes: one row a training episode: iteration, env_steps, grad_steps, episode, return, length, behaviour.
        evaluations: one row a noise-free episode: the same with phase in place of behaviour.
        open_loop: one row a value: phase, dataset, iteration, env_steps, step (1..H), metric, value. Every record
            of the final phase, and the last scheduled one of each dataset; also what `wm evaluate --save` measured of
            the final weights.
        notes: what a reader of the report must know about the data.
        configs: the planned configuration by run; None where it is not of this version of wm.
        coverage: one row an iteration of collecting: iteration, env_steps, grad_steps, entropy (nats, of states
            standardised by the task's probe), knn_distance, states (measured), episodes; of an offline run one row,
            of its dataset.
        evaluated: one row a run and dataset that it was evaluated on afterwards: dataset, part, digest.
        versions: what the results of the same runs by several versions of the code are called, in the order of the
            studies; empty where every run was made once.
        pictures: the forecasts that runs kept.
        read: what was read.
    """

    studies: tuple[Study, ...]
    runs: pd.DataFrame
    episodes: pd.DataFrame
    evaluations: pd.DataFrame
    open_loop: pd.DataFrame
    notes: tuple[str, ...]
    configs: Mapping[str, RunConfig | None] = field(default_factory=dict)
    coverage: pd.DataFrame = field(default_factory=pd.DataFrame)
    evaluated: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=[*KEYS, *EVALUATED]))
    versions: tuple[str, ...] = ()
    pictures: Forecasts = field(default_factory=lambda: Forecasts({}), repr=False, compare=False)
    read: Read = field(default_factory=Read, repr=False, compare=False)
    computed: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def simulated(self) -> bool:
        """Whether runs were made up by `wm simulate`."""
        return bool("simulated" in self.runs and self.runs["simulated"].fillna(False).any())

    @property
    def designs(self) -> list[str]:
        """Names of the designs that are compared, in the order of the plan."""
        return [str(name) for name in self.runs.loc[self.runs["agent"] == "model", "design"].unique()]

    def agents(self, agent: str) -> list[str]:
        """Names of the forms of an agent that is no model (`random`, `oracle`), in the order of the plan."""
        return [str(name) for name in self.runs.loc[self.runs["agent"] == agent, "design"].unique()]

    @property
    def baselines(self) -> list[str]:
        """Names of the agents that are no models: the random agent, then the forms of the oracle."""
        return [*self.agents("random"), *self.agents("oracle")]

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in the order of the plan."""
        return [str(name) for name in self.runs["task"].unique()]

    @property
    def image_designs(self) -> list[str]:
        """Names of the designs that predict images."""
        chosen = self.runs[(self.runs["agent"] == "model") & (self.runs["predict"] == "images")]
        return [str(name) for name in chosen["design"].unique()]

    def forecasts(self, run: str, dataset: str = "probe") -> Pictures | None:
        """The forecasts that a run kept for pictures: the arrays of forecasts/<dataset>.npz, all with n starts first.

        context, truth (u8[n, t, 3, h, w]), reward, reward_forecast (f32[n, H]), start (int64[n, 2]: episode, column);
        of designs that predict images also image, of stochastic ones sample. None where there are none, or not whole.
        Read one start of an array (``found["image"][start]``) rather than all: there may be 100 of them.
        """
        return self.pictures(run, dataset)

    @property
    def tested(self) -> Results:
        """What claims are tested on: everything, or the first version alone, as versions are no seeds."""
        return self.of_version(self.versions[0]) if self.versions else self

    def of_version(self, version: str) -> Results:
        """The results of the studies of one version alone."""
        studies = tuple(study for study in self.studies if study.version == version)
        names = {run.id for study in studies for run in study.runs}
        frames = (self.episodes, self.evaluations, self.open_loop, self.coverage, self.evaluated)
        chosen = [frame[frame["run"].isin(names)].reset_index(drop=True) for frame in frames]
        return replace(
            self,
            studies=studies,
            runs=self.runs[self.runs["run"].isin(names)].reset_index(drop=True),
            episodes=chosen[0],
            evaluations=chosen[1],
            open_loop=chosen[2],
            coverage=chosen[3],
            evaluated=chosen[4],
            configs={run: config for run, config in self.configs.items() if run in names},
            versions=(),
        )


def once(function: Callable[Concatenate[Results, _P], _T]) -> Callable[Concatenate[Results, _P], _T]:
    """Computes a function of results once for equal arguments. A frame is given as a copy: it can be changed."""

    @functools.wraps(function)
    def computed(results: Results, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        key = (function.__module__, function.__qualname__, args, tuple(sorted(kwargs.items())))
        if key not in results.computed:
            results.computed[key] = function(results, *args, **kwargs)
        found = results.computed[key]
        return cast("_T", found.copy() if isinstance(found, pd.DataFrame) else found)

    return cast("Callable[Concatenate[Results, _P], _T]", computed)
