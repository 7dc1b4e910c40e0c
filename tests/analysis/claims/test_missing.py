"""What is missing is said, and nothing raises: plans that lack something, and data that do."""

import functools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.claims.findings import HYPOTHESES, findings
from analysis.claims.spec import CLAIMS
from analysis.claims.table import claims_json, claims_table, numbers
from analysis.claims.verdicts import has_interval
from analysis.tables import latex, markdown
from tests.analysis.claims.build import STUDIES, TASKS, changed, configs_of, evidence, finding, planned
from tests.analysis.simulate.plans import OF_CLAIM

LACKS = {
    "H1": ("dose_response", "differ in `predict` alone"),
    "H2": ("capacity", "differ in `space` alone"),
    "H3": ("online", "at least 4 values of `image_fraction`"),
    "H4": ("capacity", "6 more online designs that predict whole images, for 8 in all (variants"),
    "H5": ("online", "`data.mode: offline`"),
    "H6": ("online", "5 more offline designs"),
    "H7": ("offline", "4 designs both online and on one shared dataset (there are 0)"),
    "H8": ("planner", "3 more online designs, for 5 in all"),
    "H9": ("online", "`reward_gradient: shared`"),
    "H10": ("offline", "an online design"),
    "H11": ("online", "at least 2 values of `size`"),
}


@functools.cache
def whole(studies, seeds=4):
    return evidence(planned(configs_of(studies, TASKS[:2], seeds)))


def check(found):
    """What holds of every finding."""
    if found.verdict == "not testable":
        assert not found.primary
        assert found.why.endswith(".")
        assert found.missing
    else:
        assert found.primary
        assert all(map(has_interval, found.primary))
    for one in (*found.primary, *found.secondary):
        assert one.estimate.n >= 0
        assert one.words
    names = [one.name for one in (*found.primary, *found.secondary)]
    assert len(names) == len(set(names))
    assert found.rule
    assert found.statement


def values_of(frame):
    return [name for name in frame if name in {"value", "final"} or name.endswith("_error")]


