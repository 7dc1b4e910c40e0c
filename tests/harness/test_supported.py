"""What a plan says can be built is what can be built."""

from __future__ import annotations

import itertools

import pytest

from harness.build import build_model, make_streams
from harness.config import RunConfig
from harness.errors import UserError
from harness.supported import contradiction, not_built
from harness.tasks import find_task

CORNERS = list(
    itertools.product(
        ("images", "rewards"),
        ("latent", "pixel"),
        ("stochastic", "deterministic"),
        ("state", "image"),
        ("shared", "stopped", "separate"),
    )
)


@pytest.mark.parametrize("corner", CORNERS, ids=["-".join(corner) for corner in CORNERS])
def test_the_plan_refuses_exactly_what_cannot_be_built(corner):
    axes = dict(zip(("predict", "space", "dynamics", "reward_from", "reward_gradient"), corner, strict=True))
    config = RunConfig.model_validate(
        {"task": "toy/point-mass", "size": "tiny", "env": {"image_size": 32}, **axes}
    )
    refused = contradiction(config) or not_built(config)
    if refused:
        with pytest.raises(UserError):
            build_model(config, find_task(config.task, config.env).spec, make_streams(config))
    else:
        build_model(config, find_task(config.task, config.env).spec, make_streams(config))


@pytest.mark.parametrize("model", [{"widths": {"units": 7}}, {"widths": {"unit": 7}}, {"options": {"a": 1}}])
def test_widths_and_options_likewise(model):
    axes = {"predict": "images", "space": "latent", "dynamics": "stochastic", "size": "tiny"}
    config = RunConfig.model_validate(
        {"task": "toy/point-mass", "env": {"image_size": 32}, "model": model, **axes}
    )
    spec = find_task(config.task, config.env).spec
    if contradiction(config):
        with pytest.raises(UserError):
            build_model(config, spec, make_streams(config))
    else:
        assert model == {"widths": {"units": 7}}
        build_model(config, spec, make_streams(config))


def test_forecasts_longer_than_an_episode_are_refused_before_anything_runs():
    fields = {"task": "toy/point-mass", "predict": "rewards", "space": "latent", "dynamics": "stochastic"}
    long = RunConfig.model_validate(fields | {"evaluation": {"context": 30, "horizon": 30}})
    assert "need episodes of 59 steps; toy/point-mass has at most 50" in contradiction(long)
    fits = RunConfig.model_validate(fields | {"evaluation": {"context": 21, "horizon": 30}})
    assert not contradiction(fits)
