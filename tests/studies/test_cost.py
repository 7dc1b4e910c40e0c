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


@pytest.mark.slow
@pytest.mark.parametrize("size", cost._CHECKPOINT_MB)
def test_no_checkpoint_is_larger_than_the_estimate(size):
    counts = [row["training_parameters"] for row in models(Setting(size)) if row["training_parameters"]]
    assert 0.5 < 4 * max(counts) / 1e6 / cost._CHECKPOINT_MB[size] <= 1
