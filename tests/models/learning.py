"""Training and scoring of small models on the worlds of `tests.models.synthetic`: one setting for every design."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from harness.openloop import evaluate_open_loop
from harness.streams import Streams
from models.types import Forecast, SequenceBatch
from tests.models import synthetic
from tests.models.designs import CONTEXT, Design, draw, make_model, observed

HORIZON = 4
"""Columns of a clip after the context, in training and in measuring."""
BATCH = 16
RATE = 2e-3
"""Adam's first step size; over the last half of the updates it falls to a tenth. With twice as much,
rewards-pixel-stochastic ends in three of eight runs as a net that forecasts the mean whatever it sees."""
HELD_OUT = 1 << 40
"""Added to the seed of clips that no model was trained on."""

Clips = SequenceBatch


def build(design: Design, **fields: Any) -> Any:
    """A tiny model of a design for these worlds; `fields` as for `make_model`."""
    world = {"actions": synthetic.ACTIONS, "side": synthetic.SIDE, "forecast": HORIZON}
    return make_model(design, **world | fields)


def train(
    model: Any,
    updates: int,
    *,
    world: str = "",
    clips: Clips | None = None,
    columns: int = CONTEXT + HORIZON,
    rate: float = RATE,
    seed: int = 0,
) -> None:
    """Trains on fresh clips of a world at every update, or always on `clips`; `rate` is Adam's first step size."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for update in range(updates):
        batch = clips or synthetic.WORLDS[world](BATCH, columns, seed * updates + update)
        for group in optimizer.param_groups:
            group["lr"] = rate * 10 ** -max(0.0, 2 * update / updates - 1)
        noise = draw(model.draws("loss", tuple(batch.mask.shape[:1]), batch.mask.shape[1]), seed=update)
        optimizer.zero_grad()
        model.loss(batch, noise, torch.tensor(update / updates)).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1000.0)
        optimizer.step()


def held_out(world: str, clips: int = 64, columns: int = CONTEXT + HORIZON) -> Clips:
    """Clips of a world that `train` does not see."""
    return synthetic.WORLDS[world](clips, columns, HELD_OUT)


def errors(model: Any, clips: Clips) -> dict[str, np.ndarray]:
    """The harness's open-loop errors of forecasts from the first `CONTEXT` columns, by name: [H]."""
    starts = np.array([(clip, CONTEXT - 1) for clip in range(len(clips.mask))])
    outcome = evaluate_open_loop(
        model,
        synthetic.episodes(clips),
        starts,
        horizon=clips.mask.shape[1] - CONTEXT,
        samples=16,
        context=CONTEXT,
        streams=Streams(0, "synthetic", "model"),
        dataset="held-out",
        device=torch.device("cpu"),
        tick=lambda: None,
    )
    return {name: np.array(values) for name, values in outcome.record.items() if isinstance(values, list)}


@torch.no_grad()
def forecasts(model: Any, clips: Clips, samples: int) -> Forecast:
    """Forecasts [B, S, H, ..] from the first `CONTEXT` columns, each sample with its own noise."""
    count, columns = clips.mask.shape
    state = model.expand(observed(model, clips, CONTEXT), samples)
    steps = columns - CONTEXT
    noise = draw(model.draws("predict", (count, samples), steps), seed=1)
    actions = clips.action[:, None, CONTEXT:].expand(-1, samples, -1, -1)
    return model.predict(state, actions, noise, decode=True)
