"""Small studies with qualities that tests choose, written by `analysis.simulate` as the harness would.

Every design has a quality q in 0..1. Its score is ``100 + 700 q`` plus seed noise, its image error
``12 - 8 q``, its reward error weakly related to q; both errors grow over the horizon towards the baselines.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from analysis.inference.estimate import generator
from analysis.simulate.reached import Reached
from analysis.simulate.rundirs import write_run
from harness import summary as of_harness
from harness.config import RunConfig, run_hex, run_id
from harness.rundir import RunDir

QUALITY = {
    "images-latent-stochastic": 0.9,
    "images-latent-deterministic": 0.7,
    "rewards-latent-stochastic": 0.45,
    "rewards-latent-deterministic": 0.3,
    "rewards-pixel-deterministic": 0.15,
}
HORIZON = 12
CONTEXT = 5
PIXELS = 32


@dataclass(frozen=True)
class Design:
    """A design of the study: its axes (and other fields, in sections), and the quality that was put in."""

    name: str
    quality: float
    axes: dict[str, Any]


def named(name: str, quality: float | None = None) -> Design:
    """The design that its name describes."""
    predict, space, dynamics = name.split("-")
    axes = {"predict": predict, "space": space, "dynamics": dynamics}
    return Design(name, QUALITY[name] if quality is None else quality, axes)


FIVE = tuple(named(name) for name in QUALITY)


def variants(count: int) -> tuple[Design, ...]:
    """Image-predicting designs that differ in the weight of a loss: variants of one."""
    axes = {"predict": "images", "space": "latent", "dynamics": "stochastic"}
    return tuple(
        Design(f"kl-{i}", (i + 1) / count, {**axes, "model": {"kl_scale": (i + 1) / count}})
        for i in range(count)
    )


def kinds(count: int) -> tuple[Design, ...]:
    """Image-predicting designs of which none is a variant of another; up to 12."""
    rewards = [("state", "shared"), ("state", "stopped"), ("image", "stopped")]
    found = itertools.product(["latent", "pixel"], ["stochastic", "deterministic"], rewards)
    return tuple(
        Design(
            f"kind-{i}",
            (i + 1) / count,
            {
                "predict": "images",
                "space": space,
                "dynamics": dynamics,
                "reward_from": read,
                "reward_gradient": reach,
            },
        )
        for i, (space, dynamics, (read, reach)) in enumerate(itertools.islice(found, count))
    )


def fractions(count: int) -> tuple[Design, ...]:
    """Designs that are trained on a part of the image, the last one on all of it."""
    axes = {"predict": "images", "space": "latent", "dynamics": "stochastic"}
    return tuple(
        Design(f"fraction-{i}", (i + 1) / count, {**axes, "image_fraction": (i + 1) / count})
        for i in range(count)
    )


@dataclass
class Options:
    """What the study looks like, and what is wrong with it. Cells are (design, task, seed)."""

    designs: Sequence[Design] = FIVE
    tasks: Sequence[str] = ("dmc/cartpole-swingup",)
    seeds: int = 2
    random_agent: bool = True
    oracle: Sequence[dict[str, Any]] = ()  # its forms: fields of `oracle`
    baseline_envs: Sequence[dict[str, Any]] = ({},)  # fields of `env` in which both baselines are run
    episodes: int = 40
    every: int = 4
    final_episodes: int = 5
    states: dict[tuple[str, str, int], str] = field(default_factory=dict)
    nan_errors: set[tuple[str, str, int]] = field(default_factory=set)
    codes: dict[tuple[str, str, int], str] = field(default_factory=dict)
    summaries: bool = True
    forecasts: bool = True
    horizons: tuple[int, ...] = (12,)  # planner.horizon, to have several configurations under one design name
    flat: set[str] = field(default_factory=set)  # tasks whose reward stands still on the probe data
    extra: dict[str, Any] = field(default_factory=dict)  # further fields of every run


def write_study(runs: Path, name: str = "demo", options: Options | None = None) -> Path:
    """Writes RUNS/<name> and returns its path."""
    options = options or Options()
    study = runs / name
    (study / "runs").mkdir(parents=True)
    designs = {design.name: design.axes for design in options.designs}
    content = {"name": name, "report": {"final_window": 0.1}, "designs": designs}
    (study / "study.yaml").write_text(yaml.safe_dump(content))
    lines = []
    for config, cell, quality in _cells(options):
        lines.append(
            {
                "id": run_id(config),
                "hex": run_hex(config),
                "design": config.label,
                "task": config.task,
                "seed": config.seed,
                "config": config.model_dump(mode="json"),
            }
        )
        state = options.states.get(cell, "done")
        if state != "pending":
            _write_run(study / "runs" / run_id(config), config, cell, quality, state, options)
    (study / "plan.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return study


def _cells(options: Options) -> Iterable[tuple[RunConfig, tuple[str, str, int], float]]:
    shared: dict[str, Any] = {
        "train": {"episodes": options.episodes},
        "evaluation": {"every": options.every, "final_episodes": options.final_episodes},
        "env": {"image_size": PIXELS},
    }
    shared |= options.extra
    for task in options.tasks:
        for design in options.designs:
            for horizon in options.horizons:
                for seed in range(options.seeds):
                    fields = {"design": design.name, "task": task, "seed": seed, "size": "tiny"}
                    planner = {"planner": {"horizon": horizon}}
                    config = RunConfig.model_validate(merged(shared, planner, design.axes, fields))
                    yield config, (design.name, task, seed), design.quality
        forms = [{"agent": "random"}] * options.random_agent
        forms += [{"agent": "oracle", "oracle": form} for form in options.oracle]
        for form, env, seed in itertools.product(forms, options.baseline_envs, range(options.seeds)):
            config = RunConfig.model_validate(merged(shared, form, {"env": env, "task": task, "seed": seed}))
            yield config, (config.agent, task, seed), 0.0 if config.agent == "random" else 1.25


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """The parts over each other, section by section."""
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(value, dict) and isinstance(found.get(name), dict)
            found[name] = merged(found[name], value) if both else value
    return found


def _write_run(
    path: Path, config: RunConfig, cell: tuple[str, str, int], quality: float, state: str, options: Options
) -> None:
    rng = generator("synthetic", cell, config.planner.horizon)
    start = {
        "event": "start",
        "attempt": 1,
        "time": 1.7e9,
        "host": "node1",
        "pid": 1,
        "code": options.codes.get(cell, "c0de00000001"),
        "environment": "e" * 12,
        "device": "cpu",
        "rendering": "osmesa",
        "threads": 1,
        "numeric": {"device": "auto", "threads": None, "compile": False},
    }
    run = _reached(config, cell, quality, state, options, rng)
    write_run(path, config, run, rng, start=start, summary=options.summaries, pictures=options.forecasts)


def _reached(
    config: RunConfig,
    cell: tuple[str, str, int],
    quality: float,
    state: str,
    options: Options,
    rng: np.random.Generator,
) -> Reached:
    score = 100 + 700 * quality + rng.normal(0, 25)
    growth = float(np.mean(1 - np.exp(-np.arange(1, HORIZON + 1) / 5)))
    errors = {}
    for dataset in ("probe", "own") if config.agent == "model" else ():
        errors[dataset] = {"reward": (0.5 - 0.12 * quality + rng.normal(0, 0.05)) * growth}
        if config.predict == "images":
            errors[dataset]["image"] = (12 - 8 * quality + rng.normal(0, 0.4)) * growth
    images = config.predict == "images"
    cost = {
        "parameters": 120_000 if images else 95_000,
        "training_parameters": 240_000 if images else 130_000,
        "flops_per_step": 1.3e6 if config.space == "latent" else 2.1e6,
        "train_seconds": 80.0 + 10 * config.seed,
        "plan_seconds": 40.0,
        "collect_seconds": 20.0,
        "peak_memory_mb": 900.0,
        "probe": "9f" * 6,
    }
    flat = config.task in options.flat
    return Reached(
        state=state,
        steps=125,
        first=100.0,
        windowed=score + rng.normal(0, 15),
        final=score + rng.normal(0, 5),
        spread=20.0,
        errors=errors,
        baselines={"reward": 0.0 if flat else 0.6 * growth, "image": 14 * growth},
        finite=cell not in options.nan_errors,
        cost=cost,
    )


def write_summary(run: RunDir) -> None:
    """Writes summary.npz from metrics.jsonl."""
    of_harness.write_summary(run, "done")
