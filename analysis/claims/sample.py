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
from analysis.inference.incomplete import seed_values
from analysis.inference.paired import by_task, flat_tasks, lone_tasks, stratified
from analysis.inference.trends import Statistic, null_variance, trends
from analysis.matching import field_of, forms
from analysis.words import plural

CELL = ["cell", "family", "task", "data", "seed"]
_PUBLISHED = "model.open_loop_weight"
_MIN_FAMILIES = 3  # pairs (or designs) from which on there is an interval for others


def online(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs of models that collect their own data, without those with a restored fault."""
    return frame[(frame["agent"] == "model") & ~frame["offline"].astype(bool) & ~with_faults(frame)]


def offline(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs of models that are trained on a dataset, without those with a restored fault."""
    return frame[(frame["agent"] == "model") & frame["offline"].astype(bool) & ~with_faults(frame)]


def with_faults(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which runs restore a fault (`legacy`): that is no design to compare."""
    return np.array([any(map(_is_fault, fields)) for fields in frame["fields"]], dtype=bool)


def _is_fault(name: str) -> bool:
    return name.startswith("legacy.")


def families(
    frame: pd.DataFrame, axis: str, levels: Sequence[Any], ignored: Sequence[str] = ()
) -> pd.DataFrame:
    """The runs of `matching.forms` in cells that are planned with the first of the levels and another one."""
    rows = forms(frame, axis, ignored)
    rows = rows[rows["level"].isin(levels)]
    first = (rows["level"] == levels[0]).to_numpy()
    return rows[rows["cell"].isin(rows["cell"][first]) & rows["cell"].isin(rows["cell"][~first])]


def leading(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in the setting (one planner, budget, size) that holds most families of a task, of a tie the first.

    Tasks may have settings of their own, such as a larger budget where actions have more dimensions; what is left out
    says `remarks.set_aside`. Designs with the published loss (`model.open_loop_weight` 0) lead only where there are
    no others (SCIENCE 1).
    """
    rest = rows[~_with_published_loss(rows)]
    rows = rows if rest.empty else rest
    counts = rows.groupby(["task", "setting"], sort=False)["family"].nunique()
    chosen = {here.idxmax() for _, here in counts.groupby(level="task", sort=False)}
    return rows[
        np.array([key in chosen for key in zip(rows["task"], rows["setting"], strict=True)], dtype=bool)
    ]


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

    def of_pair(self, pair: int) -> Contrast:
        """That of one pair, whatever setting it has on a task."""
        rows = self.rows[self.rows["pair"] == pair]
        return Contrast(self.cells[self.cells["family"].isin(set(rows["family"]))], rows)

    def on(self, task: str) -> Contrast:
        """That on one task alone."""
        return Contrast(*(part[part["task"] == task] for part in (self.cells, self.rows)))

    def seeds(self) -> pd.DataFrame:
        """task, seed, difference: of `seed_values`, so that families count the same whatever seeds they have."""
        return seed_values(self.cells)

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
    values = found.by_task()
    return counted(name, words, stratified(values, name, level=level), found.rows, note_on(values))


def over_families(
    cells: pd.DataFrame, words: str, rows: pd.DataFrame, level: float, of: str
) -> list[Computed]:
    """The same mean with an interval for other pairs (or designs) on these tasks: theirs are the sample.

    Args:
        cells: family, task, seed, difference.
        words: what it is.
        rows: the runs that entered.
        level: of the interval.
        of: what a family is: `pairs`.
    """
    pair = cells["family"].map(dict(zip(rows["family"], rows["pair"], strict=True)))
    of_tasks = cells.groupby([pair, "task"])["difference"].mean()
    values = of_tasks.groupby(level=0).mean()
    if len(values) < _MIN_FAMILIES:
        return []
    estimate = stratified({of: values.to_numpy(float)}, of, level=level)
    return [counted(of.replace(" ", "_"), f"{words}; interval for other {of}", estimate, rows, of=of)]


def by_seed(found: Contrast, words: str, level: float) -> list[Computed]:
    """The same mean with an interval over seeds that are common to all tasks, should these not be independent."""
    seeds = found.seeds()
    if seeds["task"].nunique() < 2:
        return []
    means = seed_values(seeds.rename(columns={"task": "unit"}).assign(task="all"), "unit")
    estimate = stratified(by_task(means), "by seed", level=level)
    words = f"{words}; interval over seeds that tasks share"
    return [counted("by_seed", words, estimate, found.rows)]


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
    names = form_names(found.rows.assign(family=found.rows["pair"]))
    if len(names) < 2:
        return []
    return [
        mean_of(f"{prefix}.{name}", f"{words}, {name}", found.of_pair(pair), level)
        for pair, name in names.items()
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
    found = curves(rows, statistic, dose)
    rows, values = with_curve(rows, found), by_task(seed_values(found))
    variance = null_variance(rows[dose].nunique()) if statistic == "spearman" else np.nan
    estimate = stratified(values, name, level=level, variance=variance)
    return counted(name, words, estimate, rows, note_on(values))


def curves(
    rows: pd.DataFrame, statistic: Statistic, dose: str = "level", unit: str = "family"
) -> pd.DataFrame:
    """The trend of the score within each unit, task and seed: these, and difference (the trend)."""
    known = rows.assign(dose=pd.to_numeric(rows[dose], errors="coerce")).dropna(subset=["dose", "value"])
    parts = [
        trends(here, "dose", statistic=statistic).assign(**{unit: key})
        for key, here in known.groupby(unit, sort=False)
    ]
    columns = [unit, "task", "seed", "trend"]
    found = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return found.rename(columns={"trend": "difference"})


def with_curve(rows: pd.DataFrame, found: pd.DataFrame, unit: str = "family") -> pd.DataFrame:
    """The runs with a score of units, tasks and seeds that have a curve."""
    keys = [unit, "task", "seed"]
    known = set(zip(*(found[key] for key in keys), strict=True))
    rows = rows.dropna(subset=["value"])
    return rows[np.array([key in known for key in zip(*(rows[k] for k in keys), strict=True)], dtype=bool)]


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
    """Which tasks show no variance, and take that of the others: with one seed, or seeds that agree."""
    lone, flat = lone_tasks(values), flat_tasks(values)
    said = [f"one seed on {listed(lone)}"] if lone else []
    if flat and len(lone) + len(flat) == len(values):
        said.append("no spread among the seeds: an interval cannot be had from them")
    elif flat:
        said.append(f"no spread among the seeds on {listed(flat)}: the variance is that of other tasks")
    return "; ".join(said)


def marks(rows: pd.DataFrame) -> list[str]:
    """What the scores of some runs rest on: the range of returns, the rule for diverged runs."""
    ranged = list(dict.fromkeys(rows.loc[rows["basis"] == "range", "task"]))
    found = [f"scores by the range of returns on {listed(ranged)}"] if ranged else []
    diverged = int(rows["diverged"].astype(bool).sum())
    if diverged:
        count = "counts" if diverged == 1 else "count"
        found.append(f"{plural(diverged, 'diverged run')} {count} as the random agent")
    return found
