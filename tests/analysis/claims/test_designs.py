"""Claims whose sample are designs: variants of one count once, each task has its planner, and nulls are nominal."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from analysis.claims.comparable import comparable, with_one_planner
from analysis.claims.findings import HYPOTHESES
from analysis.claims.sample import online
from analysis.claims.spec import ReportSpec
from analysis.claims.types import Computed
from analysis.inference.estimate import Estimate
from analysis.kin import kin, of_families
from analysis.matching import field_of
from analysis.simulate.effects import Effects
from analysis.simulate.power import Question
from analysis.simulate.presets import changes
from analysis.simulate.world import draw
from tests.analysis.claims.build import TASKS, configs, configs_of, design, evidence, finding, planned
from tests.analysis.simulate.plans import paper

TWO = TASKS[:2]
THREE = ("online", "dose_response", "capacity")
NAMES = [
    f"{predict}-{space}-{dynamics}"
    for predict in ("images", "rewards")
    for space in ("latent", "pixel")
    for dynamics in ("stochastic", "deterministic")
]


def plan(*studies, seeds=2):
    return planned(configs_of(studies, TWO, seeds))


def own(text):
    return hashlib.sha256(str(text).encode()).digest()[0] / 255


def family(row):
    """Of the main study's designs, what the shipped names say."""
    parts = [row.predict, row.space, row.dynamics, row.reward_from, row.variant]
    return [*parts, field_of(row.fields, "model.open_loop_weight")]


def clones(row):
    """Scores, coverage and errors of a family: without any connection, but for variants that are alike."""
    if row.agent != "model":
        return {}
    one, two, three, four = (own([*family(row), part]) for part in "abcd")
    images = row.predict == "images"
    return {
        "value": one,
        "coverage": 3 + two,
        "image_error": 8 + three if images else np.nan,
        "reward_error": 1 + four,
    }


def test_doses_weights_sizes_and_planners_make_no_family():
    frame = planned(
        configs(
            design(NAMES[0]),
            design(NAMES[0], image_fraction=0.5),
            design(NAMES[0], size="large"),
            design(NAMES[0], model={"image_scale": 0.5, "kl_scale": 0.1}),
            design(NAMES[0], planner={"name": "icem", "horizon": 6}),
            design(NAMES[0], model={"open_loop_weight": 0.5}),
        )
    )
    assert len({kin(fields) for fields in frame["fields"]}) == 1


def test_the_window_the_published_loss_and_the_axes_make_families():
    frame = plan("online")
    models = online(frame)
    assert models["design"].nunique() == len({kin(fields) for fields in models["fields"]}) == 15
    images = comparable(models).query("predict == 'images'")
    assert images["form"].nunique() == 10


def test_variants_of_a_design_enter_by_their_mean():
    found = finding("H4", evidence(plan(*THREE), clones, noise=0))
    (one,) = found.primary
    assert (one.estimate.n, one.of) == (10, "families")
    assert one.designs > 14
    assert one.sample == f"{one.designs} designs of 10 families, 2 tasks"
    alone = finding("H4", evidence(plan("online"), clones, noise=0))
    assert alone.primary[0].sample == "10 designs, 2 tasks"
    assert one.estimate.value == pytest.approx(alone.primary[0].estimate.value)
    assert one.estimate.high - one.estimate.low == pytest.approx(
        alone.primary[0].estimate.high - alone.primary[0].estimate.low
    )
    both = [finding("H8", evidence(plan(*names), clones, noise=0)) for names in (("online",), THREE)]
    assert [each.primary[0].estimate.n for each in both] == [15, 15]


def test_the_data_of_the_errors_are_named():
    base = evidence(plan("online"))
    assert "of errors on common data" in finding("H4", base).primary[0].words
    base.runs["errors_on"] = "pooled"
    assert "of errors on pooled data" in finding("H4", base).primary[0].words


def test_each_task_has_the_planner_that_most_designs_have_there():
    short = {"planner": {"horizon": 4}}
    frame = planned(
        [
            *configs(*[design(name) for name in NAMES], tasks=TWO[:1], seeds=1),
            *configs(*[design(name, **short) for name in NAMES[:6]], tasks=TWO[1:], seeds=1),
            *configs(*[design(name) for name in NAMES[:3]], tasks=TWO[1:], seeds=1),
        ]
    )
    used = with_one_planner(comparable(frame))
    assert used.groupby("task", sort=False).size().tolist() == [8, 6]
    assert set(used.loc[used["task"] == TWO[1], "horizon"]) == {4}
    why = finding("H8", evidence(frame)).why
    assert "3 runs of 3 designs on cheetah-run have no part: another planner" in why


def test_a_planner_of_many_variants_of_few_designs_is_not_the_main_one():
    many = [design(NAMES[0], planner={"horizon": 4}, model={"kl_scale": scale}) for scale in range(1, 8)]
    frame = planned(configs(*many, *[design(name) for name in NAMES[:4]], tasks=TWO[:1], seeds=1))
    assert set(with_one_planner(comparable(frame))["horizon"]) == {12}


def test_words_for_families():
    assert of_families(10, 10) == "10 designs"
    assert of_families(28, 10) == "28 designs of 10 families"
    assert of_families(3, 1) == "3 designs of 1 family"
    one = Computed("a", "b", Estimate(0, 0, 0, 4, "clusters"), of="families", designs=9, tasks=1)
    assert one.sample == "9 designs of 4 families, 1 task"


def test_pooling_over_tasks_that_share_designs_has_no_interval():
    found = finding("H4", evidence(plan("online"), clones, noise=0.1))
    pooled = next(one for one in found.secondary if one.name == "image.tasks")
    assert np.isfinite(pooled.estimate.value)
    assert np.isnan(pooled.estimate.low)
    assert "descriptive" in pooled.words
    assert "I²" in pooled.note


@pytest.mark.slow
@pytest.mark.parametrize("studies", [THREE, ("online",)], ids=len)
def test_of_unrelated_scores_errors_and_coverage_as_many_verdicts_are_wrong_as_the_level_says(studies):
    """At a level of 80 %, so that few repeats tell. With each variant as a design a half was wrong."""
    asked = Question(paper(*studies).studies, Effects(), {})
    world, wrong, repeats = asked.world(3), Counter(), 24
    effects = {"consistency": 1.0, "design_sd": 0.15, "seed_sd": 0.05, "error_sd": 0.1}
    effects |= {"coverage": 0.0, "image_error": -0.5, "reward_error": -0.5}
    effects = Effects.model_validate(dict(changes({})) | effects)
    for repeat in range(repeats):
        drawn = world.evidence(draw(world.world, effects, np.random.default_rng([5, repeat])))
        for claim in ("H4", "H8"):
            options = ReportSpec().options(claim).model_copy(update={"level": 0.8})
            wrong[claim] += HYPOTHESES[claim].test(drawn, options).verdict != "inconclusive"
    least, most = stats.binom.ppf([0.0005, 0.9995], 2 * repeats, 0.2)
    assert least <= sum(wrong.values()) <= most, wrong
