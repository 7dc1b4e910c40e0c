"""H3: the more of the image is predicted, the higher the score."""

from __future__ import annotations

import pandas as pd

from analysis.claims.claim import Claim, Outcome, listed, need
from analysis.claims.images import without
from analysis.claims.remarks import absent, set_aside
from analysis.claims.sample import (
    curves,
    form_names,
    leading,
    of_seeds,
    online,
    over_families,
    trend_of,
    with_curve,
)
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Computed, Need
from analysis.claims.verdicts import directional
from analysis.evidence import Evidence
from analysis.inference.incomplete import seed_values
from analysis.inference.trends import MIN_DOSES
from analysis.matching import forms, rests
from analysis.words import WINDOWED

_FRACTION, _WEIGHT = "image_fraction", "model.image_scale"
_RHO = f"Spearman's rho of the fraction of the image that is predicted and the {WINDOWED}, within seeds"


def _fractions(frame: pd.DataFrame) -> pd.DataFrame:
    """Online runs of designs of which enough fractions of the image are planned on a task."""
    rows = forms(online(frame), _FRACTION)
    rows = rows[rows["predict"] == "images"]
    doses = rows.groupby(["family", "task"])["level"].transform("nunique")
    return rows[doses >= MIN_DOSES]


def _needs(frame: pd.DataFrame) -> Need:
    rows = leading(_fractions(frame))
    lacking = f"an online design with at least {MIN_DOSES} values of `{_FRACTION}` (0 to 1)"
    return need(frame, rows, [] if len(rows) else [lacking])


def _compute(evidence: Evidence, options: ClaimSpec) -> Outcome:
    planned, level = _fractions(evidence.runs), options.level
    rows = leading(planned).assign(family=lambda chosen: chosen["pair"])
    primary = trend_of("rho", _RHO, rows, level, "spearman")
    names = form_names(rows)
    secondary = [
        trend_of(f"design.{name}", f"{_RHO}, {name}", rows[rows["family"] == family], level, "spearman")
        for family, name in (names if len(names) > 1 else {}).items()
    ]
    words = f"slope of {WINDOWED} per unit of `{_FRACTION}`"
    secondary += [trend_of("slope", words, rows, level, "slope"), *_control(evidence.runs, rows, level)]
    if rows["diverged"].any():
        secondary.append(
            trend_of("excluded", f"{_RHO}, without diverged runs", without(rows), level, "spearman")
        )
    found = curves(rows, "spearman")
    secondary += over_families(found, _RHO, with_curve(rows, found), level, "designs")
    counts = rows.groupby("task", sort=False)["value"].count()
    tasks = list(counts.index[counts == 0])
    remarks = [f"no run is finished on {listed(tasks)}"] if tasks else []
    return Outcome([primary], secondary, [*absent(rows, found), *remarks, *set_aside(planned, rows)])


def _control(frame: pd.DataFrame, rows: pd.DataFrame, level: float) -> list[Computed]:
    """The slope where the weight of the whole image goes down in place of its part, and how much less that is."""
    scaled = forms(online(frame), _WEIGHT)
    scaled = scaled[(scaled["image_fraction"].astype(float) == 1) & (scaled["predict"] == "images")]
    scaled = scaled[scaled.groupby(["family", "task"])["level"].transform("nunique") > 1]
    parts = [part.assign(base=rests(part, (_FRACTION, _WEIGHT))) for part in (rows, scaled)]
    common = set(parts[0]["base"]) & set(parts[1]["base"])
    if not common:
        return []
    parts[1]["level"] = of_full(parts[1])
    rows, scaled = (part[part["base"].isin(common)].dropna(subset=["value"]) for part in parts)
    slopes, controls = (
        curves(part.assign(level=part["level"].astype(float)), "slope", unit="base")
        for part in (rows, scaled)
    )
    both = slopes.merge(controls, on=["base", "task", "seed"], suffixes=("", "_control"))
    both["difference"] = both["difference"] - both["difference_control"]
    words = f"slope of {WINDOWED} per unit of `{_WEIGHT}` as a part of its full value, the whole image"
    runs = pd.concat([rows, scaled]).drop_duplicates("run")
    return [
        of_seeds("control", words, seed_values(controls, "base"), scaled, level),
        of_seeds(
            "beyond_control",
            f"slope per unit of `{_FRACTION}` - per unit of `{_WEIGHT}` as a part of its full value",
            seed_values(both, "base"),
            runs,
            level,
        ),
    ]


def of_full(scaled: pd.DataFrame) -> pd.Series:
    """The weight of the whole image as a part of its full value, the largest of the family: comparable to a fraction.

    Args:
        scaled: rows of `matching.forms` of `model.image_scale`, with the whole image.
    """
    weight = scaled["level"].astype(float)
    return weight / weight.groupby(scaled["family"]).transform("max")


H3 = Claim(
    "H3",
    "The more of the image is predicted, the higher the score",
    lambda _: (
        f"Spearman's rho of image_fraction and {WINDOWED} > 0, within these designs, tasks and seeds (seeds are "
        "the sample, and independent between tasks)"
    ),
    lambda options: directional(options.level),
    _needs,
    _compute,
)
