"""Return against environment steps: noise-free evaluations, and the training episodes with exploration.

Where a run is trained on a fixed dataset, evaluations are drawn against gradient steps: it takes no other ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.colours import ORACLE, REFERENCE, Look
from analysis.inference.estimate import estimate
from analysis.load import Results
from analysis.scales import levels as common_levels
from analysis.scores import score_cells
from analysis.style import Drawn, legend_below, panels, set_limits, thousands
from analysis.words import interval_words, seed_range, short_task

POINTS = 50
"""Points of a curve at most; more evaluations or episodes are averaged in groups."""
BAND_SEEDS = 3
"""From as many seeds on a band is drawn; two have a t interval wider than any axis, and the lines show them all."""
MOST_WITH_SEEDS = 6
"""With more designs than this in a panel, single seeds are not drawn (the CSV has them)."""
_STEPS = {"env_steps": "Environment steps", "grad_steps": "Gradient steps"}
COLUMNS = ["task", "design", "seed", "env_steps", "return", "low", "high", "n", "interval"]


def draw(results: Results, looks: dict[str, Look]) -> list[Drawn]:
    """The two figures `learning_curves` and `training_returns`."""
    evaluations = _collapsed(results.evaluations)
    drawn = []
    noise_free = ("learning_curves", "Noise-free return while learning", "Return (no exploration noise)")
    training = ("training_returns", "Return of the training episodes", "Return (with exploration)")
    for (name, title, label), every in ((noise_free, evaluations), (training, results.episodes)):
        data = every[every["design"].isin(results.designs)]
        steps = "grad_steps" if _offline(data) else "env_steps"
        if data["return"].notna().any():
            points = curves(data.assign(env_steps=data[steps]))
            drawn.append(_figure(results, looks, name, title, points, label, steps))
    return drawn


def _offline(data: pd.DataFrame) -> bool:
    """Whether a run learns without a step in its environment."""
    return bool(((data["env_steps"] == 0) & (data["grad_steps"] > 0)).any())


def curves(data: pd.DataFrame) -> pd.DataFrame:
    """Every point: a row a seed and x (`seed` >= 0), and a row a mean with its interval (`seed` is -1).

    The mean is given where at least half of the cell's seeds have a value.
    """
    rows = []
    for (task, design), cell in data.groupby(["task", "design"], sort=False):
        group = -(-cell["iteration"].nunique() // POINTS)
        order = {iteration: i // group for i, iteration in enumerate(sorted(cell["iteration"].unique()))}
        numbered = cell.assign(bin=cell["iteration"].map(order))
        binned = numbered.groupby(["seed", "bin"], as_index=False)[["env_steps", "return"]].mean()
        seeds = binned["seed"].nunique()
        points = zip(binned["seed"], binned["env_steps"], binned["return"], strict=True)
        rows += [[task, design, *point, np.nan, np.nan, 1, "none"] for point in points]
        for number, at in binned.groupby("bin"):
            value = estimate(at["return"].to_numpy(), "curve", task, design, number)
            if value.n and 2 * value.n >= seeds:
                x = at["env_steps"].mean()
                rows.append([task, design, -1, x, value.value, value.low, value.high, value.n, value.kind])
    return pd.DataFrame(rows, columns=COLUMNS)


def _collapsed(evaluations: pd.DataFrame) -> pd.DataFrame:
    """One row a run and evaluated weights; the final phase joins a scheduled evaluation of the same weights."""
    keys = ["run", "design", "task", "seed", "env_steps", "grad_steps"]
    return evaluations.groupby(keys, as_index=False, sort=False).agg({"return": "mean", "iteration": "min"})


def _figure(
    results: Results,
    looks: dict[str, Look],
    name: str,
    title: str,
    data: pd.DataFrame,
    label: str,
    steps: str,
) -> Drawn:
    tasks = [task for task in results.tasks if (data["task"] == task).any()]
    figure, axes = panels(len(tasks))
    cells = score_cells(results)
    random = results.agents("random")
    levels = cells[cells["design"].isin(common_levels(results)) & cells["mean"].notna()]
    for axis, task in zip(axes, tasks, strict=True):
        here = data[data["task"] == task]
        _panel(axis, here, looks)
        drawn = here["return"].tolist()
        if len(here.loc[here["n"] >= BAND_SEEDS]):
            drawn += here.loc[here["n"] >= BAND_SEEDS, ["low", "high"]].to_numpy().ravel().tolist()
        for level in levels[levels["task"] == task].itertuples():
            look = REFERENCE if level.design in random else ORACLE
            axis.axhline(float(str(level.mean)), color=look.colour, ls=look.line, lw=1, zorder=1)
            drawn.append(float(str(level.mean)))
        set_limits(axis, drawn)
        axis.set_title(short_task(task))
        axis.set_xlabel(_STEPS[steps])
        thousands(axis)
    axes[0].set_ylabel(label)
    present = {design: looks[design] for design in results.designs if (data["design"] == design).any()}
    there = set(levels["design"])
    present |= {name: Look(ORACLE.colour, "", ORACLE.line) for name in sorted(there.difference(random))}
    legend_below(figure, present, reference="random agent" if there & set(random) else "")
    caption = _caption(results, data, random=bool(there & set(random)))
    written = _with_levels(data, levels).rename(columns={"env_steps": steps})
    return Drawn(name, title, caption, figure, written)


def _panel(axis: Axes, data: pd.DataFrame, looks: dict[str, Look]) -> None:
    for design, lines in data.groupby("design", sort=False):
        look = looks[str(design)]
        mean = lines[lines["seed"] == -1].sort_values("env_steps")
        crowded = len(set(data["design"])) > MOST_WITH_SEEDS
        several = not crowded and len(set(lines.loc[lines["seed"] >= 0, "seed"])) > 1
        for _, seed in lines[lines["seed"] >= 0].groupby("seed"):
            if several:
                axis.plot(
                    seed["env_steps"], seed["return"], color=look.colour, lw=0.5, alpha=0.45, ls=look.line
                )
        band = mean["n"] >= BAND_SEEDS
        if band.any():
            low, high = (mean[side].where(band) for side in ("low", "high"))
            axis.fill_between(
                mean["env_steps"], low, high, color=look.colour, alpha=0.15 if several else 0.08, lw=0
            )
        every = max(1, len(mean) // 6)
        axis.plot(
            mean["env_steps"],
            mean["return"],
            color=look.colour,
            marker=look.marker,
            ls=look.line,
            markevery=every,
            ms=3,
        )


def _with_levels(data: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """Adds the lines of the baselines to the points."""
    names = ["task", "design", "mean", "low", "high", "n", "interval"]
    rows = [
        [task, design, -1, np.nan, *numbers] for task, design, *numbers in levels[names].to_numpy().tolist()
    ]
    return pd.concat([data, pd.DataFrame(rows, columns=COLUMNS)], ignore_index=True) if rows else data


def _caption(results: Results, data: pd.DataFrame, *, random: bool) -> str:
    means = data[data["seed"] == -1]
    counts = data[data["seed"] >= 0].groupby(["task", "design"])["seed"].nunique()
    crowded = data["design"].nunique() > MOST_WITH_SEEDS
    words = [
        f"{'Means' if crowded else 'Mean (thick) and single seeds (thin)'}; {seed_range(counts)} a cell."
    ]
    banded = means[means["n"] >= BAND_SEEDS]
    if len(banded):
        words.append(f"Bands: {interval_words(banded['interval'])}.")
    if (means["n"] < BAND_SEEDS).any():
        words.append(f"No band where fewer than {BAND_SEEDS} seeds have got there.")
    empty = len(results.designs) * len(results.tasks) - len(counts)
    if empty:
        words.append(f"{empty} of {len(results.designs) * len(results.tasks)} cells have no data yet.")
    if not random:
        other = "of another environment" if len(results.agents("random")) else "missing"
        words.append(f"The random agent's level is {other}.")
    return " ".join(words)
