"""Values of seeds where several designs are averaged, and some of them lack some seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.inference.estimate import Floats


def seed_values(cells: pd.DataFrame, unit: str = "family", value: str = "difference") -> pd.DataFrame:
    """One value a task and seed whose mean is the mean over units of each unit's mean over its own seeds.

    A plain mean over the units that a seed happens to have gives little weight to those that are slow or fail. Here
    units count the same. Where every unit has every seed the values are the means over units at each seed. Else they
    are jackknife pseudo-values: that balanced mean m and what it moves by without the seed, so that
    `paired.stratified` gives their mean and its standard error, the units of a seed not being independent:

        m + 1/U * sum over its units u of  (S - 1) / (n_u - 1) * (x_us - mean_u)

    with U units, S seeds, n_u seeds of a unit. Of a unit with at most half of the seeds the residuals say little: the
    values are stretched in place of them by the variance that such units add if each varies as all do (pooled) and
    they vary together. (Where no unit has more, this goes for those with one seed.) A task whose units have one seed
    each has a single value.

    Measured coverage of a 95 % interval: `tests/analysis/inference/test_incomplete.py`.

    Args:
        cells: rows with task, seed, the unit and the value; several of one unit, task and seed are averaged.
        unit: what counts the same within a task.
        value: the column that is averaged.

    Returns:
        task, seed and the value, sorted by task and seed; without NaNs.
    """
    known = cells.dropna(subset=[value])
    rows = []
    for task, here in known.groupby("task", sort=True):
        table = here.pivot_table(value, unit, "seed")
        found = _balanced(table.to_numpy(dtype=np.float64))
        rows += [(task, seed, each) for seed, each in zip(table.columns, found, strict=False)]
    return pd.DataFrame(rows, columns=["task", "seed", value])


def _balanced(x: Floats) -> Floats:
    """Of units x seeds with NaNs: values of seeds; a single one where no unit has two seeds."""
    there = np.isfinite(x)
    if there.all():
        return np.asarray(x.mean(axis=0))
    U, S = x.shape
    n = there.sum(axis=1)
    means = np.nansum(x, axis=1) / n
    if n.max() < 2:
        return np.array([means.mean()])
    several = n > (S / 2 if n.max() > S / 2 else 1)
    residuals = np.where(there, x - means[:, None], 0)
    count = n[several][:, None]
    deviations = ((S - 1) / (count - 1) * residuals[several]).sum(axis=0) / U
    deviations = deviations - deviations.mean()
    spread = float((deviations**2).sum() / (S - 1)) / S
    if spread > 0:
        pooled = float((residuals**2).sum() / (n - 1).sum())
        added = pooled * float(np.sqrt(1 / n[~several]).sum()) ** 2 / U**2
        deviations = deviations * np.sqrt(1 + added / spread)
    return np.asarray(means.mean() + deviations)
