"""The point mass: its optimum, its pictures, and Gymnasium's rules."""

import time

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config.sections import EnvConfig
from harness.tasks import find_task
from harness.tasks.toy import (
    OPTIMAL_RETURN,
    RANDOM_RETURN,
    optimal_action,
    simulate,
)

SIZE = EnvConfig(image_size=16)


def play(env, seed, actions):
    """Frames, rewards and states of an episode."""
    frame, info = env.reset(seed=seed)
    frames, rewards, states = [frame], [], [info["state"]]
    for action in actions:
        frame, reward, _, _, info = env.step(action)
        frames.append(frame)
        rewards.append(reward)
        states.append(info["state"])
    return np.array(frames), np.array(rewards), np.array(states)


def random_actions(steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 2)).astype(np.float32)


def mean_return(env, act, episodes):
    total = 0.0
    for episode in range(episodes):
        _, info = env.reset(seed=episode)
        over = False
        while not over:
            _, reward, _, over, info = env.step(act(info["state"]))
            total += reward
    return total / episodes


def test_gymnasium_accepts_it():
    check_env(find_task("toy/point-mass", SIZE).make(), skip_render_check=True)


def test_the_optimum_and_the_random_return_are_what_is_documented():
    env = find_task("toy/point-mass", SIZE).make()
    generator = np.random.default_rng(0)
    best = mean_return(env, optimal_action, 150)
    random = mean_return(env, lambda _: generator.uniform(-1, 1, 2), 300)
    assert best == pytest.approx(OPTIMAL_RETURN, abs=0.6)
    assert random == pytest.approx(RANDOM_RETURN, abs=2.0)
    assert RANDOM_RETURN < 0.45 * OPTIMAL_RETURN


@settings(max_examples=200, deadline=None)
@given(start=st.tuples(*[st.floats(-0.9, 0.9)] * 2), seed=st.integers(0, 2**32 - 1))
def test_no_actions_come_nearer_at_any_time_than_the_optimal_ones(start, seed):
    best = other = np.array([*start, 0.0, 0.0])
    generator = np.random.default_rng(seed)
    bias = generator.uniform(-1, 1, 2)
    for _ in range(30):
        best, _ = simulate(best, optimal_action(best).astype(np.float64))
        other, _ = simulate(other, np.clip(bias + generator.uniform(-1, 1, 2), -1, 1))
        assert (np.abs(best[:2]) <= np.abs(other[:2]) + 1e-6).all()


def test_held_actions_have_a_good_controller_too():
    env = find_task("toy/point-mass", EnvConfig(image_size=16, action_repeat=2)).make()
    assert mean_return(env, lambda state: optimal_action(state, 2), 100) > 0.97 * OPTIMAL_RETURN


def test_reward_is_one_at_the_goal_and_falls_with_distance():
    rewards = [simulate(np.array([x, 0.0, 0.0, 0.0]), np.zeros(2))[1] for x in np.linspace(0, 1, 20)]
    assert rewards[0] == 1.0
    assert (np.diff(rewards) < 0).all()
    assert rewards[-1] > 0


def test_one_step_in_numbers():
    state, reward = simulate(np.array([0.5, 0.0, 0.04, 0.0]), np.array([1.0, -2.0]))
    assert state == pytest.approx([0.57, -0.05, 0.07, -0.05])  # 0.5 * 0.04 + 0.05; -2 is clipped to -1
    assert reward == pytest.approx(1 / (1 + (0.57**2 + 0.05**2) / 0.25) ** 2)


def test_walls_stop_it():
    state = np.array([0.95, 0.0, 0.1, 0.0])
    for _ in range(3):
        state, _ = simulate(state, np.array([1.0, 1.0]))
    assert state[0] == 1.0
    assert state[2] == 0.0
    assert state[3] > 0


def test_the_same_seed_gives_the_same_frames_whatever_was_played_before():
    task = find_task("toy/point-mass", SIZE)
    env = task.make()
    first = play(env, 5, random_actions(50))
    play(env, 6, random_actions(20, seed=1))
    for again in (play(env, 5, random_actions(50)), play(task.make(), 5, random_actions(50))):
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)
    assert (play(env, 7, [])[2] != first[2][0]).any()


