"""What is put in is there: exactly where it is fixed, on average where it is random."""

from pathlib import Path

import numpy as np
import pytest

from analysis.claims.sample import contrast, families, leading, offline, online, together
from analysis.inference.estimate import generator
from analysis.matching import field_of
from analysis.simulate.effects import Effects
from analysis.simulate.world import World, draw
from studies.simulating import planned
from tests.analysis.simulate.plans import PAPER, paper

QUIET = {"seed_sd": 0.0, "final_sd": 0.0}


def drawn(world, seed=0, **effects):
    """The rows of the world with what a draw gave them."""
    found = draw(world, Effects(**effects), generator("test", seed))
    return world.frame.assign(value=found.value, final=found.final), found


@pytest.fixture(scope="module")
def both():
    return paper("online", "offline").world()


def test_effects_are_exact_over_the_designs_of_the_plan(both):
    frame, _ = drawn(both, images=0.17, images_offline=-0.05, latent=0.07, **QUIET)
    for rows, planted in ((online(frame), 0.17), (offline(frame), -0.05)):
        pairs = leading(families(rows, "predict", ("images", "rewards")))
        assert contrast(pairs, "images", "rewards").seeds()["difference"].to_numpy() == pytest.approx(planted)
    images = online(frame)[online(frame)["predict"] == "images"]
    spaces = leading(families(images, "space", ("latent", "pixel")))
    assert contrast(spaces, "latent", "pixel").seeds()["difference"].to_numpy() == pytest.approx(0.07)


def test_sharing_is_exact_over_stopped_and_separate():
    frame, _ = drawn(paper("sharing").world(), sharing=0.12, **QUIET)
    rows = leading(families(online(frame), "reward_gradient", ("shared", "stopped", "separate")))
    parts = [contrast(rows, "shared", other) for other in ("stopped", "separate")]
    for found in (*parts, together(parts)):
        assert found.seeds()["difference"].to_numpy() == pytest.approx(0.12)


def test_doses_are_lines_within_a_design():
    frame, _ = drawn(paper("dose_response").world(), dose=0.4, weight=0.1, **QUIET)
    rows = frame[frame["agent"] == "model"]
    weight = np.array([field_of(fields, "model.image_scale") for fields in rows["fields"]])
    for _, cell in rows[weight == 1].groupby(["name", "task", "seed"]):
        slope, _ = np.polyfit(cell["image_fraction"].astype(float), cell["value"], 1)
        assert slope == pytest.approx(0.4)
    for _, cell in rows[rows["image_fraction"] == 1].groupby(["name", "task", "seed"]):
        scale = [field_of(fields, "model.image_scale") for fields in cell["fields"]]
        assert np.polyfit(scale, cell["value"], 1)[0] == pytest.approx(0.1)


def test_capacity_and_the_planner_follow_logarithms():
    frame, _ = drawn(paper("capacity").world(), capacity=0.3, **QUIET)
    means = frame[frame["agent"] == "model"].groupby("size")["value"].mean()
    assert means["large"] - means["small"] == pytest.approx(0.3 * np.log10(4.7 / 0.44))
    frame, _ = drawn(paper("planner").world(), horizon=0.02, proposals=0.05, oracle_horizon=-0.1, **QUIET)
    models = frame[(frame["agent"] == "model") & (frame["planner"] == "cem")]
    means = models.groupby(["horizon", "proposals"])["value"].mean()
    assert means[24, 128] - means[6, 128] == pytest.approx(0.04)
    assert means[12, 128] - means[12, 32] == pytest.approx(0.1)
    oracles = frame[frame["agent"] == "oracle"].groupby("oracle_horizon")["value"].mean()
    assert oracles.to_dict() == pytest.approx({3: 0.8, 6: 0.9, 12: 1.0, 24: 0.9})


def test_cross_training_has_the_shares_of_variance_that_were_put_in():
    frame, _ = drawn(paper("cross_training").world(), collector=0.2, learner=0.1, **QUIET)
    models = frame[frame["agent"] == "model"]
    assert models["design"].nunique() == 16
    for _, task in models[models["seed"] == 0].groupby("task"):
        table = task.pivot_table(index="name", columns="data", values="value")
        assert table.mean(axis=0).std(ddof=0) == pytest.approx(0.2)
        assert table.mean(axis=1).std(ddof=0) == pytest.approx(0.1)


