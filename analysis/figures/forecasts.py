"""Contact sheets of forecasts: what happened above, what each design foresaw below, time to the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.colours import Look
from analysis.families import key_of, names_fitted
from analysis.figures.kept import RANKS, Bytes, Forecast, Kept, kept, step_errors
from analysis.material import Material
from analysis.prediction import DATASET
from analysis.style import GREY, PAGE, Drawn, inches, span
from analysis.words import plural, seed_range, short_task

CONTEXT_FRAMES = 3
MOST_WITH_SAMPLES = 4
"""Designs up to which a sheet also shows one sample of the stochastic ones."""
MOST_ROWS = 20
"""Designs on a sheet at most."""
EDGE = 0.27
"""Inches of a frame at least."""
_LABEL, _LINE, _RIGHT = 1.7, 0.118, 0.1
"""Inches: a line of a name at most, its height, right of the frames."""
_TOP, _BOTTOM, _REWARDS, _BETWEEN = 0.42, 0.42, 1.0, 0.14
_GAP, _SPACE = 0.45, 0.06
"""Between context and forecast, and between frames, in frames."""


@dataclass(frozen=True)
class _Row:
    """A row of a sheet: its name, frames by their place (in frames from the left), and how its rewards are drawn."""

    label: str
    frames: Sequence[tuple[float, Bytes]]
    look: Look | None = None
    words: str = ""


def draw(material: Material) -> list[Drawn]:
    """The figures `forecasts` (one task) or `forecasts_<task>`: the median seed of each design, and its rewards."""
    return [_sheet(material, each) for each in _kept(material)]


def draw_seeds(material: Material) -> list[Drawn]:
    """The figures `forecast_seeds` or `forecast_seeds_<task>`: the best, the median and the worst seed."""
    return [_seeds(material, each) for each in _kept(material) if any(map(_several, each.seeds.values()))]


def _several(seeds: Sequence[Forecast]) -> bool:
    return len(seeds) > 1 and seeds[0].images


def _kept(material: Material) -> list[Kept]:
    found = [kept(material, task) for task in material.results.tasks]
    return [each for each in found if each.seeds]


def _name(material: Material, name: str, task: str) -> str:
    one = len(material.results.tasks) == 1
    return name if one else f"{name}_{short_task(task).replace('-', '_')}"


def _sheet(material: Material, of: Kept) -> Drawn:
    shown = [of.ranked(design, "median") for design in list(of.seeds)[:MOST_ROWS]]
    shown.sort(key=lambda forecast: not forecast.images)  # what has no frames comes last
    truth, context = of.truth.arrays["truth"][of.start], of.truth.arrays["context"][of.start]
    page = span(material.width) >= PAGE
    samples = page and sum(forecast.images for forecast in shown) <= MOST_WITH_SAMPLES
    names = [each.design for each in shown]
    labels = names_fitted(names, _LABEL if page else 1.05)
    margin = max(map(inches, [*labels, "one sample"])) + 0.4
    before = min(CONTEXT_FRAMES if page else 1, len(context))
    room = (span(material.width) - margin - _RIGHT) / EDGE
    most = max(3, int(room - before - _GAP))
    steps = np.unique(np.linspace(1, len(truth), min(len(truth), most)).round().astype(int))
    columns = before + _GAP + len(steps)
    unit = (span(material.width) - margin - _RIGHT) / columns
    places = before + _GAP + np.arange(len(steps))
    rows = [_Row("truth", [*enumerate(context[-before:]), *zip(places, truth[steps - 1], strict=True)])]
    rows += _rows(shown, labels, of.start, steps, places, material.looks, samples=samples)
    pitch = _pitch(rows, unit)
    sheet = pitch * unit * len(rows)
    height = _TOP + sheet + _BETWEEN + _REWARDS + _BOTTOM
    width = span(material.width)
    figure = Figure(figsize=(width, height))
    inside = (width - margin - _RIGHT) / width
    axis = figure.add_axes((margin / width, 1 - (_TOP + sheet) / height, inside, sheet / height))
    _frames(axis, rows, columns, pitch, 1 / unit)
    for j in range(before):
        _above(axis, j + 0.5 - _SPACE / 2, f"{j - before + 1}".replace("-", "−"))
    for x, step in zip(places, steps, strict=True):
        _above(axis, x + 0.5 - _SPACE / 2, f"{step}")
    _heading(axis, before - _SPACE, "last frames before" if before > 1 else "before", "right")
    _heading(axis, before + _GAP + len(steps) / 2, "forecast, steps ahead", "center")
    left = margin + (before + 0.5 * _GAP) * unit
    place = (left / width, _BOTTOM / height, (width - _RIGHT - left) / width, _REWARDS / height)
    axis = figure.add_axes(place)
    _rewards(axis, shown, of.start, steps, places + 0.5 - _SPACE / 2, material.looks)
    axis.set_xlim(before + 0.5 * _GAP, columns)
    caption = f"{_caption(material, of, shown)} {key_of(labels, names)}".strip()
    data = pd.concat([step_errors(forecast, of.start) for forecast in shown], ignore_index=True)
    data.insert(0, "task", of.task)
    name = _name(material, "forecasts", of.task)
    return Drawn(name, f"Forecasts on {short_task(of.task)}", caption, figure, data)


def _rows(
    shown: Sequence[Forecast],
    labels: Sequence[str],
    start: int,
    steps: npt.NDArray[Any],
    places: npt.NDArray[Any],
    looks: dict[str, Look],
    *,
    samples: bool,
) -> list[_Row]:
    """The rows below the truth."""
    rows = []
    for forecast, label in zip(shown, labels, strict=True):
        frames = {
            key: list(zip(places, forecast.arrays[key][start, steps - 1], strict=True))
            for key in ("image", "sample")
            if key in forecast.arrays
        }
        words = "" if forecast.images else "rewards only"
        rows.append(_Row(label, frames.get("image", ()), looks[forecast.design], words))
        if samples and "sample" in frames:
            rows.append(_Row("one sample", frames["sample"]))
    return rows


def _seeds(material: Material, of: Kept) -> Drawn:
    """Best, median and worst side by side, at the same few steps."""
    page, width = span(material.width) >= PAGE, span(material.width)
    designs = [design for design, seeds in of.seeds.items() if seeds[0].images][:MOST_ROWS]
    labels = names_fitted(designs, _LABEL if page else 0.95)
    margin = max(map(inches, [*labels, "truth"])) + 0.4
    truth = of.truth.arrays["truth"][of.start]
    count = min(len(truth), 4 if page else 2)
    steps = np.unique(np.linspace(max(1, len(truth) // count), len(truth), count).round().astype(int))
    columns = len(RANKS) * (len(steps) + _GAP) - _GAP
    unit = (width - margin - _RIGHT) / columns
    starts = {rank: i * (len(steps) + _GAP) for i, rank in enumerate(RANKS)}
    rows = [_Row("truth", [(starts[r] + j, truth[s - 1]) for r in RANKS for j, s in enumerate(steps)])]
    parts = []
    for design, label in zip(designs, labels, strict=True):
        frames = []
        for rank in RANKS:
            forecast = of.ranked(design, rank)
            images = forecast.arrays["image"][of.start]
            frames += [(starts[rank] + j, images[step - 1]) for j, step in enumerate(steps)]
            parts.append(step_errors(forecast, of.start).assign(rank=rank, error=forecast.error))
        rows.append(_Row(label, frames, material.looks[design]))
    pitch = _pitch(rows, unit)
    sheet = pitch * unit * len(rows)
    height = _TOP + sheet + 0.06
    figure = Figure(figsize=(width, height))
    place = (margin / width, 0.06 / height, (width - margin - _RIGHT) / width, sheet / height)
    axis = figure.add_axes(place)
    _frames(axis, rows, columns, pitch, 1 / unit)
    for rank, left in starts.items():
        for j, step in enumerate(steps):
            _above(axis, left + j + 0.5 - _SPACE / 2, f"{step}")
        _heading(axis, left + len(steps) / 2, f"{rank} seed", "center")
    few = [design for design in designs if not _several(of.seeds[design])]
    counts = [len(of.seeds[design]) for design in designs]
    ranked = "Seeds are ranked by the image error of all starts, averaged over the horizon"
    words = [
        _start(of),
        f"Numbers above: steps ahead. {ranked}; {seed_range(counts)} with forecasts a design.",
    ]
    if few:
        words.append(f"One seed alone, shown three times: {', '.join(few)}.")
    caption = " ".join([*words, *_left_out(material, of), key_of(labels, designs)]).strip()
    data = pd.concat(parts, ignore_index=True)
    data.insert(0, "task", of.task)
    name, title = (
        _name(material, "forecast_seeds", of.task),
        f"Best, median and worst on {short_task(of.task)}",
    )
    return Drawn(name, title, caption, figure, data)


def _pitch(rows: Sequence[_Row], unit: float) -> float:
    """From row to row, in frames: a name may have more lines than a frame is high."""
    return max(1, _SPACE + max(row.label.count("\n") + 1 for row in rows) * _LINE / unit)


def _frames(axis: Axes, rows: Sequence[_Row], columns: float, pitch: float, inch: float) -> None:
    """The frames, and left of them each row's name with its line and marker; `inch` in frames."""
    edge, borders = 1 - _SPACE, []
    for i, row in enumerate(rows):
        top = i * pitch + (pitch - 1) / 2
        middle = top + edge / 2
        if row.frames:
            extent = (0, columns, top + edge, top)
            axis.imshow(mosaic(row.frames, columns), extent=extent, interpolation="none", aspect="auto")
        borders += [Rectangle((x, top), edge, edge) for x, _ in row.frames]
        axis.text(-0.3 * inch, middle, row.label, ha="right", va="center", fontsize=7, linespacing=1.1)
        if row.words:
            axis.text(columns / 2, middle, row.words, ha="center", va="center", color=GREY, style="italic")
        if row.look or i == 0:
            look = row.look or Look("black", ".")
            ends = [-0.25 * inch, -0.15 * inch, -0.05 * inch]
            axis.plot(ends, [middle] * 3, color=look.colour, ls=look.line, lw=1.2, clip_on=False)
            axis.plot(ends[1], middle, color=look.colour, marker=look.marker, ms=4, clip_on=False)
    axis.add_collection(
        PatchCollection(borders, facecolor="none", lw=0.4, edgecolor="#8c8c8c", clip_on=False)
    )
    axis.set_xlim(0, columns)
    axis.set_ylim(pitch * len(rows) - _SPACE, 0)
    axis.set_axis_off()


