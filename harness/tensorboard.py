"""TensorBoard events of a run: scalars of metrics.jsonl, episode and forecast videos, reward traces.

`tensorboard/` holds nothing that the run needs, and can be rebuilt from the rest of its directory: scalars from
metrics.jsonl, pictures of the final phase from `eval/` and `forecasts/`. Pictures of earlier measurements exist in
the events alone; a rebuild carries them over as far as metrics.jsonl knows the measurement. So a resumed run begins
with a rebuild, which drops what came after its checkpoint, and appends from there.

The x axis is env_steps; of an offline run, which takes none, grad_steps. Tags are ``train/loss``,
``evaluation/return`` (the mean over the episodes of one evaluation),
``open_loop/probe/image_error_mean/{mean,first,last}`` (over the horizon), with ``final/`` before what the final phase
measured. Videos are GIFs written as image summaries, which need no video encoder.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.disk import ArrayReader, disk_errors, replacing
from harness.episodes import Episode
from harness.errors import RunError
from harness.events import Moment, framed, framed_in, opening, picture_event, picture_key, scalar_event
from harness.pictures import (
    EPISODE_FPS,
    FORECAST_FPS,
    U8,
    encode,
    episode_video,
    forecast_video,
    reward_trace,
)
from harness.rundir import RunDir

_MEASURED = ("evaluation", "open_loop")
_PLACES = {"kind", "phase", "dataset", "behaviour", "nonfinite", "episode", "starts", "samples"} | {
    "iteration",
    "env_steps",
    "grad_steps",
    "wall_seconds",
}
"""Fields of a record that say where it stands, and are no curves."""
_MOST_MEASUREMENTS = (
    10  # scheduled measurements that are shown as pictures: as many as TensorBoard keeps of a tag
)
_MOST_FRAMES = 100  # of an episode's video
_REMEDY = "Remove the file: the run's metrics and summary do not need it."

Record = dict[str, Any]
Arrays = Mapping[str, Any]


@dataclass
class _Content:
    """Events to write, and which pictures are among them."""

    events: list[bytes] = field(default_factory=list)
    pictures: set[tuple[str, int]] = field(default_factory=set)


class TensorBoard:
    """Keeps the events of a running run current.

    Args:
        run: metrics.jsonl is cut to the checkpoint; what is in `tensorboard/` is replaced.
        config: of the run.

    Raises:
        RunError: the extra is not installed, or the disk is full.
    """

    def __init__(self, run: RunDir, config: RunConfig) -> None:
        self.run = run
        self.path, self._offset = _rebuild(run)
        self._last: Record | None = None
        self._begun = _begun(run)
        self._every = config.evaluation.every
        measurements = config.train.episodes // self._every
        self._stride = max(1, -(-measurements // _MOST_MEASUREMENTS))

    def follow(self) -> None:
        """Adds the scalars of the lines that metrics.jsonl has gained."""
        records, self._offset = _read(self.run.metrics, self._offset)
        measured = [record for record in records if record["kind"] in _MEASURED]
        self._last = measured[-1] if measured else self._last
        self._append(_scalars(records, self._begun))

    def measured(self, episodes: Sequence[Episode], forecasts: Mapping[str, Arrays]) -> None:
        """Adds scalars and pictures of a measurement whose lines were just written.

        Args:
            episodes: as played; the first one is shown.
            forecasts: arrays as in ``forecasts/<dataset>.npz``, by dataset.
        """
        self.follow()
        record = self._last
        if record is None:
            return
        due = (record["iteration"] + 1) // self._every % self._stride == 0
        if record["phase"] == "final" or due:
            moment = Moment(_step(record), self._begun + record["wall_seconds"])
            shown = (episodes[0].image, episodes[0].reward) if episodes else None
            pictures = _draw(_prefix(record), shown, forecasts)
            self._append(_video_event(moment, tag, picture) for tag, picture in pictures)

    def _append(self, events: Iterable[bytes]) -> None:
        """Writes nothing if the file is gone: another process has built the events anew."""
        if self.path.exists():
            with disk_errors(self.path), self.path.open("ab") as file:
                file.write(b"".join(map(framed, events)))


def open_board(run: RunDir, config: RunConfig) -> TensorBoard | None:
    """The events of a run that writes some (`storage.tensorboard`), else None."""
    return TensorBoard(run, config) if config.storage.tensorboard else None


def require() -> None:
    """Checks that the extra is there.

    Raises:
        RunError: it is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise RunError(
            "code",
            "storage.tensorboard is on, but TensorBoard is not installed.",
            "Install it with: pip install 'world-models-study[tensorboard]' or set storage.tensorboard: false.",
        )


def rebuild(run: RunDir) -> Path:
    """Writes the events of a run anew from its directory; returns their file.

    Raises:
        RunError: the extra is not installed, the disk is full, or a file of the run is damaged.
    """
    return _rebuild(run)[0]


