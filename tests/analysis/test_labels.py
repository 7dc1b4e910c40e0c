"""Names of designs that differ in more than the seed: short, and clear."""

from dataclasses import replace

import pytest

from analysis.load import load
from tests.analysis.synthetic import Options, named, write_study

BASE = named("images-latent-stochastic")
PIXEL = named("images-pixel-deterministic", 0.5)


def labels(path, designs, **options):
    designs = tuple(replace(design, axes=design.axes | fields) for design, fields in designs)
    options = Options(designs=designs, seeds=1, episodes=8, random_agent=False, forecasts=False, **options)
    return load([write_study(path, options=options)]).designs


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (
            [
                {"reward_from": "state", "model": {"variant": "window"}},
                {"reward_from": "image", "model": {"variant": "standard"}},
            ],
            ["window, from state", "standard, from image"],
        ),
        ([{"reward_gradient": "shared"}, {"reward_gradient": "stopped"}], ["shared", "stopped"]),
        ([{"image_fraction": 0.5}, {"image_fraction": 1}], ["image_fraction=0.5", "image_fraction=1"]),
        ([{"model": {"kl_scale": 2}}, {"model": {"kl_scale": 3}}], ["kl_scale=2", "kl_scale=3"]),
        (
            [{"planner": {"horizon": 6}}, {"planner": {"horizon": 8}}],
            ["planner.horizon=6", "planner.horizon=8"],
        ),
        (
            [{"legacy": {"leaking_reward": on}, "reward_from": "image"} for on in (False, True)],
            ["leaking_reward=False", "leaking_reward=True"],
        ),
    ],
)
def test_words_stand_alone_and_other_values_with_their_fields(tmp_path, fields, shown):
    assert labels(tmp_path, [(BASE, each) for each in fields]) == [
        f"{BASE.name} ({words})" for words in shown
    ]


def data(name, digest):
    return {"data": {"mode": "offline", "dataset": name, "digest": digest}}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ([data("/far/from-a", "1f" * 6), data("from-b", "2e" * 6)], ["on from-a", "on from-b"]),
        ([data("pooled", "1f" * 6), {"exploration": {"cold_start": 3}}], ["on pooled", "online"]),
        ([data("pooled", "1f" * 6), data("pooled", "2e" * 6)], ["on pooled 1f1f1f", "on pooled 2e2e2e"]),
    ],
)
def test_what_a_run_is_trained_on_is_named_by_its_dataset(tmp_path, fields, shown):
    assert labels(tmp_path, [(BASE, each) for each in fields]) == [
        f"{BASE.name} ({words})" for words in shown
    ]


def test_a_dataset_of_every_task_is_one_name(tmp_path):
    pool, others = data("pooled", "1f" * 6), data("others", "2e" * 6)
    tasks = ("dmc/cartpole-swingup", "dmc/cheetah-run")
    names = labels(tmp_path, [(BASE, pool), (BASE, others)], tasks=tasks)
    assert names == [f"{BASE.name} (on pooled)", f"{BASE.name} (on others)"]


def test_a_design_of_one_form_keeps_its_name(tmp_path):
    assert labels(tmp_path, [(BASE, {}), (PIXEL, {"reward_from": "image"})]) == [BASE.name, PIXEL.name]
