"""Contact sheet of forecasts: what happened above, what each design foresaw below, time to the right."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.colours import Look
from analysis.load import Results
from analysis.prediction import DATASET
from analysis.style import PAGE, Drawn
from analysis.words import plural, short_task

CONTEXT_FRAMES = 3
MOST_WITH_SAMPLES = 4
"""Designs up to which a sheet also shows one sample of the stochastic ones."""
MOST_FRAMES = 14
"""Forecast frames on a sheet at most; of a longer horizon, evenly spaced ones."""
_LEFT, _RIGHT, _GAP, _SPACE = 1.5, 0.1, 0.45, 0.06  # inches; the last two in frames
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
    rows: list[tuple[str, Bytes, Look | None]] = [("truth", truth[start, steps - 1], None)]
    samples = sum("image" in forecast.arrays for forecast in found) <= MOST_WITH_SAMPLES
    for forecast in found:
        for key, label in (("image", ""), ("sample", ", one sample")):
            if key in forecast.arrays and (key == "image" or samples):
                frames = forecast.arrays[key][start, steps - 1]
                rows.append((_two_lines(forecast.design) + label, frames, looks[forecast.design]))
    columns = before + _GAP + len(steps)
    unit = (PAGE - _LEFT - _RIGHT) / columns
    top, bottom, sheet = 0.4, 0.42, unit * len(rows)
    below = max(1.15, 0.155 * (len(found) + 1) - bottom + 0.25)
    figure = Figure(figsize=(PAGE, top + sheet + 0.12 + below + bottom))
    height = figure.get_figheight()
    width = (PAGE - _LEFT - _RIGHT) / PAGE
    frames_axis = figure.add_axes((_LEFT / PAGE, 1 - (top + sheet) / height, width, sheet / height))
    _frames(frames_axis, context[start, -before:], rows, columns, steps)
    left = before + 0.5 * _GAP
    reward_left = (_LEFT + left * unit) / PAGE
    reward_axis = figure.add_axes(
        (reward_left, bottom / height, 1 - _RIGHT / PAGE - reward_left, below / height)
    )
    centres = before + _GAP + np.arange(len(steps)) + 0.5 - _SPACE / 2
    _rewards(reward_axis, found, start, steps, centres, looks)
    reward_axis.set_xlim(left, columns)
    _legend(figure, found, looks, (bottom + below) / height)
    data = _points(task, found, start, horizon)
    return Drawn(
        name, f"Forecasts on {short_task(task)}", _caption(results, found, unequal, start), figure, data
    )


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
) -> None:
    before, edge = len(context), 1 - _SPACE
    for i, (label, frames, look) in enumerate(rows):
        places = [(before + _GAP + j, frame) for j, frame in enumerate(frames)]
        if i == 0:
            places += list(enumerate(context))
        for x, frame in places:
            axis.imshow(
                np.moveaxis(frame, 0, -1),
                extent=(x, x + edge, i + edge, i),
                interpolation="none",
                aspect="auto",
            )
        colour = look.colour if look else "black"
        axis.text(
            -0.18, i + edge / 2, label, ha="right", va="center", fontsize=7, color="black", linespacing=1.1
        )
        axis.plot([-0.06, -0.06], [i, i + edge], color=colour, lw=2, clip_on=False, solid_capstyle="butt")
    for j in range(before):
        axis.text(
            j + edge / 2, -0.12, f"{j - before + 1}".replace("-", "−"), ha="center", va="bottom", fontsize=7
        )
    for j, step in enumerate(steps):
        axis.text(before + _GAP + j + edge / 2, -0.12, f"{step}", ha="center", va="bottom", fontsize=7)
    for x, words in (
        (before / 2, "last frames seen"),
        (before + _GAP + len(steps) / 2, "forecast, steps ahead"),
    ):
        axis.text(x, -0.46, words, ha="center", va="bottom", fontsize=7, color="#555555")
    axis.set_xlim(0, columns)
    axis.set_ylim(len(rows) - _SPACE, 0)
    axis.set_axis_off()


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


def _legend(figure: Figure, found: list[Forecast], looks: dict[str, Look], top: float) -> None:
    """Left of the reward panel, below the context frames."""
    handles = [Line2D([], [], color="black", lw=1.6, marker=".", label="truth")]
    for forecast in found:
        look = looks[forecast.design]
        handles.append(
            Line2D(
                [], [], color=look.colour, marker=look.marker, ms=4, lw=1, ls=look.line, label=forecast.design
            )
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


def _two_lines(design: str) -> str:
    """Breaks a long name at the hyphen nearest its middle."""
    if len(design) < 18 or "-" not in design:
        return design
    cuts = [i for i, letter in enumerate(design) if letter in "- "]
    cut = min(cuts, key=lambda i: abs(i - len(design) / 2))
    return f"{design[: cut + 1]}\n{design[cut + 1 :]}"


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
