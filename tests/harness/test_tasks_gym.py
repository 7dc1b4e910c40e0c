"""Any Gymnasium environment by its id, and a task of one's own from one."""

import json
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from harness.config.sections import EnvConfig
from harness.errors import RunError, UserError
from harness.tasks import check_task, find_task, registered, task_exists
from harness.tasks.actions import Intervals, actions_of
from harness.tasks.frames import square_frame
from harness.tasks.gym import FromGymnasium

SMALL = EnvConfig(image_size=16)
CLASSIC = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"]

try:
    import pygame
except ImportError:
    pygame = None
draws = pytest.mark.skipif(pygame is None, reason="needs pygame: pip install 'world-models-study[gym]'")


def make(name, **env):
    return find_task(f"gym/{name}", EnvConfig(**{"image_size": 16} | env)).make()


def actions_for(env, steps, seed=0):
    rng = np.random.default_rng(seed)
    if isinstance(env.action_space, spaces.Discrete):
        return rng.integers(env.action_space.n, size=steps).tolist()
    return list(rng.uniform(-1, 1, (steps, *env.action_space.shape)).astype(np.float32))


def play(env, seed, actions):
    """Frames, rewards and states of the beginning of an episode."""
    frame, info = env.reset(seed=seed)
    columns = [(frame, 0.0, info["state"])]
    for action in actions:
        frame, reward, terminated, truncated, info = env.step(action)
        columns.append((frame, reward, info["state"]))
        if terminated or truncated:
            break
    return [np.array(part) for part in zip(*columns, strict=True)]