def mosaic(frames: Sequence[tuple[float, Bytes]], columns: float) -> Bytes:
    """One picture u8[h, columns x u, 4] of frames [3, h, w] at their places, clear between them.

    One picture a row is drawn much faster than one a frame; u is the width of a frame and its space.
    """
    _, height, width = frames[0][1].shape
    unit = width / (1 - _SPACE)
    picture = np.zeros((height, round(columns * unit), 4), dtype=np.uint8)
    for x, frame in frames:
        left = min(round(x * unit), picture.shape[1] - width)
        picture[:, left : left + width, :3] = np.moveaxis(frame, 0, -1)
        picture[:, left : left + width, 3] = 255
    return picture


def _above(axis: Axes, x: float, words: str) -> None:
    """A number above a column."""
    axis.annotate(
        words, (x, 0), xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=7
    )


def _heading(axis: Axes, x: float, words: str, align: str) -> None:
    """Words above the numbers of the columns."""
    axis.annotate(
        words,
        (x, 0),
        xytext=(0, 14),
        textcoords="offset points",
        ha=align,
        va="bottom",
        fontsize=7,
        color="#555555",
    )


def _rewards(
    axis: Axes,
    shown: Sequence[Forecast],
    start: int,
    steps: npt.NDArray[Any],
    centres: npt.NDArray[Any],
    looks: dict[str, Look],
) -> None:
    for forecast in shown:
        look = looks[forecast.design]
        values = forecast.arrays["reward_forecast"][start, steps - 1]
        axis.plot(centres, values, color=look.colour, marker=look.marker, ms=3, lw=1, ls=look.line)
    axis.plot(centres, shown[0].arrays["reward"][start, steps - 1], color="black", lw=1.6, marker=".", ms=4)
    axis.set_xticks(centres, [str(step) for step in steps])
    axis.locator_params(axis="y", nbins=4)
    axis.set_ylabel("Reward")
    axis.set_xlabel("Steps ahead")


