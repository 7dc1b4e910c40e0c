"""What a plan's cost rests on where designs of several families are in it."""

from __future__ import annotations

import json

import pytest

from studies import cost
from studies.components import Setting, models
from studies.plan import read_plan
from tests.studies.test_plan import finish

TEXT = """\
name: mixed
base: {size: tiny, resources.hours: 7}
grid:
  design: [images-latent-stochastic, images-pixel-stochastic, rewards-pixel-deterministic]
  task: toy/point-mass
"""


def test_hours_of_one_design_say_nothing_of_another(tmp_path):
    """SV2P costs hundreds of times what an RSSM does: what was measured of the one is no estimate of the other."""
    (tmp_path / "mixed.yaml").write_text(TEXT)
    plan = read_plan(str(tmp_path / "mixed.yaml"), tmp_path / "runs")
    latent, *others = plan.runs
    run = finish(latent)
    record = {"kind": "cost", "train_seconds": 3600, "plan_seconds": 0, "collect_seconds": 0}
    run.metrics.write_text(json.dumps(record) + "\n")
    price = cost.estimate(plan.runs, plan.states())
    assert (price["left"], price["hours"]) == (len(others), 7 * len(others))
    assert price["basis"]["hours"] == ("resources.hours, the time limit: an upper bound, not a forecast")


def test_the_clock_of_a_whole_run_counts_once(tmp_path):
    """Planning is a part of collecting and evaluating: the parts may not be added up."""
    (tmp_path / "mixed.yaml").write_text(TEXT.replace("point-mass", "point-mass\n  seed: range(2)"))
    plan = read_plan(str(tmp_path / "mixed.yaml"), tmp_path / "runs")
    record = {"kind": "cost", "wall_seconds": 1800, "train_seconds": 600, "plan_seconds": 900}
    finish(plan.runs[0]).metrics.write_text(json.dumps(record | {"collect_seconds": 900}) + "\n")
    price = cost.estimate(plan.runs[:2], plan.states())
    assert (price["left"], price["hours"]) == (1, 0.5)
    assert price["basis"]["hours"] == "the mean of finished runs of the same design and task"


def test_agents_without_a_model_and_offline_runs_keep_no_frames_of_their_own(tmp_path):
    text = TEXT.replace("tiny,", "tiny, storage.training_frames: all,")
    (tmp_path / "mixed.yaml").write_text(
        f"{text}include: [{{agent: [random, oracle], task: toy/point-mass}}]\n"
    )
    root = tmp_path / "runs"

    def disk(*overrides):
        plan = read_plan(str(tmp_path / "mixed.yaml"), root, overrides)
        prices = {run.design: cost.estimate([run], plan.states()) for run in plan.runs}
        return prices, {name: price["disk_gb"] for name, price in prices.items()}

    online, gb = disk("train.episodes=5000")
    assert gb["images-latent-stochastic"] > 3  # 5,000 episodes of 51 frames of 64 x 64
    assert gb["random"] == gb["oracle"] < 0.02
    assert online["oracle"]["hours"] == 7
    offline, less = disk("train.episodes=5000", "data.mode=offline", "data.dataset=mixed")
    assert less["images-latent-stochastic"] < 0.2
    assert less["random"] == gb["random"]
    assert offline["images-latent-stochastic"]["basis"]["disk_gb"].endswith(
        "datasets are not counted (`wm dataset show`)"
    )


def test_the_time_left_is_shared_by_what_runs_side_by_side(tmp_path):
    (tmp_path / "mixed.yaml").write_text(TEXT.replace("point-mass", "point-mass\n  seed: range(4)"))
    runs = read_plan(str(tmp_path / "mixed.yaml"), tmp_path / "runs").runs[:4]  # of one design
    states = dict.fromkeys((run.hex for run in runs), "pending")
    assert cost.time_left(runs, states, {}, 2) is None  # nothing but time limits is known
    finish(runs[0]).metrics.write_text('{"kind": "cost", "wall_seconds": 600}\n')
    states[runs[0].hex] = "done"
    mean = "from finished runs"
    assert cost.time_left(runs, states, {}, 1) == (1800, f"{mean}; 1 at a time")
    assert cost.time_left(runs, states, {runs[1].hex: 0.5, runs[2].hex: 0.25}, 2) == (
        675,
        f"{mean}; 2 at a time",
    )
    assert cost.time_left(runs, states, {run.hex: 0.5 for run in runs[2:]}, 100) == (
        600,
        f"{mean}; 3 at a time",
    )
    assert cost.time_left(runs, dict.fromkeys(states, "done"), {}, 2) is None


def test_agents_without_a_model_are_timed_by_their_attempts(tmp_path):
    text = TEXT + "include: [{agent: random, task: toy/point-mass, seed: range(2)}]\n"
    (tmp_path / "mixed.yaml").write_text(text)
    plan = read_plan(str(tmp_path / "mixed.yaml"), tmp_path / "runs")
    first, second = plan.runs[-2:]
    times = [
        ("start", 1, 100.0),
        ("start", 2, 200.0),
        ("end", 2, 230.0),
        ("start", 3, 300.0),
        ("end", 3, 330.0),
    ]
    lines = [json.dumps({"event": event, "attempt": attempt, "time": at}) for event, attempt, at in times]
    finish(first).attempts.write_text("\n".join(lines) + "\n")
    price = cost.prices_of(plan.runs, plan.states())[second.hex]
    assert (price.seconds, price.source) == (60.0, "finished")


@pytest.mark.slow
@pytest.mark.parametrize("size", cost._CHECKPOINT_MB)
def test_no_checkpoint_is_larger_than_the_estimate(size):
    counts = [row["training_parameters"] for row in models(Setting(size)) if row["training_parameters"]]
    assert 0.5 < 4 * max(counts) / 1e6 / cost._CHECKPOINT_MB[size] <= 1
