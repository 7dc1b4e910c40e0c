"""One episode as arrays, in the timing convention of `models.types`, and its npz file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.disk import ArrayReader, save_arrays
from harness.errors import UserError
from harness.tasks.spec import TaskSpec

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Episode:
    """T columns: column 0 is the reset, with a zero action and a zero reward; the last is the episode's end.

    Attributes:
        image: u8[T, 3, h, w]; u8[T, 3, 0, 0] where frames were not kept.
        action: f32[T, A] in [-1, 1]; i64[T] where actions are discrete (the 0 in column 0 is no choice).
        reward: f32[T].
        is_last: bool[T], true in the last column alone.
        is_terminal: bool[T], true in the last column if the task ended for good (truncation does not count).
        state: f64[T, D] simulator state, or None. It is called `physics` in the npz file.

    Raises:
        UserError: the arrays are no episode; names every array that is wrong.
    """

    image: U8
    action: npt.NDArray[Any]
    reward: F32
    is_last: Bools
    is_terminal: Bools
    state: F64 | None = None

    def __post_init__(self) -> None:
        wrong = _shape_problems(self) or _content_problems(self)
        if wrong:
            raise UserError("not an episode: " + "; ".join(wrong))

    @property
    def columns(self) -> int:
        """T: steps + 1."""
        return len(self.reward)

    @property
    def length(self) -> int:
        """Steps played."""
        return len(self.reward) - 1

    @property
    def total_return(self) -> float:
        """The sum of rewards, in float64."""
        return float(self.reward.sum(dtype=np.float64))

    @property
    def has_frames(self) -> bool:
        return bool(self.image.shape[-1])

    def action_vectors(self, action_dim: int) -> F32:
        """Actions as models see them: f32[T, A], one-hot where they are discrete, zeros in column 0."""
        return action_vectors(self.action, action_dim)


def action_vectors(action: npt.NDArray[Any], action_dim: int) -> F32:
    """f32[T, A] as it is; i64[T] as one-hot f32[T, A] with zeros in column 0."""
    if action.ndim > 1:
        return action.astype(np.float32, copy=False)
    vectors: F32 = np.eye(action_dim, dtype=np.float32)[action]
    vectors[0] = 0
    return vectors


def save_npz(episode: Episode, path: Path) -> None:
    """Writes an episode as a compressed npz, atomically; equal episodes give equal bytes.

    Raises:
        RunError: kind ``disk``.
    """
    save_arrays(path, to_arrays(episode))


def load_npz(
    path: Path, remedy: str = "Restore the file from a copy, or remove it and make it again."
) -> Episode:
    """Reads an episode that `save_npz` wrote.

    Raises:
        RunError: kind ``corrupt``: missing, truncated or damaged.
        UserError: whole, but no episode.
    """
    with ArrayReader(path, remedy) as reader:
        content = {name: reader.read(name) for name in reader.names}
    try:
        return from_arrays(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def to_arrays(episode: Episode) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the npz format; no `image` where frames were not kept, no `physics` without a state."""
    arrays = {"image": episode.image} if episode.has_frames else {}
    arrays |= {name: getattr(episode, name) for name in ("action", "reward", "is_last", "is_terminal")}
    return arrays if episode.state is None else arrays | {"physics": episode.state}


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Episode:
    """An episode from the arrays of the npz format.

    Raises:
        UserError: arrays are missing or wrong; names all of them.
    """
    missing = [name for name in ("action", "reward", "is_last", "is_terminal") if name not in arrays]
    if missing:
        raise UserError(
            f"not an episode: no {', '.join(missing)} (it holds {', '.join(sorted(arrays)) or 'nothing'})"
        )
    columns = _common_length(arrays.values())
    return Episode(
        image=arrays["image"] if "image" in arrays else np.zeros((columns, 3, 0, 0), np.uint8),
        action=arrays["action"],
        reward=arrays["reward"],
        is_last=arrays["is_last"],
        is_terminal=arrays["is_terminal"],
        state=arrays.get("physics"),
    )


def spec_problems(episode: Episode, spec: TaskSpec) -> list[str]:
    """What of an episode does not fit a task, one phrase each; nothing if it fits."""
    wrong = layout_problems(episode, spec)
    if wrong:
        return wrong
    if spec.discrete:
        outside = (episode.action < 0) | (episode.action >= spec.action_dim)
        wrong += _at("action", episode.action, outside, f"is no choice of 0..{spec.action_dim - 1}")
    else:
        outside = np.abs(episode.action).max(axis=1, initial=0) > 1 + _TOLERANCE
        wrong += _at("action", episode.action, outside, "is outside [-1, 1]")
    if spec.reward_range is not None:
        low, high = spec.reward_range
        slack = _TOLERANCE * max(1.0, abs(low), abs(high))
        outside = (episode.reward < low - slack) | (episode.reward > high + slack)
        outside[0] = False  # the reset has no reward, whatever the range
        wrong += _at("reward", episode.reward, outside, f"is outside the task's range [{low:g}, {high:g}]")
    if episode.is_terminal.any() and not spec.terminates:
        wrong.append(f"is_terminal is set, but {spec.name} never terminates")
    if episode.length > spec.max_steps:
        wrong.append(f"{episode.length} steps, but {spec.name} ends after {spec.max_steps}")
    return wrong


