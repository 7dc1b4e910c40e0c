"""Which runs' forecasts are shown: of each design the best, the median and the worst seed, from the same start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.material import Material
from analysis.pictures import Pictures, Stack
from analysis.prediction import DATASET, run_errors
from analysis.results import Results, once

RANKS = ("best", "median", "worst")
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Forecast:
    """One run's forecasts: the arrays of forecasts/<dataset>.npz, and its error where it was measured."""

    design: str
    seed: int
    arrays: Pictures
    error: float = np.nan

    @property
    def images(self) -> bool:
        """Whether the design predicts images."""
        return "image" in self.arrays


@dataclass(frozen=True)
class Kept:
    """The forecasts on a task.

    Attributes:
        seeds: of each design, its runs with forecasts from the best to the worst.
        unequal: designs whose forecasts start elsewhere, and are not shown.
        start: the start that is shown, of those in the arrays.
    """

    task: str
    seeds: dict[str, list[Forecast]] = field(default_factory=dict)
    unequal: Sequence[str] = ()
    start: int = 0

    def ranked(self, design: str, rank: str) -> Forecast:
        """The best, the median (of an even number the better of the two) or the worst seed."""
        every = self.seeds[design]
        return every[{"best": 0, "median": (len(every) - 1) // 2, "worst": -1}[rank]]

    @property
    def truth(self) -> Forecast:
        """A run of those shown: context, truth and rewards are those of all."""
        return next(iter(self.seeds.values()))[0]


def kept(material: Material, task: str) -> Kept:
    """The forecasts that runs of a task kept, ranked by their error: of images, or of rewards where there are none.

    The error is that of `run_errors`: a mean over the horizon and over all starts, not over the one that is shown.
    Runs that were not measured come last, by seed.
    """
    return _kept(material.results, task)


@once
def _kept(results: Results, task: str) -> Kept:
    runs = results.runs[(results.runs["task"] == task) & (results.runs["agent"] == "model")]
    measured = run_errors(results).set_index("run")[["image_error", "reward_error"]]
    errors = measured["image_error"].where(measured["image_error"].notna(), measured["reward_error"])
    runs = runs.assign(error=runs["run"].map(errors).astype(float))
    runs = runs.sort_values(["error", "seed"], na_position="last", kind="stable")
    found: dict[str, list[Forecast]] = {}
    unequal: dict[str, None] = {}
    common: Stack | None = None
    for design in results.designs:
        for run in runs[runs["design"] == design].itertuples():
            arrays = results.forecasts(str(run.run), DATASET)
            if arrays is None:
                continue
            common = arrays["start"] if common is None else common
            if not np.array_equal(arrays["start"], common):
                unequal[design] = None
                continue
            one = Forecast(design, int(str(run.seed)), arrays, float(str(run.error)))
            found.setdefault(design, []).append(one)
    apart = [design for design in unequal if design not in found]
    if not found:
        return Kept(task, unequal=apart)
    first = next(iter(found.values()))[0].arrays
    return Kept(task, found, apart, most_movement(np.asarray(first["truth"]), np.asarray(first["context"])))


def most_movement(truth: Bytes, context: Bytes) -> int:
    """The start after which the frames change most from the last context frame.

    Args:
        truth: starts x H x 3 x h x w.
        context: starts x t x 3 x h x w.
    """
    pairs = zip(truth.astype(np.int16), context[:, -1].astype(np.int16), strict=True)
    return int(np.argmax([np.abs(frames - last).mean() for frames, last in pairs]))


def step_errors(forecast: Forecast, start: int) -> pd.DataFrame:
    """A row a step: mean absolute error of the mean forecast image (NaN without one), reward and its forecast."""
    arrays = forecast.arrays
    horizon = arrays["truth"].shape[1]
    image = np.full(horizon, np.nan)
    if forecast.images:
        error = np.abs(arrays["image"][start].astype(float) - arrays["truth"][start].astype(float))
        image = error.mean(axis=(1, 2, 3))
    episode, column = arrays["start"][start]
    return pd.DataFrame(
        {
            "design": forecast.design,
            "seed": forecast.seed,
            "episode": int(episode),
            "column": int(column),
            "step": np.arange(1, horizon + 1),
            "image_error": image,
            "reward": arrays["reward"][start].astype(float),
            "reward_forecast": arrays["reward_forecast"][start].astype(float),
        }
    )
