"""With planted truth the verdicts are right, and as often wrong as their level says; power grows with the effect."""

import functools
from collections import Counter
from dataclasses import replace

import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.claims.spec import CLAIMS, ReportSpec
from analysis.simulate.effects import Effects, preset
from analysis.simulate.power import Power, Question, enough, power, wilson, with_seeds
from analysis.simulate.presets import EXPECTED, PRESETS
from harness.errors import UserError
from tests.analysis.simulate.plans import OF_CLAIM, paper

WITHOUT = {
    **dict.fromkeys(CLAIMS, "capacity"),
    "H1": "dose_response",
    "H2": "dose_response",
    "H8": "offline",
    "H11": "online",
}
"""A study that lacks what a claim needs."""


def question(claims, effects, *studies, level=0.95):
    specs = {claim: ReportSpec().options(claim).model_copy(update={"level": level}) for claim in claims}
    return Question(paper(*(studies or OF_CLAIM[claims[0]])).studies, effects, specs)


@functools.cache
def world(*studies, seeds=5):
    return question(["H1"], Effects(), *studies).world(seeds)


def verdicts(asked, world, seeds, repeats):
    """By claim, of some studies that are drawn."""
    found = [asked.verdicts(world, seeds, repeat) for repeat in range(repeats)]
    return {claim: Counter(one[claim][0] for one in found) for claim in asked.specs}


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_verdicts_follow_what_was_put_in(claim):
    """A clear effect is found, and never the opposite; of one that is too small for the noise mostly nothing."""
    for truth in PRESETS[claim]:
        if truth != "null":
            asked = question([claim], preset(**{claim: truth}))
            found = verdicts(asked, world(*OF_CLAIM[claim]), 5, 3)[claim]
            assert found[EXPECTED[truth]] >= 2, (truth, found)
            assert not found[OPPOSITE.get(truth)], (truth, found)


OPPOSITE = {"true": "contradicted", "false": "supported"}
NULLS = (("online", "H1", "H2", "H4"), ("dose_response", "H3"), ("offline", "H6"), ("capacity", "H11"))
"""Claims that can be neither true nor false together, on one study."""


@pytest.mark.slow
def test_errors_are_as_frequent_as_the_level_says():
    """At a level of 80 %, so that few studies tell; a verdict in either direction is an error.

    H2 lies on its margin, where each test of the pair errs in 20 %, and both primaries of H6 must err alike. The
    rates of each claim at 95 %, of many studies, are in docs/simulate.md.
    """
    wrong, tested, repeats = 0, 0, 12
    for study, *claims in NULLS:
        asked = question(claims, preset(**dict.fromkeys(claims, "null")), study, level=0.8)
        for claim, found in verdicts(asked, world(study), 5, repeats).items():
            if claim in {"H2", "H6"}:
                assert found["supported"] <= repeats / 2
            else:
                wrong += repeats - found["inconclusive"]
                tested += repeats
    low, high = stats.binom.ppf([0.0005, 0.9995], tested, 0.2)
    assert low <= wrong <= high, (wrong, tested)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_without_its_runs_is_refused(claim):
    asked = question([claim], Effects(), WITHOUT[claim])
    if claim == "H10":  # every shipped study has the oracle
        (study,) = asked.studies
        runs = tuple(run for run in study.runs if run.config["agent"] != "oracle")
        asked = replace(asked, studies=[replace(study, runs=runs)])
    with pytest.raises(UserError, match=f"{claim} cannot be tested on .*: the plan lacks "):
        power(asked, [3], 1)


@pytest.mark.slow
def test_power_grows_with_the_effect_and_with_seeds():
    rates = {}
    for seeds in (2, 6):
        here = world("capacity", seeds=seeds)
        for size in (0.0, 0.05, 0.3):
            asked = question(["H11"], Effects(capacity=size, seed_sd=0.25), "capacity")
            rates[seeds, size] = verdicts(asked, here, seeds, 6)["H11"]["supported"]
        assert rates[seeds, 0.0] <= rates[seeds, 0.05] <= rates[seeds, 0.3]
    assert rates[2, 0.05] <= rates[6, 0.05]
    assert rates[6, 0.0] <= 1
    assert rates[6, 0.3] == 6


def test_enough_seeds_are_the_fewest_with_power():
    table = [
        Power("H1", seeds, {"supported": count, "inconclusive": 10 - count})
        for seeds, count in ((3, 2), (5, 8), (10, 10))
    ]
    assert enough(table, "H1") == 5
    assert enough(table[:1], "H1") is None
    assert enough(table, "H2") is None


@pytest.mark.slow
def test_the_table_depends_on_its_seed_alone():
    asked = question(["H11"], Effects(capacity=0.05, seed_sd=0.3), "capacity")
    alone = power(asked, [2, 3], 3)
    assert power(asked, [3], 3) == alone[1:]
    told = []
    assert power(asked, [2, 3], 3, workers=2, progress=told.append) == alone
    assert told == [3, 6]


def test_seeds_are_those_that_are_asked_for():
    (study,) = with_seeds(paper("capacity").studies, 7)
    cells = {(run.design, run.task, run.config["size"], run.config["agent"]) for run in study.runs}
    assert {run.seed for run in study.runs} == set(range(7))
    assert len(study.runs) == 7 * len(cells)
    assert len({run.id for run in study.runs}) == len(study.runs)
    assert all(run.config["seed"] == run.seed for run in study.runs)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (161, 200)])
def test_the_interval_of_a_rate_is_wilsons(successes, trials):
    assert wilson(successes, trials) == pytest.approx(proportion_confint(successes, trials, method="wilson"))
    low, high = Power("H1", 5, {"supported": successes, "inconclusive": trials - successes}).interval()
    assert 0 <= low <= successes / trials <= high <= 1
