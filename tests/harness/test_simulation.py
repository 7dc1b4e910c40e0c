"""Sequences rolled out on simulators: what they lead to, by any number of processes, and what can go wrong."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.config.sections import EnvConfig
from harness.errors import RunError, UserError
from harness.simulation import Outcomes, Simulators, divide, play_share
from harness.tasks import find_task
from harness.tasks.dmc import SuiteEnv
from harness.tasks.toy import PointMass, PointMassEnv, simulate
from harness.tasks.toy import PointMass as Task

ENV = EnvConfig(image_size=16, time_limit=6)


class Broken(PointMass):
    """A task of the user's own whose simulator fails."""

    def make(self):
        env = super().make()

        def fail(action):
            raise ZeroDivisionError("the physics divides by zero")

        env.advance = fail
        return env


def snapshots(task, seeds, steps=2):
    found = []
    for seed in seeds:
        env = task.make()
        env.reset(seed=seed)
        for _ in range(steps):
            env.advance(np.ones(2, np.float32))
        found.append(env.snapshot())
    return found


def sequences(batch, candidates, horizon, dim=2, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (batch, candidates, horizon, dim)).astype(np.float32)


def test_a_rollout_is_the_simulation_up_to_the_end_of_the_episode():
    task = Task(ENV)
    before, actions = snapshots(task, [1, 2]), sequences(2, 3, 7)
    with Simulators(task, ENV) as simulators:
        outcomes = simulators.rollout(before, actions)
    assert outcomes.rewards.dtype == np.float64
    for row in range(2):
        for candidate in range(3):
            state = before[row][0]
            for step in range(4):  # two of six steps are played
                state, reward = simulate(state, actions[row, candidate, step])
                assert outcomes.rewards[row, candidate, step] == reward
    assert not outcomes.rewards[:, :, 4:].any()
    np.testing.assert_array_equal(outcomes.goes_on, np.broadcast_to(np.arange(7) < 3, (2, 3, 7)))


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 9])
def test_shares_are_all_sequences_in_their_order(parts):
    actions = sequences(2, 3, 4)
    shares = divide(["a", "b"], actions, parts)
    assert len(shares) == parts
    sizes = [sum(len(one) for one in share.actions) for share in shares]
    assert sum(sizes) == 6
    assert max(sizes) - min(sizes) <= 1
    rows = [(name, row) for share in shares for name, part in zip(*share, strict=True) for row in part]
    assert [name for name, _ in rows] == ["a"] * 3 + ["b"] * 3
    np.testing.assert_array_equal([row for _, row in rows], actions.reshape(6, 4, 2))


def test_the_numbers_do_not_depend_on_the_processes():
    task = Task(ENV)
    before, actions = snapshots(task, [1, 2]), sequences(2, 5, 6)
    found = []
    for processes in (1, 3):
        with Simulators(task, ENV, processes) as simulators:
            found += [simulators.rollout(before, actions), simulators.rollout(before[:1], actions[1:])]
    np.testing.assert_array_equal(found[0].rewards, found[2].rewards)
    np.testing.assert_array_equal(found[1].rewards, found[3].rewards)
    np.testing.assert_array_equal(found[0].goes_on, found[2].goes_on)


@pytest.mark.render
def test_another_process_simulates_mujoco_bit_for_bit():
    env = EnvConfig(image_size=16)
    task = find_task("dmc/cheetah-run", env)
    real = SuiteEnv(task.spec, env)
    real._begin(5)
    for action in sequences(1, 1, 20, 6)[0, 0]:
        real.advance(action)
    actions = sequences(1, 6, 8, 6, seed=1)
    with Simulators(task, env, 2) as simulators:
        outcomes = simulators.rollout([real.snapshot()], actions)
    rewards = play_share(real, divide([real.snapshot()], actions, 1)[0], discrete=False).rewards
    assert np.ptp(rewards.sum(1)) > 0
    np.testing.assert_array_equal(outcomes.rewards[0], rewards)
    real.close()


