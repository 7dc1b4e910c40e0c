"""Small episodes for the tests of episodes, replay and datasets."""

import numpy as np

from harness.episodes import Episode
from harness.tasks.spec import TaskSpec

SPEC = TaskSpec(
    name="toy/test",
    action_dim=2,
    discrete=False,
    image_shape=(3, 4, 4),
    action_repeat=1,
    time_limit=50,
    reward_range=None,
    restores_state=True,
    state_dim=3,
)
DISCRETE = TaskSpec(
    name="toy/discrete",
    action_dim=4,
    discrete=True,
    image_shape=(3, 4, 4),
    action_repeat=1,
    time_limit=50,
    reward_range=(-10.0, 10.0),
    terminates=True,
)


def make_episode(columns: int, seed: int = 0, spec: TaskSpec = SPEC, **changes) -> Episode:
    """A random episode; frame t holds the value of (seed, t) everywhere, so that a clip says its place."""
    rng = np.random.default_rng(seed)
    if spec.discrete:
        action = rng.integers(spec.action_dim, size=columns)
    else:
        action = rng.uniform(-1, 1, (columns, spec.action_dim)).astype(np.float32)
    reward = rng.normal(size=columns).astype(np.float32)
    action[0], reward[0] = 0, 0
    last = np.arange(columns) == columns - 1
    value = (np.arange(columns) + 37 * seed) % 256
    fields = {
        "image": np.broadcast_to(value[:, None, None, None], (columns, *spec.image_shape)).astype(np.uint8),
        "action": action,
        "reward": reward,
        "is_last": last,
        "is_terminal": last & spec.terminates,
        "state": rng.normal(size=(columns, spec.state_dim)) if spec.state_dim else None,
    }
    return Episode(**(fields | changes))


def same(a: Episode, b: Episode, *, frames: bool = True) -> bool:
    """Whether two episodes are equal, bit for bit."""
    names = ["action", "reward", "is_last", "is_terminal", *(["image"] if frames else [])]
    equal = all(
        getattr(a, n).dtype == getattr(b, n).dtype and np.array_equal(getattr(a, n), getattr(b, n))
        for n in names
    )
    states = (a.state is None) == (b.state is None) and (a.state is None or np.array_equal(a.state, b.state))
    return equal and states
