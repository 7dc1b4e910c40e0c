"""The records of a run, as columns: what its metrics.jsonl and summary.npz hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.records import Column, Kinds
from analysis.simulate.reached import Reached, coverage_lag
from harness.config import RunConfig

Floats = npt.NDArray[np.float64]
ORDER = ("episode", "coverage", "train", "evaluation", "open_loop", "cost")
"""In which the records of an iteration follow each other."""
_STAGES = 25
"""Distinct errors during training: it falls in so many steps."""


def records(
    config: RunConfig, run: Reached, rng: np.random.Generator, *, scheduled: bool = True
) -> dict[str, dict[str, Column]]:
    """Columns by kind and field, over the records of each kind.

    Args:
        config: of the run.
        run: what it reached.
        rng: for what is noise about that; the means of `Reached` are exact.
        scheduled: with what is recorded along the way; else of evaluations and errors those at the end alone, and of
            the final window.
    """
    model = config.agent == "model"
    total = config.train.episodes if model else 0
    done = int(run.progress * total)
    kinds: dict[str, dict[str, Column]] = {}
    if model and scheduled:
        kinds |= _training(config, run, done, rng)
    if model:
        kinds |= _coverage(config, run, done if scheduled else min(done, 1), done)
    at = _evaluated(config, done)
    if not scheduled:
        at = at[at >= total * (1 - run.window)]
    returns = _curve(run, (at + 1) / max(total, 1)) if model else np.empty(0)
    kinds["evaluation"] = _evaluations(config, run, at, returns, rng)
    if model:
        kinds["open_loop"] = _open_loops(config, run, at if scheduled else at[:0], total)
    if run.progress >= 1 and run.cost:
        where = _points(config, run, np.array([total]))
        kinds["cost"] = where | {name: _cost_column(name, value) for name, value in run.cost.items()}
    return {kind: columns for kind, columns in kinds.items() if len(next(iter(columns.values())))}


def _cost_column(name: str, value: float | str) -> Column:
    if isinstance(value, str):
        return np.array([value])
    whole = name in {"parameters", "training_parameters"}
    return np.array([int(value)] if whole else [value])


def _evaluated(config: RunConfig, done: int) -> npt.NDArray[np.int64]:
    """The iterations after which there was a scheduled evaluation; after the last there is the final phase."""
    if config.agent != "model":
        return np.empty(0, dtype=np.int64)
    every = config.evaluation.every
    at = np.arange(every, done + 1, every, dtype=np.int64)
    return np.asarray(at[at != config.train.episodes] - 1)


def _points(config: RunConfig, run: Reached, iteration: npt.NDArray[np.int64]) -> dict[str, Column]:
    """What every record has; `iteration` counts those that are finished."""
    waits = 0 if config.offline else config.exploration.cold_start
    trained = np.maximum(0, iteration + 1 - waits)
    steps = np.zeros_like(iteration) if config.offline else np.minimum(iteration + 1, config.train.episodes)
    seconds = sum(float(run.cost.get(name, 0.0)) for name in ("train_seconds", "collect_seconds"))
    return {
        "iteration": iteration,
        "env_steps": steps * run.steps,
        "grad_steps": np.minimum(trained, config.train.episodes) * config.train.updates_per_episode,
        "wall_seconds": np.round(iteration * (seconds or 3.0) / max(config.train.episodes, 1), 1),
    }


def _curve(run: Reached, x: Floats) -> Floats:
    """Mean return after a part x of the training: logistic, up to that of the final window."""
    at = [1 / (1 + np.exp(-(v - run.rise) * 12)) for v in (x, np.zeros(1), np.ones(1))]
    return np.asarray(run.first + (run.windowed - run.first) * (at[0] - at[1]) / (at[2] - at[1]))


def _training(config: RunConfig, run: Reached, done: int, rng: np.random.Generator) -> dict[str, Any]:
    iteration = np.arange(done, dtype=np.int64)
    x = (iteration + 1) / config.train.episodes
    points = _points(config, run, iteration)
    loss = 8 * np.exp(-5 * x) + 1 + 0.1 * rng.standard_normal(done)
    train = points | {
        "loss": np.round(loss, 4),
        "reward_loss": np.round(0.1 * loss, 4),
        "gradient_norm": np.round(2 + rng.random(done), 4),
        "seconds": np.full(done, 2.0),
    }
    if config.offline:
        return {"train": train}
    noisy = 0.9 * _curve(run, x) + 1.2 * run.spread * rng.standard_normal(done)
    cold = iteration < config.exploration.cold_start
    episode = points | {
        "episode": iteration,
        "return": np.round(np.where(cold, run.first + run.spread * rng.standard_normal(done), noisy), 4),
        "length": np.full(done, run.steps),
        "behaviour": np.where(cold, "random", "noise"),
    }
    return {"episode": episode, "train": train}


def _coverage(config: RunConfig, run: Reached, kept: int, done: int) -> dict[str, Any]:
    """Of the last `kept` of the iterations; of a dataset once."""
    if not np.isfinite(run.coverage) or not done:
        return {}
    iteration = np.arange(done - kept, done, dtype=np.int64) if not config.offline else np.zeros(1, np.int64)
    part = np.ones(1) if config.offline else (iteration + 1) / config.train.episodes
    entropy = np.round(run.coverage - coverage_lag(part), 6)
    return {
        "coverage": _points(config, run, iteration)
        | {
            "entropy": entropy,
            "knn_distance": np.round(0.1 * np.exp(entropy / 4), 6),
            "states": np.full(len(iteration), 1000),
            "episodes": iteration + 1,
        }
    }


def _evaluations(
    config: RunConfig, run: Reached, at: npt.NDArray[np.int64], level: Floats, rng: np.random.Generator
) -> dict[str, Column]:
    """Scheduled ones, whose mean in the final window is `windowed`, then those of the final phase."""
    each, last = config.evaluation.episodes, config.evaluation.final_episodes * (run.progress >= 1)
    total = config.train.episodes if config.agent == "model" else 0
    iteration = np.repeat(at, each)
    values = np.repeat(level, each) + run.spread * rng.standard_normal(len(iteration))
    window = iteration >= total * (1 - run.window)
    if window.any():
        values[window] += run.windowed - values[window].mean()
    final = run.spread * rng.standard_normal(last)
    final += run.final - (final.mean() if last else 0.0)
    number = np.concatenate([(iteration + 1) * each + np.tile(np.arange(each), len(at)), np.arange(last)])
    return _points(config, run, np.concatenate([iteration, np.full(last, total, np.int64)])) | {
        "phase": np.repeat(["scheduled", "final"], [len(iteration), last]),
        "episode": number.astype(np.int64),
        "return": np.round(np.concatenate([values, final]), 4),
        "length": np.full(len(iteration) + last, run.steps),
    }


def _open_loops(config: RunConfig, run: Reached, at: npt.NDArray[np.int64], total: int) -> dict[str, Column]:
    """Errors on each dataset after each evaluation, and of the final phase; they fall during training."""
    factor = 1 + 1.5 * np.exp(-5 * np.round(_STAGES * (at + 1) / max(total, 1)) / _STAGES)
    ended = run.progress >= 1
    iteration = np.concatenate([at, [total] * ended]).astype(np.int64)
    factor = np.concatenate([factor, [1.0] * ended])
    names = list(run.errors)
    parts = [_lists(config, run, name, factor) for name in names]
    count, several = len(iteration), len(names)
    if not several or not count:
        return {"iteration": iteration[:0]}
    found: dict[str, Column] = dict(_points(config, run, np.repeat(iteration, several)))
    found |= {
        "phase": np.repeat(["scheduled", "final"], [several * len(at), several * ended]),
        "dataset": np.tile(np.array(names), count),
        "starts": np.full(count * several, config.evaluation.starts),
        "samples": np.full(
            count * several, config.evaluation.samples if config.dynamics == "stochastic" else 1
        ),
    }
    for metric in parts[0]:
        found[metric] = np.stack([part[metric] for part in parts], axis=1).reshape(count * several, -1)
    return found


def _lists(config: RunConfig, run: Reached, dataset: str, factor: Floats) -> dict[str, Floats]:
    """[num_records, H] by metric: the errors of a dataset, which grow over the horizon."""
    growth = 1 - np.exp(-np.arange(1, config.evaluation.horizon + 1) / 5)
    growth /= growth.mean()
    spread = 1.15 if config.dynamics == "stochastic" else 1.0
    found: dict[str, Floats] = {}
    for kind, value in run.errors[dataset].items():
        mean = np.round(np.outer(factor, value * growth), 6)
        baseline = np.round(np.outer(np.ones_like(factor), run.baselines[kind] * growth), 6)
        found |= {
            f"{kind}_error": np.round(spread * mean, 6),
            f"{kind}_error_mean": mean,
            f"{kind}_error_baseline": baseline,
        }
        if kind == "image":
            found["image_error_moving"] = np.round(4 * mean, 6)
    found |= {f"{name}_mse": np.round(1.6 * values**2, 6) for name, values in found.items()}
    if not run.finite:
        for name in found:
            if name.startswith("reward_error_mean"):
                found[name] = np.full_like(found[name], np.nan)
    return found


def lines(kinds: Kinds) -> bytes:
    """metrics.jsonl, in the order in which a run writes it; numbers that are not finite are null, and named."""
    every: list[tuple[int, int, int, str]] = []
    for rank, kind in enumerate(ORDER):
        columns = kinds.get(kind)
        if columns:
            texts = _texts(kind, columns)
            every += [
                (iteration, rank, number, text)
                for number, (iteration, text) in enumerate(
                    zip(columns["iteration"].tolist(), texts, strict=True)
                )
            ]
    every.sort()
    return "".join(text for *_, text in every).encode()


def _texts(kind: str, columns: dict[str, Column]) -> Iterator[str]:
    form = "".join([f'{{"kind":"{kind}"', *(f',"{name}":%s' for name in columns), "%s}\n"])
    count = len(columns["iteration"])
    missing: list[list[str]] = [[] for _ in range(count)]
    for name, column in columns.items():
        if column.dtype.kind == "f":
            broken = ~np.isfinite(column) if column.ndim == 1 else ~np.isfinite(column).all(axis=1)
            for row in np.flatnonzero(broken):
                missing[row].append(name)
    named = [
        f',"nonfinite":{json.dumps(sorted(names), separators=(",", ":"))}' if names else ""
        for names in missing
    ]
    return (form % row for row in zip(*map(_json, columns.values()), named, strict=True))


def _json(column: Column) -> Sequence[str]:
    """Each value as JSON text."""
    if column.ndim == 2:
        known: dict[bytes, str] = {}
        found = []
        for row in np.ascontiguousarray(column):
            key = row.tobytes()
            if key not in known:
                known[key] = f"[{','.join(_json(row))}]"
            found.append(known[key])
        return found
    if column.dtype.kind == "U":
        return [json.dumps(value) for value in column.tolist()]
    if column.dtype.kind == "f":
        return ["null" if value != value else repr(value) for value in column.tolist()]  # noqa: PLR0124 - NaN
    return list(map(repr, column.tolist()))
