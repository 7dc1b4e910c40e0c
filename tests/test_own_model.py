"""The example of docs/adding-a-model.md as its reader uses it: in a folder of its own, through the command line."""

import functools
import importlib.util
import json
import re
import shutil
import subprocess
import sys

import pytest

from tests import user

SHORT = (
    *("train.episodes=4", "train.updates_per_episode=3", "train.batch=4", "exploration.cold_start=2"),
    *("evaluation.final_episodes=1", "evaluation.every=3", "evaluation.starts=4", "planner.proposals=8"),
)
STUDY = """
name: own
base: {task: toy/point-mass, size: tiny, env: {image_size: 16}}
designs:
  mine: {model: {%s}}
  ours: {predict: images, space: latent, dynamics: stochastic}
grid: {design: "*"}
"""
BROKEN = """
from dataclasses import replace

import torch

from my_models.flow import Flow


class NoVersion(Flow):
    version = None


class NotAModule:
    version = 1

    def __init__(self, spec, design):
        self.spec = spec


class Fails(Flow):
    def __init__(self, spec, design):
        super().__init__(spec, design)
        self.depth = {"width": 3}["depth"]


class Images(Flow):
    def __init__(self, spec, design):
        super().__init__(replace(spec, predict_images=True), design)


class WrongShape(Flow):
    def predict(self, belief, actions, noise, *, decode):
        forecast = super().predict(belief, actions, noise, decode=decode)
        return forecast._replace(reward=forecast.reward[..., None])


class FailsLate(Flow):
    def loss(self, batch, noise, progress):
        if progress > 0.5:
            raise RuntimeError("half of the updates are done")
        return super().loss(batch, noise, progress)


class Mixes(Flow):
    def observe(self, belief, obs, noise):
        return super().observe(belief, obs, noise) + belief.mean(0)
"""


