"""Forecasts of a run for pictures: a blob on a rail with a pole, and what a model of some skill foresees of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.inference.estimate import generator
from analysis.simulate.reached import Reached
from harness.config import RunConfig

STARTS = 4
PIXELS = 32
Floats = npt.NDArray[np.float64]


def forecasts(config: RunConfig, run: Reached) -> dict[str, npt.NDArray[Any]]:
    """The arrays of forecasts/<dataset>.npz; starts and what happened are the same for all runs of a task.

    context u8[n, context, 3, h, w]; truth u8[n, H, 3, h, w]; reward, reward_forecast f32[n, H]; start i64[n, 2]; of
    designs that predict images, image u8[n, H, 3, h, w] and, of stochastic ones, sample.
    """
    size, horizon = min(config.env.image_size, PIXELS), config.evaluation.horizon
    context = config.evaluation.context
    task, own = generator("forecasts", config.task), generator("forecasts", config.model_dump_json())
    phase, rate = task.uniform(0, 2 * np.pi, (2, STARTS, 1)), task.uniform(0.1, 0.25, (2, STARTS, 1))

    def seen(t: Floats, blur: Floats | float = 0.0) -> npt.NDArray[np.uint8]:
        x, angle = np.sin(phase + rate * t)
        return _frames(size, 0.5 + 0.3 * x, 1.2 * angle, blur)

    happened = seen(np.arange(context + horizon, dtype=np.float64))
    reward = (1 + np.cumsum(task.normal(0, 0.5, (STARTS, horizon)), axis=1)) * run.baselines["reward"]
    skill = {kind: _skill(run, kind) for kind in ("image", "reward")}
    miss = 0.6 * (1 - skill["reward"]) * run.baselines["reward"]
    arrays: dict[str, npt.NDArray[Any]] = {
        "context": happened[:, :context],
        "truth": happened[:, context:],
        "reward": reward.astype(np.float32),
        "reward_forecast": (reward + own.normal(0, 1, reward.shape) * miss).astype(np.float32),
        "start": np.stack([np.arange(STARTS), 10 + np.arange(STARTS)], axis=1).astype(np.int64),
    }
    if config.predict == "images":
        steps = np.arange(1, horizon + 1, dtype=np.float64)
        lags = 0.4 + 0.6 * skill["image"]
        arrays["image"] = seen(context - 1 + lags * steps, (1 - skill["image"]) * steps / horizon)
        if config.dynamics == "stochastic":
            noise = own.normal(0, 6, arrays["image"].shape)
            arrays["sample"] = np.clip(arrays["image"] + noise, 0, 255).astype(np.uint8)
    return arrays


def _skill(run: Reached, kind: str) -> float:
    """In 0..1: 1 without error, 0 where the error is that of repeating the last one."""
    error = run.errors.get("probe", {}).get(kind, run.baselines[kind])
    return float(np.clip(1 - error / run.baselines[kind], 0, 1))


def _frames(size: int, x: Floats, angle: Floats, blur: Floats | float = 0.0) -> npt.NDArray[np.uint8]:
    """Frames [n, T, 3, size, size]: a cart at x (in 0..1) and its pole; blur fades both in [T]."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    ground = np.stack([50 + 32 * rows, 70 + 32 * rows, 110 + 48 * rows])
    x, angle = (v[..., None, None] for v in (x, angle))
    cart = (np.abs(columns - x) < 0.15) & (np.abs(rows - 0.75) < 0.1)
    along = (columns - x) * np.sin(angle) - (rows - 0.69) * np.cos(angle)
    across = (columns - x) * np.cos(angle) + (rows - 0.69) * np.sin(angle)
    pole = (along > 0) & (along < 0.47) & (np.abs(across) < 0.05)
    kept = np.asarray(1 - np.broadcast_to(blur, x.shape[1:2]))[:, None, None, None]
    frames = np.broadcast_to(ground, (*x.shape[:2], *ground.shape)).copy()
    for mask, colour in ((cart, (200, 160, 40)), (pole, (230, 90, 60))):
        tint = np.array(colour, dtype=float)[:, None, None]
        frames = np.where(mask[:, :, None], kept * tint + (1 - kept) * frames, frames)
    return frames.astype(np.uint8)
