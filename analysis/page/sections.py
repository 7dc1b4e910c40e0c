"""The sections of the page, in the order in which a person wants them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        short: in the navigation, in words of the title.
        empty: what it says without anything to show; such a section is left out if that is "".
    """

    title: str
    short: str
    empty: str = ""
    text: str = ""


SECTIONS = {
    "claims": Section(
        "Verdicts",
        "Verdicts",
        text="Each hypothesis of the study: what was computed, and what follows from its interval. Open a line for "
        "everything behind it. Verdicts are of these designs and tasks; n says how many.",
    ),
    "completeness": Section("What there is", "What there is"),
    "scores": Section("Scores", "Scores", "No scores yet."),
    "correlations": Section(
        "Prediction and score",
        "Prediction and score",
        "No correlation figure: no run has both a final score and a prediction error yet.",
    ),
    "offline": Section("Online, offline and exploration", "Online and offline"),
    "curves": Section("Learning", "Learning", "No returns yet."),
    "predictions": Section("Predictions", "Predictions", "No forecasts kept yet."),
    "costs": Section("Planning, size and cost", "Planning and cost", "Nothing measured yet."),
    "failures": Section("Runs and failures", "Runs"),
    "provenance": Section("Where this comes from", "Where from"),
}
