"""Numbers beside those that decide: each on data where its truth is known."""

import hashlib

import numpy as np
import pytest

from tests.analysis.claims.build import TASKS, changed, configs_of, evidence, finding, planned

TWO = TASKS[:2]


def plan(*studies, seeds=5):
    return planned(configs_of(studies, TWO, seeds))


def model(value):
    """A truth for models alone."""
    return lambda row: {"value": value(row)} if row.agent == "model" else {}


def secondary(found):
    return {one.name: one for one in found.secondary}


def holds(one, value, tolerance=0.04):
    assert one.estimate.value == pytest.approx(value, abs=tolerance)
    assert one.estimate.low < one.estimate.value < one.estimate.high


def test_h1_tells_the_pairs_apart_and_keeps_the_published_loss_out():
    gains = {"stochastic": 0.2, "deterministic": 0.0}

    def value(row):
        gain = 0.5 if "published" in row.name else gains[row.dynamics]
        return 0.3 + gain * (row.predict == "images")

    found = finding("H1", evidence(plan("online"), model(value)))
    others = secondary(found)
    holds(found.primary[0], 0.1)
    holds(others["controlled"], 0.2)
    holds(others["pair.latent-stochastic"], 0.2)
    holds(others["pair.pixel-deterministic"], 0.0)
    holds(others["published"], 0.5)
    holds(others["tasks"], 0.1)
    assert others["tasks"].of == "tasks"
    assert others["tasks"].estimate.n == 2
    assert found.primary[0].estimate.n == 10
    assert found.primary[0].designs == 8
    assert 0.5 < others["improvement"].estimate.value < 1


def test_h1_of_the_published_loss_alone_is_of_that():
    frame = plan("online")
    frame = frame[frame["name"].str.contains("published")]
    found = finding("H1", evidence(frame, model(lambda row: 0.3 + 0.2 * (row.predict == "images"))))
    holds(found.primary[0], 0.2)


def test_a_planner_sweep_in_the_report_leaves_h1_to_the_common_setting():
    def value(row):
        gain = 0.3 if row.horizon == 12 and row.proposals == 128 and row.planner == "cem" else -0.3
        return 0.4 + gain * (row.predict == "images")

    found = finding("H1", evidence(plan("online", "planner", seeds=3), model(value)))
    holds(found.primary[0], 0.3)
    assert found.primary[0].designs == 8


def test_h2_gives_each_task_and_what_memory_is_worth():
    def value(row):
        gain = 0.2 if row.task == TWO[0] else 0.0
        return 0.3 + gain * (row.space == "latent") - 0.1 * (row.variant == "window")

    others = secondary(finding("H2", evidence(plan("online"), model(value))))
    holds(others["task.cartpole-swingup"], 0.2)
    holds(others["task.cheetah-run"], 0.0)
    holds(others["memory"], 0.1)


def test_h3_has_slopes_and_a_control():
    def value(row):
        weight = row.fields.get("model.image_scale", 1.0)
        return 0.2 + 0.4 * row.image_fraction + 0.1 * weight

    others = secondary(finding("H3", evidence(plan("dose_response"), model(value), noise=0.01)))
    holds(others["slope"], 0.4)
    holds(others["control"], 0.1)
    holds(others["beyond_control"], 0.3)
    assert {"design.stochastic", "design.deterministic"} <= others.keys()


def quality(row):
    return hashlib.sha256(str(row.name).encode()).digest()[0] / 255


def test_h4_warns_where_mixing_tasks_turns_a_correlation_round():
    def truth(row):
        if row.agent != "model":
            return {}
        easy = 5.0 * (row.task == TWO[0])
        images = row.predict == "images"
        return {
            "value": quality(row) + easy,
            "image_error": 8 - quality(row) + easy if images else np.nan,
            "reward_error": 1 + 0.01 * quality(row),
        }

    found = finding("H4", evidence(plan("online"), truth))
    assert found.verdict == "supported"
    assert "turns the correlation of image error and score round" in found.why
    assert "reward error and score round" not in found.why
    others = secondary(found)
    assert others["image"].estimate.value < -0.8
    assert others["image.tasks"].estimate.n == 2
    assert others["task.cartpole-swingup"].tasks == 1
    assert {"williams", "without_design", "without_task", "reward_all", "image.partial"} <= others.keys()
    assert others["reward_all"].designs > others["image"].designs


