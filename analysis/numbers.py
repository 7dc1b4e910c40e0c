r"""numbers.tex: the tables' numbers as macros, ``\wm{score.<design>.<task>.mean}``; an unknown key is an error."""

from __future__ import annotations

import math

import pandas as pd

from analysis.correlations import NAMES, correlations
from analysis.load import Results
from analysis.prediction import horizon_table
from analysis.scores import SCALED, normalised_means, score_cells
from analysis.tables import escape, fixed, number

_HEAD = r"""% Made by `wm report`. \input this file, then write \wm{key}; a key that is not below is an error.
\makeatletter
\newcommand{\wm}[1]{%
  \ifcsname wm@#1\endcsname\csname wm@#1\endcsname\else
  \PackageError{wm}{no number `#1' in numbers.tex}{Look for the right key in numbers.tex.}\fi}
\newcommand{\wm@set}[2]{\expandafter\gdef\csname wm@#1\endcsname{#2}}
"""


def numbers(results: Results) -> dict[str, str]:
    """Key and formatted value; `undefined` where there is none.

    Keys: ``runs.planned``, ``runs.done``, ``score.<design>.<task>.{mean,low,high,n}``,
    ``score.<design>.<task|all>.{normalised,windowed}`` (each with ``.low`` and ``.high``) where both baselines are
    there: the final and the windowed normalised score,
    ``correlation.<error>.<image|all>.<designs|runs>.<task|all>.{r,rho,tau}`` (each with
    ``.low`` and ``.high``), ``.n`` (points), ``.designs`` and, over designs, ``.detectable``,
    ``horizon.<error>.<design>.<task>.{mean,baseline,ratio}``.
    """
    runs = results.runs
    found = {"runs.planned": str(len(runs)), "runs.done": str(int((runs["state"] == "done").sum()))}
    for cell in score_cells(results).to_dict("records"):
        key = f"score.{cell['design']}.{cell['task']}"
        found |= {f"{key}.{name}": _value(cell[name]) for name in ("mean", "low", "high")}
        found[f"{key}.n"] = str(cell["n"])
    scaled = pd.concat([score_cells(results), normalised_means(results)], ignore_index=True)
    for cell in scaled.dropna(subset=["normalised"]).to_dict("records"):
        for short, name in zip(("normalised", "windowed"), SCALED, strict=True):
            key = f"score.{cell['design']}.{cell['task']}.{short}"
            found[key] = _value(cell[name], places=2)
            found |= {f"{key}.{end}": _value(cell[f"{name}_{end}"], places=2) for end in ("low", "high")}
    for line in correlations(results).to_dict("records"):
        sample = str(line["sample"]).split(" ", maxsplit=1)[0]
        key = f"correlation.{line['error']}.{sample}.{line['level']}.{line['task']}"
        for name in NAMES.values():
            found[f"{key}.{name}"] = _value(line[name], places=2)
            found |= {
                f"{key}.{name}.{end}": _value(line[f"{name}_{end}"], places=2) for end in ("low", "high")
            }
        found |= {f"{key}.n": str(line["n"]), f"{key}.designs": str(line["designs"])}
        if line["level"] == "designs":
            found[f"{key}.detectable"] = _value(line["detectable"], places=2)
    for line in horizon_table(results).to_dict("records"):
        key = f"horizon.{line['error']}.{line['design']}.{line['task']}"
        found |= {f"{key}.{name}": _value(line[name]) for name in ("mean", "baseline", "ratio")}
    return found


def tex(found: dict[str, str]) -> str:
    """The content of numbers.tex."""
    lines = [rf"\wm@set{{{key}}}{{{escape(value)}}}" for key, value in found.items()]
    return _HEAD + "\n".join([*lines, r"\makeatother", ""])


def _value(value: float, places: int | None = None) -> str:
    if not math.isfinite(value):
        return "undefined"
    return number(value) if places is None else fixed(value, places)
