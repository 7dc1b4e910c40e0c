"""Presets: published counts, matched designs, located errors. Importing them needs no torch."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.cost import model_cost
from models.sizes import SIZES, sizes_for
from models.types import LossWeights
from tests.models.designs import CORNERS, Design, loss_of, make_batch, make_model

FULL = Design("images", "latent", "stochastic")


def parameters(design, **kwargs):
    return sum(p.numel() for p in make_model(design, **kwargs).parameters())


def planning_parameters(design, **kwargs):
    return model_cost(make_model(design, **kwargs), candidates=1, horizon=2).parameters


def test_paper_has_the_published_number_of_parameters():
    """About 5.5 M with 6 action dimensions, about 1.7 M without the decoder."""
    assert parameters(FULL, size="paper", side=64, actions=6) == 5_512_120
    assert planning_parameters(FULL, size="paper", side=64, actions=6) == 1_716_565


def test_bench_has_as_many_parameters_as_kaixhins_planet():
    encoder, decoder, reward = 690_144, 3_795_555, 86_601
    dynamics = 7_400 + 241_200 + 40_200 + 12_060 + 245_000 + 12_060
    assert parameters(FULL, size="bench", side=64, actions=6) == encoder + dynamics + decoder + reward


@pytest.mark.parametrize("size", ["tiny", "small", "large"])
@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("actions", [1, 6])
def test_designs_of_a_size_match_in_what_planning_needs(size, side, actions):
    counts = {d.name: planning_parameters(d, size=size, side=side, actions=actions) for d in CORNERS}
    assert max(counts.values()) <= 1.15 * min(counts.values()), counts


def test_sizes_grow():
    counts = [parameters(FULL, size=size, side=64) for size in ("tiny", "small", "paper", "large")]
    assert counts == sorted(counts)


def test_small_has_about_a_quarter_of_the_arithmetic_of_paper():
    flops = []
    for size in ("small", "paper"):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            loss_of(
                make_model(FULL, size=size, side=64, weights=LossWeights(open_loop_weight=0.0)),
                make_batch(2, 4, side=64),
            )
        flops.append(counter.get_total_flops())
    assert 0.2 < flops[0] / flops[1] < 0.3


def test_widths_replace_those_of_the_preset():
    sizes = sizes_for("rssm", "tiny", {"units": 33, "stochastic": 5})
    assert sizes == dataclasses.replace(SIZES["rssm"]["tiny"], units=33, stochastic=5)
    assert sizes_for("rssm", "tiny", {}) == SIZES["rssm"]["tiny"]


@pytest.mark.parametrize(
    ("family", "size", "widths", "message"),
    [
        ("rssm", "tinny", {}, r"no size tinny \(did you mean tiny\?\); there are tiny, small, paper"),
        ("rssm", "tiny", {"unit": 3}, r"no width unit \(did you mean units\?\); there are encoder_channels"),
        ("rssm", "tiny", {"units": 0}, "width units is 0"),
        ("reward_predictor", "bench", {}, "no size bench"),
    ],
)
def test_unknown_sizes_and_widths_are_errors(family, size, widths, message):
    with pytest.raises(ValueError, match=message):
        sizes_for(family, size, widths)


def test_sizes_need_no_torch():
    code = "import sys, models.sizes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
