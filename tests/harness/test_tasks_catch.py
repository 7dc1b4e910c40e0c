"""Catch: its returns in closed form, its pictures, Gymnasium's rules, and that it can be left and entered again."""

import itertools
import pickle

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from harness.config.sections import EnvConfig
from harness.tasks import find_task
from harness.tasks.catch import COLUMNS, OPTIMAL_RETURN, RANDOM_RETURN, ROWS

SMALL = EnvConfig(image_size=16)


def make(**env):
    return find_task("toy/catch", EnvConfig(**{"image_size": 16} | env)).make()


def play(env, seed, act):
    """The frames, rewards, states and ending of an episode."""
    frame, info = env.reset(seed=seed)
    frames, rewards, states = [frame], [], [info["state"]]
    terminated = truncated = False
    while not (terminated or truncated):
        frame, reward, terminated, truncated, info = env.step(act(info["state"]))
        frames.append(frame)
        rewards.append(reward)
        states.append(info["state"])
    return np.array(frames), rewards, np.array(states), terminated


def below(state):
    """The optimal policy: towards the ball's column."""
    return 1 + int(np.sign(state[1] - state[2]))


def test_gymnasium_accepts_it():
    check_env(make(), skip_render_check=True)


def test_the_optimum_is_reached_from_every_start():
    starts = set()
    for seed in range(40):
        _, rewards, states, terminated = play(make(), seed, below)
        starts.add(states[0, 1])
        assert sum(rewards) == OPTIMAL_RETURN == rewards[-1]
        assert terminated
        assert len(rewards) == ROWS - 1
    assert starts == set(range(COLUMNS))


def test_what_does_not_look_gets_the_random_return_exactly():
    # every start once, each with the same blind actions: one of COLUMNS is caught
    env = make()
    env.reset(seed=0)
    for actions in itertools.chain(
        [[0] * 9, [1] * 9, [2] * 9], np.random.default_rng(0).integers(3, size=(20, 9))
    ):
        total = 0.0
        for column in range(COLUMNS):
            env.reset(seed=0)
            env.set_state(np.array([0, column, COLUMNS // 2]))
            total += sum(env.step(int(action))[1] for action in actions)
        assert total / COLUMNS == pytest.approx(RANDOM_RETURN)


def test_starts_are_uniform_so_random_play_gets_it_on_average():
    rng, env = np.random.default_rng(1), make()
    returns = [sum(play(env, seed, lambda _: int(rng.integers(3)))[1]) for seed in range(600)]
    assert np.mean(returns) == pytest.approx(RANDOM_RETURN, abs=0.13)  # 4 standard errors


def test_the_same_seed_gives_the_same_episode_whatever_was_played_before():
    env = make()
    first = play(env, 5, below)
    play(env, 6, below)
    for again in (play(env, 5, below), play(make(), 5, below)):
        for one, other in zip(first[:3], again[:3], strict=True):
            np.testing.assert_array_equal(one, other)


def test_frames_are_drawn_again_from_states():
    frames, _, states, _ = play(make(), 1, below)
    fresh = make()
    for index in (9, 2, 5):
        fresh.set_state(states[index])
        np.testing.assert_array_equal(fresh.frame(), frames[index])
        np.testing.assert_array_equal(fresh.render().transpose(2, 0, 1), frames[index])


@pytest.mark.parametrize("size", [10, 16, 33, 64])
def test_the_picture_shows_where_ball_and_paddle_are(size):
    env = make(image_size=size)
    floor = np.reshape((38.0, 42.0, 54.0), (3, 1, 1))
    for row, column, paddle in ((0, 0, 4), (5, 3, 0), (8, 4, 2)):
        env.set_state(np.array([row, column, paddle]))
        frame = env.frame().astype(float)
        area = size * size / (ROWS * COLUMNS)
        for colour, at_row, at_column in (((235, 110, 30), row, column), ((60, 170, 220), ROWS - 1, paddle)):
            # each thing covers the area of its cell, and lies around its cell's centre
            other = (60, 170, 220) if colour[0] == 235 else (235, 110, 30)
            basis = np.stack([np.subtract(colour, floor.ravel()), np.subtract(other, floor.ravel())], axis=1)
            share = np.linalg.lstsq(basis, (frame - floor).reshape(3, -1), rcond=None)[0][0].reshape(
                size, size
            )
            share[share < 0.02] = 0  # rounded colours
            assert share.sum() == pytest.approx(area, rel=0.05)
            centre = [(np.arange(size) + 0.5) @ share.sum(axis) / share.sum() for axis in (1, 0)]
            assert centre == pytest.approx(
                [(at_row + 0.5) * size / ROWS, (at_column + 0.5) * size / COLUMNS], abs=0.05 * size / COLUMNS
            )


def test_repeat_holds_the_action_and_the_time_limit_truncates():
    task = find_task("toy/catch", EnvConfig(image_size=16, action_repeat=4, time_limit=6))
    assert (task.spec.max_steps, task.spec.reward_range) == (2, (-1.0, 1.0))
    env = task.make()
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(0)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["state"][[0, 2]].tolist() == [4, 0]
    _, reward, terminated, truncated, info = env.step(2)
    assert (reward, terminated, truncated) == (0.0, False, True)  # the ball is still in the air
    assert info["state"][[0, 2]].tolist() == [6, 2]
    with pytest.raises(ValueError, match="reset"):
        env.step(1)


@pytest.mark.parametrize("action", [3, -1, 1.0, np.array([1]), None])
def test_actions_that_are_none(action):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="whole number from 0 to 2"):
        env.step(action)


@pytest.mark.parametrize("repeat", [1, 2])
def test_it_goes_on_from_a_snapshot_in_any_other_environment(repeat):
    env, other = make(action_repeat=repeat), make(action_repeat=repeat)
    env.reset(seed=3)
    actions = np.random.default_rng(0).integers(3, size=9).tolist()
    for action in actions[:2]:
        env.step(action)
    snapshot = pickle.loads(pickle.dumps(env.snapshot()))
    expected = []
    while not expected or not (expected[-1][2] or expected[-1][3]):
        expected.append(env.step(actions[len(expected)]))
    other.restore(snapshot)
    told = [other.advance(action) for action in actions[: len(expected)]]
    assert told == [(reward, end or cut) for _, reward, end, cut, _ in expected]
    assert other.advance(0) == (0.0, True)  # over is over
    other.restore(snapshot)  # and the snapshot is as it was
    for action, (frame, reward, *_) in zip(actions, expected, strict=False):
        again = other.step(action)
        np.testing.assert_array_equal(again[0], frame)
        assert again[1] == reward