def test_h4_is_of_one_planner_and_measured_designs():
    base = evidence(plan("online", "planner", seeds=2))
    found = finding("H4", base)
    assert found.primary[0].designs == 10
    assert (
        "112 runs of 28 designs on cartpole-swingup, cheetah-run have no part: another planner" in found.why
    )
    frame = base.runs.copy()
    gone = frame["name"].isin(
        ["images-pixel-stochastic", "images-pixel-deterministic", "images-latent-stochastic"]
    )
    frame.loc[gone, "image_error"] = np.nan
    few = finding("H4", changed(base, frame))
    assert few.verdict == "not testable"
    assert "7 of 10 designs are measured, and 8 are needed" in few.why
    assert "difference" in secondary(few)


def test_h5_gives_both_gaps():
    def value(row):
        return 0.4 + (0.1 if row.offline else 0.3) * (row.predict == "images")

    found = finding("H5", evidence(plan("online", "offline"), model(value)))
    others = secondary(found)
    holds(found.primary[0], 0.2)
    holds(found.primary[1], 0.3)
    holds(others["offline"], 0.1)
    assert found.primary[0].designs == 16


def test_h8_shares_add_up():
    def value(row):
        return float(len(row.data)) / 10 if row.offline else 0.5

    others = secondary(finding("H8", evidence(plan("cross_training"), model(value))))
    shares = [one.estimate.value for name, one in others.items() if name.startswith("share.")]
    assert sum(shares) == pytest.approx(1)
    assert others["share.data"].estimate.value > 0.5


def test_h9_names_the_largest_drop():
    def value(row):
        harmed = row.reward_gradient == "shared" and row.space == "pixel" and row.reward_from == "state"
        return 0.5 - 0.4 * (harmed and row.task == TWO[1])

    others = secondary(finding("H9", evidence(plan("sharing"), model(value))))
    drop = others["largest_drop"]
    holds(drop, -0.4)
    assert "pixel-deterministic-from-state on cheetah-run" in drop.words
    assert "adjusted for 12 cells (Holm)" in drop.note
    assert {"stopped", "separate", "reward_from"} <= others.keys()


def test_h10_has_the_slopes_of_the_budget_and_other_planners_at_an_equal_one():
    def value(row):
        gain = {"cem": 0.0, "icem": 0.1, "mppi": -0.1, "shooting": -0.2}[row.planner]
        if row.planner != "cem":
            return 0.3 + gain + 0.05 * np.log2(12 / 3)
        return 0.3 + 0.05 * np.log2(row.horizon / 3)

    others = secondary(finding("H10", evidence(plan("planner"), model(value), noise=0.01)))
    holds(others["slope.horizon"], 0.05, 0.01)
    holds(others["slope.proposals"], 0.0, 0.01)
    holds(others["planner.icem"], 0.1, 0.02)
    holds(others["planner.mppi"], -0.1, 0.02)
    holds(others["planner.shooting"], -0.2, 0.02)


def test_h10_takes_the_oracle_at_the_horizon_of_each_model():
    frame = plan("planner")

    def truth(row):
        if row.agent == "oracle":
            return {"value": row.oracle_horizon / 24}
        return {"value": 0.4 + 0.3 * (row.horizon == 12)} if row.agent == "model" else {}

    found = finding("H10", evidence(frame, truth, noise=0.001))
    assert found.primary[0].estimate.value == pytest.approx(3 / 24 - 0.4, abs=0.01)
    assert found.verdict == "contradicted"


def test_h11_has_the_cost():
    steps = {"tiny": 0.0, "small": 1.0, "large": 2.0}
    base = evidence(plan("capacity"), model(lambda row: 0.3 + 0.1 * steps[row.size]), noise=0.01)
    frame = base.runs.assign(train_seconds=50.0 * 10 ** base.runs["size"].map(steps), plan_seconds=0.0)
    others = secondary(finding("H11", changed(base, frame)))
    holds(others["cost"], 0.1, 0.02)
    assert others["per_hour.tiny"].estimate.value > 5 * others["per_hour.large"].estimate.value
