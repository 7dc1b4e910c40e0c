"""The oracle: how well it plays, what its numbers depend on, and its runs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from harness import simulation
from harness.build import build_objective, build_planner, make_streams
from harness.config.sections import OracleConfig
from harness.entry import execute
from harness.errors import UserError
from harness.evaluate import evaluate_run
from harness.oracle import OracleAgent, make_oracle, oracle_of
from harness.rollout import play
from harness.simulation import Outcomes
from harness.streams import Streams
from harness.tasks import find_task
from harness.tasks.spec import TaskSpec
from harness.tasks.toy import optimal_action
from planners.exploration import Greedy
from tests.harness.runs import make_run, numbers, tiny_config

BUDGET = {"horizon": 4, "iterations": 2, "proposals": 12}


def oracle_config(**changes):
    """A run of the oracle with a small budget."""
    return tiny_config(**{"agent": "oracle", "oracle": BUDGET, "runtime__oracle_processes": 1} | changes)


def after(ticks):
    """Asks to stop after so many questions."""
    left = iter(range(ticks))
    return lambda: next(left, None) is None


class Scripted:
    """Simulators whose outcomes are given."""

    def __init__(self, rewards, goes_on=None):
        self.rewards = np.asarray(rewards, np.float64)
        self.goes_on = np.ones(self.rewards.shape, bool) if goes_on is None else np.asarray(goes_on)

    def rollout(self, snapshots, actions):
        return Outcomes(self.rewards, self.goes_on)

    def close(self):
        pass


def scored(simulators, objective="reward", discount=1.0):
    task = find_task("toy/point-mass", oracle_config().env)
    agent = OracleAgent(
        build_planner(OracleConfig(**BUDGET), task.spec),
        build_objective(objective),
        discount=discount,
        streams=Streams(0, "", ""),
        simulators=simulators,
    )
    return agent.score([None], torch.zeros(1, len(simulators.rewards[0]), 3, 2)).tolist()[0]


def test_a_candidate_is_worth_its_discounted_rewards():
    rewards = [[[1, 2, 4], [0, 0, 8]]]
    assert scored(Scripted(rewards)) == [7, 8]
    assert scored(Scripted(rewards), discount=0.5) == [3, 2]
    assert scored(Scripted(rewards), "random") == [0, 0]


def test_an_end_pays_nothing_afterwards_and_the_last_reward_counts():
    ended = Scripted([[[1, 5, 0], [1, 2, 3]]], [[[True, False, False], [True, True, True]]])
    assert scored(ended) == [6, 6]


def test_returns_are_summed_in_float64():
    big = 2.0**24
    assert scored(Scripted([[[big, 1, -big]]])) == [1]


def test_it_plays_the_point_mass_almost_optimally():
    config = oracle_config(env__time_limit=20)
    config = config.model_copy(update={"oracle": OracleConfig(horizon=6, proposals=32)})
    task, streams = find_task(config.task, config.env), make_streams(config)
    best = 0.0
    env = task.make()
    _, info = env.reset(seed=streams.env_seed("episode", "final", 0))
    for _ in range(20):
        _, reward, _, _, info = env.step(optimal_action(info["state"]))
        best += reward
    with oracle_of(config, task, streams) as agent:
        (episode,) = play(agent, [task.make()], task.spec, [("final", 0)], Greedy(), streams, lambda: None)
    assert 0.9 * best < episode.total_return <= best * (1 + 1e-6)
    assert agent.plan_seconds > 0


def test_environments_side_by_side_and_processes_change_nothing():
    config = oracle_config()
    task, streams = find_task(config.task, config.env), make_streams(config)
    keys = [("final", 0), ("final", 1)]
    found = []
    for batch, processes in ((2, 1), (1, 2)):
        with make_oracle(config.oracle, task, config.env, streams, processes) as agent:
            envs = [task.make() for _ in range(batch)]
            for begin in range(0, 2, batch):
                part = keys[begin : begin + batch]
                found += play(agent, envs, task.spec, part, Greedy(), streams, lambda: None)
    for together, alone in zip(found[:2], found[2:], strict=True):
        np.testing.assert_allclose(together.action, alone.action, atol=1e-6)


class Lights:
    """Three lights, one of which pays: its number goes up with each step. Discrete, terminating, without frames."""

    version = 1
    spec = TaskSpec("lights", 3, True, (3, 16, 16), 1, 8, None, terminates=True, simulates=True)

    def __init__(self, env=None):
        self.action_space = spaces.Discrete(3)
        self.unwrapped = self
        self.step_number = 0

    def make(self):
        return Lights()

    def close(self):
        pass

    def reset(self, *, seed=None, options=None):
        self.step_number = 0
        return np.zeros((3, 16, 16), np.uint8), {}

    def step(self, action):
        reward, over = self.advance(action)
        return np.zeros((3, 16, 16), np.uint8), reward, over, False, {}

    def snapshot(self):
        return self.step_number

    def restore(self, snapshot):
        self.step_number = snapshot

    def advance(self, action):
        if self.step_number == 8:
            return 0.0, True
        reward = float(action == self.step_number % 3)
        self.step_number += 1
        return reward, self.step_number == 8


@pytest.mark.parametrize("name", ["cem", "shooting"])
def test_discrete_actions(name):
    task, streams = Lights(), Streams(0, "lights", "")
    settings = OracleConfig(name=name, horizon=2, iterations=2, proposals=40, elite_fraction=0.2)
    with make_oracle(settings, task, None, streams, 1) as agent:
        (episode,) = play(agent, [task.make()], task.spec, [("final", 0)], Greedy(), streams, lambda: None)
    assert episode.action[1:].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert episode.total_return == 8
    assert episode.is_terminal[-1]


def test_a_run_of_the_oracle(tmp_path):
    config = oracle_config()
    run, datasets = make_run(tmp_path, config), tmp_path / "datasets"
    assert execute(run, datasets=datasets) == "done"
    records = list(run.read_metrics())
    assert [(r["kind"], r.get("episode")) for r in records] == [
        ("evaluation", 0),
        ("evaluation", 1),
        ("evaluation", 2),
        ("cost", None),
    ]
    assert all(r["phase"] == "final" and r["length"] == 12 for r in records[:3])
    assert records[3]["plan_seconds"] > 0
    state = run.read_state()
    assert (state.state, state.progress, state.env_steps) == ("done", 1.0, 36)
    assert state.last_return == pytest.approx(np.mean([r["return"] for r in records[:3]]))
    assert sorted(path.name for path in run.path.iterdir()) == [
        "attempts.jsonl", "eval", "forecasts", "metrics.jsonl", "run.yaml", "state.json", "summary.npz",
    ]  # fmt: skip
    random = make_run(tmp_path, tiny_config(agent="random"))
    execute(random, datasets=datasets)
    assert state.last_return > 1.5 * random.read_state().last_return
    assert run.id.startswith("oracle-point-mass-s0-")


def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path):
    config = oracle_config(evaluation__final_episodes=3)
    whole = make_run(tmp_path / "whole", config)
    execute(whole, datasets=tmp_path / "datasets")
    run, steps = make_run(tmp_path / "killed", config), iter(range(1, 1000))
    endings = []
    while not endings or endings[-1] != "done":
        asked = next(steps)
        endings.append(
            execute(run, stop=after(20), datasets=tmp_path / "datasets")
        )  # an episode has 12 steps
        assert asked < 6
        if endings[-1] == "preempted":
            kept = sorted(path.name for path in (run.path / "partial").iterdir())
            assert kept == [f"{number:06d}.npz" for number in range(asked)]
            assert run.read_state().progress > (asked - 0.1) / 3
    assert endings == ["preempted", "preempted", "done"]
    assert numbers(run) == numbers(whole)
    with np.load(run.evaluation / "final.npz") as one, np.load(whole.evaluation / "final.npz") as other:
        assert one.files == other.files
        assert all(np.array_equal(one[name], other[name]) for name in one.files)
    assert not (run.path / "partial").exists()


def test_simulating_processes_end_when_a_run_stops(tmp_path, monkeypatch):
    started = []

    class Watched(simulation._Process):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            started.append(self._program)

    monkeypatch.setattr(simulation, "_Process", Watched)
    run = make_run(tmp_path, oracle_config(runtime__oracle_processes=2))
    ending = execute(run, stop=after(5), datasets=tmp_path / "datasets")
    assert ending == "preempted"
    assert [program.returncode for program in started] == [0]


def test_a_task_that_cannot_be_simulated(tmp_path):
    config = oracle_config()
    task = find_task(config.task, config.env)
    task.spec = replace(task.spec, simulates=False)
    with pytest.raises(UserError, match="cannot be simulated"):
        oracle_of(config, task, make_streams(config))


def test_the_oracle_is_evaluated_again(tmp_path):
    run = make_run(tmp_path, oracle_config())
    execute(run, datasets=tmp_path / "datasets")
    said = []
    results = [
        evaluate_run(run, episodes=2, datasets=tmp_path / "datasets", report=said.append) for _ in range(2)
    ]
    assert results[0] == results[1]
    assert results[0]["n"] == 2
    assert results[0]["open_loop"] is None
    final = [record["return"] for record in run.read_metrics({"evaluation"})]
    assert not set(final) & set(results[0]["returns"])  # they begin elsewhere
    assert "the oracle agent has no model, hence no forecasts: returns only" in said
    json.dumps(results[0])
