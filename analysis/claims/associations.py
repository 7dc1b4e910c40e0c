"""Correlations over designs as numbers of a claim: each with its interval, and what else a reader asks of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.claims.sample import counted
from analysis.claims.types import Computed
from analysis.evidence import place_name
from analysis.inference.correlation import METHODS, Correlation, Method, correlate
from analysis.inference.correlation import difference as differ
from analysis.inference.dependence import dependent, simpson
from analysis.inference.estimate import Estimate
from analysis.inference.pooling import pool_correlations
from analysis.tables import number
from analysis.words import short_task

_NAMES = {"pearson": "Pearson's r", "spearman": "Spearman's rho", "kendall": "Kendall's tau"}
_SCORE = "the final normalised score"


def correlation(
    rows: pd.DataFrame, x: str, y: str, level: float, method: Method = "spearman", **how: object
) -> Correlation:
    """Of two columns over families of designs (`form`), within places (`stratum` where there is one)."""
    given = how.pop("given", None)
    return correlate(
        rows["form"].tolist(),
        rows["stratum" if "stratum" in rows else "place"].tolist(),
        rows[x].to_numpy(float),
        rows[y].to_numpy(float),
        method=method,
        given=None if given is None else rows[str(given)].to_numpy(float),
        level=level,
        **how,  # type: ignore[arg-type]  # how and over, as `correlate` has them
    )


def correlated(
    name: str,
    words: str,
    rows: pd.DataFrame,
    x: str,
    y: str,
    level: float,
    method: Method = "spearman",
    **how: object,
) -> Computed:
    """A correlation as a number."""
    found = correlation(rows, x, y, level, method, **how)
    return over_designs(name, words, found.estimate, rows.dropna(subset=[x, y]))


def over_designs(name: str, words: str, estimate: Estimate, rows: pd.DataFrame, note: str = "") -> Computed:
    """A number over designs, or over families where some designs are variants of one."""
    variants = rows["form"].nunique() < rows["design"].nunique()
    return counted(name, words, estimate, rows, note, of="families" if variants else "designs")


def further(used: pd.DataFrame, everything: pd.DataFrame, level: float) -> list[Computed]:
    """What stands beside the difference of H4.

    Args:
        used: runs of designs that predict whole images, with both errors and a score.
        everything: those of all designs, whose reward error has a correlation too.
        level: of the intervals.
    """
    used = used.assign(log_parameters=np.log10(used["parameters"].astype(float)))
    return [
        *_each(used, everything, level),
        *_differences(used, level),
        *_of_tasks(used, level),
        *_one_test(used, level),
        *_influence(used, level),
    ]


def _each(used: pd.DataFrame, everything: pd.DataFrame, level: float) -> list[Computed]:
    """Either correlation alone."""
    found = []
    for error in ("image", "reward"):
        column = f"{error}_error"
        for method in ("spearman", "pearson", "kendall"):
            words = f"{_NAMES[method]} of {error} error and {_SCORE}"
            name = error if method == "spearman" else f"{error}.{method}"
            found.append(correlated(name, words, used, column, "final", level, method))
        words = f"Spearman's rho of {error} error and {_SCORE}"
        found += [
            correlated(
                f"{error}.repeated",
                f"repeated-measures correlation of {error} error and {_SCORE}, over runs",
                used,
                column,
                "final",
                level,
                "pearson",
                how="repeated",
                over="runs",
            ),
            correlated(
                f"{error}.partial",
                f"{words}, at equal parameters (partial)",
                used.dropna(subset=["log_parameters"]),
                column,
                "final",
                level,
                given="log_parameters",
            ),
            _plain(
                f"{error}.detectable",
                f"smallest |{words}| that would be found (two-sided 5 %, power 80 %)",
                correlation(used, column, "final", level).detectable,
                used,
            ),
        ]
    words = f"Spearman's rho of reward error and {_SCORE}, all designs"
    rows = everything.dropna(subset=["reward_error", "final"])
    return [*found, correlated("reward_all", words, rows, "reward_error", "final", level)]


def differing(used: pd.DataFrame, level: float, **how: object) -> Estimate:
    """The strength of the image error less that of the reward error, over families of designs."""
    columns = (used[name].to_numpy(float) for name in ("reward_error", "image_error", "final"))
    design, place = used["form"].tolist(), used["place"].tolist()
    return differ(design, place, *columns, level=level, **how)  # type: ignore[arg-type]  # method, how and over


def _differences(used: pd.DataFrame, level: float) -> list[Computed]:
    """The difference by other coefficients, and within each task."""
    words = "strength(image error) - strength(reward error)"
    found = [
        over_designs(method, f"{words} by {_NAMES[method]}", differing(used, level, method=method), used)
        for method in METHODS
        if method != "spearman"
    ]
    repeated = differing(used, level, method="pearson", how="repeated", over="runs")
    found.append(over_designs("repeated", f"{words}, repeated measures over runs", repeated, used))
    places = list(dict.fromkeys(used["place"]))
    for place in places if len(places) > 1 else ():
        here = used[used["place"] == place]
        name = _name(place, places)
        found.append(over_designs(f"task.{name}", f"{words}, on {name}", differing(here, level), here))
    return found


def _of_tasks(used: pd.DataFrame, level: float) -> list[Computed]:
    """Either correlation as the mean over tasks, with how much they differ: to describe them, without an interval.

    The tasks have their designs in common, so their correlations are not independent, as a meta-analysis takes them.
    """
    found = []
    for error in ("image", "reward"):
        within = correlation(used, f"{error}_error", "final", level).by_task
        sizes = used.groupby("place", sort=False)["form"].nunique()
        if len(within) < 2:
            continue
        pooled = pool_correlations(
            list(within.values()), [int(sizes[place]) for place in within], "spearman", level=level
        )
        words = (
            f"Spearman's rho of {error} error and {_SCORE}, pooled over tasks (random effects, descriptive)"
        )
        differ_by = f"I² {100 * pooled.i2:.0f} %, tau² {number(pooled.tau2)}"
        note = differ_by if np.isfinite(pooled.i2) else ""
        mean = Estimate(pooled.estimate.value, np.nan, np.nan, pooled.estimate.n, "none", level)
        found.append(counted(f"{error}.tasks", words, mean, used, note, of="tasks"))
    return found


def _one_test(used: pd.DataFrame, level: float) -> list[Computed]:
    """Williams' test, on families of designs as if the tasks were one."""
    image, reward = (
        correlation(used, f"{error}_error", "final", level, "pearson") for error in ("image", "reward")
    )
    between = correlation(used, "image_error", "reward_error", level, "pearson")
    tested = dependent(-image.value, -reward.value, between.value, image.designs, "williams")
    words = "Williams' t of the two dependent correlations (Pearson's r)"
    note = f"p {number(tested.p)}, {image.designs - 3} degrees of freedom"
    return [_plain("williams", words, tested.statistic, used, note)]