class Drawn(gymnasium.Env):
    """Counts up by its action; ends for good at 5, is cut off after 20 steps, and draws what it is told to."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, action_space=None, picture=None, render_mode="rgb_array"):
        self.action_space = action_space or spaces.Discrete(3, start=-1)
        self.observation_space = spaces.Box(-9, 9, (2,), np.float32)
        self.picture = np.zeros((6, 8, 3), np.uint8) if picture is None else picture
        self.render_mode = render_mode
        self.count = self.steps = 0
        self.seen = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.seen.append(action)
        self.count += int(np.sum(action))
        self.steps += 1
        observation = np.array([self.count, self.steps], np.float32)
        return observation, float(self.count), self.count >= 5, self.steps >= 20, {}

    def render(self):
        return self.picture


class Own(FromGymnasium):
    version = 1
    action_repeat = 2
    time_limit = 12
    reward_range = (-2, 5)

    def environment(self):
        return Drawn()


@draws
@pytest.mark.parametrize("name", CLASSIC)
def test_gymnasium_accepts_it_and_a_seed_gives_its_frames_whatever_was_played_before(name):
    env = make(name)
    actions = actions_for(env, 25)
    first = play(env, 5, actions)
    play(env, 6, actions_for(env, 12, seed=1))
    for again in (play(env, 5, actions), play(make(name), 5, actions)):
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)
    assert (play(env, 7, [])[2] != first[2][0]).any()
    assert len(np.unique(first[0])) > 2  # something is drawn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(make(name), skip_render_check=True)


def test_specs_of_classic_control():
    spec = find_task("gym/CartPole-v1", EnvConfig()).spec
    assert (spec.name, spec.action_dim, spec.discrete) == ("gym/CartPole-v1", 2, True)
    assert (spec.action_repeat, spec.time_limit, spec.max_steps) == (1, 500, 500)
    assert (spec.terminates, spec.state_dim, spec.restores_state) == (True, 4, False)
    assert spec.reward_range == (0, 1)
    spec = find_task("gym/Pendulum-v1", EnvConfig(action_repeat=2, time_limit=1000, image_size=32)).spec
    assert (spec.action_dim, spec.discrete, spec.terminates) == (1, False, False)
    assert (spec.action_repeat, spec.max_steps, spec.image_shape) == (2, 500, (3, 32, 32))
    assert spec.reward_range == pytest.approx((-32.5472, 0), abs=1e-4)


@draws
def test_frames_rewards_and_states_are_the_environments_own():
    raw = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
    env = make("Pendulum-v1", action_repeat=2)
    observation, _ = raw.reset(seed=3)
    frame, info = env.reset(seed=3)
    for action in actions_for(env, 6):
        np.testing.assert_array_equal(frame, square_frame(raw.render(), 16))
        np.testing.assert_array_equal(info["state"], observation.astype(np.float64))
        rewards = []
        for _ in range(2):
            observation, reward, *_ = raw.step(2 * action)  # torque in [-2, 2]
            rewards.append(reward)
        frame, total, *_, info = env.step(action)
        assert total == pytest.approx(sum(rewards), rel=1e-5)


@draws
def test_the_time_limit_may_be_longer_or_shorter_than_the_registered_one():
    for limit, steps in ((7, 7), (None, 200), (230, 230)):
        env = make("Pendulum-v1", time_limit=limit, image_size=8)
        env.reset(seed=0)
        ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(steps)]
        assert ends == [(False, False)] * (steps - 1) + [(False, True)]
        with pytest.raises(ValueError, match="reset"):
            env.step(np.zeros(1, np.float32))


@draws
def test_a_fallen_pole_is_an_end_for_good():
    env = make("CartPole-v1")
    env.reset(seed=0)
    terminated, steps = False, 0
    while not terminated:
        _, reward, terminated, truncated, _ = env.step(1)
        steps += 1
        assert reward == 1.0
    assert not truncated
    assert steps < 20


class TestOfOnesOwn:
    def test_its_attributes_make_the_spec_and_the_configuration_wins(self):
        spec = find_task(f"{__name__}:Own", SMALL).spec
        assert spec.name == f"{__name__}:Own"
        assert (spec.action_dim, spec.discrete, spec.state_dim) == (3, True, 2)
        assert (spec.action_repeat, spec.time_limit, spec.reward_range) == (2, 12, (-4.0, 10.0))
        spec = find_task(f"{__name__}:Own", EnvConfig(action_repeat=1, time_limit=9)).spec
        assert (spec.action_repeat, spec.time_limit, spec.reward_range) == (1, 9, (-2.0, 5.0))
        with pytest.raises(UserError, match=r"one view, .* env\.camera is 1"):
            find_task(f"{__name__}:Own", EnvConfig(camera=1))

    def test_choices_count_from_its_own_start_and_rewards_are_summed(self):
        env = find_task(f"{__name__}:Own", SMALL).make()
        env.reset(seed=0)
        assert env.step(2)[1] == 1 + 2  # the environment's 1, twice
        assert env.step(1)[1] == 2 + 2
        assert env.step(0)[1] == 1 + 0
        assert env._env.seen == [1, 1, 0, 0, -1, -1]
        for action in (3, -1, 0.5, None):
            with pytest.raises(ValueError, match="whole number from 0 to 2"):
                env.step(action)

    def test_an_end_for_good_stops_a_repeat_and_is_no_truncation(self):
        env = find_task(f"{__name__}:Own", EnvConfig(image_size=16, action_repeat=4)).make()
        env.reset(seed=0)
        assert env.step(2)[1:4] == (10.0, False, False)
        assert env.step(2)[1:4] == (5.0, True, False)
        assert env._env.steps == 5

    def test_what_the_environment_truncates_is_truncated(self):
        env = find_task(f"{__name__}:Own", EnvConfig(image_size=16, action_repeat=8, time_limit=100)).make()
        env.reset(seed=0)
        assert [env.step(1)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
        assert env._env.steps == 20

    def test_a_task_that_says_it_never_ends_must_not(self, monkeypatch):
        monkeypatch.setattr(Own, "terminates", False)
        env = find_task(f"{__name__}:Own", SMALL).make()
        env.reset(seed=0)
        env.step(2)
        env.step(2)
        with pytest.raises(RunError, match="terminated after 5 steps, but its task says that it never does"):
            env.step(2)

    @pytest.mark.parametrize(
        ("environment", "says"),
        [
            (lambda: Drawn(render_mode=None), "draws no frames"),
            (
                lambda: Drawn(spaces.MultiDiscrete([2, 2])),
                r"its actions are MultiDiscrete\(\[2 2\]\); a task has",
            ),
            (lambda: Drawn(spaces.Box(-1, 1, (2, 2))), r"a Box of one dimension"),
            (lambda: Drawn(spaces.Box(0, 9, (2,), np.int32)), r"a Box of one dimension"),
            (lambda: Drawn(spaces.Box(3.0, np.inf, (1,))), r"bounds \[3.0\] and \[inf\] leave nothing"),
            (lambda: "an environment", "its environment is a str, not a gymnasium.Env"),
            (lambda: {}["x"], "KeyError: 'x'"),
        ],
    )
    def test_what_makes_no_task_is_refused_with_the_reason(self, monkeypatch, environment, says):
        monkeypatch.setattr(Own, "environment", lambda self: environment())
        with pytest.raises(UserError, match=says) as error:
            find_task(f"{__name__}:Own", EnvConfig(image_size=int(8 + abs(hash(says)) % 400)))
        assert f"{__name__}:Own" in str(error.value)

    @pytest.mark.parametrize("picture", [np.zeros((6, 8)), np.zeros((6, 8, 4), np.uint8), [1], "none"])
    def test_what_is_no_picture_ends_the_run_with_the_reason(self, monkeypatch, picture):
        monkeypatch.setattr(Own, "environment", lambda self: Drawn(picture=picture))
        with pytest.raises(RunError, match=r"its render\(\) returned .*, not (an array|uint8 \[h, w, 3\])"):
            find_task(f"{__name__}:Own", SMALL).make().reset(seed=0)


def test_actions_are_rescaled_to_finite_bounds_and_others_count_as_1():
    scale = Intervals(np.array([-2.0, 0.0, -np.inf, -3.4e38]), np.array([2.0, 10.0, np.inf, 0.5]))
    assert scale([0, 0, 0, 0]).tolist() == [0, 5, 0, -0.25]
    assert scale([1, 1, 1, 1]).tolist() == [2, 10, 1, 0.5]
    assert scale([-7, -1, -1, -1]).tolist() == [-2, 0, -1, -1]
    odd = spaces.Box(np.float32(-0.1), np.float32(0.3), (1,))
    for value in np.linspace(-1, 1, 101, dtype=np.float32):
        assert odd.contains(actions_of(odd)([value]))
    for wrong in ([0.0], [np.nan, 0, 0, 0], [[0, 0, 0, 0]]):
        with pytest.raises(ValueError, match="4 finite numbers"):
            scale(wrong)


def test_frames_are_means_of_areas():
    picture = np.random.default_rng(0).integers(256, size=(32, 48, 3), dtype=np.uint8)
    means = picture.reshape(8, 4, 8, 6, 3).mean((1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(square_frame(picture, 8), means, atol=1)  # Pillow rounds rows, then columns
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(square_frame(small, 4), small.repeat(2, 0).repeat(2, 1).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gym/CartPol-v1", r"unknown task gym/CartPol-v1 \(did you mean gym/CartPole-v1\?\)"),
        ("gym/CartPole", r"did you mean gym/CartPole-v1\?"),
        ("gym/CartPole-v9", r"did you mean gym/CartPole-v1\?"),
        ("gym/nowhere.at_all:Thing-v0", "no module nowhere; is its package installed beside wm"),
        ("gym/json:Thing-v0", "unknown task gym/json:Thing-v0: Gymnasium has no such id"),
        ("gym/two words", "write gym/<id>, such as gym/CartPole-v1"),
        ("gym/HalfCheetah-v2", "needs a package that is not installed: The mujoco v2"),
    ],
)
def test_a_wrong_id_is_refused_with_what_to_write(name, says):
    with pytest.raises(UserError, match=says):
        find_task(name, SMALL)


def test_a_missing_package_is_named_before_anything_runs(monkeypatch):
    monkeypatch.setattr(registered.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"draws with pygame.*pip install 'world-models-study\[gym\]'"):
        find_task("gym/CartPole-v1", EnvConfig(image_size=99))


def test_the_form_alone_is_checked_without_importing():
    assert task_exists("gym/nowhere.at_all:Name-v0")
    assert task_exists("gym/name_space/Name-v0")
    assert not task_exists("gym/")
    check_task("gym/CartPole-v1")


def test_a_module_that_registers_an_id_is_imported(tmp_path):
    (tmp_path / "registering.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import PendulumEnv\n"
        "gymnasium.register('mine/Swing-v3', PendulumEnv, max_episode_steps=33)\n"
        "gymnasium.register('Blind-v0', lambda: gymnasium.make('CartPole-v1'))\n"
    )
    code = """
import json
from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.registry import is_own_task, task_version
from harness.tasks import find_task
name = "gym/registering:mine/Swing-v3"
spec = find_task(name, EnvConfig()).spec
try:
    find_task("gym/registering:Blind-v0", EnvConfig())
except UserError as error:
    print(json.dumps([spec.name, spec.time_limit, str(error), is_own_task(name), task_version(name)]))
"""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:."},
    )
    assert not child.stderr
    name, limit, error, own, version = json.loads(child.stdout)
    assert (name, limit, own, version) == ("gym/registering:mine/Swing-v3", 33, False, 1)
    assert "draws no frames: its environment has no render_mode rgb_array" in error


def test_reading_a_spec_is_quiet_and_light():
    code = (
        "import sys\n"
        "from harness.config.sections import EnvConfig\n"
        "from harness.tasks import find_task\n"
        "find_task('gym/CartPole-v0', EnvConfig()); find_task('gym/Pendulum-v1', EnvConfig())\n"
        "assert not {'torch', 'mujoco', 'pygame'} & set(sys.modules)\n"
    )
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    assert child.stdout == child.stderr == ""
