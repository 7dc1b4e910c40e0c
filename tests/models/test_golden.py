"""Losses on fixed seeds and inputs: a number that moves changes the meaning of every run of that design.

python -m tests.models.test_golden --write      # when the mathematics was changed on purpose
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from tests.models.designs import CORNERS, DESIGNS, LATENT, Design, draw, make_batch, make_model

FILE = Path(__file__).with_name("golden_losses.json")
COMMAND = "python -m tests.models.test_golden --write"


def cases():
    """Models by name: every design, and of the corners what a switch or a time of the training changes."""
    images = [design for design in CORNERS if design.predict == "images"]
    pixel = [design for design in CORNERS if design.space == "pixel"]
    rewnet = Design("images", "latent", "stochastic", reward_from="image")
    special = {
        "continues": (CORNERS, {"continues": True}),
        "half of the image": (images, {"image_fraction": 0.5, "region_seed": 1}),
        "early": ([d for d in images if d in pixel], {"progress": 0.05}),
        "two futures": ([d for d in LATENT if d.dynamics == "stochastic"], {"open_loop_futures": 2}),
        "dropout": ([d for d in pixel if d.predict == "rewards"], {"dropout": 0.2}),
        "blind inputs": ([d for d in pixel if d not in images], {"blind_inputs": True}),
        "leaking reward": ([rewnet], {"leaking_reward": True}),
    }
    models = {design.name: (design, {}) for design in [*DESIGNS, rewnet._replace(variant="window")]}
    for words, (designs, fields) in special.items():
        models |= {f"{design.name}, {words}": (design, fields) for design in designs}
    return models


CASES = cases()


def batch():
    """Three clips of 6 columns; the second is a column short, and the task ended there."""
    clips = make_batch()
    mask, terminal = clips.mask.clone(), clips.terminal.clone()
    mask[1, 5:] = 0
    terminal[1, 4] = True
    return clips._replace(mask=mask, terminal=terminal)


def losses(name):
    """The loss, its metrics, and the norm of its gradient, which tells where gradients stop."""
    design, fields = CASES[name]
    fields = dict(fields)
    progress = torch.tensor(fields.pop("progress", 0.5))
    model, clips = make_model(design, **fields), batch()
    loss = model.loss(
        clips, draw(model.draws("loss", tuple(clips.mask.shape[:1]), clips.mask.shape[1])), progress
    )
    loss.total.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    numbers = {"total": loss.total, "gradient_norm": norm, **loss.metrics}
    return {key: value.item() for key, value in numbers.items()}


def stored():
    return json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CASES)
def test_the_loss_has_not_moved(name):
    expected, measured = stored().get(name), losses(name)
    assert measured == pytest.approx(expected, rel=1e-4, abs=1e-6), (
        f"The loss of {name} has moved. If that is meant, raise its version in harness/registry.py and run: {COMMAND}"
    )


def test_every_number_belongs_to_a_design():
    assert set(stored()) == set(CASES), f"run: {COMMAND}"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {COMMAND}")
    torch.set_num_threads(1)
    content = {name: {key: float(f"{x:.7g}") for key, x in losses(name).items()} for name in CASES}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
