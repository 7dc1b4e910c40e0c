"""With planted truth the verdicts are right, and as often wrong as their level says; power grows with the effect."""

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


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_verdicts_follow_what_was_put_in(claim):
    """A clear effect is found in both of two studies; a small one, of which nothing can be seen, in none of them."""
    for truth in PRESETS[claim]:
        if truth != "null":
            (found,) = power(question([claim], preset(**{claim: truth})), [5], 2)
            assert found.counts[EXPECTED[truth]] >= (2 if truth in {"true", "false"} else 1), (truth, found)


NULLS = (("online", "H1", "H2", "H4"), ("dose_response", "H3"), ("offline", "H6"), ("capacity", "H11"))
"""Claims that can be neither true nor false together, on one study."""


@pytest.mark.slow
def test_errors_are_as_frequent_as_the_level_says():
    """At a level of 80 %, so that few studies tell; a verdict in either direction is an error.

    H2 lies on its margin, where each test of the pair errs in 20 %, and both primaries of H6 must err alike. The
    rates of each claim at 95 %, of many studies, are in docs/simulate.md.
    """
    wrong, tested = 0, 0
    for study, *claims in NULLS:
        effects = preset(**dict.fromkeys(claims, "null"))
        for found in power(question(claims, effects, study, level=0.8), [5], 25):
            if found.claim not in {"H2", "H6"}:
                wrong += found.repeats - found.counts["inconclusive"]
                tested += found.repeats
            else:
                assert found.rate() < 0.45
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


def test_power_grows_with_the_effect_and_with_seeds():
    asked = [
        power(question(["H11"], Effects(capacity=size, seed_sd=0.25), "capacity"), [2, 8], 10)
        for size in (0.0, 0.05, 0.3)
    ]
    few, many = ([one[i].rate() for one in asked] for i in (0, 1))
    assert few == sorted(few)
    assert many == sorted(many)
    assert many[2] == 1.0
    assert few[1] <= many[1]
    assert enough(asked[2], "H11") in {2, 8}
    assert enough(asked[0], "H11") is None


@pytest.mark.slow
def test_the_table_depends_on_its_seed_alone():
    asked = question(["H11"], Effects(capacity=0.05, seed_sd=0.3), "capacity")
    alone = power(asked, [2, 3], 11)
    assert power(asked, [3], 11) == alone[1:]
    assert power(replace(asked, seed=1), [2, 3], 11) != alone
    told = []
    assert power(asked, [2, 3], 11, workers=2, progress=told.append) == alone
    assert told == [10, 11, 21, 22]


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
