"""The example of docs/adding-a-task.md as its reader uses it: in a folder of its own, through the command line."""

import importlib.util
import json

import pytest

from harness.entry import execute
from studies.language import StudyError, expand, parse_study
from tests import user
from tests.harness.runs import make_run, tiny_config

SHORT = (
    *("train.episodes=3", "train.updates_per_episode=2", "train.batch=4", "exploration.cold_start=2"),
    *("evaluation.final_episodes=1", "evaluation.every=2", "evaluation.starts=4", "planner.proposals=8"),
    *("evaluation.probe_episodes=2", "train.forecast=4"),
)
STUDY = """
name: own
base: {size: tiny, env: {image_size: 16, time_limit: 12}}
grid: {design: rewards-latent-stochastic, task: %s}
"""
BROKEN = """
import gymnasium
from gymnasium import spaces

from my_tasks.level import Level, LevelEnv


class NoVersion(Level):
    version = None


class NoEnvironment(Level):
    environment = Level.__bases__[0].environment


class Pairs(Level):
    def environment(self):
        env = LevelEnv()
        env.action_space = spaces.MultiDiscrete([2, 2])
        return env


class Fails(Level):
    def environment(self):
        return {"env": 3}["level"]


class BlindEnv(LevelEnv):
    def render(self):
        return None


class Blind(Level):
    def environment(self):
        return BlindEnv()


class LateEnv(LevelEnv):
    def step(self, action):
        if self.np_random.random() < 0.5:
            raise RuntimeError("the bar broke")
        return super().step(action)


class Late(Level):
    def environment(self):
        return LateEnv()
"""
needs_pygame = pytest.mark.skipif(not importlib.util.find_spec("pygame"), reason="needs pygame (extra gym)")


def line_of(text):
    return next(i for i, line in enumerate(BROKEN.splitlines(), 1) if text in line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = user.copy_example("my_tasks", tmp_path_factory.mktemp("user"))
    (folder / "my_tasks" / "broken.py").write_text(BROKEN)
    return folder


@pytest.fixture
def imported(folder, monkeypatch):
    """The folder, from which this process imports."""
    monkeypatch.syspath_prepend(str(folder))
    return folder


@needs_pygame
@pytest.mark.slow
def test_its_study_runs_to_the_end_and_the_report_shows_it(folder):
    status, _, err = user.wm(folder, "run", "study.yaml", *SHORT)
    assert status == 0, err
    assert "4 done" in err
    status, out, err = user.wm(folder, "report", "my-tasks")
    assert status == 0, err
    assert "my_tasks.level:Level" in out
    assert "my_tasks.cartpole:MiddleCartPole" in out


@needs_pygame
def test_its_study_is_planned(folder):
    status, out, err = user.wm(folder, "plan", "study.yaml", "--json")
    assert status == 0, err
    tasks = {run["task"] for run in json.loads(out)["runs"]}
    assert tasks == {"my_tasks.level:Level", "my_tasks.cartpole:MiddleCartPole"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_tasks.level:Levle", "module my_tasks.level has no Levle (did you mean Level?)"),
        ("my_tasks.levle:Level", "no module my_tasks.levle (did you mean my_tasks.level?)"),
        ("my_tasks.broken:NoVersion", "needs an integer attribute `version`"),
        ("my_tasks.broken:NoEnvironment", "my_tasks.broken:NoEnvironment needs a method environment()"),
        ("my_tasks.broken:Pairs", "its actions are MultiDiscrete([2 2]); a task has a vector of numbers"),
        (
            "my_tasks.broken:Fails",
            f"KeyError: 'level' (%s/my_tasks/broken.py:{line_of('return {')}, in environment)",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(imported, name, message):
    with pytest.raises(StudyError) as error:
        expand(parse_study(STUDY % name, "own.yaml"))
    (line,) = str(error.value).splitlines()
    assert line.startswith("own.yaml:4:49: grid.task: ")
    assert message.replace("%s", str(imported)) in line


def test_nothing_begins_if_something_is_wrong(folder):
    (folder / "own.yaml").write_text(STUDY % "my_tasks.broken:Pairs")
    status, out, err = user.wm(folder, "run", "own.yaml")
    assert (status, out) == (2, "")
    assert "own.yaml:4:49: grid.task: the task my_tasks.broken:Pairs: its actions are" in err
    assert not (folder / "runs" / "own").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Blind", "my_tasks.broken:Blind: its render() returned NoneType, not an array"),
        (
            "Late",
            f"RuntimeError: the bar broke (%s/my_tasks/broken.py:{line_of('raise RuntimeError')}, in step)",
        ),
    ],
)
def test_a_run_that_fails_in_the_tasks_code_says_where(imported, tmp_path, name, message):
    run = make_run(tmp_path, tiny_config(task=f"my_tasks.broken:{name}"))
    assert execute(run, datasets=tmp_path / "datasets") == "failed"
    error = run.read_state().error
    assert error.kind == "code"
    assert message.replace("%s", str(imported)) in error.message


def test_the_doc_shows_the_code_of_the_example():
    user.check_shown("adding-a-task.md", "my_tasks")
