"""`wm list` as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from harness.build import build_model, make_streams
from harness.config import RunConfig
from harness.cost import model_cost
from harness.errors import UserError
from harness.registry import MODELS, PLANNERS
from harness.tasks import find_task
from harness.tasks.catalogue import task_names
from studies import components
from studies.cli import listing
from studies.components import FORMS, Setting, models
from studies.language.names import CANONICAL
from studies.language.reference import known_designs
from tests.models.designs import DESIGNS

SMALL = ("--size", "tiny", "--image-size", "32", "--actions", "2")


def wm(*arguments):
    app = typer.Typer()
    listing.register(app)

    @app.command()
    def other() -> None:
        """With one verb alone, typer has no verbs."""

    result = CliRunner().invoke(app, ["list", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def rows():
    return json.loads(wm("models", *SMALL, "--json").stdout)


def test_the_eight_corners_come_first_and_every_form_is_there(rows):
    assert [row["design"] for row in rows[:8]] == list(CANONICAL)
    assert all((row["variant"], row["reward_from"], row["reward_gradient"]) == ("standard", "state", "shared")
               for row in rows[:8])  # fmt: skip
    axes = ("predict", "space", "dynamics", "reward_from", "reward_gradient", "variant")
    listed = {tuple(row[axis] for axis in axes) for row in rows}
    assert len(listed) == len(rows)
    assert listed >= set(map(tuple, DESIGNS))
    assert {(row["predict"], row["space"], row["variant"]) for row in rows} == set(MODELS)


def test_every_row_says_what_it_is_and_costs(rows):
    for row in rows:
        assert row["refused"] is None
        assert 0 < row["parameters"] <= row["training_parameters"]
        assert row["flops_per_step"] > 0
        assert row["predicts"] == (["images", "rewards"] if row["predict"] == "images" else ["rewards"])
        assert row["class"] == MODELS[row["predict"], row["space"], row["variant"]].path
        assert (row["reward_class"] is not None) == (row["reward_gradient"] == "separate")
        windowed = row["space"] == "pixel" or row["variant"] == "window"
        assert row["context"] == (0 if row["variant"] == "actions" else 2 if windowed else None)
        assert row["horizon_limit"] == (12 if row["variant"] == "feedforward" else None)


@pytest.mark.parametrize("name", ["images-latent-stochastic", "rewards-pixel-stochastic"])
def test_the_numbers_are_those_that_a_run_records(name):
    """Counted without memory for weights, and on a model that has some."""
    axes = {**CANONICAL[name], "size": "tiny", "env": {"image_size": 32}}
    config = RunConfig.model_validate({"task": "toy/point-mass", **axes})
    spec = find_task(config.task, config.env).spec
    cost = model_cost(build_model(config, spec, make_streams(config)))
    row = next(row for row in models(Setting("tiny", 32, spec.action_dim)) if row["design"] == name)
    assert (row["training_parameters"], row["parameters"], row["flops_per_step"]) == (
        cost.training_parameters,
        cost.parameters,
        cost.flops_per_step,
    )


def test_a_separate_reward_model_plans_alone(rows):
    def of(design, gradient):
        return next(row for row in rows if (row["design"], row["reward_gradient"]) == (design, gradient))

    alone = of("rewards-latent-stochastic", "shared")
    separate = of("images-latent-stochastic", "separate")
    assert separate["parameters"] == alone["parameters"]
    assert separate["training_parameters"] > of("images-latent-stochastic", "shared")["training_parameters"]


def test_more_actions_and_a_larger_preset_cost_more():
    def planning(**setting):
        base = {"size": "tiny", "image_size": 32, "actions": 2} | setting
        rows = models(Setting(**base))
        return next(rows)["parameters"]

    assert planning() < planning(actions=6)
    assert planning() < planning(size="small")


def test_a_size_that_a_family_does_not_take_is_told(rows):
    odd = list(models(Setting("bench", 30)))  # sides that some families do not take either
    assert len(odd) == len(rows)
    refused = {row["refused"] for row in odd if row["refused"]}
    assert any("no size bench" in why for why in refused)
    assert all((row["parameters"] is None) == bool(row["refused"]) for row in odd)


def test_the_table_fits_100_columns(monkeypatch, rows):
    monkeypatch.setattr(components, "models", lambda setting: iter(rows))
    text = wm("models", *SMALL).stdout
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert "size tiny, frames of 32 x 32 pixels, 2 action dimensions" in text
    assert "window, reward from image *" in text
    assert "forecasts of at most train.forecast (12) steps" in text
    assert "models.sv2p:SV2P: images-pixel" in text


@pytest.mark.parametrize(
    ("wrong", "right"), [("planner", "planners"), ("Tasks", "tasks"), ("desing", "designs")]
)
def test_what_cannot_be_listed_is_answered_with_the_nearest_that_can(wrong, right):
    result = wm(wrong)
    assert result.exit_code == 2
    assert f"(did you mean {right}?)" in " ".join(result.stderr.replace("│", " ").split())


def test_designs_planners_and_tasks():
    designs = json.loads(wm("designs", "--json").stdout)
    assert [row["design"] for row in designs] == list(known_designs())
    rewnet = next(row for row in designs if row["design"] == "reference-rewnet")
    assert (rewnet["reward_from"], rewnet["reward_gradient"], rewnet["fields"]["train.batch"]) == (
        "image",
        "stopped",
        50,
    )
    assert designs[0]["fields"] == {}
    planners = {row["planner"]: row for row in json.loads(wm("planners", "--json").stdout)}
    assert list(planners) == list(PLANNERS) == list(components.PLANNER_SOURCES)
    assert planners["icem"]["options"]["noise_exponent"] == 2.0
    assert (planners["cem"]["discrete"], planners["mppi"]["discrete"]) == (True, False)
    assert planners["shooting"]["budget"] == ["horizon", "proposals"]
    assert [row["task"] for row in json.loads(wm("tasks", "--json").stdout)] == task_names()


def test_the_list_of_tasks_has_every_task_and_set_within_100_columns():
    text = wm("tasks").stdout
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    for name in task_names():
        assert name.removeprefix("atari/") in text
    assert "gym/<id>, such as gym/CartPole-v1" in text
    assert "Pong 6," in text
    assert "seven: the seven dm_control tasks usually studied from pixels" in text
    rows = {row["task"]: row for row in json.loads(wm("tasks", "--json").stdout)}
    assert rows["dmc/walker-walk"]["sets"] == ["seven", "reference"]
    assert rows["toy/catch"]["discrete"]
    assert rows["toy/catch"]["simulates"]


@pytest.mark.parametrize("columns", [70, 100, 160])
def test_the_list_of_designs_says_what_each_is_within_100_columns(columns, monkeypatch):
    monkeypatch.setattr(
        listing, "console", lambda: Console(highlight=False, width=columns, force_terminal=False)
    )
    result = wm("designs")
    lines = [line.rstrip() for line in (result.stdout + result.stderr).splitlines()]
    assert max(map(len, lines)) <= min(columns, 100)
    corners = [line for line in lines if line.startswith(("images-", "rewards-"))]
    assert [line.split()[0] for line in corners] == list(CANONICAL)
    assert all("the corner itself" in line for line in corners)
    text = " ".join(" ".join(lines).split())
    assert (
        "reference-rewnet as images-latent-stochastic, with reward_from image, reward_gradient stopped,"
        in text
    )
    assert "train.clip_norm 1e+09" in text
    assert text.count("train.episodes 1010") == 1
    assert "all of the reference-* designs: size paper," in text


@pytest.mark.parametrize("columns", [70, 100, 160])
def test_the_list_of_planners_says_what_each_heeds(columns, monkeypatch):
    monkeypatch.setattr(
        listing, "console", lambda: Console(highlight=False, width=columns, force_terminal=False)
    )
    result = wm("planners")
    lines = [line.rstrip() for line in (result.stdout + result.stderr).splitlines()]
    assert max(map(len, lines)) <= min(columns, 100)
    assert [line.split()[:2] for line in lines if line[:1].islower() and line.split()[0] in PLANNERS] == [
        ["cem", "yes"],
        ["icem", "no"],
        ["mppi", "no"],
        ["shooting", "yes"],
    ]
    text = " ".join(" ".join(lines).split())
    assert "options: warm_start false, initial_std 1.0, reward_weight 0.1, smoothing 0.6;" in text
    assert "arXiv 2008.06389" in text
    assert "package.module:Name" in text


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UserError, match=r"unknown size 'papr' \(did you mean paper\?\)"):
        wm("models", "--size", "papr")
    with pytest.raises(UserError, match=r"--image-size: for `wm list models` only"):
        wm("tasks", "--image-size", "32")
    assert wm("models", "--image-size", "4").exit_code == 2


@pytest.mark.parametrize("kind", ["designs", "planners", "tasks"])
def test_the_other_lists_load_neither_torch_nor_a_simulator(kind):
    script = (
        f"import sys; sys.argv = ['wm', 'list', '{kind}', '--json']\n"
        "from studies.cli import app\n"
        "try:\n    app()\n"
        "except SystemExit:\n    pass\n"
        "sys.exit(bool({'torch', 'mujoco', 'dm_control'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_forms_are_named_once():
    assert len({tuple(form.values()) for form in FORMS}) == len(FORMS) == 4 * 2 * 3
