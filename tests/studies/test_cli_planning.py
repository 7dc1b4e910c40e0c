"""`wm init`, `wm plan` and `wm schema` as a user calls them."""

from __future__ import annotations

import json

import pytest
import typer
import yaml
from typer.testing import CliRunner

from harness.errors import UserError
from studies.cli import planning
from studies.cli.costs import hours_in_words
from studies.freeze import freeze
from studies.language import StudyError
from studies.plan import read_plan
from studies.schema import schema_text

TEXT = """\
name: small
base: {dynamics: stochastic}
designs: {a: {predict: rewards, space: latent}, b: {predict: images, space: latent}}
grid: {design: "*", task: [toy/point-mass, dmc/cartpole-balance], seed: range(3), reward_gradient: [shared, stopped]}
exclude: [{design: a, seed: 2, task: toy/*}]
include: [{agent: random, task: toy/point-mass}]
"""


@pytest.fixture
def wm(tmp_path, monkeypatch):
    """Calls a verb in an empty folder; what it raises comes through."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WM_RUNS", raising=False)
    app = typer.Typer()
    planning.register(app)

    def call(*arguments):
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_plan_prints_the_json_of_the_contract(wm, tmp_path):
    (tmp_path / "s.yaml").write_text(TEXT)
    result = wm("plan", "s.yaml", "train.batch=3", "--json")
    content = json.loads(result.stdout)
    assert list(content) == ["study", "runs", "dropped", "cost"]
    assert content["study"] == "small"
    assert list(content["runs"][0]) == ["id", "design", "task", "seed", "state", "config"]
    assert len(content["runs"]) == 5 + 12 + 1
    assert {run["config"]["train"]["batch"] for run in content["runs"]} == {3}
    assert {run["state"] for run in content["runs"]} == {"pending"}
    assert {drop["reason"].partition(" ")[0] for drop in content["dropped"]} == {
        "excluded",
        "reward_gradient",
    }
    assert content["dropped"][0] == {
        "cell": {"design": "a", "task": "toy/point-mass", "seed": 2, "reward_gradient": "shared"},
        "reason": "excluded by exclude[0] (line 5)",
    }
    assert content["cost"]["basis"]
    assert list(tmp_path.iterdir()) == [tmp_path / "s.yaml"]


def test_plan_shows_a_matrix_reasons_and_cost(wm, tmp_path):
    (tmp_path / "s.yaml").write_text(TEXT)
    text = wm("plan", "s.yaml", "--diff").stdout
    assert "small: 18 runs, 3 seeds" in text
    assert "dropped 2 cells: excluded by exclude[0] (line 5)\n" in text
    (stopped,) = [line for line in text.splitlines() if line.startswith("dropped 5 cells")]
    assert stopped.endswith(" nothing to learn from [line 4; design: a]")
    assert (
        "dropped 5 cells: reward_gradient stopped leaves a design that predicts rewards only nothing" in text
    )
    assert "18 runs of 18 to do" in text
    assert "18 new, 0 done" in text


def test_plan_selects(wm, tmp_path):
    (tmp_path / "s.yaml").write_text(TEXT)
    content = json.loads(wm("plan", "s.yaml", "--json", "--only", "seed=0,1", "--only", "design=a").stdout)
    assert [(run["task"], run["seed"]) for run in content["runs"]] == [
        (task, seed) for task in ("toy/point-mass", "dmc/cartpole-balance") for seed in (0, 1)
    ]
    with pytest.raises(UserError, match="selects none"):
        wm("plan", "s.yaml", "--only", "design=x*")


def test_a_wrong_file_starts_nothing(wm, tmp_path):
    (tmp_path / "s.yaml").write_text(TEXT + "bas: {}\n")
    with pytest.raises(StudyError, match=r"^s.yaml:7:1: bas: unknown key \(did you mean base\?\)$"):
        wm("plan", "s.yaml")
    assert list(tmp_path.iterdir()) == [tmp_path / "s.yaml"]


def test_init_writes_a_study_that_plans_and_overwrites_nothing(wm, tmp_path):
    wm("init", "mine")
    text = (tmp_path / "mine.yaml").read_text()
    assert "name: mine " in text
    assert "NAME" not in text
    assert len(json.loads(wm("plan", "mine.yaml", "--json").stdout)["runs"]) == 3 * 3 + 3
    with pytest.raises(UserError, match=r"mine\.yaml exists already"):
        wm("init", "mine")
    assert (tmp_path / "mine.yaml").read_text() == text


@pytest.mark.parametrize(
    "name", ["null", "true", "1", "1e5", "010", "no", "2020-99-99", "1_0", "0o7", "mine"]
)
def test_init_quotes_a_name_that_is_no_text(wm, tmp_path, name):
    wm("init", f"{name}.yaml")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.yaml"]
    assert json.loads(wm("plan", f"{name}.yaml", "--json").stdout)["study"] == name
    assert yaml.safe_load((tmp_path / f"{name}.yaml").read_text())["name"] == name


def test_a_difference_is_json_too(wm, tmp_path):
    (tmp_path / "s.yaml").write_text(TEXT.replace(", reward_gradient: [shared, stopped]", ""))
    freeze(read_plan("s.yaml", tmp_path / "runs"))
    content = json.loads(wm("plan", "s.yaml", "train.batch=3", "--diff", "--json").stdout)["diff"]
    assert content["changed"] == [{"field": "train.batch", "before": 50, "after": 3, "runs": 11}]
    assert len(content["stale"]) == 11
    assert content["unused"] == []


@pytest.mark.parametrize("name", ["../x", "a/b", "", "datasets", ".yaml", "a/b.yaml"])
def test_init_refuses_a_name_that_is_no_folder(wm, tmp_path, name):
    with pytest.raises(UserError):
        wm("init", name)
    assert list(tmp_path.iterdir()) == []


def test_the_starters_comments_are_right_too(wm, tmp_path):
    """What is commented out works when it is not."""
    wm("init", "mine")
    path = tmp_path / "mine.yaml"
    opened = [
        line.replace("# ", "", 1) if ": [" in line and line.lstrip().startswith("# ") else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(opened))
    runs = json.loads(wm("plan", "mine.yaml", "--json").stdout)["runs"]
    assert len(runs) == (3 * 3 - 1) * 2 * 2 + 3
    assert {run["config"]["resources"]["hours"] for run in runs} == {12, 24}


def test_schema_prints_and_checks_the_file(wm):
    assert wm("schema").stdout == schema_text()
    assert "is current" in wm("schema", "--check").stderr


def test_times_are_told_in_units_that_show_them():
    words = [hours_in_words(hours) for hours in (0, 21 / 3600, 0.5, 2.5, 48, 1200.54)]
    assert words == ["0 hours", "21 s", "30 min", "2.5 hours", "48 hours", "1,200.5 hours"]
