"""The designs of the reference: known by name, with its own numbers, and open to changes of single fields."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.config import RunConfig
from studies.language import StudyError, expand, load_config, parse_study
from studies.language.designs import known_design
from studies.language.names import CANONICAL
from studies.language.reference import MEANING, known_designs, reference_designs

NAMES = ("planet", "planet-rewards", "rewnet", "sv2p", "sv2p-stochastic", "pure-reward", "pure-reward-feedforward",
         "jax-pure-reward")  # fmt: skip
PIXELS = 64 * 64 * 3


def config_of(name):
    fields = {field: located.value for field, located in known_design(f"reference-{name}").fields.items()}
    tree = {"task": "dmc/cheetah-run"}
    for field, value in fields.items():
        section, dot, inner = field.partition(".")
        tree |= {section: tree.get(section, {}) | {inner: value}} if dot else {field: value}
    return RunConfig.model_validate(tree)


def study(**keys):
    """A study text; JSON is YAML."""
    return json.dumps(
        {"name": "s", "grid": {"design": "reference-planet", "task": "dmc/cheetah-run"}, **keys}
    )


def one(text, *overrides):
    (cell,) = expand(parse_study(text, "s.yaml", overrides)).cells
    return cell.config


def test_the_eight_designs_of_the_reference_are_known_beside_the_corners():
    assert tuple(reference_designs()) == tuple(f"reference-{name}" for name in NAMES)
    assert known_designs() == (*CANONICAL, *reference_designs())


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_all_that_makes_it_another_design(name):
    fields = known_design(f"reference-{name}").fields
    assert set(MEANING) | {"size"} <= fields.keys()
    assert not [field for field in fields if field.startswith(("planner.", "task", "env.", "legacy."))]


@pytest.mark.parametrize(
    ("name", "columns", "batch", "cold_start", "epsilon"),
    [
        ("planet", 12, 64, 5, 1e-3),
        ("planet-rewards", 12, 64, 5, 1e-3),
        ("rewnet", 12, 50, 5, 1e-3),
        ("sv2p", 14, 64, 1, 1e-3),
        ("sv2p-stochastic", 14, 64, 1, 1e-3),
        ("pure-reward", 13, 32, 1, 1e-7),
        ("pure-reward-feedforward", 13, 32, 1, 1e-7),
        ("jax-pure-reward", 13, 64, 5, 1e-8),
    ],
)
def test_budgets_and_schedules(name, columns, batch, cold_start, epsilon):
    config = config_of(name)
    assert config.size == "paper"
    assert config.clip_length == columns
    assert config.train.batch == batch
    assert config.exploration.cold_start == cold_start
    assert config.train.adam_epsilon == epsilon
    assert config.train.learning_rate == 1e-3
    assert (config.train.episodes, config.train.updates_per_episode) == (1010, 100)
    assert (config.evaluation.every, config.evaluation.episodes) == (10, 1)
    assert config.exploration.noise == 0.3


@pytest.mark.parametrize("name", ["planet", "planet-rewards", "rewnet"])
def test_the_rssm_has_the_weights_of_gaussians_of_unit_variance(name):
    model = config_of(name).model
    weights = (model.image_scale, model.reward_scale, model.kl_scale, model.free_nats, model.open_loop_weight)
    assert weights == (1, 10, 1, 3, 0)


def test_mean_squared_errors_in_our_unit():
    """The reference's loss of SV2P and of ours on the same errors."""
    rng = np.random.default_rng(0)
    images, rewards = rng.normal(size=(12, 64, 64, 3)), rng.normal(size=12)
    for name in ("sv2p", "sv2p-stochastic"):
        model = config_of(name).model
        theirs = np.mean(images**2) + np.mean(rewards**2)
        ours = model.image_scale * np.mean(0.5 * (images**2).sum((1, 2, 3)))
        ours += model.reward_scale * np.mean(0.5 * rewards**2)
        assert ours == pytest.approx(theirs)
    for name in ("pure-reward", "pure-reward-feedforward", "jax-pure-reward"):
        assert config_of(name).model.reward_scale * np.mean(0.5 * rewards**2) == pytest.approx(
            np.mean(rewards**2)
        )


def test_sv2ps_schedule_and_latent():
    config = config_of("sv2p-stochastic")
    assert config.total_updates == 101_000
    assert config.model.scheduled_sampling * config.total_updates == pytest.approx(10_000, abs=0.5)
    assert config.model.kl_scale / config.train.forecast == pytest.approx(
        1e-3
    )  # a clip's KL over its columns


def test_it_is_reached_by_its_name_in_any_study_and_in_a_run_of_its_own(tmp_path):
    config = one(study(base={"train.batch": 3, "planner.horizon": 5}))
    assert config.label == "reference-planet"
    assert (config.train.batch, config.planner.horizon) == (64, 5)  # the design wins over base
    path = tmp_path / "run.yaml"
    path.write_text("design: reference-pure-reward\ntask: dmc/cheetah-run\ntrain: {episodes: 9}\n")
    alone = load_config(path)
    assert (alone.train.episodes, alone.train.batch, alone.label) == (9, 32, "reference-pure-reward")


@pytest.mark.parametrize(
    ("keys", "overrides"),
    [
        ({"designs": {"reference-planet": {"train.batch": 7}}}, ()),
        ({"grid": {"design": "reference-planet", "task": "dmc/cheetah-run", "train.batch": 7}}, ()),
        ({"overrides": {"train": {"batch": 7}}}, ()),
        ({}, ("train.batch=7",)),
    ],
)
def test_a_study_may_change_single_fields(keys, overrides):
    changed = one(study(**keys), *overrides)
    assert changed == one(study()).model_copy(
        update={"train": one(study()).train.model_copy(update={"batch": 7})}
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"designs": {"reference-planet": {"reward_gradient": "stopped"}}},
            "the name reference-planet means reward_gradient: shared; choose another name",
        ),
        (
            {"grid": {"design": "reference-planet", "task": "dmc/cheetah-run", "dynamics": "deterministic"}},
            "dynamics is deterministic in a design named reference-planet: write a design of its own",
        ),
        (
            {"grid": {"design": "reference-plant", "task": "dmc/cheetah-run"}},
            "unknown design 'reference-plant' (did you mean reference-planet?)",
        ),
        (
            {"grid": {"design": "reference-*", "task": "dmc/cheetah-run"}},
            "the known names are reached by name, not by globs",
        ),
    ],
)
def test_what_a_name_means_stays(keys, message):
    with pytest.raises(StudyError) as caught:
        expand(parse_study(study(**keys), "s.yaml"))
    assert message in str(caught.value)


def test_conditions_reach_them():
    grid = {"design": ["reference-planet", "images-latent-stochastic"], "task": "dmc/cheetah-run"}
    cells = expand(parse_study(study(grid=grid, exclude=[{"design": "reference-*"}]), "s.yaml")).cells
    assert [cell.config.label for cell in cells] == ["images-latent-stochastic"]
