"""H4: the score goes with image error more than with reward error. H6: held-out error predicts the offline score."""

from __future__ import annotations

import pandas as pd

from analysis.claims.associations import correlated, further, parted
from analysis.claims.claim import Claim, Outcome, need
from analysis.claims.comparable import comparable, of_whole_images, with_one_planner
from analysis.claims.sample import counted, offline, online
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Need
from analysis.claims.verdicts import directional
from analysis.completeness import ENOUGH_IMAGE_DESIGNS
from analysis.evidence import Evidence
from analysis.inference.correlation import MIN_CLUSTERS
from analysis.inference.correlation import difference as differ
from analysis.matching import EXPLORATION, rests
from analysis.words import plural

ERRORS = ("image_error", "reward_error")


def _image_designs(frame: pd.DataFrame) -> pd.DataFrame:
    return with_one_planner(of_whole_images(comparable(online(frame))))


def _needs_designs(frame: pd.DataFrame) -> Need:
    rows = _image_designs(frame)
    return need(frame, rows, more("online designs that predict whole images", rows, ENOUGH_IMAGE_DESIGNS))


def more(what: str, rows: pd.DataFrame, least: int, column: str = "design") -> list[str]:
    """What is lacking for that many designs."""
    designs = int(rows[column].nunique())
    if designs >= least:
        return []
    return [f"{least - designs} more {what}, for {least} in all"]


def _image_error_matters(evidence: Evidence, options: ClaimSpec) -> Outcome:
    rows, level = _image_designs(evidence.runs), options.level
    everything = with_one_planner(comparable(online(evidence.runs)))
    everything = everything[everything["reward_varies"].astype(bool)]
    used = rows[rows["reward_varies"].astype(bool)].dropna(subset=[*ERRORS, "final"])
    words = "strength (-rho) of the correlation with the final normalised score, image error - reward error"
    estimate = differ(
        used["design"].tolist(),
        used["place"].tolist(),
        used["reward_error"].to_numpy(float),
        used["image_error"].to_numpy(float),
        used["final"].to_numpy(float),
        level=level,
    )
    primary = counted("difference", words, estimate, used, of="designs")
    secondary = further(used, everything, level)
    remarks = parted(used, level)
    others = online(evidence.runs)["design"].nunique() - everything["design"].nunique()
    if others:
        verb = "has" if others == 1 else "have"
        remarks.append(
            f"{plural(others, 'design')} {verb} no part: other planners, restored faults, or the agent of another"
        )
    remarks += _no_errors(rows)
    measured = int(used["design"].nunique())
    if measured < ENOUGH_IMAGE_DESIGNS:
        few = f"{measured} of {rows['design'].nunique()} designs are measured, and {ENOUGH_IMAGE_DESIGNS} are needed"
        return Outcome((), [primary, *secondary], [few, *remarks])
    return Outcome([primary], secondary, remarks)


def _no_errors(rows: pd.DataFrame) -> list[str]:
    """Diverged runs count in other claims; here they have no error to correlate."""
    diverged = int((rows["state"] == "diverged").sum())
    return (
        [f"{plural(diverged, 'diverged run')} without errors of final weights have no part"]
        if diverged
        else []
    )


H4 = Claim(
    "H4",
    "The score goes with image error more than with reward error",
    lambda _: (
        "strength(image error) - strength(reward error) > 0, where strength is -Spearman's rho with the normalised "
        "score of the same weights over designs, so that a correlation in the wrong direction is no strength"
    ),
    lambda options: directional(options.level),
    _needs_designs,
    _image_error_matters,
)


def _heldout(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Offline runs: of designs that predict whole images, and of all.

    `form` is the design whatever the data, `stratum` the place and dataset.
    """
    rows = with_one_planner(comparable(offline(frame)))
    strata = rows["place"].astype(str) + " on " + rows["data"].astype(str)
    rows = rows.assign(form=rests(rows, (EXPLORATION,)), stratum=strata)
    return of_whole_images(rows), rows


def _needs_heldout(frame: pd.DataFrame) -> Need:
    images, rows = _heldout(frame)
    lacking = [
        *more("offline designs that predict whole images", images, MIN_CLUSTERS, "form"),
        *more("offline designs", rows, MIN_CLUSTERS, "form"),
    ]
    return need(frame, rows, lacking)


def _fit_predicts(evidence: Evidence, options: ClaimSpec) -> Outcome:
    images, rows = _heldout(evidence.runs)
    varying = rows[rows["reward_varies"].astype(bool)]
    primary, secondary = [], []
    for name, here in (("image", images), ("reward", varying)):
        column = f"heldout_{name}_error"
        words = f"Spearman's rho of held-out {name} error and the final normalised score, over designs"
        primary.append(correlated(name, words, here, column, "final", options.level))
        for method in ("pearson", "kendall"):
            words = (
                f"{method.capitalize()}'s correlation of held-out {name} error and the final normalised score"
            )
            secondary.append(
                correlated(f"{name}.{method}", words, here, column, "final", options.level, method=method)
            )
    return Outcome(primary, secondary, _no_errors(rows))


H6 = Claim(
    "H6",
    "Held-out error predicts the offline score",
    lambda _: (
        "Spearman's rho of held-out error and normalised score < 0 over designs, within dataset and task; for image "
        "and for reward error"
    ),
    lambda options: directional(options.level, "below", several=True),
    _needs_heldout,
    _fit_predicts,
)