def _rebuild(run: RunDir) -> tuple[Path, int]:
    """The new events file, and how many bytes of metrics.jsonl it covers."""
    require()
    records, offset = _read(run.metrics, 0)
    begun = _begun(run)
    old = sorted(run.tensorboard.glob("events.out.tfevents.*"))
    content = _Content(list(opening(begun)))
    content.events += _scalars(records, begun)
    _add_final_pictures(content, run, records, begun)
    for path in old:
        _carry_over(content, path, {_step(record) for record in records if record["kind"] in _MEASURED})
    number = 1 + max((int(path.name.split(".")[3]) for path in old), default=0)
    path = run.tensorboard / f"events.out.tfevents.{number:010d}.wm"
    with disk_errors(path):
        run.tensorboard.mkdir(exist_ok=True)
        side = run.tensorboard / "unfinished"  # a name that TensorBoard does not read
        with replacing(side) as file:
            file.write(b"".join(map(framed, content.events)))
        side.replace(path)
        for superseded in old:
            superseded.unlink(missing_ok=True)
    return path, offset


def _add_final_pictures(content: _Content, run: RunDir, records: Sequence[Record], begun: float) -> None:
    """From what the final phase has left in `eval/` and `forecasts/`."""
    final = [record for record in records if record["kind"] in _MEASURED and record["phase"] == "final"]
    if not final:
        return
    moment = Moment(_step(final[-1]), begun + final[-1]["wall_seconds"])
    shown = None
    if (run.evaluation / "final.npz").exists():
        with ArrayReader(run.evaluation / "final.npz", _REMEDY) as reader:
            if "000000.image" in reader.names:
                shown = reader.read("000000.image"), reader.read("000000.reward")
    forecasts = {}
    for path in sorted(run.forecasts.glob("*.npz")):
        with ArrayReader(path, _REMEDY) as reader:
            forecasts[path.stem] = {name: reader.read(name) for name in reader.names}
    for tag, picture in _draw(_prefix(final[-1]), shown, forecasts):
        content.events.append(_video_event(moment, tag, picture))
        content.pictures.add((tag, moment.step))


def _carry_over(content: _Content, path: Path, steps: set[int]) -> None:
    """Pictures of an earlier events file that cannot be drawn again, of measurements at `steps`."""
    for data in framed_in(path):
        key = picture_key(data)
        if key is not None and key[1] in steps and key not in content.pictures:
            content.events.append(data)
            content.pictures.add(key)


def _draw(
    prefix: str, episode: tuple[U8, Any] | None, forecasts: Mapping[str, Arrays]
) -> Iterator[tuple[str, U8]]:
    """Tags and frames [T, 3, h, w] of one measurement."""
    if episode is not None:
        yield f"{prefix}evaluation/episode", episode_video(*episode, most=_MOST_FRAMES)
    for name, arrays in forecasts.items():
        if "image" in arrays:
            video = forecast_video(arrays["context"], arrays["truth"], arrays["image"], starts=2)
            yield f"{prefix}open_loop/{name}/forecast", video
        trace = reward_trace(arrays["reward"], arrays["reward_forecast"])
        yield f"{prefix}open_loop/{name}/reward", trace[None]


def _video_event(moment: Moment, tag: str, frames: U8) -> bytes:
    fps = EPISODE_FPS if tag.endswith("episode") else FORECAST_FPS
    height, width = frames.shape[-2:]
    return picture_event(moment, tag, encode(frames, "gif", fps), height, width)


def _scalars(records: Iterable[Record], begun: float) -> Iterator[bytes]:
    """An event for each run of records of one kind at one step, with the mean of each of their numbers."""
    for (tag, step), group in groupby(records, lambda record: (_tag(record), _step(record))):
        values: dict[str, list[float]] = {}
        seconds = 0.0
        for record in group:
            seconds = record["wall_seconds"]
            for name, value in _numbers(record):
                values.setdefault(f"{tag}/{name}", []).append(value)
        means = {name: sum(found) / len(found) for name, found in values.items()}
        if means:
            yield scalar_event(Moment(step, begun + seconds), means)


def _numbers(record: Record) -> Iterator[tuple[str, float]]:
    """Names and finite values of a record; of a list over the horizon, its mean and its ends."""
    for name, value in record.items():
        if name in _PLACES:
            continue
        if isinstance(value, (int, float)):
            yield name, value
        elif isinstance(value, list):
            ends = {"first": value[:1], "last": value[-1:], "mean": value}
            for which, part in ends.items():
                finite = [number for number in part if number is not None]
                if finite:
                    yield f"{name}/{which}", sum(finite) / len(finite)


def _step(record: Record) -> int:
    """Where a record stands on the x axis."""
    steps: int = record["env_steps"] or record["grad_steps"]
    return steps


def _tag(record: Record) -> str:
    dataset = f"/{record['dataset']}" if "dataset" in record else ""
    return f"{_prefix(record)}{record['kind']}{dataset}"


def _prefix(record: Record) -> str:
    return "final/" if record.get("phase") == "final" else ""


def _read(path: Path, offset: int) -> tuple[list[Record], int]:
    """The whole lines of metrics.jsonl from a byte on, and where they end."""
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        whole, _, _ = file.read().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole) + bool(whole)


def _begun(run: RunDir) -> float:
    """When the first attempt began, in unix seconds."""
    return next((float(one["time"]) for one in run.read_attempts() if one["event"] == "start"), 0.0)