def test_baselines_average_to_the_ends_of_the_scale(both):
    frame, _ = drawn(both)
    means = frame.groupby(["agent", "task"])["value"].mean()
    assert means["random"].to_numpy() == pytest.approx(0.0, abs=1e-12)
    assert means["oracle"].to_numpy() == pytest.approx(1.0)


@pytest.mark.parametrize("tails", ["normal", "t3"])
def test_noise_over_seeds_has_the_variance_that_was_put_in(both, tails):
    variances = []
    for seed in range(40):
        noisy, _ = drawn(both, seed, tails=tails, seed_sd=0.2, final_sd=0.0)
        quiet, _ = drawn(both, seed, tails=tails, **QUIET)
        models = both.models
        variances.append((noisy["value"] - quiet["value"])[models].to_numpy())
    flat = np.concatenate(variances)
    assert flat.std() == pytest.approx(0.2, rel=0.05 if tails == "normal" else 0.15)
    heavy = np.mean(np.abs(flat) > 4 * 0.2)
    assert (heavy > 5e-4) == (tails == "t3")


def test_correlations_are_those_that_were_put_in(both):
    """Averaged over draws; the clip of errors and ties in tasks change them by little."""
    frame = both.frame
    images = np.asarray((frame["predict"] == "images") & ~frame["offline"].astype(bool))
    models = np.asarray((frame["agent"] == "model") & ~frame["offline"].astype(bool))
    held = np.asarray((frame["predict"] == "images") & frame["offline"].astype(bool))
    planted = {"image_error": -0.7, "reward_error": 0.4, "heldout_image": -0.5, "coverage": 0.6}
    found = {name: [] for name in planted}
    for seed in range(100):
        rows, draw_ = drawn(both, seed, error_sd=0.0, design_sd=0.2, **planted, **QUIET)
        for place in range(len(both.places)):
            here = both.place == place
            for name, kept, values in (
                ("image_error", images, draw_.errors["probe", "image"]),
                ("reward_error", images, draw_.errors["probe", "reward"]),
                ("heldout_image", held, draw_.errors["heldout", "image"]),
                ("coverage", models, np.exp(draw_.coverage)),
            ):
                chosen = here & kept
                found[name].append(np.corrcoef(rows["value"][chosen], np.log(values[chosen]))[0, 1])
    for name, rho in planted.items():
        assert np.mean(found[name]) == pytest.approx(rho, abs=0.08), name


def test_orders_online_and_offline_agree_as_much_as_was_put_in(both):
    def correlation(agreement):
        found = []
        for seed in range(25):
            frame, _ = drawn(
                both, seed, agreement=agreement, images=0.0, images_offline=0.0, design_sd=0.2, **QUIET
            )
            models = frame[(frame["agent"] == "model") & (frame["seed"] == 0)]
            table = models.pivot_table(index=["name", "task"], columns="offline", values="value")
            found.append(np.corrcoef(table[False], table[True])[0, 1])
        return np.mean(found)

    assert correlation(1.0) == pytest.approx(1.0, abs=0.01)
    assert correlation(0.0) == pytest.approx(0.0, abs=0.2)
    assert correlation(-0.8) < -0.5


def test_a_draw_depends_on_its_generator_alone(both):
    first, again, other = (drawn(both, seed)[0]["value"] for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    assert drawn(World.of(paper("online", "offline").studies), 1)[0]["value"].equals(first)


def test_runs_diverge_fail_and_lose_their_errors_as_often_as_asked(both):
    _, found = drawn(both, diverged=0.3, failed=0.1, nonfinite=0.2)
    models = both.models
    assert set(found.state[~models]) == {"done"}
    rates = [np.mean(found.state[models] == state) for state in ("diverged", "failed")]
    assert rates == pytest.approx([0.27, 0.1], abs=0.06)
    assert np.mean(~found.finite) == pytest.approx(0.2, abs=0.05)


def test_the_weight_of_the_image_counts_beside_the_largest_of_its_design():
    mini = PAPER.parent / "mini"
    assert set(
        planned([str(mini / "online.yaml")], Path("nowhere").absolute(), None, []).world().traits["weight"]
    ) == {1.0}
    assert {0.125, 0.25, 0.5, 1.0} <= set(paper("dose_response").world().traits["weight"])
