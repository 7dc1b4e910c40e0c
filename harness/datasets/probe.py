"""The probe: one dataset per task that all designs are scored on, whatever they do themselves.

Episodes take turns at what plays them: uniformly random actions, smooth noise and, where it is asked for and the task
can be simulated, the noisy oracle. That one plans on the true simulator with a small budget, and smooth noise
takes over at a part of the steps that differs from episode to episode: so there are good episodes and ones in
between. An episode's content depends on the task and its index alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from harness.config.sections import EnvConfig, OracleConfig
from harness.datasets.fixed import Dataset, build
from harness.datasets.turns import Heartbeat
from harness.episodes import Episode, Recorder
from harness.registry import PROBE, planner_version
from harness.tasks.spec import Task, TaskSpec

if TYPE_CHECKING:
    from harness.oracle import OracleAgent

BEHAVIOURS = ("random", "smooth")
ORACLE = "oracle"
_CORRELATION_STEPS = (2.0, 20.0)  # of smooth noise, drawn per episode, log-uniform
_SCALE = (0.3, 1.0)  # of smooth noise, drawn per episode; values beyond [-1, 1] are clipped

ORACLE_PLANNER = OracleConfig(
    name=PROBE.planner, horizon=10, iterations=2, proposals=16, elites=3, action="best"
)
"""The noisy oracle's planner and its budget: some ten seconds an episode of cartpole or cheetah."""
ORACLE_PLANS = 500
"""Steps of an episode that are planned; in a longer one, smooth noise plays the others."""
_NOISY_STEPS = (0.0, 0.8)  # part of the oracle's steps that noise plays, drawn per episode, uniform

log = logging.getLogger("wm")
Actions = Iterator[Any]
"""An endless stream of an episode's actions: f32[A] in [-1, 1], or integers."""


def probe_dataset(
    root: Path,
    task: Task,
    env: EnvConfig,
    episodes: int,
    *,
    oracle: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> Dataset:
    """The task's probe under ``root/probe/<hex>``, built if it is not there.

    Args:
        root: RUNS/datasets.
        task: as configured.
        env: what it was configured with.
        episodes: they take turns at the behaviours.
        oracle: whether the noisy oracle is one of them; without effect where the task does not simulate.
        tick: called after every step and while another process builds; may raise to stop.

    Raises:
        RunError: kind ``disk``, ``corrupt``, or what building the environment raises.
    """
    heartbeat = Heartbeat(tick)
    recipe = _recipe(task, env, episodes, oracle=oracle)
    with closing(_play(task, env, recipe, heartbeat)) as played:
        return build(
            probe_directory(root, task, env, episodes, oracle=oracle), played, recipe, heartbeat=heartbeat
        )


def probe_directory(root: Path, task: Task, env: EnvConfig, episodes: int, *, oracle: bool = False) -> Path:
    """Where that dataset is."""
    recipe = _recipe(task, env, episodes, oracle=oracle)
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return root / "probe" / hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _recipe(task: Task, env: EnvConfig, episodes: int, *, oracle: bool) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "kind": "probe",
        "probe_version": PROBE.version,
        "task": task.spec.name,
        "task_version": task.version,
        "env": env.model_dump(mode="json"),
        "episodes": episodes,
        "behaviours": list(BEHAVIOURS),
    }
    if oracle and task.spec.simulates:
        fields = ("name", "horizon", "iterations", "proposals", "elites", "action", "warm_start", "std_floor")
        recipe["behaviours"].append(ORACLE)
        recipe[ORACLE] = {
            **{field: getattr(ORACLE_PLANNER, field) for field in fields},
            "planner_version": planner_version(ORACLE_PLANNER.name),
            "plans": ORACLE_PLANS,
            "noisy_steps": list(_NOISY_STEPS),
        }
    return recipe


