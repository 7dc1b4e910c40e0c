"""What an environment returns, taken apart: a task of one's own that breaks Gymnasium's interface, or its own spec,
ends the run with its name and the place in its code.
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from harness.errors import RunError

if TYPE_CHECKING:
    import gymnasium

    from harness.tasks.spec import TaskSpec

_RESET = ("observation", "info")
_STEP = ("observation", "reward", "terminated", "truncated", "info")
_SLACK = 1e-5


def reset(env: gymnasium.Env[Any, Any], seed: int | None, name: str, **further: Any) -> tuple[Any, Any]:
    """`env.reset`, of the task `name`.

    Raises:
        RunError: it did not return an observation and a dict.
    """
    returned = env.reset(seed=seed, **further)
    _check(env, "reset", returned, _RESET, name)
    observation, info = returned
    return observation, info


def step(env: gymnasium.Env[Any, Any], action: Any, name: str) -> tuple[Any, float, bool, bool, Any]:
    """`env.step`, of the task `name`.

    Raises:
        RunError: it did not return five values with a finite reward.
    """
    returned = env.step(action)
    _check(env, "step", returned, _STEP, name)
    observation, reward, terminated, truncated, info = returned
    try:
        gained = float(reward)
    except (TypeError, ValueError):
        gained = math.nan
    if not math.isfinite(gained):
        raise RunError(
            "code",
            f"the task {name}: its step() returned the reward {reward!r}{_place(env, 'step')}.",
            "A reward is a finite number.",
        )
    return observation, gained, bool(terminated), bool(truncated), info


def check_range(reward: float, spec: TaskSpec) -> None:
    """Ends a run whose task, one of the user's own, pays what its spec rules out.

    Raises:
        RunError: the reward of one action is outside `reward_range`.
    """
    if spec.reward_range is None or ":" not in spec.name:
        return
    low, high = spec.reward_range
    slack = _SLACK * max(1.0, abs(low), abs(high))
    if not low - slack <= reward <= high + slack:
        raise RunError(
            "code",
            f"the task {spec.name}: an action of {spec.action_repeat} step(s) paid {reward:g}, outside the range "
            f"[{low:g}, {high:g}] that its reward_range states.",
            "Correct reward_range in its class (None if unknown); what was collected stays valid.",
        )


def _check(
    env: gymnasium.Env[Any, Any], method: str, returned: Any, wanted: tuple[str, ...], name: str
) -> None:
    if isinstance(returned, tuple) and len(returned) == len(wanted) and isinstance(returned[-1], dict):
        return
    if not isinstance(returned, tuple):
        what = f"a {type(returned).__name__}"
    elif len(returned) != len(wanted):
        what = f"{len(returned)} values"
    else:
        what = f"a {type(returned[-1]).__name__} as info"
    raise RunError(
        "code",
        f"the task {name}: its {method}() returned {what}, not {', '.join(wanted)}{_place(env, method)}.",
        "Gymnasium describes what an environment returns; info is a dict.",
    )


def _place(env: gymnasium.Env[Any, Any], method: str) -> str:
    """` (/path/mine.py:41)`: where the innermost environment defines a method; empty where there is no source."""
    function = getattr(type(env.unwrapped), method)
    try:
        return f" ({inspect.getsourcefile(function)}:{inspect.getsourcelines(function)[1]})"
    except (OSError, TypeError):
        return ""
