"""The rules of verdicts: at their edges, exhaustive, and stated with their own thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.claims.spec import MarginSpec
from analysis.claims.types import Computed
from analysis.claims.verdicts import (
    agreed,
    directional,
    equivalence,
    has_interval,
    inner_level,
    non_superiority,
    percent,
)
from analysis.inference.estimate import Estimate


def between(low, high):
    return Estimate((low + high) / 2, low, high, 5, "t")


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.1, 0.2, "supported", "contradicted"),
        (-0.2, -0.1, "contradicted", "supported"),
        (-0.1, 0.2, "inconclusive", "inconclusive"),
        (0.0, 0.2, "inconclusive", "inconclusive"),
        (0.0, 0.0, "inconclusive", "inconclusive"),
    ],
)
def test_a_direction_is_where_the_whole_interval_lies(low, high, above, below):
    assert directional(0.95).decide([between(low, high)]) == above
    assert directional(0.95, "below").decide([between(low, high)]) == below


def test_a_direction_may_have_a_threshold():
    rule = directional(0.9, threshold=0.1)
    assert rule.decide([between(0.05, 0.2)]) == "inconclusive"
    assert rule.decide([between(0.11, 0.2)]) == "supported"
    assert rule.decide([between(-0.2, 0.09)]) == "contradicted"
    assert "90 % interval lies above 0.1," in rule.text


def test_several_numbers_must_agree():
    rule = directional(0.95, several=True)
    up, down, both = between(0.1, 0.2), between(-0.2, -0.1), between(-0.1, 0.1)
    assert rule.decide([up, up]) == "supported"
    assert rule.decide([down, down]) == "contradicted"
    assert rule.decide([up, down]) == rule.decide([up, both]) == "inconclusive"
    assert "all must agree" in rule.text
    assert "all must agree" not in directional(0.95).text


@pytest.mark.parametrize(
    ("outer", "inner", "verdict"),
    [
        ((-0.06, 0.04), (-0.049, 0.03), "supported"),
        ((-0.06, 0.04), (-0.05, 0.03), "inconclusive"),
        ((0.05, 0.09), (0.055, 0.085), "contradicted"),
        ((-0.09, -0.051), (-0.085, -0.055), "contradicted"),
        ((0.01, 0.09), (0.02, 0.08), "inconclusive"),
        ((-0.2, 0.2), (-0.1, 0.1), "inconclusive"),
    ],
)
def test_equivalence_is_decided_by_the_inner_interval_and_difference_by_the_outer(outer, inner, verdict):
    rule = equivalence(MarginSpec(margin=0.05))
    assert rule.decide([between(*outer), between(*inner)]) == verdict
    assert "90 % interval lies within ±0.05" in rule.text
    assert "95 % interval" in rule.text


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.3, 0.05, "supported"),
        (0.01, 0.04, "supported"),
        (0.06, 0.2, "contradicted"),
        (0.05, 0.2, "inconclusive"),
        (-0.1, 0.2, "inconclusive"),
    ],
)
def test_no_benefit_is_one_below_the_margin(low, high, verdict):
    assert non_superiority(MarginSpec(margin=0.05)).decide([between(low, high)]) == verdict


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 0.5))
def test_every_interval_has_one_verdict_and_turning_it_round_turns_the_verdict(low, width, margin):
    found = between(low, low + width)
    turned = between(-low - width, -low)
    opposite = {"supported": "contradicted", "contradicted": "supported", "inconclusive": "inconclusive"}
    verdict = directional(0.95).decide([found])
    assert directional(0.95).decide([turned]) == opposite[verdict]
    assert directional(0.95, "below").decide([turned]) == verdict
    rule = equivalence(MarginSpec(margin=margin))
    assert rule.decide([found, found]) == rule.decide([turned, turned])
    assert non_superiority(MarginSpec(margin=margin)).decide([found]) in opposite


def test_agreement_of_different_verdicts_is_none():
    assert agreed(["supported"]) == "supported"
    assert agreed(["supported", "not testable"]) == "inconclusive"


def test_levels_of_two_one_sided_tests():
    assert inner_level(0.95) == pytest.approx(0.9)
    assert percent(0.95) == "95 %"
    assert percent(inner_level(0.975)) == "95 %"


def test_a_number_without_an_interval_decides_nothing():
    assert has_interval(Computed("x", "x", between(0, 1)))
    assert not has_interval(Computed("x", "x", Estimate(0.5, np.nan, np.nan, 1, "none")))
    assert not has_interval(Computed("x", "x", Estimate(np.nan, np.nan, np.nan, 0, "none")))
