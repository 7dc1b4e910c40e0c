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
VARIANTS = ("standard", "window", "feedforward", "actions")
LEGACY = ({}, {"blind_inputs": True}, {"leaking_reward": True}, {"shifted_evaluation": True})


def configuration(corner, **sections):
    axes = dict(zip(("predict", "space", "dynamics", "reward_from", "reward_gradient"), corner, strict=True))
    fields = {"task": "toy/point-mass", "size": "tiny", "env": {"image_size": 32}, **axes, **sections}
    return RunConfig.model_validate(fields)


def building_fails(config):
    try:
        build_model(config, find_task(config.task, config.env).spec, make_streams(config))
    except UserError:
        return True
    return False


def refused_alike(config):
    """What a plan refuses, or the empty string, after building it has come to the same."""
    refused = contradiction(config) or not_built(config)
    assert bool(refused) == building_fails(config), f"{config.model.variant}, {config.legacy}: {refused}"
    return refused


@pytest.mark.parametrize("corner", CORNERS, ids=["-".join(corner) for corner in CORNERS])
def test_the_plan_refuses_exactly_what_cannot_be_built(corner):
    for variant, legacy in itertools.product(VARIANTS, LEGACY):
        refused_alike(configuration(corner, model={"variant": variant}, legacy=legacy))


REWARDS_PIXEL = ("rewards", "pixel", "deterministic", "state", "shared")


@pytest.mark.parametrize(
    ("corner", "sections", "message"),
    [
        (REWARDS_PIXEL, {}, ""),
        (REWARDS_PIXEL, {"model": {"variant": "feedforward"}}, ""),
        (REWARDS_PIXEL, {"model": {"variant": "actions"}}, ""),
        (REWARDS_PIXEL, {"legacy": {"blind_inputs": True}}, ""),
        (REWARDS_PIXEL, {"legacy": {"shifted_evaluation": True}}, ""),
        (("rewards", "pixel", "stochastic", "state", "shared"), {}, ""),
        (
            ("rewards", "pixel", "stochastic", "state", "shared"),
            {"model": {"variant": "feedforward"}},
            "feedforward has no stochastic form; write dynamics: deterministic",
        ),
        (
            ("rewards", "latent", "deterministic", "state", "shared"),
            {"model": {"variant": "actions"}},
            "actions is no form of rewards-latent",
        ),
        (
            REWARDS_PIXEL,
            {"legacy": {"blind_inputs": True}, "model": {"variant": "actions"}},
            "actions sees no frames",
        ),
        (
            ("rewards", "latent", "stochastic", "state", "shared"),
            {"legacy": {"blind_inputs": True}},
            "a fault of the reference's pixel designs",
        ),
        (REWARDS_PIXEL, {"legacy": {"leaking_reward": True}}, "a fault of the reference's reward read from"),
    ],
)
def test_what_is_refused_and_why(corner, sections, message):
    refused = refused_alike(configuration(corner, **sections))
    assert message in refused
    assert bool(message) == bool(refused)


@pytest.mark.parametrize("section", ["planner", "evaluation"])
def test_the_feedforward_form_forecasts_no_further_than_it_is_trained(section):
    """Building it is fine; the forecast would fail, so the plan says so before."""
    short = {"model": {"variant": "feedforward"}, "train": {"forecast": 8}, "planner": {"horizon": 8}}
    short["evaluation"] = {"horizon": 8}
    assert not contradiction(configuration(REWARDS_PIXEL, **short))
    longer = short | {section: {"horizon": 9}}
    refused = contradiction(configuration(REWARDS_PIXEL, **longer))
    assert refused.startswith(f"{section}.horizon (9) is beyond")
    assert "write train.forecast: 9" in refused
    standard = longer | {"model": {"variant": "standard"}}
    assert not contradiction(configuration(REWARDS_PIXEL, **standard))


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


IMAGES_PIXEL = ("images", "pixel", "stochastic", "state", "shared")


