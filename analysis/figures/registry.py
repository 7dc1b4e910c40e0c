"""Every figure by name: where it is drawn, where the page shows it, which claims it belongs to. No matplotlib here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.registry import suggest

if TYPE_CHECKING:
    from analysis.material import Material
    from analysis.style import Drawn

SECTIONS = {
    "claims": "Claims",
    "completeness": "What there is",
    "scores": "Scores",
    "correlations": "Prediction and score",
    "offline": "Online, offline and exploration",
    "curves": "Learning",
    "predictions": "Predictions",
    "costs": "Planning, size and cost",
}
"""The sections of the page that have figures, in order, with their headings."""


@dataclass(frozen=True)
class FigureKind:
    """A figure that can be asked for by name.

    Attributes:
        name: what `wm report --figure` takes, and the file's name (a figure a task adds the task's).
        module: of `analysis.figures`.
        section: a key of `SECTIONS`.
        claims: `H1` to `H11`, those that it shows the data of.
        help: what is drawn, in a line.
        function: of the module: `Material -> list[Drawn]`, empty where there is nothing to draw.
    """

    name: str
    module: str
    title: str
    section: str
    claims: tuple[str, ...]
    help: str
    function: str = "draw"

    def draw(self, material: Material) -> list[Drawn]:
        """Draws it; call it within `style.print_style`."""
        function: Callable[[Material], list[Drawn]]
        function = getattr(importlib.import_module(f"analysis.figures.{self.module}"), self.function)
        return function(material)


_ALL = (
    FigureKind(
        "claims",
        "claims",
        "The claims and their verdicts",
        "claims",
        tuple(f"H{i}" for i in range(1, 12)),
        "estimate, interval, threshold and verdict of every claim",
    ),
    FigureKind(
        "completeness",
        "completeness",
        "What there is of the study",
        "completeness",
        (),
        "runs done, diverged, failed and missing, design by task",
    ),
    FigureKind(
        "scores",
        "scores",
        "Score by design",
        "scores",
        ("H1", "H2"),
        "seeds, mean and interval of each design on each task, between random agent and oracle",
    ),
    FigureKind(
        "aggregates",
        "profiles",
        "Scores over all tasks",
        "scores",
        ("H1", "H2"),
        "mean, median, interquartile mean and optimality gap of normalised scores",
        "draw_aggregates",
    ),
    FigureKind(
        "profiles",
        "profiles",
        "Performance profiles",
        "scores",
        (),
        "fraction of runs above each normalised score",
    ),
    FigureKind(
        "factorial",
        "factorial",
        "Effects of the design axes",
        "scores",
        ("H1", "H2"),
        "main effects and interactions of predict, space and dynamics",
    ),
    FigureKind(
        "dose_response",
        "dose_response",
        "Score against the part of the image that is predicted",
        "scores",
        ("H3",),
        "score against image_fraction, beside the control of the loss's weight",
    ),
    FigureKind(
        "sharing",
        "sharing",
        "What sharing a representation changes",
        "scores",
        ("H9",),
        "shared minus stopped or separate reward gradients, design by design",
    ),
    FigureKind(
        "correlation",
        "correlation",
        "Prediction error and score",
        "correlations",
        ("H4",),
        "image error and reward error against the score, pooled and by task",
    ),
    FigureKind(
        "correlation_map",
        "correlation_map",
        "Correlations by task and horizon",
        "correlations",
        ("H4", "H6"),
        "heat map of the correlations of errors and score",
    ),
    FigureKind(
        "online_offline",
        "online_offline",
        "Scores online and offline",
        "offline",
        ("H5",),
        "online above, offline below, by task and design",
    ),
    FigureKind(
        "ranks",
        "ranks",
        "Ranks online and offline",
        "offline",
        ("H7",),
        "each design's rank online and offline, with Kendall's tau",
    ),
    FigureKind(
        "coverage",
        "coverage",
        "Coverage of the replay and score",
        "offline",
        ("H8",),
        "how widely a design's replay is spread, against its score",
    ),
    FigureKind(
        "cross_training",
        "cross_training",
        "Whose data, whose model",
        "offline",
        ("H8",),
        "score of each learner on the replay of each collector",
    ),
    FigureKind(
        "learning_curves",
        "learning_curves",
        "Noise-free return while learning",
        "curves",
        (),
        "return of the evaluations against environment (or gradient) steps",
    ),
    FigureKind(
        "training_returns",
        "learning_curves",
        "Return of the training episodes",
        "curves",
        (),
        "return of the episodes that are collected, with exploration",
        "draw_training",
    ),
    FigureKind(
        "horizon_error",
        "horizon_error",
        "Open-loop error over the horizon",
        "predictions",
        (),
        "error at every step of the forecast, against repeating the last frame or reward",
    ),
    FigureKind(
        "forecasts",
        "forecasts",
        "Predicted against true frames",
        "predictions",
        (),
        "what happened and what each design foresaw, step by step, a sheet a task",
    ),
    FigureKind(
        "forecast_seeds",
        "forecasts",
        "Best, median and worst seed",
        "predictions",
        (),
        "forecasts of the best, the median and the worst seed of each design, a sheet a task",
        "draw_seeds",
    ),
    FigureKind(
        "planner",
        "planner",
        "Score by planning horizon and proposals",
        "costs",
        ("H10",),
        "normalised score by horizon and proposals, beside the oracle at the same horizons",
    ),
    FigureKind(
        "capacity",
        "capacity",
        "Score against parameters",
        "costs",
        ("H11",),
        "score against the parameters that planning needs",
    ),
    FigureKind(
        "cost",
        "cost",
        "Score against cost",
        "costs",
        ("H11",),
        "score against seconds of training and planning, with the Pareto front",
    ),
)
FIGURES = {kind.name: kind for kind in _ALL}
"""By name, in the order of the page."""


def chosen(names: Iterable[str]) -> list[FigureKind]:
    """The figures of those names, in the order given.

    Raises:
        UserError: a name is not known; the message suggests the nearest.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in FIGURES:
            raise UserError(f"unknown figure {name}{suggest(name, FIGURES)}; there are {', '.join(FIGURES)}")
    return [FIGURES[name] for name in wanted]
