"""How widely the states in a design's replay are spread, against its score: does who explores score?"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.colours import Look
from analysis.families import key_of, present
from analysis.figures.parts import SCORE, basis, computed, counted, design_legend, lacking, sentences, told
from analysis.material import Material
from analysis.style import Drawn, label_outer, panels
from analysis.words import short_task


def draw(material: Material) -> list[Drawn]:
    """The figure `coverage`: a panel a task; small points are runs, large ones means over seeds."""
    models = material.evidence.models()
    runs = models[models["value"].notna() & models["coverage"].notna()]
    if runs.empty:
        return []
    designs = present(material, runs)
    tasks = [task for task in material.results.tasks if (runs["task"] == task).any()]
    points = _points(runs)
    figure, axes = panels(len(tasks), width=material.width, least=1.5, height=1.55, share_y=True)
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, points[points["task"] == task], {design: material.looks[design] for design in designs})
        axis.set_title(short_task(task))
    label_outer(axes, "Entropy of states (nats)", SCORE)
    shown = design_legend(figure, {design: material.looks[design] for design in designs})
    found = computed(material, "H8", "coverage")
    rho = f"Spearman's ρ over designs, standardised by task (H8): {told(found.estimate)}" if found else ""
    caption = sentences(
        "Entropy of the states that a run has collected at its end, standardised by the task's probe data; small: "
        f"runs, large: means over seeds; {counted(runs)}.",
        f"{rho}, n = {found.estimate.n} {found.of}." if found else "Too few designs for a correlation (H8).",
        basis(runs),
        lacking(models),
        key_of(shown, designs),
    )
    return [Drawn("coverage", "Coverage of the replay and score", caption, figure, points)]


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a run, and a row a mean over seeds (`seed` is -1)."""
    single = runs[["task", "design", "seed", "coverage", "value"]].astype({"task": str, "design": str})
    means = single.groupby(["task", "design"], as_index=False, sort=False)[["coverage", "value"]].mean()
    return pd.concat([single, means.assign(seed=-1)[single.columns]], ignore_index=True)


def _panel(axis: Axes, points: pd.DataFrame, looks: dict[str, Look]) -> None:
    for design, cell in points.groupby("design", sort=False):
        look = looks[str(design)]
        for mean, size, alpha in ((False, 2, 0.35), (True, 5, 1.0)):
            here = cell[(cell["seed"] == -1) == mean]
            edge = {"mec": "white", "mew": 0.4} if mean else {"mew": 0}
            axis.plot(
                here["coverage"],
                here["value"],
                ls="",
                marker=look.marker,
                color=look.colour,
                ms=size,
                alpha=alpha,
                zorder=3 + mean,
                **edge,
            )
    axis.margins(0.08)
    axis.locator_params(nbins=4)