def line_of(text):
    return next(i for i, line in enumerate(BROKEN.splitlines(), 1) if text in line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder outside the checkout: the example, and a module of broken models beside it."""
    folder = user.copy_example("my_models", tmp_path_factory.mktemp("user"))
    (folder / "my_models" / "broken.py").write_text(BROKEN)
    (folder / "my_models" / "typo.py").write_text("class Typo(:\n")
    return folder


@pytest.fixture(scope="module")
def wm(folder):
    """Calls the command line in that folder: (exit status, standard output, standard error)."""
    return functools.partial(user.wm, folder)


def write(folder, name, options=""):
    file = folder / "own.yaml"
    file.write_text(STUDY % f"name: {name}, options: {{{options}}}")
    return str(file)


@pytest.fixture(scope="module")
def finished(wm):
    """The runs of the example's study with both designs of the user's own, on a small budget."""
    status, _, err = wm("run", "study.yaml", *SHORT, "--only", "design=flow*", "--only", "seed=0")
    assert status == 0, err
    return err


@pytest.mark.slow
def test_its_study_runs_to_the_end_and_the_report_shows_it(wm, finished, folder):
    assert "2 done" in finished
    status, out, err = wm("report", "my-models")
    assert status == 0, err
    assert re.search(r"^\| flow +\|", out, re.MULTILINE)
    assert re.search(r"^\| flow-rewards +\|", out, re.MULTILINE)
    table = (folder / "runs" / "my-models" / "report" / "tables").glob("*.csv")
    assert all("None-None" not in file.read_text() for file in table)
    page = (folder / "runs" / "my-models" / "report" / "index.html").read_text()
    assert "flow-rewards" in page
    assert "None-None" not in page
    status, out, _ = wm("status", "my-models", "--json")
    assert status == 0
    assert "flow" in out


@pytest.mark.slow
def test_a_run_of_it_is_evaluated(wm, finished, folder):
    runs = {path.name.split("-point-mass")[0]: path for path in (folder / "runs/my-models/runs").iterdir()}
    for name, path in runs.items():
        status, out, err = wm("evaluate", path.name, "--episodes", "1", "--json")
        assert status == 0, err
        errors = json.loads(out)["open_loop"]
        assert ("image_error" in errors) == (name == "flow")
        assert len(errors["reward_error"]) == 8


@pytest.mark.slow
def test_a_run_without_a_study_is_called_by_the_class(wm, folder):
    (folder / "run.yaml").write_text("task: toy/point-mass\nmodel: {name: my_models.flow:Flow}\nsize: tiny\n")
    fields = [
        *SHORT,
        "env.image_size=16",
        "evaluation.horizon=4",
        "evaluation.probe_episodes=2",
        "train.forecast=4",
    ]
    status, _, err = wm("train", "run.yaml", "--output-dir", "alone", *fields)
    assert status == 0, err
    status, out, err = wm("evaluate", "alone", "--episodes", "1")
    assert "design: Flow" in out, err


def test_every_design_of_its_study_is_planned(wm):
    status, out, err = wm("plan", "study.yaml", "--json")
    assert status == 0, err
    assert {run["design"] for run in json.loads(out)["runs"]} == {"flow", "flow-rewards", "rssm"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_models.flow:Flwo", "module my_models.flow has no Flwo (did you mean Flow?)"),
        ("my_models.flwo:Flow", "no module my_models.flwo (did you mean my_models.flow?)"),
        ("my_modls.flow:Flow", "no module my_modls; is its package installed beside wm?"),
        ("my_models.typo:Typo", "cannot be imported: SyntaxError: invalid syntax"),
        ("my_models.broken:NoVersion", "needs an integer attribute `version`"),
        ("my_models.broken:NotAModule", "it makes a NotAModule, not a torch.nn.Module"),
        ("my_models.broken:Images", "a model of images needs predict: images in its design"),
        ("my_models.broken:Fails", f"broken.py:{line_of('self.depth')}, in __init__)"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_runs(wm, folder, name, message):
    file = write(folder, name)
    status, out, err = wm("run", file)
    assert status == 2
    assert not out
    assert message in err
    assert err.startswith(f"{file}:5:")
    assert len(err.splitlines()) == 1
    assert not (folder / "runs" / "own").exists()


def test_wrong_options_are_refused_in_the_models_own_words(wm, folder):
    file = write(folder, "my_models.flow:Flow", "unit: 3")
    status, _, err = wm("plan", file)
    assert status == 2
    assert err.startswith(f"{file}:5:")
    assert "my_models.flow:Flow: Flow has one option, units, a whole number from 1; not {'unit': 3}" in err
    assert f"({folder}/my_models/flow.py:" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message", "line"),
    [
        ("WrongShape", "predict: reward is [3, 5, 1]", line_of("def predict")),
        ("FailsLate", "RuntimeError: half of the updates are done", line_of("raise RuntimeError")),
    ],
)
def test_a_run_that_fails_in_the_models_code_says_where(wm, folder, name, message, line):
    shutil.rmtree(folder / "runs" / "own", ignore_errors=True)
    fields = [*SHORT, "evaluation.horizon=4", "evaluation.probe_episodes=2", "train.forecast=4"]
    status, _, err = wm("run", write(folder, f"my_models.broken:{name}"), *fields, "--only", "design=mine")
    assert status == 1
    (told,) = (text for text in err.splitlines() if text.startswith("1 failed, code: "))
    assert message in told
    assert f"{folder}/my_models/broken.py:{line}" in told
    assert "Traceback" not in err


class TestCheckModel:
    @pytest.mark.slow
    def test_the_example_passes(self, wm):
        status, out, err = wm("check-model", "my_models.flow:Flow", "predict=images", "env.image_size=16")
        assert status == 0, out + err
        assert "26 of 27 promises kept" in err
        assert "not checked" in out

    @pytest.mark.slow
    def test_a_broken_promise_is_1_and_names_the_line(self, wm, folder):
        status, out, err = wm("check-model", "my_models.broken:Mixes", "env.image_size=16", "--json")
        assert status == 1
        broken = {r["name"]: r["message"] for r in json.loads(out) if r["outcome"] == "broken"}
        assert broken["rows-apart"].startswith(
            "observe: the state of row 0 changes with the frames of the others"
        )
        assert broken["rows-apart"].endswith(
            f"(broken.py:{line_of('def observe')})".replace("(", f"({folder}/my_models/")
        )
        assert "broken: runs would fail" in err

    def test_a_basic_promise_ends_the_checks(self, wm):
        status, out, err = wm("check-model", "my_models.broken:WrongShape", "env.image_size=16")
        assert status == 1
        assert "BROKEN" in out
        assert "are checked once this one is kept" in err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["my_models.flow:Flwo"], "did you mean Flow?"),
            (["my_models.flow:Flow", "model.options.unit=3"], "Flow has one option, units"),
            (["my_models.flow:Flow", "predict=image"], "did you mean images?"),
            (["images-latent-stocastic"], "did you mean images-latent-stochastic?"),
        ],
    )
    def test_a_wrong_request_is_2(self, wm, arguments, message):
        status, out, err = wm("check-model", *arguments)
        assert status == 2
        assert message in err
        assert not out
        assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("setuptools"), reason="building a package needs setuptools")
def test_it_installs(folder, wm, tmp_path):
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-build-isolation",
        "--no-deps",
    ]
    source = user.copy_example("my_models", tmp_path)
    target = tmp_path / "installed"
    subprocess.run([*install, "--target", str(target), str(source)], check=True)
    status, out, err = wm("plan", "study.yaml", "--json", path=target)
    assert status == 0, err
    assert len(json.loads(out)["runs"]) == 6


def test_the_doc_shows_the_code_of_the_example():
    user.check_shown("adding-a-model.md", "my_models")
