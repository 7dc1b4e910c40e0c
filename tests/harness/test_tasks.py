"""Names, specs and the table of the suite, without a simulator where that is the promise."""

import json
import subprocess
import sys
import time

import pytest

from harness.config.sections import EnvConfig
from harness.errors import UserError
from harness.tasks import TaskSpec, check_task, find_task, task_exists, task_names
from harness.tasks.suite_table import SUITE, TIME_LIMIT


def test_specs_load_no_simulator_and_names_not_even_numpy():
    code = """
import sys
from harness.config.sections import EnvConfig
from harness.tasks import find_task, task_names, task_exists
names = task_names()
assert not {"numpy", "gymnasium", "torch"} & set(sys.modules), "task_names is for the command line"
specs = [find_task(name, EnvConfig()).spec for name in names]
assert len(specs) == len(names) > 150
assert not {"torch", "dm_control", "mujoco", "ale_py"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


_SUITE_AS_IT_IS = """
import json
from dm_control import suite
rows = {}
for domain, task in suite.ALL_TASKS:
    env = suite.load(domain, task, task_kwargs={"random": 0})
    physics = env.physics
    rows[f"{domain}-{task}"] = [
        env.action_spec().shape[0], physics.get_state().size, physics.model.ncam, env._step_limit
    ]
print(json.dumps(rows))
"""


@pytest.mark.slow
def test_the_table_is_what_dm_control_says(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _SUITE_AS_IT_IS], check=True, capture_output=True, text=True
    )
    actual = json.loads(child.stdout)
    table = {name: [row.action_dim, row.physics_dim, row.cameras] for name, row in SUITE.items()}
    assert table == {name: row[:3] for name, row in actual.items()}
    limits = {name: row[3] for name, row in actual.items()}
    for name, limit in limits.items():
        assert limit == (float("inf") if name.startswith("lqr") else pytest.approx(TIME_LIMIT)), name


def test_spec_resolves_the_configuration():
    spec = find_task("dmc/cheetah-run", EnvConfig()).spec
    assert (spec.action_repeat, spec.time_limit, spec.max_steps) == (4, 1000, 250)
    assert spec.image_shape == (3, 64, 64)
    assert spec.reward_range == (0.0, 4.0)
    assert spec.restores_state
    spec = find_task("dmc/cheetah-run", EnvConfig(action_repeat=3, time_limit=10, image_size=32)).spec
    assert (spec.action_repeat, spec.max_steps, spec.image_shape) == (3, 4, (3, 32, 32))


def test_state_dim_counts_what_a_reset_draws_anew():
    assert find_task("dmc/reacher-easy", EnvConfig()).spec.state_dim == 4 + 3
    assert find_task("dmc/manipulator-insert_peg", EnvConfig()).spec.state_dim == 22 + 2 * (3 + 4)
    assert not find_task("dmc/quadruped-escape", EnvConfig()).spec.restores_state


def test_lqr_is_the_one_that_ends_and_has_no_bound():
    for name in (name for name in task_names() if name.startswith("dmc/")):
        spec = find_task(name, EnvConfig()).spec
        assert spec.terminates == (spec.reward_range is None) == ("lqr" in name), name


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("dmc/cartpole-swing", "dmc/cartpole-swingup"),
        ("cheetah-run", "dmc/cheetah-run"),
        ("dmc/cheetah_run", "dmc/cheetah-run"),
        ("toy/pointmass", "toy/point-mass"),
        ("catch", "toy/catch"),
        ("Pong", "atari/Pong"),
        ("atari/pong", "atari/Pong"),
        ("atari/Pong-v5", "atari/Pong"),
    ],
)
def test_a_wrong_name_suggests_the_right_one(wrong, right):
    assert not task_exists(wrong)
    with pytest.raises(UserError, match=rf"unknown task {wrong} \(did you mean {right}\?\)"):
        find_task(wrong, EnvConfig())


@pytest.mark.parametrize("wrong", ["a.b:", ":C", "a b:C", "a..b:C", "dmc:cheetah run"])
def test_a_malformed_own_name_is_refused_without_importing(wrong):
    with pytest.raises(UserError, match=r"package\.module:Name"):
        check_task(wrong)


def test_checking_ten_thousand_names_takes_no_time():
    started = time.perf_counter()
    for _ in range(10_000):
        check_task("dmc/cheetah-run")
    assert time.perf_counter() - started < 0.5


def test_a_camera_that_does_not_exist_is_refused_before_anything_starts():
    with pytest.raises(UserError, match="cameras 0 to 1"):
        find_task("dmc/cheetah-run", EnvConfig(camera=2))
    with pytest.raises(UserError, match="one camera"):
        find_task("toy/point-mass", EnvConfig(camera=1))


def test_sticky_actions_are_for_atari_and_for_tasks_of_ones_own():
    sticky = EnvConfig(sticky=0.1)
    for name in ("dmc/cheetah-run", "toy/catch", "toy/point-mass"):
        with pytest.raises(UserError, match=r"env\.sticky \(0\.1\) is for Atari games"):
            find_task(name, sticky)
    find_task("atari/Pong", sticky)
    find_task(f"{__name__}:Own", sticky)


class Own:
    """A task of a user's own."""

    version = 3

    def __init__(self, env):
        shape = (3, env.image_size, env.image_size)
        self.spec = TaskSpec("own", 1, False, shape, 1, 10, None)

    def make(self):
        raise NotImplementedError


class NoVersion(Own):
    version = "1"


class NoSpec(Own):
    def __init__(self, env):
        self.spec = {}


class NoMake(Own):
    make = None


class NoArgument(Own):
    def __init__(self):
        pass


class Fails(Own):
    def __init__(self, env):
        super().__init__(env)
        self.size = {}["size"]


def test_a_task_of_ones_own():
    task = find_task(f"{__name__}:Own", EnvConfig(image_size=16))
    assert task.version == 3
    assert task.spec.image_shape == (3, 16, 16)
    assert task_exists("nowhere.at_all:Task")  # the form is right; finding it is find_task's


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("NoVersion", "integer attribute `version`"),
        ("NoSpec", "TaskSpec"),
        ("NoMake", "`make"),
        ("NoArgument", "env"),
        (
            "Fails",
            r"cannot be made as Fails\(env\): KeyError: 'size' \(.*test_tasks.py:[0-9]+, in __init__\)",
        ),
        ("Nobody", "has no Nobody"),
    ],
)
def test_a_task_of_ones_own_that_lacks_something_says_what(name, says):
    with pytest.raises(UserError, match=says):
        find_task(f"{__name__}:{name}", EnvConfig())


def test_an_own_task_from_nowhere():
    with pytest.raises(UserError, match="no module nowhere"):
        find_task("nowhere.at_all:Task", EnvConfig())
