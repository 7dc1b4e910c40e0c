"""Short looping videos for the page: truth above, forecast below, time-aligned; best, median and worst seed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from analysis.figures.kept import RANKS, Bytes, Forecast, Kept, kept
from analysis.material import Material
from analysis.words import plural

CONTEXT_FRAMES = 3
MOST_BYTES = 60_000
"""Of a video: quality goes down until it is smaller."""
STEP_MS, HOLD_MS = 160, 700
"""Milliseconds of a frame, and of the last one."""
_BORDER, _GAP = 2, 6
"""Pixels around a frame, and between seeds."""
_QUALITIES = (80, 65, 50, 35, 20, 8)
_GREY, _WHITE = (150, 150, 150), (255, 255, 255)


@dataclass(frozen=True)
class Video:
    """A looping video of one design's forecasts on a task.

    Attributes:
        ranks: what its columns are: rank and seed, such as `("best", 3)`, from the left.
        caption: what it shows, in one sentence.
        data: the file.
        mime: `image/webp`, or `image/gif` where this Pillow writes no WebP.
        size: width and height in pixels.
        steps: of the forecast.
    """

    design: str
    task: str
    ranks: tuple[tuple[str, int], ...]
    caption: str
    data: bytes
    mime: str
    size: tuple[int, int]
    steps: int


def videos(material: Material, task: str) -> list[Video]:
    """A video of each design that predicts images and kept forecasts on a task, in the order of the plan.

    The columns are seeds, ranked by the image error over all starts (`kept.kept`); above what happened, below the mean
    forecast. Frames have a grey border while both are the context, and the forecast one in the colour of the design.
    """
    found = kept(material, task)
    return [
        _video(found, design, material.looks[design].colour)
        for design, seeds in found.seeds.items()
        if seeds[0].images
    ]


def _video(found: Kept, design: str, colour: str) -> Video:
    every = found.seeds[design]
    ranks = RANKS if len(every) > 2 else ("best", "worst") if len(every) == 2 else ("best",)
    shown = [found.ranked(design, rank) for rank in ranks]
    pictures = _pictures(shown, found.start, colour)
    durations = [STEP_MS] * (len(pictures) - 1) + [HOLD_MS]
    data, mime = encoded(pictures, durations)
    width, height = pictures[0].size
    columns = tuple((rank, each.seed) for rank, each in zip(ranks, shown, strict=True))
    words = (
        ", ".join(f"{rank} (seed {seed})" for rank, seed in columns)
        if len(every) > 1
        else f"seed {shown[0].seed}"
    )
    steps = int(shown[0].arrays["truth"].shape[1])
    caption = f"{design}: {words}, of {plural(len(every), 'seed')}; above the truth, below the forecast, {steps} steps."
    return Video(design, found.task, columns, caption, data, mime, (width, height), steps)


def _pictures(shown: Sequence[Forecast], start: int, colour: str) -> list[Image.Image]:
    """Every moment: context frames, then the forecast's."""
    rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    parts = []
    for forecast in shown:
        arrays = forecast.arrays
        context = arrays["context"][start, -CONTEXT_FRAMES:]
        truth = np.concatenate([context, arrays["truth"][start]])
        below = np.concatenate([context, arrays["image"][start]])
        parts.append((truth, below, len(context)))
    moments = []
    for t in range(min(len(truth) for truth, _, _ in parts)):
        columns = [
            np.concatenate([_framed(truth[t], _GREY), _framed(below[t], rgb if t >= before else _GREY)])
            for truth, below, before in parts
        ]
        gap = np.full((columns[0].shape[0], _GAP, 3), _WHITE, dtype=np.uint8)
        row = [part for column in columns for part in (gap, column)][1:]
        moments.append(Image.fromarray(np.concatenate(row, axis=1)))
    return moments


def _framed(frame: Bytes, colour: Sequence[int]) -> Bytes:
    """A frame [3, h, w] with a border, as u8[h', w', 3]."""
    picture = np.moveaxis(frame, 0, -1)
    height, width, _ = picture.shape
    framed = np.empty((height + 2 * _BORDER, width + 2 * _BORDER, 3), dtype=np.uint8)
    framed[:] = np.asarray(colour, dtype=np.uint8)
    framed[_BORDER:-_BORDER, _BORDER:-_BORDER] = picture
    return framed


def encoded(pictures: Sequence[Image.Image], durations: Sequence[int]) -> tuple[bytes, str]:
    """An animation that loops for ever, as WebP of at most `MOST_BYTES` where that can be; else as GIF.

    Equal pictures give equal bytes.
    """
    from PIL import features

    if not features.check("webp"):
        return _gif(pictures, durations), "image/gif"
    data = b""
    for quality in _QUALITIES:
        file = io.BytesIO()
        pictures[0].save(
            file,
            "WEBP",
            save_all=True,
            append_images=list(pictures[1:]),
            duration=list(durations),
            loop=0,
            quality=quality,
            method=4,
        )
        data = file.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return data, "image/webp"


def _gif(pictures: Sequence[Image.Image], durations: Sequence[int]) -> bytes:
    file = io.BytesIO()
    pictures[0].save(
        file, "GIF", save_all=True, append_images=list(pictures[1:]), duration=list(durations), loop=0
    )
    return file.getvalue()
