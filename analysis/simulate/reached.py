"""What one run of a draw reached, in the units of its task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd

from analysis.environments import range_of_returns, steps_of_episodes
from analysis.inference.estimate import generator
from analysis.simulate.world import ONLINE, Draw, Floats, World
from harness.config import RunConfig
from harness.rundir import Ending

PROGRESS: dict[str, float] = {"done": 1.0, "diverged": 0.6, "failed": 0.4, "running": 0.5, "preempted": 0.5}
"""How much of its iterations a run has behind it, by state."""
_STEPS, _RETURNS = 500, 1000.0  # of a task that does not say


@dataclass(frozen=True)
class Units:
    """The units of a task, the same in every draw.

    Attributes:
        steps: actions in an episode.
        zero: mean return of the random agent.
        unit: that of the oracle minus it.
        image: level of image errors, in 0..255.
        reward: level of reward errors, per action.
        entropy: that of states of the replay, in nats.
    """

    steps: int
    zero: float
    unit: float
    image: float
    reward: float
    entropy: float


@lru_cache(maxsize=1024)
def _units(task: str, env: str) -> Units:
    fields = json.loads(env)
    u = generator("units", task, env).random(5)
    whole = range_of_returns(task, fields) or _RETURNS
    steps = steps_of_episodes(task, fields) or _STEPS
    zero, unit = (0.03 + 0.07 * u[0]) * whole, (0.6 + 0.25 * u[1]) * whole
    return Units(steps, zero, unit, 4 + 5 * u[2], (0.1 + 0.05 * u[3]) * unit / steps, 2 + 4 * u[4])


def units(config: RunConfig) -> Units:
    """Those of a run's task in its environment."""
    return _units(config.task, config.env.model_dump_json())


@dataclass(frozen=True)
class Reached:
    """What a run reached.

    Attributes:
        state: as state.json says it.
        steps: actions in an episode.
        first: mean return before it learns.
        windowed: mean return of the evaluations in the final window.
        final: of the final phase.
        spread: standard deviation of an episode's return.
        errors: means over the horizon, by dataset and then `image` or `reward`.
        baselines: the same of "repeat the last frame" and "repeat the last reward".
        finite: whether errors are finite numbers.
        coverage: entropy of the replay at the end, in nats; NaN without states.
        cost: fields of the line `cost`.
        rise: where in its training, in 0..1, half of the score is reached.
        window: final part of the iterations whose evaluations make `windowed`.
    """

    state: Ending
    steps: int
    first: float
    windowed: float
    final: float
    spread: float
    errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    finite: bool = True
    coverage: float = np.nan
    cost: Mapping[str, float | str] = field(default_factory=dict)
    rise: float = 0.35
    window: float = 0.1

    @property
    def progress(self) -> float:
        """How much of its iterations is done, in 0..1."""
        return PROGRESS[self.state]


def coverage_lag(x: Floats) -> Floats:
    """How far the entropy of the replay is below that at the end, in nats, after a part x of the training."""
    return np.asarray(2 * (np.exp(-4 * x) - np.exp(-4.0)))


@dataclass(frozen=True)
class Arrays:
    """A draw in the units of its tasks, [num_runs] each.

    Attributes:
        windowed, final: mean returns.
        errors: by dataset and kind; NaN where a run has none.
        baselines: by kind.
        coverage: in nats, at the end.
        costs: by field of the line `cost`.
    """

    windowed: Floats
    final: Floats
    errors: dict[tuple[str, str], Floats]
    baselines: dict[str, Floats]
    coverage: Floats
    costs: dict[str, Floats]


def arrays(world: World, draw: Draw) -> Arrays:
    """The draw in the units of its tasks."""
    table = _table(world)
    levels = {"image": table["image"], "reward": table["reward"]}
    errors = {key: levels[key[1]] * values for key, values in draw.errors.items()}
    offline = np.asarray(world.frame["offline"], dtype=bool)
    for kind in levels:
        errors["own", kind] = 0.8 * errors["probe", kind]
        errors["heldout", kind] = np.where(offline, errors["heldout", kind], np.nan)
    entropy = table["entropy"] + 0.4 * _of_datasets(world, draw.coverage)
    baselines = {kind: 1.5 * level for kind, level in levels.items()}
    final, windowed = (table["zero"] + table["unit"] * score for score in (draw.final, draw.value))
    return Arrays(windowed, final, errors, baselines, entropy, _costs(world, table["steps"]))


