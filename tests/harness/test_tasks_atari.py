"""Atari: the table without ale-py, and with it frames, rewards, sticky actions, and snapshots bit for bit."""

import itertools
import pickle
import sys

import numpy as np
import pytest

from harness.config.sections import EnvConfig
from harness.errors import RunError, UserError
from harness.tasks import find_task
from harness.tasks.atari_table import GAMES
from harness.tasks.frames import square_frame

try:
    import ale_py
except ImportError:
    ale_py = None
needs_ale = pytest.mark.skipif(ale_py is None, reason="needs ale-py: pip install 'world-models-study[atari]'")


def make(game="Pong", **env):
    return find_task(f"atari/{game}", EnvConfig(**{"image_size": 32} | env)).make()


def play(env, seed, actions):
    """Frames, rewards and memory of the beginning of an episode."""
    frame, info = env.reset(seed=seed)
    return follow(env, actions, [frame], [], [info["state"]])


def follow(env, actions, frames=(), rewards=(), states=()):
    frames, rewards, states = list(frames), list(rewards), list(states)
    for action in actions:
        frame, reward, _, _, info = env.step(action)
        frames.append(frame)
        rewards.append(reward)
        states.append(info["state"])
    return np.array(frames), np.array(rewards), np.array(states)


def same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def random_actions(steps, choices=6, seed=0):
    return np.random.default_rng(seed).integers(choices, size=steps).tolist()


def console(game="pong", seed=0):
    """ALE itself, without sticky actions."""
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", seed)
    ale.loadROM(roms.get_rom_path(game))
    ale.reset_game()
    return ale


def test_the_spec_needs_no_ale():
    spec = find_task("atari/Pong", EnvConfig()).spec
    assert (spec.action_dim, spec.discrete, spec.terminates, spec.simulates) == (6, True, True, True)
    assert (spec.image_shape, spec.action_repeat, spec.time_limit) == ((3, 64, 64), 4, 108_000)
    assert (spec.max_steps, spec.state_dim, spec.restores_state) == (27_000, 128, False)
    spec = find_task("atari/Pong", EnvConfig(image_size=32, action_repeat=3, time_limit=100)).spec
    assert (spec.image_shape, spec.action_repeat, spec.max_steps) == ((3, 32, 32), 3, 34)
    with pytest.raises(UserError, match=r"one camera: env\.camera is 1"):
        find_task("atari/Pong", EnvConfig(camera=1))


def test_without_ale_a_run_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(RunError, match=r"pip install 'world-models-study\[atari\]'"):
        make()


@needs_ale
@pytest.mark.slow
def test_the_table_is_what_ale_says():
    from ale_py import roms
    from ale_py.registration import rom_id_to_name

    two_players = {"combat", "joust", "maze_craze", "warlords"}
    found = {}
    for rom in roms.get_all_rom_ids():
        if rom not in two_players:
            found[rom_id_to_name(rom)] = (rom, len(console(rom).getMinimalActionSet()))
    assert {name: tuple(game) for name, game in GAMES.items()} == found


@needs_ale
def test_gymnasium_accepts_it():
    from gymnasium.utils.env_checker import check_env

    check_env(make(), skip_render_check=True)


@needs_ale
def test_a_step_is_so_many_simulator_frames_with_rewards_summed_and_the_last_two_frames_merged():
    env, ale = make(sticky=0.0), console()
    actions = random_actions(140)
    frames, rewards, states = play(env, 0, actions)
    buttons = ale.getMinimalActionSet()
    assert (rewards != 0).any()
    for step, action in enumerate(actions, 1):
        screens, total = [], 0.0
        for _ in range(4):
            total += ale.act(buttons[action])
            screens.append(ale.getScreenRGB())
        np.testing.assert_array_equal(frames[step], square_frame(np.maximum(*screens[-2:]), 32))
        assert rewards[step - 1] == total
        np.testing.assert_array_equal(states[step], ale.getRAM())