def _influence(used: pd.DataFrame, level: float) -> list[Computed]:
    """The difference without the design (and its variants), and without the task, that moves it most."""
    image, reward = (correlation(used, f"{error}_error", "final", level) for error in ("image", "reward"))
    whole = reward.value - image.value
    found = []
    for unit in ("design", "task"):
        left: tuple[dict[str, float], ...] = tuple(
            dict(getattr(each, f"without_{unit}")) for each in (image, reward)
        )
        moved = {name: left[1][name] - left[0][name] for name in left[0] if name in left[1]}
        moved = {name: value for name, value in moved.items() if np.isfinite(value)}
        if not moved:
            continue
        most = max(moved, key=lambda each: abs(moved[each] - whole))
        name = most if unit == "design" else _name(most, list(left[0]))
        words = (
            f"strength(image error) - strength(reward error) without {name}, the {unit} that moves it most"
        )
        found.append(_plain(f"without_{unit}", words, moved[most], used))
    return found


def _name(place: str, places: Sequence[str]) -> str:
    """The task of a place, with a number where it is not the first of its task."""
    same = [each for each in places if place_name(each) == place_name(place)]
    name = short_task(place_name(place))
    return name if place == same[0] else f"{name} ({same.index(place) + 1})"


def _plain(name: str, words: str, value: float, rows: pd.DataFrame, note: str = "") -> Computed:
    """A number without an interval."""
    estimate = Estimate(value, float("nan"), float("nan"), int(rows["form"].nunique()), "none")
    return over_designs(name, words, estimate, rows, note)


def parted(used: pd.DataFrame, level: float) -> list[str]:
    """Errors whose correlation turns round when tasks are mixed (`dependence.simpson`), a sentence each."""
    found = []
    for error in ("image", "reward"):
        columns = (used[name].tolist() for name in ("form", "place", f"{error}_error", "final"))
        mixed = simpson(*columns, level=level)
        if mixed.paradox:
            found.append(
                f"mixing tasks turns the correlation of {error} error and score round (Pearson's r "
                f"{number(mixed.mixed.value)} against {number(mixed.within.value)} within tasks: Simpson's paradox)"
            )
    return found