def _start(of: Kept) -> str:
    episode, column = (int(value) for value in of.truth.arrays["start"][of.start])
    count = len(of.truth.arrays["start"])
    return (
        f"{DATASET.capitalize()} data, episode {episode}, column {column}: of {count} kept starts the one with the "
        "most movement."
    )


def _caption(material: Material, of: Kept, shown: Sequence[Forecast]) -> str:
    seeds = sorted({forecast.seed for forecast in shown})
    several = any(len(every) > 1 for every in of.seeds.values())
    which = "the seed with the median error" if several else "one run"
    numbers = f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
    words = [_start(of), f"Of each design {which} ({numbers})."]
    words.append("Rows: the mean forecast; of stochastic designs also one sample where there is room.")
    words.append("Below: rewards, in the colours and marks of the rows.")
    return " ".join([*words, *_left_out(material, of)])


def _left_out(material: Material, of: Kept) -> list[str]:
    words = []
    planned = material.results.runs
    planned = planned[(planned["task"] == of.task) & (planned["agent"] == "model")]
    missing = [d for d in dict.fromkeys(planned["design"]) if d not in of.seeds and d not in of.unequal]
    if missing:
        words.append(f"No forecasts yet of {plural(len(missing), 'design')}: {', '.join(map(str, missing))}.")
    if of.unequal:
        words.append(f"Left out, as forecast from other starts: {', '.join(of.unequal)}.")
    if len(of.seeds) > MOST_ROWS:
        words.append(f"The first {MOST_ROWS} of {len(of.seeds)} designs.")
    return words
