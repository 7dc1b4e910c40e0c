"""Score against the part of the image that is predicted; beside it the control, the weight of the whole image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.claims.dose import of_full
from analysis.colours import Look
from analysis.figures.parts import (
    SCORE,
    bars_are,
    basis,
    computed,
    counted,
    finding,
    lacking,
    look_of,
    named_forms,
    panel_tasks,
    sentences,
    task_title,
    told,
    with_overall,
)
from analysis.matching import forms
from analysis.material import Material
from analysis.style import Drawn, handles_below, label_outer, panels

FRACTION, WEIGHT = "image_fraction", "model.image_scale"
_KINDS = {FRACTION: "part of the image", WEIGHT: "weight of the whole image"}


def draw(material: Material) -> list[Drawn]:
    """The figure `dose_response`: solid lines are fractions, dashed ones the control."""
    rows = doses(material)
    runs = rows[rows["value"].notna()]
    if runs.empty or runs[runs["kind"] == FRACTION]["dose"].nunique() < 2:
        return []
    points = _points(runs)
    names = list(dict.fromkeys(runs["form"]))
    first = runs.drop_duplicates("form").set_index("form")["design"]
    looks = {name: look_of(material, name, str(first[name])) for name in names}
    tasks = panel_tasks(material, points)
    figure, axes = panels(len(tasks), width=material.width, least=1.5, height=1.55, share_y=True)
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, points[points["task"] == task], looks)
        axis.set_title(task_title(task))
    label_outer(axes, "Part or weight", SCORE)
    kinds = [kind for kind in _KINDS if (runs["kind"] == kind).any()]
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, ms=4.5, lw=1.1, label=name)
        for name, look in looks.items()
    ]
    if WEIGHT in kinds:
        handles += [Line2D([], [], color="black", lw=1, ls=_line(kind), label=_KINDS[kind]) for kind in kinds]
    handles_below(figure, handles)
    return [
        Drawn(
            "dose_response",
            "Score against the part of the image",
            _caption(material, rows, points),
            figure,
            points,
        )
    ]


def doses(material: Material) -> pd.DataFrame:
    """Online runs of designs with several fractions, and of those with the whole image at several weights.

    Rows of the evidence with form (the design's name), kind (the field that varies) and dose: the fraction, or the
    weight as a part of its full value.
    """
    models = material.evidence.models()
    models = models[models["predict"] == "images"]
    parts = []
    for kind in (FRACTION, WEIGHT):
        rows = models if kind == FRACTION else models[models["image_fraction"].astype(float) == 1]
        varied = forms(rows, kind)
        varied = varied[varied.groupby("family")["level"].transform("nunique") > 1]
        dose = varied["level"].astype(float) if kind == FRACTION else of_full(varied)
        parts.append(varied.assign(kind=kind, dose=dose))
    fractions, weights = parts
    known = set(fractions["name"])
    rows = pd.concat([fractions, weights[weights["name"].isin(known)]])
    return rows.assign(
        form=[
            *fractions["family"].map(named_forms(fractions, "family")),
            *weights.loc[weights["name"].isin(known), "name"],
        ]
    )


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a task (or `all`), design, kind and dose: value with interval."""
    keys = [f"{f}\n{k}\n{d!r}" for f, k, d in zip(runs["form"], runs["kind"], runs["dose"], strict=True)]
    points = with_overall(runs.assign(key=keys), "key")
    points[["form", "kind", "dose"]] = points.pop("key").str.split("\n", expand=True)
    return points.astype({"dose": float})


def _line(kind: str) -> str:
    return "-" if kind == FRACTION else "--"


def _panel(axis: Axes, points: pd.DataFrame, looks: dict[str, Look]) -> None:
    for i, (form, look) in enumerate(looks.items()):
        here = points[points["form"] == form].sort_values("dose")
        fractions, weights = here[here["kind"] == FRACTION], here[here["kind"] == WEIGHT]
        aside = 0.012 * (i - (len(looks) - 1) / 2)
        axis.plot(
            weights["dose"],
            weights["value"],
            color=look.colour,
            ls="--",
            lw=1,
            marker=look.marker,
            ms=3.5,
            mfc="white",
            mew=0.8,
            zorder=2,
        )
        for x, low, high in zip(fractions["dose"], fractions["low"], fractions["high"], strict=True):
            if np.isfinite(low):
                axis.plot([x + aside] * 2, [low, high], color=look.colour, lw=1.2, alpha=0.35)
        solid = replace(look, line="-")
        axis.plot(
            fractions["dose"] + aside,
            fractions["value"],
            color=solid.colour,
            ls="-",
            marker=solid.marker,
            ms=4,
            mec="white",
            mew=0.4,
            lw=1.1,
            zorder=3,
        )
    axis.locator_params(axis="y", nbins=4)
    axis.set_xticks([0, 0.5, 1], ["0", "½", "1"])


def _caption(material: Material, rows: pd.DataFrame, points: pd.DataFrame) -> str:
    fractions = rows[rows["kind"] == FRACTION]
    rho, beyond = (computed(material, "H3", name) for name in ("rho", "beyond_control"))
    found = finding(material, "H3")
    control = rows[rows["kind"] == WEIGHT]
    return sentences(
        f"Solid: a part of the image is predicted ({fractions['dose'].nunique()} fractions).",
        f"Dashed, hollow: the whole image with a lower weight of its loss ({control['dose'].nunique()} weights, as "
        "parts of the full one), the control."
        if len(control)
        else "The control (lower weights of the whole image) is not among the runs.",
        f"{counted(rows, 'form')}.",
        f"H3: Spearman's ρ of fraction and score, within seeds: {told(rho.estimate)}." if rho else "",
        f"Slope beyond the control's: {told(beyond.estimate)}." if beyond else "",
        f"H3 is not testable: {found.why}" if found and not rho and found.why else "",
        bars_are(points[points["kind"] == FRACTION]),
        basis(rows),
        lacking(rows),
    )
