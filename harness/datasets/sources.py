"""The episodes that finished runs kept, as sources of a dataset: listed without their frames, read one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import yaml

from harness.config import RunConfig
from harness.datasets.holdout import episode_key
from harness.disk import ArrayReader
from harness.episodes import F64, U8, Episode, from_arrays
from harness.errors import UserError
from harness.replay.shards import is_finished, shard_files
from harness.rundir import RunDir
from harness.tasks.catalogue import find_task
from harness.tasks.spec import Task

Kind = Literal["replay", "evaluation"]
KINDS: tuple[Kind, ...] = ("replay", "evaluation")
"""Training episodes that retention kept, and the noise-free episodes of the final phase."""

_REMEDY = "Restore the file from a copy, or leave this run out."
_CHECKED_COLUMNS = 3


class Origin:
    """A finished run that episodes are taken from.

    Args:
        run: its directory.
        study: that it belongs to.
        design: as the study calls it.
    """

    def __init__(self, run: RunDir, study: str, design: str) -> None:
        self.run = run
        self.study = study
        self.design = design

    @property
    def id(self) -> str:
        return self.run.id

    @cached_property
    def config(self) -> RunConfig:
        return self.run.read_config()

    @cached_property
    def action_repeat(self) -> int:
        """Resolved."""
        return find_task(self.config.task, self.config.env).spec.action_repeat

    @cached_property
    def task_version(self) -> int | None:
        """That the run was made with."""
        found = (yaml.safe_load(self.run.config_file.read_text()).get("versions") or {}).get("task")
        return found if isinstance(found, int) else None


@dataclass(frozen=True)
class Found:
    """An episode that a run kept.

    Attributes:
        index: number of the episode in its run.
        key: see `episode_key`; that of its twins.
        framed: whether its frames were kept.
        has_state: whether its simulator states were.
        file: the npz that holds it, under ``<index>.<name>``.
        stored_bytes: that its frames take there.
    """

    origin: Origin
    kind: Kind
    index: int
    key: str
    columns: int
    total_return: float
    framed: bool
    has_state: bool
    file: Path
    stored_bytes: int

    @property
    def place(self) -> str:
        """Where it was kept, which tells it from any other; stays when a design or study is renamed."""
        return f"{self.origin.id[-12:]} {self.kind} {self.index}"

    def describe(self) -> dict[str, Any]:
        """For the manifest."""
        origin = self.origin
        return {
            "study": origin.study,
            "run": origin.id,
            "design": origin.design,
            "agent": origin.config.agent,
            "seed": origin.config.seed,
            "kind": self.kind,
            "index": self.index,
            "key": self.key,
            "return": self.total_return,
        }


def kept_episodes(origin: Origin, kind: Kind) -> list[Found]:
    """The episodes that a finished run kept, by their index; frames are not read.

    Raises:
        RunError: kind ``corrupt``: a file is damaged.
    """
    return [one for file in _files(origin.run, kind) for one in _outline(origin, kind, file)]


def read_episodes(chosen: Sequence[Found], renderer: Renderer) -> Iterator[Episode]:
    """The chosen episodes with their frames, in the order given; one in memory at a time.

    Args:
        chosen: those of one file should follow one another: it is then opened once.
        renderer: draws the frames that were not kept.

    Raises:
        RunError: kind ``corrupt``: a file is damaged; or rendering failed.
    """
    for file, members in groupby(chosen, key=lambda one: one.file):
        with ArrayReader(file, _REMEDY) as reader:
            for one in members:
                episode = _read(reader, one.index)
                if not episode.has_frames and episode.state is not None:
                    episode = replace(episode, image=renderer(episode.state))
                yield episode


def unrenderable(chosen: Iterable[Found], task: Task) -> str:
    """Why frames that were not kept cannot be drawn again, with the runs concerned; the empty string if all can."""
    missing = [one for one in chosen if not one.framed]
    why, wrong = f"{task.spec.name} cannot restore a simulator state", missing
    if task.spec.restores_state:
        why, wrong = "they kept no simulator states either", [one for one in missing if not one.has_state]
    if not wrong:
        changed = {one.origin.id for one in missing if one.origin.task_version not in {None, task.version}}
        why, wrong = (
            f"this code has version {task.version} of the task, they had another",
            [one for one in missing if one.origin.id in changed],
        )
    if not wrong:
        return ""
    runs = sorted({f"{one.origin.study}/{one.origin.id}" for one in wrong})
    return (
        f"{len(runs)} run{'s' * (len(runs) != 1)} kept no frames, and these cannot be rendered again: {why}; leave "
        "them out, or run them with storage.training_frames: all\n  " + "\n  ".join(runs)
    )


class Renderer:
    """Draws frames from simulator states; the simulator starts with the first frame. A context manager.

    Args:
        task: as it was configured when the states were recorded.
        tick: called after every frame; may raise to stop.
    """

    def __init__(self, task: Task, tick: Callable[[], None]) -> None:
        self._task = task
        self._tick = tick
        self._env: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._env is not None:
            self._env.close()

    def __call__(self, states: F64) -> U8:
        """f64[T, D] -> u8[T, 3, h, w]."""
        if self._env is None:
            self._env = self._task.make()
        frames = np.zeros((len(states), *self._task.spec.image_shape), np.uint8)
        for column, state in enumerate(states):
            self._env.unwrapped.set_state(state)
            frames[column] = self._env.unwrapped.frame()
            self._tick()
        return frames

    def difference(self, origin: Origin) -> int | None:
        """The largest difference, of 255, to frames that the run itself drew; None if it kept none to compare.

        Anything but 0 means another renderer: a GPU's differs from the software's.
        """
        kept = [one for one in kept_episodes(origin, "evaluation") if one.framed and one.has_state]
        if not kept:
            return None
        with ArrayReader(kept[0].file, _REMEDY) as reader:
            episode = _read(reader, kept[0].index)
        if episode.state is None:
            return None
        columns = np.unique(np.linspace(0, episode.columns - 1, _CHECKED_COLUMNS).astype(int))
        drawn = self(episode.state[columns]).astype(np.int16)
        return int(np.abs(drawn - episode.image[columns]).max())


def _files(run: RunDir, kind: Kind) -> list[Path]:
    if kind == "evaluation":
        final = run.evaluation / "final.npz"
        return [final] if final.exists() else []
    return shard_files(run.replay) if is_finished(run.replay) else []


def _outline(origin: Origin, kind: Kind, file: Path) -> Iterator[Found]:
    """The episodes of one npz, by their index."""
    with ArrayReader(file, _REMEDY) as reader:
        names = set(reader.names)
        for name in sorted(name for name in names if name.endswith(".reward")):
            number = name.removesuffix(".reward")
            if not number.isdigit():
                raise UserError(f"{file}: {name} is no array of an episode")
            reward = reader.read(name)
            image, state = f"{number}.image", f"{number}.physics"
            first_state = reader.read_row(state) if state in names else None
            action = reader.read(f"{number}.action")
            yield Found(
                origin,
                kind,
                int(number),
                episode_key(origin.config.task, origin.action_repeat, action, reward, first_state),
                columns=len(reward),
                total_return=float(reward.sum(dtype=np.float64)),
                framed=image in names,
                has_state=state in names,
                file=file,
                stored_bytes=reader.stored_bytes(image) if image in names else 0,
            )


def _read(reader: ArrayReader, index: int) -> Episode:
    names = ("image", "action", "reward", "is_last", "is_terminal", "physics")
    there = set(reader.names)
    stored = {name: f"{index:06d}.{name}" for name in names}
    return from_arrays({name: reader.read(file) for name, file in stored.items() if file in there})
