"""Which runs enter a comparison, the differences within seeds, and the numbers made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.claims.claim import listed
from analysis.claims.types import Computed
from analysis.inference.estimate import FEW_SEEDS, Estimate, Floats
from analysis.inference.paired import by_task, lone_tasks, stratified
from analysis.inference.trends import Statistic, trends
from analysis.matching import field_of, forms
from analysis.words import plural

CELL = ["cell", "family", "task", "data", "seed"]
_PUBLISHED = "model.open_loop_weight"


def online(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs of models that collect their own data."""
    return frame[(frame["agent"] == "model") & ~frame["offline"].astype(bool)]


def offline(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs of models that are trained on a dataset."""
    return frame[(frame["agent"] == "model") & frame["offline"].astype(bool)]


def families(
    frame: pd.DataFrame, axis: str, levels: Sequence[Any], ignored: Sequence[str] = ()
) -> pd.DataFrame:
    """The runs of `matching.forms` in cells that are planned with the first of the levels and another one."""
    rows = forms(frame, axis, ignored)
    rows = rows[rows["level"].isin(levels)]
    first = (rows["level"] == levels[0]).to_numpy()
    return rows[rows["cell"].isin(rows["cell"][first]) & rows["cell"].isin(rows["cell"][~first])]


def leading(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in the setting that holds most families: one planner, budget and size; of a tie all.

    Designs with the published loss (`model.open_loop_weight` 0) lead only where there are no others (SCIENCE 1).
    """
    rest = rows[~_with_published_loss(rows)]
    rows = rows if rest.empty else rest
    counts = rows.groupby("setting")["family"].nunique()
    return rows[rows["setting"].isin(counts.index[counts == counts.max()])]


def published(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of designs with the published loss."""
    return rows[_with_published_loss(rows)]


def _with_published_loss(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return np.array([field_of(fields, _PUBLISHED) == 0 for fields in rows["fields"]], dtype=bool)


def form_names(rows: pd.DataFrame) -> dict[int, str]:
    """A short name of each family: the axes that tell it from the others, such as `latent-stochastic`."""
    first = rows.drop_duplicates("family").set_index("family")
    axes = ["predict", "space", "dynamics", "reward_from", "reward_gradient", "variant", "size"]
    axes += ["planner", "horizon", "proposals"]
    within = rows.groupby("family")[axes].nunique(dropna=False).max() <= 1
    columns = {axis: first[axis].astype(str) for axis in axes if within[axis]}
    told = {axis: values for axis, values in columns.items() if len(set(values)) > 1}
    names: dict[int, str] = {}
    for family in first.index:
        words = [_word(axis, values[family]) for axis, values in told.items()]
        name = "-".join(words) or str(first.loc[family, "name"])
        taken = name in names.values()
        names[int(family)] = f"{name}-{len(names) + 1}" if taken else name
    return names


_WORDS = {"reward_from": "from-{}", "horizon": "h{}", "proposals": "p{}"}


def _word(axis: str, value: str) -> str:
    return _WORDS.get(axis, "{}").format(value)


@dataclass(frozen=True)
class Contrast:
    """Differences within seeds.

    Attributes:
        cells: cell, family, task, data, seed, difference; one row where both have a value.
        rows: the runs that entered, of the frame that they come from.
    """

    cells: pd.DataFrame
    rows: pd.DataFrame

    def of(self, family: int) -> Contrast:
        """That of one family alone."""
        return Contrast(*(part[part["family"] == family] for part in (self.cells, self.rows)))

    def on(self, task: str) -> Contrast:
        """That on one task alone."""
        return Contrast(*(part[part["task"] == task] for part in (self.cells, self.rows)))

    def seeds(self) -> pd.DataFrame:
        """task, seed, difference: the mean over families (and data) of what there is at each seed."""
        means = self.cells.groupby(["task", "seed"], sort=True)["difference"].mean()
        return means.reset_index()

    def by_task(self) -> Mapping[str, Floats]:
        """Values of seeds by task."""
        return by_task(self.seeds())


def contrast(rows: pd.DataFrame, first: Any, second: Any, value: str = "value") -> Contrast:
    """The differences first - second of two levels.

    Args:
        rows: of `families`.
        first: a level.
        second: the level that is subtracted.
        value: the column that is compared.
    """
    here = rows[rows["level"].isin((first, second)) & rows[value].notna()]
    ours, theirs = (here[(here["level"] == level).to_numpy()] for level in (first, second))
    ours, theirs = ours[ours["cell"].isin(theirs["cell"])], theirs[theirs["cell"].isin(ours["cell"])]
    subtracted = theirs.set_index("cell")[value].reindex(ours["cell"]).to_numpy(dtype=np.float64)
    cells = ours[CELL].assign(difference=ours[value].to_numpy(dtype=np.float64) - subtracted)
    return Contrast(cells, pd.concat([ours, theirs]))


def together(contrasts: Sequence[Contrast]) -> Contrast:
    """The mean of several contrasts of the same cells, of those that a cell has."""
    cells = pd.concat([each.cells for each in contrasts], ignore_index=True)
    rows = pd.concat([each.rows for each in contrasts]).drop_duplicates("run")
    means = cells.groupby("cell", sort=False)["difference"].mean()
    once = cells.drop_duplicates("cell")
    return Contrast(once.assign(difference=means.reindex(once["cell"]).to_numpy()), rows)


def mean_of(name: str, words: str, found: Contrast, level: float) -> Computed:
    """The mean difference over tasks of the means over seeds, with its interval for other seeds."""
    return of_seeds(name, words, found.seeds(), found.rows, level)


def counted(
    name: str, words: str, estimate: Estimate, rows: pd.DataFrame, note: str = "", of: str = "seeds"
) -> Computed:
    """A number with the counts of the runs that it is of, and what a reader must know of them."""
    seeds = set(zip(rows["task"], rows["seed"], strict=True))
    tasks = Counter(task for task, _ in seeds)
    few = bool(tasks) and min(tasks.values()) < FEW_SEEDS and estimate.kind != "none"
    mark = f"{'t: ' if estimate.kind == 't' else ''}of fewer than {FEW_SEEDS} seeds" if few else ""
    return Computed(
        name,
        words,
        estimate,
        of=of,
        designs=len(set(rows["design"])),
        tasks=len(tasks),
        seeds=len({seed for _, seed in seeds}),
        runs=len(set(rows["run"])),
        note="; ".join(part for part in (mark, note, *marks(rows)) if part),
    )


def each_family(found: Contrast, words: str, level: float, prefix: str = "pair") -> list[Computed]:
    """A number of each family, if there are several."""
    names = form_names(found.rows)
    if len(names) < 2:
        return []
    return [
        mean_of(f"{prefix}.{name}", f"{words}, {name}", found.of(family), level)
        for family, name in names.items()
    ]


def trend_of(
    name: str, words: str, rows: pd.DataFrame, level: float, statistic: Statistic, dose: str = "level"
) -> Computed:
    """The mean over tasks of the means over seeds of the trend of the score within each family.

    Args:
        name: of the number.
        words: what it is.
        rows: runs with family, task, seed, value and the dose.
        level: of the interval.
        statistic: of `trends.trend`.
        dose: the column that the score may go with.
    """
    rows = rows.assign(dose=pd.to_numeric(rows[dose], errors="coerce")).dropna(subset=["dose", "value"])
    found = trends(rows, "dose", statistic=statistic, within=["family"])
    return of_seeds(name, words, found.rename(columns={"trend": "difference"}), rows, level)


def of_seeds(name: str, words: str, found: pd.DataFrame, rows: pd.DataFrame, level: float) -> Computed:
    """The mean over tasks of the means over seeds.

    Args:
        name: of the number.
        words: what it is.
        found: task, seed, difference: one row a value.
        rows: runs, of which those of the same tasks and seeds entered.
        level: of the interval.
    """
    values, pairs = by_task(found), set(zip(found["task"], found["seed"], strict=True))
    entered = [pair in pairs for pair in zip(rows["task"], rows["seed"], strict=True)]
    used = rows[np.array(entered, dtype=bool)]
    return counted(name, words, stratified(values, name, level=level), used, note_on(values))


def note_on(values: Mapping[str, Floats]) -> str:
    """Which tasks have one seed, so that their variance is that of the others."""
    lone = lone_tasks(values)
    return f"one seed on {listed(lone)}" if lone else ""


def marks(rows: pd.DataFrame) -> list[str]:
    """What the scores of some runs rest on: the range of returns, the rule for diverged runs."""
    ranged = list(dict.fromkeys(rows.loc[rows["basis"] == "range", "task"]))
    found = [f"scores by the range of returns on {listed(ranged)}"] if ranged else []
    diverged = int(rows["diverged"].astype(bool).sum())
    if diverged:
        count = "counts" if diverged == 1 else "count"
        found.append(f"{plural(diverged, 'diverged run')} {count} as the random agent")
    return found
