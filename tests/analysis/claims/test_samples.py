"""Which runs a paired claim takes, and what it says of those that it does not."""

import numpy as np
import pytest

from analysis.claims.images import LEVELS, improvement
from analysis.claims.sample import Contrast, contrast, families
from tests.analysis.claims.build import TASKS, changed, configs, design, evidence, finding

CORNERS = [
    f"{predict}-{space}-{dynamics}"
    for predict in ("images", "rewards")
    for space in ("latent", "pixel")
    for dynamics in ("stochastic", "deterministic")
]
ALL = [design(name) for name in CORNERS]


def secondary(found):
    return {one.name: one for one in found.secondary}


def test_each_task_is_compared_in_its_own_leading_setting():
    budgets = dict(zip(TASKS, (128, 1000, 1000), strict=False))
    few = CORNERS[:3] + CORNERS[4:7]
    runs = [
        run
        for task, budget in budgets.items()
        for name in (CORNERS if task == TASKS[0] else few)
        for run in configs(design(name, planner={"proposals": budget}), tasks=[task])
    ]

    def truth(row):
        return {"value": 0.5 + (0.2 if row.task == TASKS[0] else -0.2) * (row.predict == "images")}

    found = finding("H1", evidence(runs, truth))
    assert found.primary[0].tasks == 3
    assert found.verdict == "contradicted"
    assert found.primary[0].estimate.value == pytest.approx(-0.2 / 3, abs=0.02)
    own = "planner.proposals 128 on cartpole-swingup; planner.proposals 1000 on cheetah-run, reacher-easy"
    assert f"Tasks are compared in settings of their own: {own}." in found.why
    others = secondary(found)
    assert others["pairs"].estimate.n == 4  # a pair is one, whatever budget a task has
    assert others["controlled"].tasks == 3


def test_of_a_tie_of_settings_the_first_in_the_plan_is_compared_and_the_other_named():
    twice = [design(name, planner={"proposals": budget}) for budget in (1000, 128) for name in CORNERS]

    def truth(row):
        return {"value": 0.5 + (0.2 if row.proposals == 1000 else -0.3) * (row.predict == "images")}

    found = finding("H1", evidence(configs(*twice), truth))
    assert found.verdict == "supported"
    assert found.primary[0].designs == 8
    assert "is compared: planner.proposals 1000; left out: planner.proposals 128 (of 4 forms)." in found.why


def test_tasks_with_the_published_loss_alone_are_named():
    loss = [design(name, model={"open_loop_weight": 0}) for name in CORNERS]
    runs = configs(*ALL, tasks=TASKS[:1]) + configs(*loss, tasks=TASKS[1:2])
    found = finding("H1", evidence(runs))
    assert found.primary[0].tasks == 1
    assert "Cheetah-run has no part" in found.why or "cheetah-run has no part" in found.why


@pytest.mark.parametrize("claim", ["H1", "H2"])
def test_restored_faults_have_no_part_in_a_pair(claim):
    pair = {"H1": CORNERS[2::4], "H2": CORNERS[0:4:2]}[claim]
    level = {"H1": ("predict", "images"), "H2": ("space", "latent")}[claim]
    faulty = [design(name, legacy={"blind_inputs": True}) for name in pair]
    runs = configs(*(design(name) for name in pair), *faulty, tasks=TASKS[:2])

    def truth(row):
        wrong = any(name.startswith("legacy.") for name in row.fields)
        return {"value": 0.5 + 0.5 * (wrong and getattr(row, level[0]) == level[1])}

    found = finding(claim, evidence(runs, truth))
    assert found.primary[0].estimate.value == pytest.approx(0, abs=0.02)
    assert found.primary[0].designs == 2
    assert "20 runs with a restored fault (legacy.blind_inputs) have no part." in found.why


def opposed(row):
    return {"value": 0.5 + (0.3 if row.space == "latent" else -0.3) * (row.predict == "images")}


def test_pairs_that_lack_seeds_count_as_much_as_others():
    base = evidence(configs(*ALL), opposed)
    frame = base.runs.copy()
    slow = (frame["predict"] == "images") & (frame["space"] == "pixel") & (frame["seed"] > 0)
    frame.loc[slow, ["value", "final", "state"]] = np.nan, np.nan, "running"
    found = finding("H1", changed(base, frame))
    assert found.verdict == "inconclusive"
    assert found.primary[0].estimate.value == pytest.approx(0, abs=0.03)
    assert "24 of 40 planned pairs of runs are compared." in found.why


