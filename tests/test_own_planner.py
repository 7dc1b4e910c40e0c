"""The example of docs/adding-a-planner.md as its reader uses it: in a folder of its own, through the command line."""

import json
import re

import pytest

from harness.config import run_hex
from harness.entry import execute
from harness.registry import load
from studies.language import StudyError, expand, parse_study
from tests import user
from tests.harness.runs import make_run, tiny_config

SHORT = (
    *("train.episodes=3", "train.updates_per_episode=2", "train.batch=4", "exploration.cold_start=2"),
    *("evaluation.final_episodes=1", "evaluation.every=2", "evaluation.starts=4", "planner.proposals=8"),
    *("evaluation.probe_episodes=2", "train.forecast=4", "env.time_limit=12"),
)
STUDY = """
name: own
base: {size: tiny, env: {image_size: 16, time_limit: 12}, evaluation: {horizon: 4, context: 2}}
designs:
  mine: {predict: rewards, space: latent, dynamics: stochastic, planner: {%s}}
grid: {design: mine, task: %s}
"""
BROKEN = """
from my_planners.climb import HillClimber


class NoVersion(HillClimber):
    version = None


class NoPlan:
    version = 1

    def __init__(self, space, budget):
        self.horizon = budget.horizon


class Fails(HillClimber):
    def __init__(self, space, budget):
        self.depth = {"width": 3}["depth"]


class WrongShape(HillClimber):
    def plan(self, score, context, state, noise):
        plan, state = super().plan(score, context, state, noise)
        return plan._replace(action=plan.sequence), state


class FailsLate(HillClimber):
    def plan(self, score, context, state, noise):
        raise RuntimeError("no hill in sight")
"""


def line_of(text):
    return next(i for i, line in enumerate(BROKEN.splitlines(), 1) if text in line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = user.copy_example("my_planners", tmp_path_factory.mktemp("user"))
    (folder / "my_planners" / "broken.py").write_text(BROKEN)
    return folder


@pytest.fixture
def imported(folder, monkeypatch):
    """The folder, from which this process imports."""
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.slow
def test_its_study_runs_to_the_end(folder):
    fields = [*SHORT, "evaluation.horizon=4"]
    status, _, err = user.wm(folder, "run", "study.yaml", *fields, "--only", "seed=0")
    assert status == 0, err
    assert "2 done" in err
    status, out, _ = user.wm(folder, "status", "my-planners")
    assert status == 0
    assert "climb" in out


def test_the_oracle_may_plan_with_it(imported, tmp_path):
    settings = {"name": "my_planners.climb:HillClimber", "proposals": 8, "horizon": 3}
    run = make_run(
        tmp_path,
        tiny_config(
            agent="oracle", oracle=settings, evaluation__final_episodes=1, runtime__oracle_processes=1
        ),
    )
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error


def test_its_study_is_planned_(folder):
    status, out, err = user.wm(folder, "plan", "study.yaml", "--json")
    assert status == 0, err
    runs = json.loads(out)["runs"]
    assert {run["design"] for run in runs} == {"climb", "cem"}


def test_its_options_and_its_version_are_part_of_the_run(imported, monkeypatch):
    def hex_of(**options):
        return run_hex(tiny_config(planner__name="my_planners.climb:HillClimber", planner__options=options))

    before = hex_of()
    assert before == hex_of() != hex_of(step=0.1)
    monkeypatch.setattr(load("my_planners.climb:HillClimber"), "version", 2)
    assert hex_of() != before


@pytest.mark.parametrize(
    ("name", "options", "task", "message"),
    [
        ("climb:HillClimbr", "", "toy/point-mass", "has no HillClimbr (did you mean HillClimber?)"),
        (
            "clim:HillClimber",
            "",
            "toy/point-mass",
            "no module my_planners.clim (did you mean my_planners.climb?)",
        ),
        ("broken:NoVersion", "", "toy/point-mass", "needs an integer attribute `version`"),
        ("broken:NoPlan", "", "toy/point-mass", "it has no method draws, initial, plan"),
        (
            "broken:Fails",
            "",
            "toy/point-mass",
            f"KeyError: 'depth' (%s/my_planners/broken.py:{line_of('self.depth')}, in __init__)",
        ),
        ("climb:HillClimber", "steps: 2", "toy/point-mass", "unexpected keyword argument 'steps'"),
        (
            "climb:HillClimber",
            "",
            "toy/catch",
            "plans continuous actions only; for discrete ones there is cem",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(imported, name, options, task, message):
    text = STUDY % (f"name: my_planners.{name}, options: {{{options}}}", task)
    with pytest.raises(StudyError) as error:
        expand(parse_study(text, "own.yaml"))
    (line,) = str(error.value).splitlines()
    assert re.match(r"own\.yaml:5:[0-9]+: designs\.mine\.planner\.name: ", line)
    assert message.replace("%s", str(imported)) in line


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("WrongShape", "my_planners.broken:WrongShape: plan() returned action [1, 3, 2], not [1, 2]"),
        (
            "FailsLate",
            f"no hill in sight (%s/my_planners/broken.py:{line_of('raise RuntimeError')}, in plan)",
        ),
    ],
)
def test_a_run_that_fails_in_the_planners_code_says_where(imported, tmp_path, name, message):
    run = make_run(tmp_path, tiny_config(planner__name=f"my_planners.broken:{name}"))
    assert execute(run, datasets=tmp_path / "datasets") == "failed"
    error = run.read_state().error
    assert error.kind == "code"
    assert message.replace("%s", str(imported)) in error.message


def test_the_doc_shows_the_code_of_the_example():
    user.check_shown("adding-a-planner.md", "my_planners")