def test_discrete_actions_reach_the_simulator_as_integers():
    played = []

    class Simulator:
        def restore(self, snapshot):
            played.append(snapshot)

        def advance(self, action):
            played.append(action)
            return float(action), False

    one_hot = np.eye(3, dtype=np.float32)[[[2, 0]]][None]
    outcomes = play_share(Simulator(), divide(["here"], one_hot, 1)[0], discrete=True)
    assert played == ["here", 2, 0]
    assert outcomes.rewards.tolist() == [[2.0, 0.0]]


def test_processes_end_with_the_pool():
    task = Task(ENV)
    with Simulators(task, ENV, 3) as simulators:
        simulators.rollout(snapshots(task, [0]), sequences(1, 3, 2))
        programs = [process._program for process in simulators._others]
        assert [program.poll() for program in programs] == [None, None]
    assert [program.returncode for program in programs] == [0, 0]
    simulators.close()


def test_a_process_that_died_is_a_clear_error():
    task = Task(ENV)
    with Simulators(task, ENV, 2) as simulators:
        simulators.rollout(snapshots(task, [0]), sequences(1, 3, 2))
        os.kill(simulators._others[0]._program.pid, signal.SIGKILL)
        with pytest.raises(RunError, match=r"ended by SIGKILL.*oracle_processes lower") as caught:
            for _ in range(2):  # the first message may still fit into the socket
                simulators.rollout(snapshots(task, [0]), sequences(1, 3, 2))
    assert caught.value.kind == "host-memory"


def test_what_a_simulator_raises_elsewhere_is_told():
    name = f"{__name__}:Broken"
    spec = Task(ENV).spec.__class__(**{**vars(Task(ENV).spec), "name": name})
    task = Task(ENV)
    task.spec = spec  # here it works, there the name means another one
    with Simulators(task, ENV, 2) as simulators, pytest.raises(RunError, match="the physics divides by zero"):
        simulators.rollout(snapshots(task, [0]), sequences(1, 3, 2))


def test_a_signal_for_the_whole_group_leaves_the_end_to_who_started_it():
    task = Task(ENV)
    with Simulators(task, ENV, 2) as simulators:
        expected = simulators.rollout(snapshots(task, [0]), sequences(1, 3, 2))
        (program,) = [process._program for process in simulators._others]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
            program.send_signal(number)
        again = simulators.rollout(snapshots(task, [0]), sequences(1, 3, 2))
    np.testing.assert_array_equal(again.rewards, expected.rewards)


ORPHAN = """
import os, signal, sys
from tests.harness.test_simulation import ENV, Simulators, Task, sequences, snapshots
simulators = Simulators(Task(ENV), ENV, 2)
simulators.rollout(snapshots(Task(ENV), [0]), sequences(1, 2, 2))
print(simulators._others[0]._program.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_process_outlives_one_that_was_killed():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    orphan = Path("/proc", done.stdout.strip())
    deadline = time.monotonic() + 20
    while orphan.exists() and _runs(orphan) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(orphan)


def _runs(process):
    """Whether a process is there and more than a record for a parent that never asks."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_task_that_cannot_be_simulated_is_refused():
    env = EnvConfig()
    with pytest.raises(UserError, match=r"quadruped-escape cannot be simulated.*exclude"):
        Simulators(find_task("dmc/quadruped-escape", env), env)


def test_an_environment_that_is_none_though_its_spec_says_so(monkeypatch):
    monkeypatch.delattr(PointMassEnv, "advance")
    monkeypatch.delattr(PointMassEnv, "restore")
    with Simulators(Task(ENV), ENV) as simulators, pytest.raises(UserError, match="has no restore, advance"):
        simulators.rollout([None], sequences(1, 1, 1))


def test_more_processes_than_sequences():
    task = Task(ENV)
    before, actions = snapshots(task, [3]), sequences(1, 1, 3)
    with Simulators(task, ENV, 2) as simulators:
        outcomes: Outcomes = simulators.rollout(before, actions)
    assert outcomes.rewards.shape == (1, 1, 3)
    assert outcomes.rewards.all()