@pytest.mark.parametrize("side", [8, 30, 32, 64, 84])
@pytest.mark.parametrize("predict", ["images", "rewards"])
@pytest.mark.parametrize("space", ["latent", "pixel"])
def test_frames_that_a_design_does_not_take(predict, space, side):
    corner = (predict, space, "deterministic", "state", "shared")
    refused = refused_alike(configuration(corner, env={"image_size": side}))
    assert bool(refused) == (corner[:2] == IMAGES_PIXEL[:2] and side % 8 != 0)
    if side == 84 and refused:
        assert "env.image_size (84)" in refused
        assert "write 80 or 88" in refused


@pytest.mark.parametrize(
    ("space", "widths", "message"),
    [
        ("latent", {"units": 7}, ""),
        ("pixel", {"lstm1": 9}, ""),
        ("pixel", {"cdna_kernel": 3}, "model.widths of the separate reward model: no width cdna_kernel"),
        ("pixel", {"head1": 9}, "model.widths: no width head1"),
    ],
)
def test_a_width_must_be_one_of_both_models_where_the_reward_model_is_separate(space, widths, message):
    corner = ("images", space, "deterministic", "state", "separate")
    refused = refused_alike(configuration(corner, model={"widths": widths}))
    assert refused.startswith(message)
    assert bool(refused) == bool(message)


def test_a_size_that_a_family_has_not_is_told_of_the_size():
    refused = refused_alike(configuration(IMAGES_PIXEL, size="bench"))
    assert refused.startswith("size: no size bench")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"digest": "abc"}}, "write data.mode: offline, or leave it out"),
        (
            {"data": {"mode": "offline", "dataset": "mixed"}, "train": {"updates_per_episode": 0}},
            "would do nothing",
        ),
        ({"data": {"mode": "offline", "dataset": "mixed"}}, ""),
        ({"train": {"updates_per_episode": 0}}, ""),
    ],
)
def test_a_run_with_nothing_to_do_on_its_data_is_refused(sections, message):
    refused = contradiction(configuration(CORNERS[0], **sections))
    assert message in refused
    assert bool(message) == bool(refused)


def test_the_oracle_is_refused_where_nothing_can_be_simulated():
    words = contradiction(RunConfig(agent="oracle", task="dmc/quadruped-escape"))
    assert "cannot be simulated" in words
    assert "exclude: [{agent: oracle, task: dmc/quadruped-escape}]" in words
    for task in ("dmc/quadruped-walk", "toy/point-mass"):
        assert contradiction(RunConfig(agent="oracle", task=task)) == ""


PLANNED = ("rewards", "latent", "stochastic", "state", "shared")


def with_planner(section, **fields):
    if section == "oracle":
        return RunConfig.model_validate({"agent": "oracle", "task": "toy/point-mass", "oracle": fields})
    return configuration(PLANNED, planner=fields)


@pytest.mark.parametrize("section", ["planner", "oracle"])
def test_more_elites_than_proposals_are_refused_where_elites_are_used(section):
    for name in ("cem", "icem"):
        words = contradiction(with_planner(section, name=name, elites=40, proposals=20))
        assert words.startswith(f"{section}.elites (40) is more than {section}.proposals (20)")
        assert not contradiction(with_planner(section, name=name, elites=20, proposals=20))
    for name in ("mppi", "shooting", "own.planner:Mine"):
        assert not contradiction(with_planner(section, name=name, elites=40, proposals=20))


@pytest.mark.parametrize("section", ["planner", "oracle"])
def test_options_are_not_for_built_in_planners(section):
    words = contradiction(with_planner(section, name="icem", options={"elites": 4, "other": 1}))
    assert words.startswith(f"{section}.options (elites, other) are for planners of your own")
    assert words.endswith(f"the built-in icem; write {section}.elites")
    assert "write" not in contradiction(with_planner(section, name="shooting", options={"elites": 4}))
    assert not contradiction(with_planner(section, name="own.planner:Mine", options={"elites": 4}))


def test_a_planner_without_a_form_for_the_actions_is_told_of_its_name():
    config = configuration(PLANNED, planner={"name": "mppi"}, task="toy/catch")
    assert contradiction(config) == (
        "planner mppi has no form for discrete actions; cem, shooting have: write another planner.name, or leave out "
        "the task toy/catch"
    )
