"""When a claim counts as supported or contradicted: the rules, each with the sentence that states it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.claims.spec import MarginSpec
from analysis.claims.types import Computed, Verdict
from analysis.inference.estimate import Estimate

INNER = "inner"
"""Names the number whose interval decides beside the one that is shown: of two one-sided tests, or of all designs."""


@dataclass(frozen=True)
class Rule:
    """How a verdict follows from intervals.

    Attributes:
        text: in one sentence.
        decide: from the estimates that decide, all with an interval.
    """

    text: str
    decide: Callable[[Sequence[Estimate]], Verdict]


def directional(
    level: float, side: Literal["above", "below"] = "above", threshold: float = 0.0, *, several: bool = False
) -> Rule:
    """A difference, slope or correlation lies above (or below) a threshold.

    Where the truth is the threshold itself, `supported` comes out in (1 - level) / 2 of studies.

    Args:
        level: of the intervals.
        side: where the claim says that the truth lies.
        threshold: from where on.
        several: whether more than one number may decide; then each must.
    """
    other = "below" if side == "above" else "above"

    def of_one(found: Estimate) -> Verdict:
        above, below = found.low > threshold, found.high < threshold
        if above or below:
            return "supported" if above == (side == "above") else "contradicted"
        return "inconclusive"

    text = (
        f"Supported if the {percent(level)} interval lies {side} {threshold:g}, contradicted if it lies {other} "
        f"{threshold:g}, inconclusive otherwise{'; of several numbers, all must agree' if several else ''}."
    )
    return Rule(text, lambda found: agreed([of_one(each) for each in found]))


def for_all(level: float, threshold: float) -> Rule:
    """Every one of several differences lies above a threshold: decided by the one whose interval reaches lowest.

    As no difference is chosen before it is tested, the level needs no adjustment for support (intersection-union test,
    Berger 1982); that some difference lies below is told by intervals for all at once (Bonferroni).
    """

    def decide(found: Sequence[Estimate]) -> Verdict:
        lowest, of_all = found
        if lowest.low > threshold:
            return "supported"
        return "contradicted" if of_all.high < threshold else "inconclusive"

    text = (
        f"Supported if the {percent(level)} interval of every design lies above {threshold:g}, contradicted if that of "
        f"some design, adjusted for their number, lies below {threshold:g}, inconclusive otherwise."
    )
    return Rule(text, decide)


def inner_level(level: float) -> float:
    """The level of the interval that equals two one-sided tests, each at (1 - level): 0.9 of 0.95."""
    return 1 - 2 * (1 - level)


def equivalence(options: MarginSpec) -> Rule:
    """A difference is too small to matter (TOST); decided by the estimate with its interval, and its inner one."""
    margin, level = options.margin, options.level

    def decide(found: Sequence[Estimate]) -> Verdict:
        outer, inner = found
        if -margin < inner.low and inner.high < margin:
            return "supported"
        return "contradicted" if outer.low >= margin or outer.high <= -margin else "inconclusive"

    text = (
        f"Supported if the {percent(inner_level(level))} interval lies within ±{margin:g} (two one-sided tests), "
        f"contradicted if the {percent(level)} interval lies outside ±{margin:g}, inconclusive otherwise."
    )
    return Rule(text, decide)


def non_superiority(options: MarginSpec) -> Rule:
    """There is no benefit, or one that is too small to matter."""
    margin = options.margin

    def decide(found: Sequence[Estimate]) -> Verdict:
        (only,) = found
        if only.high <= margin:
            return "supported"
        return "contradicted" if only.low > margin else "inconclusive"

    text = (
        f"Supported if the upper end of the {percent(options.level)} interval of the benefit is at most {margin:g}, "
        f"contradicted if its lower end is above {margin:g}, inconclusive otherwise."
    )
    return Rule(text, decide)


def agreed(verdicts: Sequence[Verdict]) -> Verdict:
    """What all say, or `inconclusive`."""
    several = set(verdicts)
    return several.pop() if len(several) == 1 else "inconclusive"


def has_interval(found: Computed) -> bool:
    """Whether a number can decide."""
    return bool(np.isfinite([found.estimate.value, found.estimate.low, found.estimate.high]).all())


def percent(level: float) -> str:
    """`95 %`."""
    return f"{100 * level:.4g} %"