def one_run(frame):
    return frame.iloc[[len(frame) // 3]]


def one_seed(frame):
    return frame[frame["seed"] == 0]


def nothing(frame):
    return frame.iloc[:0]


def one_design_missing(frame):
    return frame[frame["design"] != frame.loc[frame["agent"] == "model", "design"].iloc[0]]


def nothing_finished(frame):
    return frame.assign(state="pending", **dict.fromkeys(values_of(frame), np.nan))


def some_nan(frame):
    drawn = np.random.default_rng(1).random((len(frame), 4)) < 0.3
    frame = frame.copy()
    for i, name in enumerate(("value", "final", "image_error", "coverage")):
        frame.loc[drawn[:, i], name] = np.nan
    return frame


def no_oracle(frame):
    return frame[frame["agent"] != "oracle"].assign(basis="range")


def no_scale(frame):
    frame = frame[frame["agent"] == "model"]
    return frame.assign(basis="", unit=np.nan, value=np.nan, final=np.nan)


def all_equal(frame):
    return frame.assign(value=0.5, final=0.5)


def all_diverged(frame):
    errors = {name: np.nan for name in values_of(frame) if name.endswith("_error")}
    return frame.assign(state="diverged", diverged=True, value=0.0, final=0.0, **errors)


ABLATIONS = [
    *(one_run, one_seed, nothing, one_design_missing, nothing_finished, some_nan, no_oracle, no_scale),
    *(all_equal, all_diverged),
]


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_shipped_studies_lack_nothing_for_their_claims(claim):
    need = HYPOTHESES[claim].needs(whole(OF_CLAIM[claim]).runs)
    assert not need.lacking
    assert need.runs <= set(whole(OF_CLAIM[claim]).runs["run"])
    agents = whole(OF_CLAIM[claim]).runs.set_index("run").loc[sorted(need.runs), "agent"]
    assert {"model", "random", "oracle"} == set(agents)


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_plan_that_lacks_something_says_what_and_how_to_see_it(claim):
    study, words = LACKS[claim]
    found = finding(claim, whole((study,)))
    assert found.verdict == "not testable"
    assert any(words in text for text in found.missing), found.missing
    assert words in found.why
    assert f"`wm plan study --for {claim}`" in found.missing[-1]
    check(found)


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda each: each.__name__)
def test_nothing_raises_whatever_is_missing(claim, ablation):
    base = whole(OF_CLAIM[claim])
    check(finding(claim, changed(base, ablation(base.runs))))


@pytest.mark.parametrize("claim", CLAIMS)
def test_unfinished_runs_are_counted_and_the_command_that_lists_them_is_named(claim):
    base = whole(OF_CLAIM[claim])
    found = finding(claim, changed(base, nothing_finished(base.runs)))
    runs = len(HYPOTHESES[claim].needs(base.runs).runs)
    assert found.verdict == "not testable"
    assert (
        f"{runs} of the {runs} runs that enter are not done: `wm plan study --for {claim}`"
        in found.missing[0]
    )


def test_without_a_scale_the_baselines_are_asked_for():
    base = whole(("online",))
    found = finding("H1", changed(base, no_scale(base.runs)))
    assert (
        "finished runs of the random agent and the oracle on cartpole-swingup, cheetah-run"
        in found.missing[0]
    )


def test_a_task_without_a_pair_is_named_and_the_others_are_tested():
    base = whole(("online",))
    frame = base.runs.copy()
    frame.loc[(frame["task"] == TASKS[0]) & (frame["predict"] == "rewards"), ["value", "state"]] = (
        np.nan,
        "failed",
    )
    found = finding("H1", changed(base, frame))
    assert found.verdict != "not testable"
    assert found.primary[0].tasks == 1
    assert "No pair is finished on cartpole-swingup." in found.why
    assert "16 of 32 planned pairs of runs are compared." in found.why
    assert found.missing[0].startswith("16 of the ")


def test_fewer_than_five_seeds_and_the_range_of_returns_are_marked():
    base = whole(("online",))
    note = finding("H1", changed(base, no_oracle(base.runs))).primary[0].note
    assert "t: of fewer than 5 seeds" in note
    assert "scores by the range of returns on cartpole-swingup, cheetah-run" in note
    full = finding("H1", evidence(planned(configs_of(["online"], TASKS[:2], 5)))).primary[0].note
    assert full == ""


def test_diverged_runs_are_counted_and_the_claim_is_also_computed_without_them():
    base = whole(("online",))
    frame = base.runs.copy()
    gone = frame.index[(frame["name"] == "rewards-latent-stochastic") & (frame["seed"] == 0)]
    frame.loc[gone, ["state", "diverged", "value", "final"]] = "diverged", True, 0.0, 0.0
    found = finding("H1", changed(base, frame))
    assert "2 diverged runs count as the random agent" in found.primary[0].note
    excluded = next(one for one in found.secondary if one.name == "excluded")
    assert excluded.runs == found.primary[0].runs - 4
    assert excluded.estimate.value < found.primary[0].estimate.value
    frame.loc[gone, ["diverged", "value", "final"]] = False, np.nan, np.nan
    left = finding("H1", changed(base, frame))
    assert "2 diverged runs are left out (report.diverged: exclude)." in left.why
    assert left.primary[0].estimate.value == pytest.approx(excluded.estimate.value)


def test_mixed_code_is_named_by_the_claims_that_it_touches():
    base = whole(("online", "dose_response"))
    of_dose = HYPOTHESES["H3"].needs(base.runs).runs - HYPOTHESES["H1"].needs(base.runs).runs
    runs = base.results.runs.assign(
        code=np.where(base.results.runs["run"].isin(list(of_dose)[:3]), "new", "old")
    )
    mixed = replace(base, results=replace(base.results, runs=runs))
    assert "Mixed code versions: old" in finding("H3", mixed).why
    assert "ixed" not in finding("H1", mixed).why


def test_h8_of_a_plan_with_one_half_is_of_that_alone_and_says_so():
    found = finding("H8", whole(("online",)))
    assert [one.name for one in found.primary] == ["coverage"]
    assert "decided by the correlation of coverage with the score alone" in found.why
    assert "each other's replay" in found.missing[-1]
    other = finding("H8", whole(("cross_training",)))
    assert [one.name for one in other.primary] == ["data"]
    assert "models that are trained on each other's replay alone" in other.why


def test_h8_of_a_plan_with_both_halves_needs_both():
    base = whole(("online", "cross_training"))
    assert len(finding("H8", base).primary) == 2
    frame = base.runs.copy()
    frame.loc[frame["offline"].astype(bool), ["value", "final", "state"]] = np.nan, np.nan, "running"
    found = finding("H8", changed(base, frame))
    assert found.verdict == "not testable"
    assert "there is no interval of the share of the variance" in found.why.lower()


def everything():
    return whole(STUDIES, 2)


def parts():
    """Which designs, tasks and seeds are gone, how many of the runs, and how many of the values."""
    part = st.sampled_from([0.0, 0.1, 0.5, 0.9])
    return st.tuples(part, part, part, st.integers(0, 2**16))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(parts())
def test_random_deletions_leave_eleven_findings(chosen):
    designs, runs, values, seed = chosen
    base, rng = everything(), np.random.default_rng(seed)
    frame = base.runs
    names = frame["design"].unique()
    gone = set(names[rng.random(len(names)) < designs])
    frame = frame[~frame["design"].isin(gone) & (rng.random(len(frame)) >= runs)].copy()
    for name in values_of(frame):
        frame.loc[rng.random(len(frame)) < values, name] = np.nan
    frame.loc[frame["value"].isna(), "state"] = "running"
    found = findings(changed(base, frame))
    assert [each.id for each in found] == list(CLAIMS)
    for each in found:
        check(each)
    json.dumps(claims_json(found), allow_nan=False)
    table = claims_table(found)
    assert markdown(table)
    assert latex(table)
    assert all(isinstance(value, str) for value in numbers(found).values())
    assert isinstance(table.data, pd.DataFrame)
