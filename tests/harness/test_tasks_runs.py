"""Runs on Gymnasium environments, Atari and Catch: they train, plan and measure to the end."""

import importlib.util

import pytest

from harness.entry import execute
from harness.tasks import find_task
from tests.harness.runs import make_run, numbers, tiny_config

DRAWS = importlib.util.find_spec("pygame") is not None
ALE = importlib.util.find_spec("ale_py") is not None
pygame = pytest.mark.skipif(not DRAWS, reason="needs pygame: pip install 'world-models-study[gym]'")
ale = pytest.mark.skipif(not ALE, reason="needs ale-py: pip install 'world-models-study[atari]'")


@pytest.mark.parametrize(
    ("task", "limit"),
    [
        pytest.param("gym/CartPole-v1", 20, marks=pygame),
        pytest.param("gym/Pendulum-v1", 12, marks=pygame),
        pytest.param("toy/catch", None),
        pytest.param("atari/Pong", 60, marks=[ale, pytest.mark.slow]),
    ],
)
def test_it_trains_and_plans_to_the_end(tmp_path, task, limit):
    config = tiny_config(task=task, env={"image_size": 16, "time_limit": limit})
    spec = find_task(task, config.env).spec
    run = make_run(tmp_path, config)
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    records = numbers(run)
    kinds = [record["kind"] for record in records]
    assert kinds.count("episode") == 5
    assert {record["length"] for record in records if record["kind"] == "episode"} <= set(
        range(1, spec.max_steps + 1)
    )
    for record in records:
        if record["kind"] == "train":
            assert ("continue_loss" in record) == spec.terminates
    final = [record for record in records if record.get("phase") == "final"]
    assert {record["kind"] for record in final} == {"evaluation", "open_loop"}


@pytest.mark.parametrize("seed", [0, 1])
def test_planning_on_the_true_game_wins_it(tmp_path, seed):
    config = tiny_config(
        agent="oracle",
        task="toy/catch",
        seed=seed,
        env={"image_size": 16},
        oracle={"horizon": 9, "proposals": 64, "iterations": 3},
        evaluation__final_episodes=6,
        runtime__oracle_processes=1,
    )
    run = make_run(tmp_path, config)
    assert execute(run, datasets=tmp_path / "datasets") == "done", run.read_state().error
    returns = [record["return"] for record in numbers(run) if record["kind"] == "evaluation"]
    assert returns == [1.0] * 6
