"""Videos and pictures of frames and rewards, drawn with numpy and Pillow alone. Torch-free.

Frames go in and come out as uint8 arrays, channels first: [T, 3, h, w] for a sequence, [3, h, w] for a picture.
A forecast video, some starts side by side, over context and horizon::

    truth        c c c | t t t t      the last context frames, then what happened
    forecast     c c c | f f f f      framed in blue once it is a forecast
    difference         | d d d d      white where the two agree
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.disk import replacing
from harness.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

U8 = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Format = Literal["gif", "webp", "png"]
Point = tuple[float, float]
Colour = tuple[int, int, int]

FORMATS: dict[str, Format] = {".gif": "gif", ".webp": "webp", ".png": "png", ".apng": "png"}
"""What a file's suffix asks for; png is an animated PNG where there is more than one frame."""
EPISODE_FPS = 20.0
FORECAST_FPS = 4.0

_SIDE = (
    112  # frames are magnified by the smallest whole number that brings them to this side: text fits below
)
_INK, _GREY, _PALE = (40, 40, 40), (150, 150, 150), (228, 228, 228)
_BLUE = (0, 114, 178)
_FONT_SIZE = 12
_CAPTION = 18  # height of a line of text
_LABELS = 68  # width of the column of row names
_GAP = 6
_PALETTE_FRAMES = 16