def layout_problems(episode: Episode, spec: TaskSpec) -> list[str]:
    """What of an episode's shapes and types does not fit a task."""
    wrong = []
    if episode.image.shape[1:] != tuple(spec.image_shape):
        wrong.append(
            f"image is {list(episode.image.shape[1:])} per column, {spec.name} has {list(spec.image_shape)}"
        )
    action = (episode.action.dtype.kind, *episode.action.shape[1:])
    wanted = ("i",) if spec.discrete else ("f", spec.action_dim)
    if action != wanted:
        kind = "int64 [T]" if spec.discrete else f"float32 [T, {spec.action_dim}]"
        wrong.append(f"action is {_describe(episode.action)}, {spec.name} has {kind}")
    if episode.state is not None and spec.state_dim and episode.state.shape[1] != spec.state_dim:
        wrong.append(
            f"physics has {episode.state.shape[1]} numbers per column, {spec.name} has {spec.state_dim}"
        )
    return wrong


class Recorder:
    """Collects an episode while it is played.

    Args:
        spec: the task's.
        image: u8[3, h, w], what `reset` returned, and its `info`.
    """

    def __init__(self, spec: TaskSpec, image: npt.NDArray[Any], info: Mapping[str, Any]) -> None:
        self._spec = spec
        nothing = 0 if spec.discrete else np.zeros(spec.action_dim, np.float32)
        self._images: list[U8] = []
        self._actions: list[Any] = []
        self._rewards: list[float] = []
        self._states: list[F64] = []
        self._terminal = False
        self._push(nothing, image, 0.0, info)

    def add(
        self, action: Any, image: npt.NDArray[Any], reward: float, terminated: bool, info: Mapping[str, Any]
    ) -> None:
        """Takes in what `step(action)` returned; `terminated` ends the episode for good."""
        self._push(np.array(action), image, reward, info)
        self._terminal = terminated

    def episode(self) -> Episode:
        """The episode up to the last `add`.

        Raises:
            UserError: what the environment returned is no episode of its spec.
        """
        columns = len(self._rewards)
        last = np.arange(columns) == columns - 1
        kind = np.int64 if self._spec.discrete else np.float32
        episode = Episode(
            image=np.stack(self._images),
            action=np.stack([np.asarray(a, kind) for a in self._actions]),
            reward=np.asarray(self._rewards, np.float32),
            is_last=last,
            is_terminal=last & self._terminal,
            state=np.stack(self._states) if self._spec.state_dim else None,
        )
        wrong = layout_problems(episode, self._spec)
        if wrong:
            raise UserError(f"task {self._spec.name}: its environment returned " + "; ".join(wrong))
        return episode

    def _push(self, action: Any, image: npt.NDArray[Any], reward: float, info: Mapping[str, Any]) -> None:
        self._images.append(np.array(image))  # copies: an environment may reuse its buffers
        self._actions.append(action)
        self._rewards.append(float(reward))
        if self._spec.state_dim:
            if "state" not in info:
                raise UserError(
                    f"task {self._spec.name}: state_dim is {self._spec.state_dim}, but info has no state"
                )
            self._states.append(np.array(info["state"], np.float64))


def _describe(array: npt.NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _common_length(arrays: Iterable[npt.NDArray[Any] | None]) -> int:
    """T of most arrays, so that the one that is wrong is blamed; that of the first in a tie, 0 without any."""
    lengths = Counter(len(array) for array in arrays if array is not None and array.ndim)
    return lengths.most_common(1)[0][0] if lengths else 0


def _shape_problems(episode: Episode) -> list[str]:
    reward = episode.reward
    if reward.dtype != np.float32 or reward.ndim != 1 or len(reward) < 2:
        return [f"reward is {_describe(reward)}; expected float32 [T], T at least 2"]
    image, action, state = episode.image, episode.action, episode.state
    T = _common_length([reward, image, action, episode.is_last, episode.is_terminal, state])
    continuous = action.dtype == np.float32 and action.ndim == 2
    discrete = action.dtype == np.int64 and action.ndim == 1
    wrong = [] if len(reward) == T else [f"reward is {_describe(reward)}; expected float32 [{T}]"]
    if image.dtype != np.uint8 or image.ndim != 4 or image.shape[:2] != (T, 3):
        wrong.append(f"image is {_describe(image)}; expected uint8 [{T}, 3, h, w]")
    if not (continuous or discrete) or len(action) != T:
        wrong.append(
            f"action is {_describe(action)}; expected float32 [{T}, A], or int64 [{T}] where discrete"
        )
    for name in ("is_last", "is_terminal"):
        flags = getattr(episode, name)
        if flags.dtype != np.bool_ or flags.shape != (T,):
            wrong.append(f"{name} is {_describe(flags)}; expected bool [{T}]")
    if state is not None and (state.dtype != np.float64 or state.ndim != 2 or len(state) != T):
        wrong.append(f"physics is {_describe(state)}; expected float64 [{T}, D]")
    return wrong


def _content_problems(episode: Episode) -> list[str]:
    wrong = []
    if episode.reward[0] != 0 or np.any(episode.action[0] != 0):
        wrong.append("column 0 is the reset: its action and reward must be zero")
    wrong += _at("reward", episode.reward, ~np.isfinite(episode.reward), "must be finite")
    if episode.action.ndim > 1:
        wrong += _at("action", episode.action, ~np.isfinite(episode.action).all(axis=1), "must be finite")
    before = np.arange(episode.columns) < episode.length
    if not episode.is_last[-1] or episode.is_last[:-1].any():
        wrong.append("is_last must be true in the last column alone")
    wrong += _at(
        "is_terminal", episode.is_terminal, episode.is_terminal & before, "stands before the last column"
    )
    return wrong


def _at(name: str, values: npt.NDArray[Any], where: Bools, what: str) -> list[str]:
    """``reward[17] = nan must be finite (and 3 more)``."""
    found = np.flatnonzero(where)
    if not len(found):
        return []
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return [f"{name}[{found[0]}] = {values[found[0]].tolist()} {what}{more}"]
