"""Contact sheet of forecasts: what happened above, what each design foresaw below, time to the right."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis.colours import Look
from analysis.load import Results
from analysis.prediction import DATASET
from analysis.style import PAGE, Drawn, inches, wrap
from analysis.words import plural, short_task

CONTEXT_FRAMES = 3
MOST_WITH_SAMPLES = 4
"""Designs up to which a sheet also shows one sample of the stochastic ones."""
MOST_FRAMES = 14
"""Forecast frames on a sheet at most; of a longer horizon, evenly spaced ones."""
_LEFT, _LABEL, _RIGHT = (
    1.3,
    1.7,
    0.1,
)  # inches: left of the frames at least, a line of a name at most, right of them
_TOP, _BOTTOM, _BETWEEN = 0.42, 0.42, 0.14  # inches: above the frames, below the rewards, between them
_LINE = 0.118  # inches
_GAP, _SPACE = 0.45, 0.06  # frames
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Forecast:
    """One run's forecasts: the arrays of forecasts/<dataset>.npz."""

    design: str
    seed: int
    arrays: dict[str, npt.NDArray[Any]]


def draw(results: Results, looks: dict[str, Look]) -> list[Drawn]:
    """The figures `forecasts` (one task) or `forecasts_<task>`."""
    drawn = []
    for task in results.tasks:
        found, unequal = _read(results, task)
        if found:
            name = (
                "forecasts" if len(results.tasks) == 1 else f"forecasts_{short_task(task).replace('-', '_')}"
            )
            drawn.append(_sheet(results, task, name, found, unequal, looks))
    return drawn


def _read(results: Results, task: str) -> tuple[list[Forecast], list[str]]:
    """The forecasts of each design's first seed that has some; designs with other starts are named apart."""
    found: list[Forecast] = []
    unequal = []
    runs = results.runs[results.runs["task"] == task]
    for design in results.designs:
        for run in runs[runs["design"] == design].sort_values("seed").itertuples():
            arrays = _arrays(Path(str(run.path)) / "forecasts" / f"{DATASET}.npz")
            if arrays is None:
                continue
            if found and not np.array_equal(arrays["start"], found[0].arrays["start"]):
                unequal.append(design)
            else:
                found.append(Forecast(design, int(str(run.seed)), arrays))
            break
    return found, unequal


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    complete = {"context", "truth", "reward", "reward_forecast", "start"} <= arrays.keys()
    return arrays if complete and len(arrays["truth"]) else None


def _sheet(
    results: Results, task: str, name: str, found: list[Forecast], unequal: list[str], looks: dict[str, Look]
) -> Drawn:
    truth, context = found[0].arrays["truth"], found[0].arrays["context"]
    start = most_movement(truth, context)
    horizon = truth.shape[1]
    steps = np.unique(np.linspace(1, horizon, min(horizon, MOST_FRAMES)).round().astype(int))
    before = min(CONTEXT_FRAMES, context.shape[1])
    rows = [("truth", truth[start, steps - 1], None), *_rows(found, start, steps, looks)]
    columns = before + _GAP + len(steps)
    margin = max(_LEFT, max(inches(label) for label, _, _ in rows) + 0.25)
    unit = (PAGE - margin - _RIGHT) / columns
    pitch = max(1, _SPACE + max(label.count("\n") + 1 for label, _, _ in rows) * _LINE / unit)
    sheet, left = pitch * unit * len(rows), before + 0.5 * _GAP
    reward_left = margin + left * unit
    names = [wrap(forecast.design, reward_left - 1.05) for forecast in found]
    below = max(1.15, sum(0.05 + _LINE * (words.count("\n") + 1) for words in ["truth", *names]) - _BOTTOM)
    height = _TOP + sheet + _BETWEEN + below + _BOTTOM
    figure = Figure(figsize=(PAGE, height))
    width = (PAGE - margin - _RIGHT) / PAGE
    axis = figure.add_axes((margin / PAGE, 1 - (_TOP + sheet) / height, width, sheet / height))
    _frames(axis, context[start, -before:], rows, columns, steps, pitch)
    place = (reward_left / PAGE, _BOTTOM / height, (PAGE - _RIGHT - reward_left) / PAGE, below / height)
    axis = figure.add_axes(place)
    _rewards(axis, found, start, steps, before + _GAP + np.arange(len(steps)) + 0.5 - _SPACE / 2, looks)
    axis.set_xlim(left, columns)
    _legend(
        figure, dict(zip(names, (looks[each.design] for each in found), strict=True)), place[1] + place[3]
    )
    caption = _caption(results, found, unequal, start)
    data = _points(task, found, start, horizon)
    return Drawn(name, f"Forecasts on {short_task(task)}", caption, figure, data)


def _rows(
    found: list[Forecast], start: int, steps: npt.NDArray[Any], looks: dict[str, Look]
) -> list[tuple[str, Bytes, Look | None]]:
    """Label, frames and look of each row below the truth."""
    rows: list[tuple[str, Bytes, Look | None]] = []
    samples = sum("image" in forecast.arrays for forecast in found) <= MOST_WITH_SAMPLES
    for forecast in found:
        for key, label in (("image", ""), ("sample", ", one sample")):
            if key in forecast.arrays and (key == "image" or samples):
                frames = forecast.arrays[key][start, steps - 1]
                rows.append((wrap(forecast.design + label, _LABEL), frames, looks[forecast.design]))
    return rows


def most_movement(truth: Bytes, context: Bytes) -> int:
    """The start after which the frames change most from the last context frame."""
    change = np.abs(truth.astype(float) - context[:, -1:].astype(float))
    return int(change.mean(axis=(1, 2, 3, 4)).argmax())


