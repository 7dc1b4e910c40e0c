"""Simulated studies without files: the results of a draw, and the evidence of many draws, fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.evidence import Evidence, evidence, set_values
from analysis.frames import RunData, run_data
from analysis.inference.estimate import generator
from analysis.load import assembled
from analysis.records import Records
from analysis.results import COSTS, Results
from analysis.simulate.effects import Effects
from analysis.simulate.reached import PROGRESS, Arrays, arrays, coverage_lag, reached
from analysis.simulate.records import records
from analysis.simulate.rundirs import START, state_of
from analysis.simulate.world import Draw, Floats, World, draw

_KINDS = ("image", "reward")


def results(world: World, drawn: Draw, *key: object) -> Results:
    """The results of a draw, as `load` reads them from its files, but for what was recorded along the way."""
    found = arrays(world, drawn)
    data: dict[str, RunData] = {}
    for index, id_ in enumerate(world.frame["run"]):
        config, run = world.configs[id_], reached(world, drawn, found, index)
        kinds = records(config, run, generator(*key, id_), scheduled=False)
        data[id_] = run_data(Records(kinds, "none"), state_of(id_, config, run), [START])
    paths = {run.path: data[run.id] for study in world.studies for run in study.runs}
    return assembled(world.studies, paths)


@dataclass(frozen=True)
class Fast:
    """Evidence of draw after draw of a world: what no draw changes is gathered once.

    Attributes:
        world: what is drawn for.
        template: the evidence of one draw in which nothing failed.
    """

    world: World
    template: Evidence

    @classmethod
    def of(cls, world: World) -> Fast:
        """Of a world."""
        drawn = draw(world, Effects(), generator("template"))
        return cls(world, evidence(results(world, drawn, "template")))

    def evidence(self, drawn: Draw) -> Evidence:
        """That of a draw, but for the curves along the way; equal to `evidence(results(world, drawn))`.

        One column is not: `twin` is that of a study in which every run is done.
        """
        found = arrays(self.world, drawn)
        runs = self.template.runs.copy()
        done = drawn.state == "done"
        runs["state"] = drawn.state
        runs["score"] = np.where(done, found.final, np.nan)
        runs["windowed"] = np.where(done & runs["windowed"].notna(), found.windowed, np.nan)
        self._scale(runs)
        set_values(runs, {study.name: study.spec.diverged for study in self.world.studies})
        runs["coverage"] = self._coverage(found, drawn)
        for name in COSTS:
            runs[name] = runs[name].where(done)
        measured = _measured(found, drawn)
        for name, values in measured.items():
            runs[name] = values
        for kind in _KINDS:
            runs[f"{kind}_baseline"] = runs[f"{kind}_baseline"].where(done)
        shown = self.template.results.runs.assign(state=drawn.state, final=done)
        return Evidence(replace(self.template.results, runs=shown), runs, self._horizon(measured, done))

    def _scale(self, runs: pd.DataFrame) -> None:
        """Where no random agent is planned, the lowest score is 0."""
        without = set(runs["place"]) - set(runs.loc[runs["agent"] == "random", "place"])
        for place in without:
            here = runs["place"] == place
            runs.loc[here, "zero"] = runs.loc[here, "score"].min()

    def _coverage(self, found: Arrays, drawn: Draw) -> Floats:
        """At the end, or where a run stopped."""
        total = np.array([self.world.configs[run].train.episodes for run in self.world.frame["run"]])
        part = np.array([PROGRESS[state] for state in drawn.state])
        begun = np.floor(part * total).astype(int)
        offline = np.asarray(self.world.frame["offline"], dtype=bool)
        return np.round(found.coverage - np.where(offline, 0.0, coverage_lag(begun / total)), 6)

    def _horizon(self, measured: Mapping[str, Floats], done: np.ndarray) -> pd.DataFrame:
        """The errors of the template, scaled."""
        horizon, runs = self.template.horizon, self.template.runs
        row = pd.Index(runs["run"]).get_indexer(horizon["run"])
        image = horizon["error"].to_numpy() == "image"
        new, old = (
            np.where(image, np.asarray(one["image_error"])[row], np.asarray(one["reward_error"])[row])
            for one in (measured, runs)
        )
        scaled = horizon.assign(value=horizon["value"].to_numpy() * new / old)
        kept: pd.DataFrame = scaled[done[row] & np.isfinite(new)]
        return kept.reset_index(drop=True)


def _measured(found: Arrays, drawn: Draw) -> dict[str, Floats]:
    """The columns of errors of `Evidence.runs`."""
    columns = {}
    for dataset, prefix in (("probe", ""), ("heldout", "heldout_")):
        for kind in _KINDS:
            finite = (drawn.state == "done") & (drawn.finite | (kind == "image"))
            columns[f"{prefix}{kind}_error"] = np.where(finite, found.errors[dataset, kind], np.nan)
    return columns