@needs_ale
def test_merging_frames_shows_what_flickers():
    env, ale = make("Asteroids", action_repeat=2, sticky=0.0), console("asteroids")
    play(env, 0, [0] * 20)
    shares = []
    for _ in range(40):
        ale.act(0)
        shares.append((ale.getScreenRGB().max(-1) > 0).mean())
    merged = [(env.step(0)[0].max(0) > 0).mean() for _ in range(10)]
    assert np.std(merged) < np.std(shares)


@needs_ale
def test_at_repeat_1_the_frame_before_counts():
    env, ale = make(action_repeat=1, sticky=0.0), console()
    frames, _, _ = play(env, 0, [2] * 8)
    screens = [ale.getScreenRGB()]
    for _ in range(8):
        ale.act(ale.getMinimalActionSet()[2])
        screens.append(ale.getScreenRGB())
    expected = [screens[0], *(np.maximum(*pair) for pair in itertools.pairwise(screens))]
    np.testing.assert_array_equal(frames, [square_frame(screen, 32) for screen in expected])


@needs_ale
@pytest.mark.parametrize("sticky", [None, 0.0])
def test_the_same_seed_gives_the_same_frames_whatever_was_played_before(sticky):
    env = make(sticky=sticky)
    first = play(env, 5, random_actions(60))
    play(env, 6, random_actions(25, seed=1))
    same(first, play(env, 5, random_actions(60)))
    same(first, play(make(sticky=sticky), 5, random_actions(60)))


@needs_ale
def test_sticky_actions_differ_by_seed_and_have_their_probability():
    one, other = (play(make(), seed, random_actions(60))[2] for seed in (1, 2))
    assert (one != other).any()
    env = make(sticky=0.25, action_repeat=1)
    env.reset(seed=0)
    repeated, steps = 0, 1200
    for step in range(steps):
        env.step(2 + step % 2)  # always another than the one before
        repeated += env._held != 2 + step % 2
    assert repeated / steps == pytest.approx(0.25, abs=0.06)
    always = play(make(sticky=0.0), 1, random_actions(60))
    same(always, play(make(sticky=0.0), 2, random_actions(60)))  # nothing else in Pong is random


@needs_ale
@pytest.mark.parametrize(
    ("game", "repeat"), [("Pong", 4), ("Pong", 1), ("Breakout", 4), ("MontezumaRevenge", 3)]
)
def test_it_goes_on_from_a_snapshot_bit_for_bit(game, repeat):
    choices = GAMES[game].actions
    env = make(game, action_repeat=repeat)
    play(env, 1, random_actions(50, choices))
    snapshot = pickle.loads(pickle.dumps(env.snapshot()))
    later = random_actions(120, choices, seed=2)
    expected = follow(env, later)

    other = make(game, action_repeat=repeat)
    play(other, 9, random_actions(30, choices, seed=3))
    other.restore(snapshot)
    assert [reward for reward, _ in map(other.advance, later)] == expected[1].tolist()
    np.testing.assert_array_equal(other.get_state(), expected[2][-1])
    fresh = make(game, action_repeat=repeat)  # never reset
    fresh.restore(snapshot)
    same(expected, follow(fresh, later))
    env.restore(snapshot)  # and the one that it was taken from
    same(expected, follow(env, later))


@needs_ale
def test_the_time_limit_truncates_and_cuts_the_last_action_short():
    env = make(time_limit=10)
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]
    with pytest.raises(ValueError, match="reset"):
        env.step(0)
    assert env.advance(0) == (0.0, True)
    env.reset(seed=0)
    assert [env.advance(0)[1] for _ in range(3)] == [False, False, True]


@needs_ale
def test_the_end_of_the_game_is_an_end_for_good():
    env = make("Breakout", image_size=8)
    env.reset(seed=0)
    terminated = truncated = False
    steps = 0
    while not (terminated or truncated):
        _, _, terminated, truncated, _ = env.step(1 + steps % 3)  # fire, right, left: balls are lost
        steps += 1
        assert steps < 5000
    assert terminated
    assert not truncated


@needs_ale
@pytest.mark.parametrize("action", [6, -1, 0.0, None])
def test_actions_that_are_none(action):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="whole number from 0 to 5"):
        env.step(action)
