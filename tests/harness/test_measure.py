"""What a run's open-loop lines hold beyond the whole image: the trained region, and the legacy switch."""

import pytest
import torch

from harness.build import build_agent, build_model, make_streams
from harness.environments import Environments
from harness.measure import Measurer
from harness.tasks import find_task
from tests.harness.runs import tiny_config


def measured(tmp_path, monkeypatch, **changes):
    """The probe's open-loop record of an untrained run, its model, and what the evaluation was given."""
    given = {}

    def spy(*args, **options):
        given.update(options)
        return evaluate(*args, **options)

    from harness import measure

    evaluate = measure.evaluate_open_loop
    monkeypatch.setattr(measure, "evaluate_open_loop", spy)
    config = tiny_config(**changes)
    task, streams, device = find_task(config.task, config.env), make_streams(config), torch.device("cpu")
    model = build_model(config, task.spec, streams)
    agent = build_agent(config, task.spec, streams, device, model)
    measurer = Measurer(config, task, Environments(task), streams, tmp_path, device, lambda: None)
    episodes, _ = measurer.probe_episodes()
    return measurer.open_loop(agent, "probe", episodes).record, model, given


def test_the_region_of_the_errors_is_the_one_that_is_trained(tmp_path, monkeypatch):
    record, model, given = measured(tmp_path, monkeypatch, image_fraction=0.3)
    torch.testing.assert_close(given["region"], model.mask)
    assert len(record["image_error_mean_region"]) == len(record["image_error_mean"]) == 4
    assert record["image_error_mean_region"] != record["image_error_mean"]


@pytest.mark.parametrize("fraction", [0.0, 0.001, 1.0])
def test_no_region_where_all_or_nothing_is_trained(tmp_path, monkeypatch, fraction):
    record, _, given = measured(
        tmp_path, monkeypatch, image_fraction=fraction
    )  # 0.001 of 16 x 16 is no pixel
    assert given["region"] is None
    assert not any("region" in name for name in record)


def test_the_shifted_evaluation_is_recorded(tmp_path, monkeypatch):
    shifted, _, _ = measured(tmp_path, monkeypatch, legacy={"shifted_evaluation": True})
    straight, _, _ = measured(tmp_path, monkeypatch)
    assert shifted["shifted"] is True
    assert "shifted" not in straight
    assert shifted["reward_error_baseline"][0] == 0 < straight["reward_error_baseline"][0]
    assert shifted["reward_error_baseline"][1:] == straight["reward_error_baseline"][:-1]
