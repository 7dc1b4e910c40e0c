"""Each design's rank online and offline, task by task: parallel lines would be the same order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from analysis.colours import Look
from analysis.families import key_of
from analysis.figures.online_offline import CONDITIONS, both
from analysis.figures.parts import basis, computed, counted, design_legend, lacking, sentences, told
from analysis.inference.ranks import TaskRanks, rank_mismatch
from analysis.material import Material
from analysis.style import Drawn, panels
from analysis.tables import fixed
from analysis.words import short_task

FEWEST = 2
"""Designs below which there are no ranks."""


def draw(material: Material) -> list[Drawn]:
    """The figure `ranks`: a panel a task, a line a design."""
    rows, dataset = both(material)
    ranks = ranked(rows)
    if ranks.empty:
        return []
    tasks = [task for task in material.results.tasks if (ranks["task"] == task).any()]
    forms = [form for form in dict.fromkeys(rows["form"]) if (ranks["form"] == form).any()]
    label = dict(zip(rows["form"], rows["design"].astype(str), strict=True))
    first = rows[rows["condition"] == "online"]
    label |= dict(zip(first["form"], first["design"].astype(str), strict=True))
    looks = {form: material.looks[label[form]] for form in forms}
    online, offline = (rows[rows["condition"] == each].assign(design=rows["form"]) for each in CONDITIONS)
    found = rank_mismatch(online, offline)
    of_task = {each.task: each for each in found.tasks}
    height = min(1.75, 0.8 + 0.09 * len(forms))
    figure, axes = panels(len(tasks), width=material.width, least=1.3, height=height, most=4)
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, ranks[ranks["task"] == task].set_index("form"), looks)
        axis.set_title(f"{short_task(task)}\n{_tau(of_task.get(task))}", fontsize=7.5)
    axes[0].set_ylabel("Rank (1 is best)")
    shown = design_legend(figure, looks)
    claim = computed(material, "H7")
    caption = sentences(
        f"Ranks by the mean normalised score over seeds; {counted(rows, 'form')}. Offline: trained on {dataset}.",
        "τ: Kendall's tau of online and offline means, each of half of the seeds; ceiling: what it could be expected "
        "to be if the true ranks were equal."
        if of_task
        else "",
        f"H7: ceiling - tau, at equal seeds, is {told(claim.estimate)}." if claim else "",
        *(f"{text}." for text in found.missing),
        basis(rows),
        lacking(rows),
        key_of(shown, forms),
    )
    columns = ["task", "form", *CONDITIONS, *(f"{each}_score" for each in CONDITIONS)]
    taus = pd.DataFrame(
        {
            "task": tasks,
            "tau": [of_task[t].tau.value if t in of_task else np.nan for t in tasks],
            "tau_at_half": [of_task[t].across if t in of_task else np.nan for t in tasks],
            "ceiling": [of_task[t].ceiling if t in of_task else np.nan for t in tasks],
        }
    )
    data = ranks[columns].merge(taus, on="task")
    return [Drawn("ranks", "Ranks online and offline", caption, figure, data)]


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a form and task with a score in both conditions: its ranks (1 is best; ties share theirs) and scores."""
    known = rows[rows["value"].notna()]
    wide = known.pivot_table(index=["task", "form"], columns="condition", values="value", sort=False)
    wide = wide.reindex(columns=list(CONDITIONS)).dropna().reset_index()
    wide = wide[wide.groupby("task")["form"].transform("size") >= FEWEST]
    for each in CONDITIONS:
        wide[f"{each}_score"] = wide[each]
        wide[each] = wide.groupby("task")[each].transform(lambda column: stats.rankdata(-column))
    return wide


def _panel(axis: Axes, ranks: pd.DataFrame, looks: dict[str, Look]) -> None:
    for form, look in looks.items():
        if form in ranks.index:
            ends = ranks.loc[form, list(CONDITIONS)].to_numpy(dtype=float)
            axis.plot([0, 1], ends, color=look.colour, marker=look.marker, ms=4, lw=1, mec="white", mew=0.4)
    axis.set_xticks([0, 1], CONDITIONS)
    axis.set_xlim(-0.25, 1.25)
    count = len(ranks)
    axis.set_ylim(count + 0.5, 0.5)
    axis.set_yticks(sorted({1, *range(5, count, 5), count} if count > 5 else range(1, count + 1)))
    axis.grid(axis="x", visible=False)


def _tau(found: TaskRanks | None) -> str:
    if found is None:
        return "τ: too few seeds"
    return f"τ {fixed(found.across)}, ceiling {fixed(found.ceiling)}"