def test_a_pair_without_any_data_is_named_first():
    base = evidence(configs(*ALL), opposed)
    frame = base.runs.copy()
    gone = (frame["predict"] == "images") & (frame["space"] == "pixel")
    some = frame["name"].eq("rewards-latent-stochastic") & frame["task"].eq(TASKS[1])
    frame.loc[gone | some, ["value", "final", "state"]] = np.nan, np.nan, "failed"
    why = finding("H1", changed(base, frame)).why
    assert why.startswith("It is of the matched pairs that are done: without ")
    for name in ("pixel-stochastic", "pixel-deterministic", "latent-stochastic on cheetah-run"):
        assert f"without {name}" in why


def test_a_base_design_without_a_curve_is_named_by_h3():
    grid = [
        design(f"images-latent-{dynamics}", image_fraction=fraction)
        for dynamics in ("stochastic", "deterministic")
        for fraction in (0.0, 0.25, 0.5, 1.0)
    ]
    base = evidence(configs(*grid), lambda row: {"value": 0.3 + 0.4 * row.image_fraction}, noise=0.2)
    assert finding("H3", base).why == ""
    frame = base.runs.copy()
    frame.loc[frame["dynamics"] == "stochastic", "value"] = np.nan
    assert "that are done: without stochastic." in finding("H3", changed(base, frame)).why


def test_intervals_for_other_pairs_and_over_common_seeds():
    effects = dict(zip(CORNERS[:4], (0.3, -0.3, 0.25, -0.2), strict=True))
    found = finding("H1", evidence(configs(*ALL), lambda row: {"value": 0.5 + effects.get(row.name, 0)}))
    others = secondary(found)
    assert others["pairs"].estimate.low < -0.3
    assert others["pairs"].sample == "4 pairs, 2 tasks"
    assert others["by_seed"].estimate.n == 5
    assert others["by_seed"].estimate.value == pytest.approx(found.primary[0].estimate.value)
    assert "these designs and tasks" in found.statement
    assert "independent between tasks" in found.statement


def test_by_seed_is_wider_where_seeds_are_common_to_tasks():
    shift = (0.1, -0.1, 0.2, 0.0, -0.2)

    def truth(row):
        return {"value": 0.5 + shift[row.seed] * (row.predict == "images")}

    found = finding("H1", evidence(configs(*ALL, tasks=TASKS), truth))
    alone, common = found.primary[0].estimate, secondary(found)["by_seed"].estimate
    assert common.high - common.low > 1.5 * (alone.high - alone.low)


def test_improvement_is_within_pairs():
    """Designs differ much, those of a pair do not: a win is as likely as a loss, and the interval says so."""
    pairs = contrast(families(evidence(configs(*ALL, tasks=TASKS[:1])).runs, "predict", LEVELS), *LEVELS)
    rng, held, trials = np.random.default_rng(3), 0, 200
    for _ in range(trials):
        differences = rng.normal(0, 0.3, len(pairs.cells))
        found = improvement(Contrast(pairs.cells.assign(difference=differences), pairs.rows), 0.95)
        held += found.estimate.low <= 0.5 <= found.estimate.high
        assert 0 <= found.estimate.low <= found.estimate.high <= 1
    assert 0.92 <= held / trials <= 0.99


def test_improvement_of_seeds_that_agree_is_not_certain():
    base = evidence(configs(*ALL), lambda row: {"value": 0.5 + 0.4 * (row.predict == "images")})
    found = secondary(finding("H1", base))["improvement"].estimate
    assert (found.value, found.high, found.kind) == (1.0, 1.0, "score")
    assert 0.5 < found.low < 0.95


@pytest.mark.parametrize(("ratio", "said"), [(1.1, False), (3.2, True)])
def test_unequal_parameters_are_a_rival_explanation(ratio, said):
    base = evidence(configs(*ALL))
    images = base.runs["predict"] == "images"
    frame = base.runs.assign(parameters=np.where(images, 1.7e6 * ratio, 1.7e6))
    why = finding("H1", changed(base, frame)).why
    words = "within 4 of 4 pairs, up to 3.2 times (images 5.44M, rewards 1.7M): capacity may explain"
    assert (words in why) == said
    assert finding("H2", changed(base, frame)).why == ""
