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


@pytest.mark.slow
@pytest.mark.parametrize("size", cost._CHECKPOINT_MB)
def test_no_checkpoint_is_larger_than_the_estimate(size):
    counts = [row["training_parameters"] for row in models(Setting(size)) if row["training_parameters"]]
    assert 0.5 < 4 * max(counts) / 1e6 / cost._CHECKPOINT_MB[size] <= 1