def test_frames_are_drawn_again_from_states():
    task = find_task("toy/point-mass", SIZE)
    frames, _, states = play(task.make(), 1, random_actions(20))
    fresh = task.make()
    for index in (20, 3, 11):
        fresh.set_state(states[index])
        np.testing.assert_array_equal(fresh.frame(), frames[index])
        np.testing.assert_array_equal(fresh.render().transpose(2, 0, 1), frames[index])


def test_repeat_sums_rewards_and_the_time_limit_cuts_the_last_action_short():
    once = find_task("toy/point-mass", EnvConfig(image_size=16, time_limit=10)).make()
    task = find_task("toy/point-mass", EnvConfig(image_size=16, time_limit=10, action_repeat=4))
    held = task.make()
    actions = random_actions(3)
    _, singles, _ = play(once, 2, np.repeat(actions, 4, axis=0)[:10])
    held.reset(seed=2)
    results = [held.step(action) for action in actions]
    sums = [singles[:4].sum(), singles[4:8].sum(), singles[8:].sum()]
    assert [result[1] for result in results] == pytest.approx(sums)
    assert [result[3] for result in results] == [False, False, True]
    assert not any(result[2] for result in results)
    assert task.spec.max_steps == 3
    assert task.spec.reward_range == (0.0, 4.0)
    with pytest.raises(ValueError, match="reset"):
        held.step(actions[0])


@pytest.mark.parametrize("action", [[np.nan, 0.0], [0.0], [[0.0, 0.0]]])
def test_actions_that_are_none(action):
    env = find_task("toy/point-mass", SIZE).make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="2 finite numbers"):
        env.step(np.array(action))


@pytest.mark.parametrize("size", [8, 16, 33, 64])
def test_the_picture_shows_where_the_ball_is(size):
    task = find_task("toy/point-mass", EnvConfig(image_size=size))
    env = task.make()
    assert task.spec.image_shape == (3, size, size) == env.observation_space.shape
    env.set_state(np.array([10.0, 10.0, 0.0, 0.0]))
    empty = env.frame().astype(float)
    for place in ([0.5, -0.7], [-0.31, 0.12], [1.0, 1.0], [-1.0, 1.0]):
        env.set_state(np.array([*place, 0.0, 0.0]))
        frame = env.frame()
        assert frame.dtype == np.uint8
        assert frame.flags.c_contiguous
        change = np.abs(frame - empty).sum(axis=0)
        centres = ((np.arange(size) + 0.5) / size * 2 - 1) * 1.3
        centre = np.array([(change * centres).sum(), (change * centres[:, None]).sum()]) / change.sum()
        assert centre == pytest.approx(place, abs=0.6 * 2.6 / size)


def test_a_step_takes_less_than_a_tenth_of_a_millisecond():
    env = find_task("toy/point-mass", EnvConfig(image_size=32)).make()
    action, best = np.zeros(2, np.float32), float("inf")
    for _ in range(5):
        env.reset(seed=0)
        started = time.perf_counter()
        for _ in range(40):
            env.step(action)
        best = min(best, (time.perf_counter() - started) / 40)
    assert best < 2e-4  # 25 us measured; room for a busy machine


def test_snapshots_go_on_bit_for_bit_and_advance_is_step():
    env, other = (
        find_task("toy/point-mass", EnvConfig(image_size=16, time_limit=9)).make() for _ in range(2)
    )
    actions = random_actions(9)
    _, rewards, states = play(env, 3, actions)
    env.reset(seed=3)
    for action in actions[:4]:
        env.step(action)
    snapshot = env.unwrapped.snapshot()
    other.reset(seed=5)
    for _ in range(2):
        other.unwrapped.restore(snapshot)
        found = [other.unwrapped.advance(action) for action in actions[4:]]
        assert [reward for reward, _ in found] == rewards[4:].tolist()
        assert [over for _, over in found] == [False] * 4 + [True]
        np.testing.assert_array_equal(other.unwrapped.get_state(), states[-1])
        assert other.unwrapped.advance(actions[0]) == (0.0, True)