def video_format(path: Path) -> Format:
    """The format that a file's suffix names.

    Raises:
        UserError: none that can be written; nothing else than Pillow is needed for the others.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        what = f"{path.suffix} videos cannot be written" if path.suffix else "the file needs a suffix"
        raise UserError(f"{path}: {what}; use .gif, .webp or .png (animated PNG)")
    return found


def save_video(path: Path, frames: U8, fps: float = EPISODE_FPS) -> None:
    """Writes frames u8[T, 3, h, w] in the format that the suffix names, atomically.

    Raises:
        UserError: a suffix that names no format.
        RunError: kind ``disk``.
    """
    content = encode(frames, video_format(path), fps)
    with replacing(path) as file:
        file.write(content)


def encode(frames: U8, form: Format = "gif", fps: float = EPISODE_FPS) -> bytes:
    """Encodes frames u8[T, 3, h, w] as a video that plays for T / fps seconds, over and over.

    A GIF has one palette of 256 colours for all its frames: what stands still is then stored once, which makes it
    several times smaller than palettes of their own would. A frame equal to the one before it is not stored again
    (that one is shown for longer), in any format.
    """
    assert frames.ndim == 4, frames.shape
    pictures = [_image(frame) for frame in frames]
    if form == "gif":
        pictures = _with_one_palette(pictures, frames)
    # A GIF counts in hundredths of a second, and browsers slow down what lasts less than two.
    duration = max(20, round(100 / fps) * 10) if form == "gif" else round(1000 / fps)
    options: dict[str, Any] = {"quality": 90, "method": 2} if form == "webp" else {}
    if len(pictures) > 1:
        options |= {"save_all": True, "append_images": pictures[1:], "duration": duration, "loop": 0}
    with io.BytesIO() as file:
        pictures[0].save(file, form.upper(), **options)
        return file.getvalue()


def _with_one_palette(pictures: Sequence[Image], frames: U8) -> list[Image]:
    """Colours chosen from frames spread over the whole sequence."""
    from PIL import Image

    some = frames[:: -(-len(frames) // _PALETTE_FRAMES)]
    palette = _image(np.concatenate(list(some), 1)).quantize(256, Image.Quantize.MEDIANCUT)
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]


def _image(frame: U8) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))


def episode_video(image: U8, reward: Floats, most: int = 500) -> U8:
    """An episode, with its step and its return so far in a line below.

    Args:
        image: u8[T, 3, h, w].
        reward: [T].
        most: frames; of a longer episode every second frame is shown, or every third, and so on.

    Returns:
        u8[n, 3, H, W].
    """
    so_far = np.cumsum(reward, dtype=np.float64)
    steps = range(0, len(image), -(-len(image) // most))
    return np.stack([_under(_magnify(image[t]), f"step {t}", f"return {_short(so_far[t])}") for t in steps])


def forecast_video(context: U8, truth: U8, forecast: U8, *, starts: int = 3, difference: bool = True) -> U8:
    """Forecasts below what happened, the first few starts side by side; see the head of this file.

    Args:
        context: u8[N, K, 3, h, w], the columns up to the start.
        truth: u8[N, H, 3, h, w].
        forecast: u8[N, H, 3, h, w].
        starts: how many of N are shown.
        difference: a third row, the absolute difference.

    Returns:
        u8[K + H, 3, height, width].
    """
    before, horizon = context.shape[1], truth.shape[1]
    shown = np.concatenate([context, truth], 1)[:starts]
    guess = np.concatenate([context, forecast], 1)[:starts]
    error = 255 - np.abs(shown.astype(np.int16) - guess).astype(np.uint8)
    rows = {"truth": shown, "forecast": guess} | ({"difference": error} if difference else {})
    frames = []
    for t in range(before + horizon):
        ahead = t - before + 1
        colour = _BLUE if ahead > 0 else _GREY
        parts = [
            _row(name, [_magnify(frame) for frame in sequence[:, t]], colour if name == "forecast" else None)
            for name, sequence in rows.items()
        ]
        when = f"step {ahead} of {horizon}" if ahead > 0 else "context"
        frames.append(_under(np.concatenate(parts, 1), when, indent=_LABELS))
    return np.stack(frames)


def reward_trace(truth: Floats, forecast: Floats, *, starts: int = 3) -> U8:
    """Rewards over the horizon, forecast and truth, a panel for each of the first few starts.

    Args:
        truth: [N, H].
        forecast: [N, H]; values that are not finite are left out.
        starts: how many of N are shown.

    Returns:
        u8[3, height, width].
    """
    truth, forecast = (np.asarray(rewards[:starts], np.float64) for rewards in (truth, forecast))
    finite = np.concatenate([truth, forecast]).ravel()
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.5
    chart = _Chart(len(truth), truth.shape[1], low - margin, high + margin)
    for panel in range(len(truth)):
        chart.panel(panel)
        chart.line(panel, truth[panel], _INK)
        chart.line(panel, forecast[panel], _BLUE)
    return chart.picture()


class _Chart:
    """Line panels side by side with one common scale, drawn large and shrunk, which smooths the lines."""

    width, height, left, top, bottom = 150, 100, 52, 24, 22
    fine = 3

    def __init__(self, panels: int, steps: int, low: float, high: float) -> None:
        from PIL import Image, ImageDraw

        self.panels, self.steps, self.low, self.high = panels, steps, low, high
        size = (self.left + panels * (self.width + _GAP) + _GAP, self.top + self.height + self.bottom)
        self.image: Image.Image = Image.new("RGB", (size[0] * self.fine, size[1] * self.fine), "white")
        self.draw = ImageDraw.Draw(self.image)
        self._words()

    def panel(self, index: int) -> None:
        """A frame with light lines at a quarter, a half and three quarters of the scale."""
        x, y = self._left(index), self.top
        for quarter in range(1, 4):
            level = y + self.height * quarter / 4
            self._stroke([(x, level), (x + self.width, level)], _PALE, 1)
        corners = [(x, y), (x + self.width, y), (x + self.width, y + self.height), (x, y + self.height)]
        self._stroke([*corners, corners[0]], _GREY, 1)
        self._text((x, y + self.height + 4), "1", _GREY)
        self._text((x + self.width, y + self.height + 4), f"step {self.steps}", _GREY, "ra")

    def line(self, index: int, values: Floats, colour: Colour) -> None:
        """A line with a dot at every step; it is interrupted where a value is not finite."""
        points: list[Point | None] = [
            self._at(index, step, float(value)) if np.isfinite(value) else None
            for step, value in enumerate(values)
        ]
        for one, two in pairwise(points):
            if one and two:
                self._stroke([one, two], colour, 2)
        for x, y in filter(None, points):
            box = [(x - 2) * self.fine, (y - 2) * self.fine, (x + 2) * self.fine, (y + 2) * self.fine]
            self.draw.ellipse(box, fill=colour)

    def picture(self) -> U8:
        """What was drawn, u8[3, height, width]."""
        from PIL import Image

        size = (self.image.width // self.fine, self.image.height // self.fine)
        return _channels_first(self.image.resize(size, Image.Resampling.BOX))

    def _words(self) -> None:
        for value, y in ((self.high, self.top), (self.low, self.top + self.height)):
            self._text((self.left - 5, y), f"{value:.3g}", _GREY, "rm")
        self._text((self.left, 4), "reward:", _INK)
        self._text((self.left + 48, 4), "truth", _INK)
        self._text((self.left + 82, 4), "forecast", _BLUE)

    def _left(self, index: int) -> float:
        return self.left + index * (self.width + _GAP)

    def _at(self, index: int, step: int, value: float) -> Point:
        across = step / max(1, self.steps - 1)
        up = (value - self.low) / (self.high - self.low)
        return self._left(index) + 6 + across * (self.width - 12), self.top + self.height * (1 - up)

    def _stroke(self, points: Sequence[Point], colour: Colour, width: int) -> None:
        fine = [(x * self.fine, y * self.fine) for x, y in points]
        self.draw.line(fine, fill=colour, width=width * self.fine, joint="curve")

    def _text(self, at: Point, text: str, colour: Colour, anchor: str = "la") -> None:
        place = (at[0] * self.fine, at[1] * self.fine)
        self.draw.text(place, text, fill=colour, font=_font(_FONT_SIZE * self.fine), anchor=anchor)


def _row(name: str, frames: Sequence[U8], border: Colour | None) -> U8:
    """A name and frames beside it, each with a border (white if None): u8[3, H, W]."""
    high, wide = frames[0].shape[1] + _GAP, frames[0].shape[2] + _GAP
    row = np.full((3, high, _LABELS + wide * len(frames)), 255, np.uint8)
    row[:, :, :_LABELS] = _label(name, high)
    edge = _GAP // 2
    for i, frame in enumerate(frames):
        x = _LABELS + i * wide
        if border is not None:
            row[:, 1 : high - 1, x + 1 : x + wide - 1] = np.reshape(border, (3, 1, 1))
        row[:, edge : high - edge, x + edge : x + wide - edge] = frame
    return row


def _label(name: str, high: int) -> U8:
    picture, draw = _canvas(_LABELS, high)
    draw.text((4, high / 2), name, fill=_INK, font=_font(_FONT_SIZE), anchor="lm")
    return _channels_first(picture)


def _under(frame: U8, left: str, right: str = "", indent: int = 0) -> U8:
    """A frame with a line of text below it."""
    wide = frame.shape[2]
    picture, draw = _canvas(wide, _CAPTION)
    draw.text((indent + 3, _CAPTION / 2), left, fill=_INK, font=_font(_FONT_SIZE), anchor="lm")
    draw.text((wide - 3, _CAPTION / 2), right, fill=_INK, font=_font(_FONT_SIZE), anchor="rm")
    return np.concatenate([frame, _channels_first(picture)], 1)


def _canvas(wide: int, high: int) -> tuple[Image, ImageDraw]:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (wide, high), "white")
    return picture, ImageDraw.Draw(picture)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _channels_first(picture: Image) -> U8:
    return np.asarray(picture).transpose(2, 0, 1)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"


def _magnify(frame: U8) -> U8:
    """u8[3, h, w] with every pixel repeated, so that small frames can be seen."""
    factor = -(-_SIDE // min(frame.shape[1:]))
    return frame.repeat(factor, 1).repeat(factor, 2)
