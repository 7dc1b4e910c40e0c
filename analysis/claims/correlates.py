"""H4: the score goes with image error more than with reward error. H6: held-out error predicts the offline score."""

from __future__ import annotations

import pandas as pd

from analysis.claims.associations import correlated, differing, further, over_designs, parted
from analysis.claims.claim import Claim, Outcome, need
from analysis.claims.comparable import comparable, left_out, of_whole_images, with_one_planner
from analysis.claims.sample import offline, online
from analysis.claims.spec import ClaimSpec
from analysis.claims.types import Need
from analysis.claims.verdicts import directional
from analysis.completeness import ENOUGH_IMAGE_DESIGNS
from analysis.evidence import Evidence
from analysis.inference.correlation import MIN_CLUSTERS
from analysis.words import FINAL, plural

ERRORS = ("image_error", "reward_error")
_ALIKE = "variants of one in doses, weights, size or planner count once"


def _image_designs(frame: pd.DataFrame) -> pd.DataFrame:
    return with_one_planner(of_whole_images(comparable(online(frame))))


def _needs_designs(frame: pd.DataFrame) -> Need:
    rows = _image_designs(frame)
    return need(frame, rows, more("online designs that predict whole images", rows, ENOUGH_IMAGE_DESIGNS))


def more(what: str, rows: pd.DataFrame, least: int) -> list[str]:
    """What is lacking for that many families of designs."""
    families = int(rows["form"].nunique())
    if families >= least:
        return []
    alike = f" ({_ALIKE})" if rows["design"].nunique() > families else ""
    return [f"{least - families} more {what}, for {least} in all{alike}"]


def _image_error_matters(evidence: Evidence, options: ClaimSpec) -> Outcome:
    rows, level = _image_designs(evidence.runs), options.level
    every = online(evidence.runs)
    everything = with_one_planner(comparable(every))
    used = rows[rows["reward_varies"].astype(bool)].dropna(subset=[*ERRORS, "final"])
    words = (
        "strength (-rho) of the correlation with the final normalised score, image error - reward error, of errors on "
        f"{_measured_on(rows)} data"
    )
    primary = over_designs("difference", words, differing(used, level), used)
    secondary = further(used, everything[everything["reward_varies"].astype(bool)], level)
    remarks = [*parted(used, level), *left_out(every, everything), *_no_errors(rows)]
    measured, planned = (int(each["form"].nunique()) for each in (used, rows))
    if measured < ENOUGH_IMAGE_DESIGNS:
        few = f"{measured} of {planned} designs are measured, and {ENOUGH_IMAGE_DESIGNS} are needed"
        alike = f" ({_ALIKE})" if rows["design"].nunique() > planned else ""
        return Outcome((), [primary, *secondary], [f"{few}{alike}", *remarks])
    return Outcome([primary], secondary, remarks)


def _measured_on(rows: pd.DataFrame) -> str:
    """The name of the data that the errors are on."""
    known = rows["errors_on"].dropna() if "errors_on" in rows else ()
    return " and ".join(dict.fromkeys(map(str, known))) or "common"


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
        "score of the same weights over designs, so that a correlation in the wrong direction is no strength; "
        "variants of one design in doses, weights, size or planner are taken as one, by their mean"
    ),
    lambda options: directional(options.level),
    _needs_designs,
    _image_error_matters,
)


def _heldout(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Offline runs: of designs that predict whole images, and of all.

    `stratum` is the place and dataset.
    """
    rows = with_one_planner(comparable(offline(frame)))
    strata = rows["place"].astype(str) + " on " + rows["data"].astype(str)
    rows = rows.assign(stratum=strata)
    return of_whole_images(rows), rows


def _needs_heldout(frame: pd.DataFrame) -> Need:
    images, rows = _heldout(frame)
    lacking = [
        *more("offline designs that predict whole images", images, MIN_CLUSTERS),
        *more("offline designs", rows, MIN_CLUSTERS),
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
    return Outcome(primary, secondary, [*left_out(offline(evidence.runs), rows), *_no_errors(rows)])


H6 = Claim(
    "H6",
    "Held-out error predicts the offline score",
    lambda _: (
        f"Spearman's rho of held-out error and {FINAL} < 0 over designs, within dataset and task; for image "
        "and for reward error; variants of one design are taken as one, by their mean"
    ),
    lambda options: directional(options.level, "below", several=True),
    _needs_heldout,
    _fit_predicts,
)