def _table(world: World) -> dict[str, Floats]:
    """`Units` of each run, [num_runs] by field."""
    first = dict(zip(reversed(world.place), reversed(world.frame["run"].tolist()), strict=True))
    found = [asdict(units(world.configs[first[i]])) for i in range(len(world.places))]
    return {name: np.array([one[name] for one in found])[world.place] for name in found[0]}


def _of_datasets(world: World, coverage: Floats) -> Floats:
    """Runs that are trained on one dataset have its coverage."""
    frame = world.frame
    keys = [frame["data"].to_numpy(), world.place]
    same = pd.Series(coverage).groupby(keys).transform("first").to_numpy()
    return np.where(frame["data"] == ONLINE, coverage, same)


def _costs(world: World, steps: Floats) -> dict[str, Floats]:
    """Those of an H200, as far as the arithmetic of designs tells them; of the oracle the planning alone."""
    frame, traits = world.frame, world.traits.iloc[world.variant].reset_index(drop=True)
    images, pixel = traits["images"].to_numpy(), traits["pixel"].to_numpy()
    parameters = np.round(traits["parameters"].to_numpy() * (1 + 0.04 * pixel - 0.03 * images))
    flops = (
        3 * parameters * np.where(pixel * images > 0, 300.0, np.where(traits["from_image"] > 0, 40.0, 1.0))
    )
    candidates = 10 * 2.0 ** (traits["horizon"] + traits["proposals"]).to_numpy() * 12 * 128
    oracle = np.asarray(frame["agent"] == "oracle")
    jitter = 1 + 0.1 * ((frame["seed"].to_numpy() * 7) % 5 - 2) / 2
    plan = np.where(oracle, 2.0, 1e-13 * flops * candidates + 5e-3) * steps * jitter * 100
    train = 400 * (1 + 2 * images) * np.sqrt(parameters / 1e6 + 0.3) * jitter
    found = {
        "parameters": parameters,
        "training_parameters": np.round(parameters * (1.1 + 0.9 * images)),
        "flops_per_step": np.round(flops),
        "train_seconds": train,
        "plan_seconds": plan,
        "collect_seconds": 0.4 * plan,
        "peak_memory_mb": 900 + 1200 * images * (1 + 3 * pixel),
    }
    of_oracle = {"plan_seconds", "peak_memory_mb"}
    random = np.asarray(frame["agent"] == "random")
    return {
        name: np.where(random | (oracle if name not in of_oracle else False), np.nan, np.round(values, 3))
        for name, values in found.items()
    }


def reached(world: World, draw: Draw, found: Arrays, index: int) -> Reached:
    """One run of a draw."""
    row = world.frame.iloc[index]
    config, model = world.configs[str(row["run"])], row["agent"] == "model"
    unit = units(config)
    errors: dict[str, dict[str, float]] = {}
    for (dataset, kind), values in found.errors.items():
        if np.isfinite(values[index]):
            errors.setdefault(dataset, {})[kind] = float(values[index])
    cost: dict[str, float | str] = {
        name: float(values[index]) for name, values in found.costs.items() if np.isfinite(values[index])
    }
    if model:
        cost["probe"] = f"simulated {config.task}"
    spread = float((0.04 if model else 0.02) * unit.unit)
    return Reached(
        state=str(draw.state[index]),  # type: ignore[arg-type]  # one of the endings
        steps=unit.steps,
        first=float(unit.zero),
        windowed=float(found.windowed[index]),
        final=float(found.final[index]),
        spread=spread,
        errors=errors,
        baselines={kind: float(values[index]) for kind, values in found.baselines.items()},
        finite=bool(draw.finite[index]),
        coverage=float(found.coverage[index]),
        cost=cost,
        rise=0.25 + 0.2 * float(generator("rise", row["design"], config.task).random()),
        window=world.windows[str(row["study"])],
    )
