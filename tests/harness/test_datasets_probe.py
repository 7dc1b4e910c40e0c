"""The noisy oracle in the probe."""

import logging

import numpy as np
import pytest

from harness.config.sections import EnvConfig
from harness.datasets import probe, probe_dataset, probe_directory
from harness.tasks import find_task
from tests.harness.replays import same
from tests.harness.test_datasets import FakeTask

ENV = EnvConfig(image_size=16, time_limit=12)


def point_mass():
    return find_task("toy/point-mass", ENV)


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    return probe_dataset(tmp_path_factory.mktemp("root"), point_mass(), ENV, 6, oracle=True)


def test_a_third_of_the_probe_is_the_noisy_oracles(six):
    assert six.recipe["behaviours"] == ["random", "smooth", "oracle"]
    assert six.recipe["oracle"] == {
        "name": "cem",
        "planner_version": 1,
        "horizon": 10,
        "iterations": 2,
        "proposals": 16,
        "elites": 3,
        "action": "best",
        "warm_start": True,
        "std_floor": 0.1,
        "plans": 500,
        "noisy_steps": [0.0, 0.8],
    }


def test_the_oracle_is_better_than_noise_from_the_same_start(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_NOISY_STEPS", (0.0, 0.1))
    good = probe_dataset(tmp_path, point_mass(), ENV, 6, oracle=True)
    plain = probe_dataset(tmp_path, point_mass(), ENV, 6)
    for index in (2, 5):
        np.testing.assert_array_equal(good[index].state[0], plain[index].state[0])
        assert good[index].total_return > 1.2 * plain[index].total_return


def test_noise_plays_a_part_of_the_steps(tmp_path, monkeypatch):
    """With noise alone the oracle changes nothing; without any, nothing but the oracle plays."""
    found = {}
    for share in (0.0, 0.5, 1.0):
        monkeypatch.setattr(probe, "_NOISY_STEPS", (share, share))
        found[share] = probe_dataset(tmp_path, point_mass(), ENV, 3, oracle=True)[2].action[1:]
    equal = (found[0.5] == found[1.0]).all(1)
    assert 2 <= equal.sum() <= 10
    assert not (found[0.0] == found[1.0]).all(1).any()


def test_steps_beyond_the_planned_ones_are_noise(tmp_path, monkeypatch, six):
    monkeypatch.setattr(probe, "ORACLE_PLANS", 4)
    monkeypatch.setattr(probe, "_NOISY_STEPS", (0.0, 0.0))
    short = probe_dataset(tmp_path, point_mass(), ENV, 3, oracle=True)[2].action[1:]
    monkeypatch.setattr(probe, "_NOISY_STEPS", (1.0, 1.0))
    noise = probe_dataset(tmp_path, point_mass(), ENV, 3, oracle=True)[2].action[1:]
    np.testing.assert_array_equal((short == noise).all(1), np.arange(12) >= 4)


def test_an_episode_depends_on_the_task_and_its_index_alone(tmp_path, six):
    three = probe_dataset(tmp_path / "a", point_mass(), ENV, 3, oracle=True)
    assert all(same(one, other) for one, other in zip(three, list(six)[:3], strict=True))
    plain = probe_dataset(tmp_path / "a", point_mass(), ENV, 3)
    assert [same(one, other) for one, other in zip(three, plain, strict=True)] == [True, True, False]
    again = probe_dataset(tmp_path / "b", point_mass(), ENV, 6, oracle=True)
    assert again.digest == six.digest


def test_without_a_simulator_the_probe_is_what_it_was(tmp_path):
    with_oracle = probe_directory(tmp_path, FakeTask(), ENV, 4, oracle=True)
    assert with_oracle == probe_directory(tmp_path, FakeTask(), ENV, 4)
    assert probe_directory(tmp_path, point_mass(), ENV, 4) != probe_directory(
        tmp_path, point_mass(), ENV, 4, oracle=True
    )


def test_discrete_actions(tmp_path):
    task = find_task("toy/catch", EnvConfig(image_size=16))
    episodes = list(probe_dataset(tmp_path, task, EnvConfig(image_size=16), 9, oracle=True))
    returns = [episode.total_return for episode in episodes]
    assert np.mean(returns[2::3]) > np.mean(returns[0::3] + returns[1::3])
    assert episodes[2].action.dtype == np.int64


def test_progress_is_logged_and_building_can_be_stopped(tmp_path, caplog):
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 30:
            raise KeyboardInterrupt

    with caplog.at_level(logging.INFO, "wm"), pytest.raises(KeyboardInterrupt):
        probe_dataset(tmp_path, point_mass(), ENV, 6, oracle=True, tick=tick)
    assert "probe of toy/point-mass: episode 3 of 6 (oracle)" in caplog.text
    assert not (tmp_path / "probe").exists()