def _frames(
    axis: Axes,
    context: Bytes,
    rows: list[tuple[str, Bytes, Look | None]],
    columns: float,
    steps: npt.NDArray[Any],
    pitch: float,
) -> None:
    before, edge = len(context), 1 - _SPACE
    for i, (label, frames, look) in enumerate(rows):
        places = [(before + _GAP + j, frame) for j, frame in enumerate(frames)]
        if i == 0:
            places += list(enumerate(context))
        top = i * pitch + (pitch - 1) / 2
        for x, frame in places:
            _frame(axis, frame, x, top, edge)
        axis.text(-0.18, top + edge / 2, label, ha="right", va="center", fontsize=7, linespacing=1.1)
        colour = look.colour if look else "black"
        axis.plot([-0.06, -0.06], [top, top + edge], color=colour, lw=2, clip_on=False, solid_capstyle="butt")
    for j in range(before):
        _above(axis, j + edge / 2, f"{j - before + 1}".replace("-", "−"))
    for j, step in enumerate(steps):
        _above(axis, before + _GAP + j + edge / 2, f"{step}")
    _above(axis, before - _SPACE, "last frames before the forecast", heading="right")
    _above(axis, before + _GAP + len(steps) / 2, "forecast, steps ahead", heading="center")
    axis.set_xlim(0, columns)
    axis.set_ylim(pitch * len(rows) - _SPACE, 0)
    axis.set_axis_off()


def _frame(axis: Axes, frame: Bytes, x: float, y: float, edge: float) -> None:
    """A frame with a thin border: one that is all white is not missing."""
    place = (x, x + edge, y + edge, y)
    axis.imshow(np.moveaxis(frame, 0, -1), extent=place, interpolation="none", aspect="auto")
    axis.add_patch(Rectangle((x, y), edge, edge, fill=False, lw=0.4, ec="#8c8c8c", clip_on=False))


def _above(axis: Axes, x: float, words: str, heading: Literal["", "right", "center"] = "") -> None:
    """Words above the first row; a heading is above the numbers of the columns."""
    axis.annotate(
        words,
        (x, 0),
        xytext=(0, 14 if heading else 3),
        textcoords="offset points",
        ha=heading or "center",
        va="bottom",
        fontsize=7,
        color="#555555" if heading else "black",
    )


def _rewards(
    axis: Axes,
    found: list[Forecast],
    start: int,
    steps: npt.NDArray[Any],
    centres: npt.NDArray[Any],
    looks: dict[str, Look],
) -> None:
    for forecast in found:
        look = looks[forecast.design]
        values = forecast.arrays["reward_forecast"][start, steps - 1]
        axis.plot(centres, values, color=look.colour, marker=look.marker, ms=3, lw=1, ls=look.line)
    axis.plot(centres, found[0].arrays["reward"][start, steps - 1], color="black", lw=1.6, marker=".", ms=4)
    axis.set_xticks(centres, [str(step) for step in steps])
    axis.set_ylabel("Reward")
    axis.set_xlabel("Steps ahead")


def _legend(figure: Figure, looks: dict[str, Look], top: float) -> None:
    """Left of the reward panel, below the context frames; the names are wrapped to fit there."""
    handles = [Line2D([], [], color="black", lw=1.6, marker=".", label="truth")]
    for name, look in looks.items():
        handles.append(
            Line2D([], [], color=look.colour, marker=look.marker, ms=4, lw=1, ls=look.line, label=name)
        )
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.012, top), borderaxespad=0, borderpad=0
    )


def _points(task: str, found: list[Forecast], start: int, horizon: int) -> pd.DataFrame:
    """A row a design and step: error of this start's mean forecast image, reward and its forecast."""
    parts = []
    for forecast in found:
        arrays = forecast.arrays
        episode, column = arrays["start"][start]
        image = np.full(horizon, np.nan)
        if "image" in arrays:
            error = np.abs(arrays["image"][start].astype(float) - arrays["truth"][start].astype(float))
            image = error.mean(axis=(1, 2, 3))
        parts.append(
            pd.DataFrame(
                {
                    "task": task,
                    "design": forecast.design,
                    "seed": forecast.seed,
                    "episode": int(episode),
                    "column": int(column),
                    "step": np.arange(1, horizon + 1),
                    "image_error": image,
                    "reward": arrays["reward"][start].astype(float),
                    "reward_forecast": arrays["reward_forecast"][start].astype(float),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _caption(results: Results, found: list[Forecast], unequal: list[str], start: int) -> str:
    episode, column = (int(value) for value in found[0].arrays["start"][start])
    seeds = sorted({forecast.seed for forecast in found})
    kept = len(found[0].arrays["start"])
    place = (
        f"{DATASET.capitalize()} data, episode {episode}, column {column}: of {kept} kept starts the one with the "
        f"most movement. One run a design ({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))})."
    )
    words = [place, "Rows: the mean forecast; of stochastic designs also one sample where there is room."]
    rewards = [forecast.design for forecast in found if "image" not in forecast.arrays]
    if rewards:
        words.append(f"Rewards only: {', '.join(rewards)}.")
    missing = [design for design in results.designs if design not in {f.design for f in found} | set(unequal)]
    if missing:
        words.append(f"No forecasts yet of {plural(len(missing), 'design')}: {', '.join(missing)}.")
    if unequal:
        words.append(f"Left out, as forecast from other starts: {', '.join(unequal)}.")
    return " ".join(words)
