"""Writes studies as the harness would: run directories in the exact format, with effects that were put in.

Every design has a quality q in 0..1. Its score is ``100 + 700 q`` plus seed noise, its image error
``12 - 8 q``, its reward error weakly related to q; both errors grow over the horizon towards the baselines.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness.config import RunConfig, run_hex, run_id
from harness.rundir import Failure, RunDir, RunState

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
    """Image-predicting designs that differ in the weight of a loss."""
    axes = {"predict": "images", "space": "latent", "dynamics": "stochastic"}
    return tuple(
        Design(f"kl-{i}", (i + 1) / count, {**axes, "model": {"kl_scale": (i + 1) / count}})
        for i in range(count)
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


def _generator(*key: object) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(repr(key).encode()).digest()[:8]))


def _write_run(
    path: Path, config: RunConfig, cell: tuple[str, str, int], quality: float, state: str, options: Options
) -> None:
    run = RunDir.create(path, config)
    part = {"done": 1.0, "diverged": 0.6, "failed": 0.4, "running": 0.5, "preempted": 0.5}[state]
    records = list(_records(config, cell, quality, part, options))
    run.metrics.write_text("".join(json.dumps(record, allow_nan=False) + "\n" for record in records))
    iterations = config.train.episodes if config.agent == "model" else 0
    error = Failure("disk", "No space left on device") if state == "failed" else None
    run.write_state(
        RunState(
            id=run.id,
            state=state,
            iteration=int(part * iterations),
            iterations=iterations,
            env_steps=int(part * iterations) * 125,
            grad_steps=int(part * iterations) * 100,
            progress=part,
            error=error,
        )
    )
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
    end = {"event": "end", "attempt": 1, "time": 1.7e9 + 600, "ending": state, "peak_memory_mb": 900.0}
    lines = [start] if state == "running" else [start, end]
    run.attempts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if state == "done" and options.summaries:
        write_summary(run)
    if state == "done" and options.forecasts and config.agent == "model":
        _write_forecasts(run, config, quality)


def _records(
    config: RunConfig, cell: tuple[str, str, int], quality: float, part: float, options: Options
) -> Iterable[dict[str, Any]]:
    rng = _generator("records", cell, config.planner.horizon)
    offset = rng.normal(0, 25)
    total = config.train.episodes if config.agent == "model" else 0
    for i in range(int(part * total)):
        where = {
            "iteration": i,
            "env_steps": (i + 1) * 125,
            "grad_steps": max(0, i - 4) * 100,
            "wall_seconds": 3.0 * i,
        }
        level = 60 + (40 + 700 * quality) / (1 + np.exp(-(i / total - 0.4) * 10)) + offset * i / total
        noisy = float(np.clip(level * 0.9 + rng.normal(0, 40), 0, 1000))
        behaviour = "random" if i < config.exploration.cold_start else "noise"
        yield {
            "kind": "episode",
            **where,
            "episode": i,
            "return": noisy,
            "length": 125,
            "behaviour": behaviour,
        }
        yield {
            "kind": "train",
            **where,
            "loss": 10.0 / (i + 1),
            "reward_loss": 1.0 / (i + 1),
            "gradient_norm": 1.0,
            "seconds": 2.0,
        }
        if (i + 1) % config.evaluation.every == 0:
            yield _evaluation(where, "scheduled", 0, level + rng.normal(0, 30))
            yield _open_loop(where, config, cell, quality, "scheduled", "probe", options, rng)
    if part < 1:
        return
    end = {
        "iteration": total,
        "env_steps": total * 125,
        "grad_steps": total * 100,
        "wall_seconds": 3.0 * total,
    }
    for episode in range(config.evaluation.final_episodes):
        yield _evaluation(end, "final", episode, 100 + 700 * quality + offset + rng.normal(0, 20))
    if config.agent == "model":
        for dataset in ("probe", "own"):
            yield _open_loop(end, config, cell, quality, "final", dataset, options, rng)
    yield _cost(end, config)


def _evaluation(where: dict[str, Any], phase: str, episode: int, value: float) -> dict[str, Any]:
    value = float(np.clip(value, 0, 1000))
    return {
        "kind": "evaluation",
        **where,
        "phase": phase,
        "episode": episode,
        "return": value,
        "length": 125,
    }


def _open_loop(
    where: dict[str, Any],
    config: RunConfig,
    cell: tuple[str, str, int],
    quality: float,
    phase: str,
    dataset: str,
    options: Options,
    rng: np.random.Generator,
) -> dict[str, Any]:
    steps = np.arange(1, HORIZON + 1)
    growth = 1 - np.exp(-steps / 5)
    record: dict[str, Any] = {
        "kind": "open_loop",
        **where,
        "phase": phase,
        "dataset": dataset,
        "starts": 64,
        "samples": 16,
    }

    def add(name: str, values: np.ndarray) -> None:
        if cell in options.nan_errors and name.startswith("reward_error_mean"):
            record[name] = [None] * HORIZON
            record.setdefault("nonfinite", []).append(name)
        else:
            record[name] = [float(value) for value in values]

    reward = (0.5 - 0.12 * quality + rng.normal(0, 0.05)) * growth
    image = (12 - 8 * quality + rng.normal(0, 0.4)) * growth
    spread = 1.15 if config.dynamics == "stochastic" else 1.0
    errors = {"reward_error": reward * spread, "reward_error_mean": reward}
    baselines = {"reward_error_baseline": (0.0 if config.task in options.flat else 0.6) * growth}
    if config.predict == "images":
        errors |= {
            "image_error": image * spread,
            "image_error_mean": image,
            "image_error_moving": 4 * image,
        }
        baselines["image_error_baseline"] = 14 * growth
    for name, values in (errors | baselines).items():
        add(name, values)
        add(f"{name}_mse", 1.6 * values**2)
    return record


def _cost(where: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    images = config.predict == "images"
    return {
        "kind": "cost",
        **where,
        "parameters": 120_000 if images else 95_000,
        "training_parameters": 240_000 if images else 130_000,
        "flops_per_step": 1.3e6 if config.space == "latent" else 2.1e6,
        "train_seconds": 80.0 + 10 * config.seed,
        "plan_seconds": 40.0,
        "collect_seconds": 20.0,
        "peak_memory_mb": 900.0,
        "probe": "9f" * 6,
    }


def write_summary(run: RunDir) -> None:
    """Writes summary.npz from metrics.jsonl."""
    columns: dict[str, np.ndarray] = {}
    kinds: dict[str, list[dict[str, Any]]] = {}
    for record in run.read_metrics():
        kinds.setdefault(record["kind"], []).append(record)
    for kind, records in kinds.items():
        for name in dict.fromkeys(key for record in records for key in record):
            if name in {"kind", "nonfinite"}:
                continue
            columns[f"{kind}/{name}"] = _column([record.get(name) for record in records])
    digest = hashlib.sha256(run.metrics.read_bytes()).hexdigest()
    columns["meta"] = np.array(json.dumps({"schema": 1, "id": run.id, "metrics_sha256": digest}))
    with run.summary.open("wb") as file:
        np.savez_compressed(file, **columns)


def _column(values: list[Any]) -> np.ndarray:
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else value for value in values])
    if any(isinstance(value, list) for value in values):
        return np.array(
            [
                [np.nan if x is None else x for x in (row if row is not None else [None] * HORIZON)]
                for row in values
            ],
            dtype=np.float64,
        )
    if all(isinstance(value, int) for value in values):
        return np.array(values, dtype=np.int64)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _write_forecasts(run: RunDir, config: RunConfig, quality: float) -> None:
    starts, rng = 4, _generator("forecasts", run.id)
    context, truth, image = [], [], []
    for start in range(starts):
        x0, v = 8 + 2 * start, 0.9 - 0.3 * start
        context.append([_frame(x0 + v * t, 0.25 * t) for t in range(CONTEXT)])
        future = range(CONTEXT, CONTEXT + HORIZON)
        truth.append([_frame(x0 + v * t, 0.25 * t) for t in future])
        lag = 1 - 0.6 * (1 - quality)
        image.append(
            [
                _frame(x0 + v * (CONTEXT + lag * (t - CONTEXT)), 0.25 * t * lag, blur=1 - quality)
                for t in future
            ]
        )
    reward = np.cumsum(_generator("truth", config.task).normal(0.1, 0.3, (starts, HORIZON)), axis=1)
    arrays: dict[str, np.ndarray] = {
        "context": np.array(context, dtype=np.uint8),
        "truth": np.array(truth, dtype=np.uint8),
        "reward": reward.astype(np.float32),
        "reward_forecast": (reward + rng.normal(0, 0.4 * (1.1 - quality), reward.shape)).astype(np.float32),
        "start": np.stack([np.arange(starts), 10 + np.arange(starts)], axis=1).astype(np.int64),
    }
    if config.predict == "images":
        arrays["image"] = np.array(image, dtype=np.uint8)
        if config.dynamics == "stochastic":
            noise = rng.normal(0, 8, arrays["image"].shape)
            arrays["sample"] = np.clip(arrays["image"] + noise, 0, 255).astype(np.uint8)
    run.forecasts.mkdir(exist_ok=True)
    for dataset in ("probe", "own"):
        np.savez_compressed(run.forecasts / f"{dataset}.npz", **arrays)


def _frame(x: float, angle: float, blur: float = 0.0) -> np.ndarray:
    """A cart with a pole, [3, h, w] u8: the pole leans by the angle; blur fades it into the background."""
    rows, columns = np.mgrid[0:PIXELS, 0:PIXELS].astype(float)
    frame = np.stack([50 + rows, 70 + rows, 110 + 1.5 * rows])
    x = x % PIXELS
    cart = (np.abs(columns - x) < 5) & (np.abs(rows - 24) < 3)
    along = (columns - x) * np.sin(angle) - (rows - 22) * np.cos(angle)
    across = (columns - x) * np.cos(angle) + (rows - 22) * np.sin(angle)
    pole = (along > 0) & (along < 15) & (np.abs(across) < 1.5)
    for mask, colour in ((cart, (200, 160, 40)), (pole, (230, 90, 60))):
        for channel in range(3):
            frame[channel][mask] = blur * frame[channel][mask] + (1 - blur) * colour[channel]
    return np.clip(frame, 0, 255).astype(np.uint8)