def _play(
    task: Task, env: EnvConfig, recipe: dict[str, Any], heartbeat: Heartbeat
) -> Generator[Episode, None, None]:
    """Plays the episodes; the environment is made when the first one is asked for."""
    with ExitStack() as stack:
        environment = stack.enter_context(closing(task.make()))
        player: OracleAgent | None = None
        behaviours, episodes = recipe["behaviours"], recipe["episodes"]
        for index in range(episodes):
            behaviour = behaviours[index % len(behaviours)]
            log.info("probe of %s: episode %d of %d (%s)", task.spec.name, index + 1, episodes, behaviour)
            rng = np.random.default_rng(_seed_sequence(task.spec.name, index, "actions"))
            if behaviour == ORACLE:
                player = player or stack.enter_context(_oracle(task, env))
                actions = _noisy_oracle(player, environment, task.spec, index, rng)
            else:
                actions = _actions(behaviour, task.spec, rng)
            yield _play_one(environment, task.spec, index, actions, heartbeat)


def _play_one(
    environment: gymnasium.Env[Any, Any], spec: TaskSpec, index: int, actions: Actions, heartbeat: Heartbeat
) -> Episode:
    start = int(_seed_sequence(spec.name, index, "environment").generate_state(1)[0]) >> 1
    image, info = environment.reset(seed=start)
    recorder = Recorder(spec, image, info)
    over = False
    while not over:
        action = next(actions)
        image, reward, terminated, truncated, info = environment.step(action)
        recorder.add(action, image, float(reward), terminated, info)
        over = terminated or truncated
        heartbeat()
    return recorder.episode()


def _oracle(task: Task, env: EnvConfig) -> OracleAgent:
    """The oracle of the probe, in this process; no seed of a run enters its streams."""
    from harness.oracle import make_oracle
    from harness.streams import Streams

    return make_oracle(ORACLE_PLANNER, task, env, Streams(0, task.spec.name, ""), processes=1)


def _noisy_oracle(
    player: OracleAgent,
    environment: gymnasium.Env[Any, Any],
    spec: TaskSpec,
    index: int,
    rng: np.random.Generator,
) -> Actions:
    """The oracle's action from where the environment is, or smooth noise."""
    share = rng.uniform(*_NOISY_STEPS)
    noise = _actions("smooth", spec, rng)
    state = player.initial(1)
    for step in count():
        other = next(noise)
        if step >= ORACLE_PLANS:
            yield other
            continue
        planned, state = player.act(state, environment, ("probe", index, step))
        noisy = rng.random() < share
        yield other if noisy else (int(planned.argmax()) if spec.discrete else planned)


def _seed_sequence(task: str, index: int, purpose: str) -> np.random.SeedSequence:
    """A stream of random numbers that depends on these three alone."""
    key = hashlib.sha256(json.dumps(["probe", task, index, purpose]).encode()).digest()
    return np.random.SeedSequence(np.frombuffer(key, "<u4").tolist())


def _actions(behaviour: str, spec: TaskSpec, rng: np.random.Generator) -> Actions:
    tau = float(np.exp(rng.uniform(*np.log(_CORRELATION_STEPS))))
    scale = rng.uniform(*_SCALE)
    keep = np.exp(-1 / tau) if behaviour == "smooth" else 0.0
    if spec.discrete:
        return _sticky_choices(spec.action_dim, keep, rng)
    if behaviour == "random":
        return _uniform(spec.action_dim, rng)
    return _coloured(spec.action_dim, keep, scale, rng)


def _uniform(dim: int, rng: np.random.Generator) -> Actions:
    while True:
        yield rng.uniform(-1, 1, dim).astype(np.float32)


def _coloured(dim: int, keep: float, scale: float, rng: np.random.Generator) -> Actions:
    """A stationary autoregressive process of standard deviation `scale`, clipped to [-1, 1]."""
    value = rng.standard_normal(dim)
    while True:
        yield np.clip(scale * value, -1, 1).astype(np.float32)
        value = keep * value + np.sqrt(1 - keep**2) * rng.standard_normal(dim)


def _sticky_choices(choices: int, keep: float, rng: np.random.Generator) -> Actions:
    """Uniform choices, each repeated with probability `keep`."""
    choice = int(rng.integers(choices))
    while True:
        yield choice
        if rng.random() >= keep:
            choice = int(rng.integers(choices))
