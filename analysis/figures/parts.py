"""What several figures need: intervals, scores on their scale, numbers of claims, words for captions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.claims.types import Computed, Finding
from analysis.colours import LOOKS, ORACLE, REFERENCE, Look, named
from analysis.families import FEW, abbreviate
from analysis.inference.estimate import FEW_SEEDS, Estimate, estimates
from analysis.inference.paired import by_task, stratified
from analysis.material import Material
from analysis.style import PAGE, handles_below
from analysis.tables import fixed
from analysis.words import WINDOWED, capital, interval_words, plural, seed_range, short_task

SCORE = "Normalised score"


def finding(material: Material, claim: str) -> Finding | None:
    """What is found about a claim."""
    return next((each for each in material.findings if each.id == claim), None)


def computed(material: Material, claim: str, name: str = "") -> Computed | None:
    """A number of a claim by its name; the first that decides without one. None where it is not testable."""
    found = finding(material, claim)
    every = [*found.primary, *found.secondary] if found else []
    if not name:
        return found.primary[0] if found and found.primary else None
    return next((each for each in every if each.name == name), None)


def told(found: Estimate, places: int = 2) -> str:
    """`0.45 [0.30, 0.60]`, or the value alone where there is no interval."""
    ends = f" [{fixed(found.low, places)}, {fixed(found.high, places)}]" if np.isfinite(found.low) else ""
    return f"{fixed(found.value, places)}{ends}"


def means(frame: pd.DataFrame, by: Sequence[str], column: str = "value") -> pd.DataFrame:
    """`estimates` of the rows with a value, for groups that have one."""
    known = frame[frame[column].notna()].astype(dict.fromkeys(by, object))
    return estimates(known, by, column, "figure", column)


ALL = "all"
"""In place of a task: the mean over the tasks."""


def with_overall(rows: pd.DataFrame, by: str, column: str = "value") -> pd.DataFrame:
    """`means` of each group on each task, and on `all`: the mean over tasks of its means over seeds.

    `all` is given for groups with a value on every task that a group has one on; of several tasks alone.

    Args:
        rows: one a run, with task and seed.
        by: the column that names a group.
        column: what is averaged.
    """
    cells = means(rows, ["task", by], column)
    tasks = cells["task"].nunique()
    if tasks < 2:
        return cells
    whole = []
    for group, here in rows[rows[column].notna()].groupby(by, sort=False):
        scores = by_task(here, column)
        if len(scores) == tasks:
            found = stratified(scores, "figure", group)
            whole.append([ALL, group, found.value, found.low, found.high, found.n, found.kind])
    names = ["task", by, "value", "low", "high", "n", "interval"]
    return pd.concat([cells, pd.DataFrame(whole, columns=names)], ignore_index=True) if whole else cells


def panel_tasks(material: Material, cells: pd.DataFrame) -> list[str]:
    """`all`, where there is that, then the tasks with cells, in the order of the plan."""
    there = set(cells["task"])
    return [task for task in (ALL, *material.results.tasks) if task in there]


def task_title(task: str) -> str:
    """What a panel is called."""
    return "mean over tasks" if task == ALL else short_task(task)


def bars(axis: Axes, x: Sequence[float] | pd.Series, cells: pd.DataFrame, look: Look, **options: Any) -> None:
    """Means with their intervals as vertical bars; `options` are of the line."""
    for at, low, high in zip(x, cells["low"], cells["high"], strict=True):
        if np.isfinite(low):
            axis.plot([at, at], [low, high], color=look.colour, lw=1.4, alpha=0.4, solid_capstyle="butt")
    given: dict[str, Any] = {"color": look.colour, "marker": look.marker, "ls": look.line, "ms": 4.5}
    given |= {"mec": "white", "mew": 0.4}
    axis.plot(x, cells["value"], **(given | options))


def levels(axis: Axes) -> None:
    """The random agent and the oracle on the scale of normalised scores."""
    axis.axhline(0, color=REFERENCE.colour, ls=REFERENCE.line, lw=0.9, zorder=1)
    axis.axhline(1, color=ORACLE.colour, ls=ORACLE.line, lw=0.9, zorder=1)


def level_handles() -> list[Line2D]:
    """For the legend, what `levels` draws."""
    return [
        Line2D([], [], color=look.colour, ls=look.line, lw=0.9, label=name)
        for name, look in (("random agent", REFERENCE), ("oracle", ORACLE))
    ]


def design_legend(
    figure: Figure, looks: Mapping[str, Look], extra: Iterable[Line2D] = (), *, lines: bool = False
) -> list[str]:
    """A legend of designs below all panels, forms of a corner together; names are short where a column has many.

    Returns:
        The names shown.
    """
    colours = [look.colour for look in LOOKS.values()]
    order = {colour: i for i, colour in enumerate(colours)}
    looks = named(dict(sorted(looks.items(), key=lambda item: order.get(item[1].colour, len(order)))))
    narrow = figure.get_figwidth() < PAGE and len(looks) > FEW
    shown = [abbreviate(name) if narrow else name for name in looks]
    handles = [
        Line2D(
            [], [], color=k.colour, marker=k.marker, ls=k.line if lines else "", ms=4.5, lw=1.1, label=name
        )
        for name, k in zip(shown, looks.values(), strict=True)
    ]
    handles_below(figure, [*handles, *extra])
    return shown


def basis(frame: pd.DataFrame) -> str:
    """What a normalised score is, for the runs of a frame; and what it rests on where that is not the oracle."""
    known = frame[frame["value"].notna()]
    ranged = [short_task(task) for task in dict.fromkeys(known.loc[known["basis"] == "range", "task"])]
    if len(ranged) == known["task"].nunique():
        words = f"{capital(WINDOWED)}: by the range of returns, 0 being the random agent (the lowest score where that"
        return f"{words} is missing), as random agent and oracle give no scale (see the notes)."
    words = f"{capital(WINDOWED)}: 0 is the random agent, 1 the oracle"
    return f"{words}; by the range of returns on {', '.join(ranged)}." if ranged else f"{words}."


def counted(frame: pd.DataFrame, design: str = "design") -> str:
    """`15 designs on 7 tasks, 3 to 5 seeds a cell`, of the rows with a value.

    Args:
        frame: runs.
        design: the column that designs are told apart by; cells are those of `design` itself.
    """
    known = frame[frame["value"].notna()]
    seeds = known.groupby([known["design"].astype(str), known["task"].astype(str)])["seed"].nunique()
    designs, tasks = plural(known[design].nunique(), "design"), plural(known["task"].nunique(), "task")
    return f"{designs} on {tasks}, {seed_range(seeds)} a cell"


def bars_are(cells: pd.DataFrame) -> str:
    """What the bars are; marked where they come from few seeds."""
    if not np.isfinite(cells["low"]).any():
        return "No intervals: single seeds."
    few = ((cells["interval"] == "t") & (cells["n"] < FEW_SEEDS)).any()
    return f"Bars: {interval_words(cells['interval'])}{f' (some of fewer than {FEW_SEEDS} seeds)' if few else ''}."


def lacking(frame: pd.DataFrame) -> str:
    """How many of the planned runs of a frame have no score, and how many diverged; empty if none."""
    words = []
    missing = int((frame["value"].isna() & (frame["state"] != "diverged")).sum())
    if missing:
        words.append(f"{missing} of {plural(len(frame), 'planned run')} without a score yet.")
    diverged = frame[frame["state"] == "diverged"]
    if len(diverged):
        as_zero = diverged[diverged["diverged"].astype(bool)]
        zero = "0" if (as_zero["basis"] == "range").any() else "the random agent"
        counts = f"count as {zero}" if len(as_zero) else "are left out"
        words.append(f"{plural(len(diverged), 'run')} diverged and {counts}.")
    return " ".join(words)


def sentences(*parts: str) -> str:
    """The parts that there are, with blanks between them."""
    return " ".join(part for part in parts if part)


def named_forms(rows: pd.DataFrame, form: str) -> dict[str, str]:
    """A name of each form: the study's name of its design, or its label where several forms share that."""
    first = rows.drop_duplicates(form)
    names = dict(zip(first[form], first["name"].astype(str), strict=True))
    labels = dict(zip(first[form], first["design"].astype(str), strict=True))
    taken = [name for name, group in itertools.groupby(sorted(names.values())) if len(list(group)) > 1]
    return {key: labels[key] if name in taken else name for key, name in names.items()}


def look_of(material: Material, name: str, design: str) -> Look:
    """The look of a group of designs: that of the corner of its name, else that of one of them."""
    return LOOKS.get(name) or material.looks[design]
