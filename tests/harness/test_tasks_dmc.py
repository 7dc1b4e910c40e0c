"""dm_control as pixels: the same frames for the same seed, sums, limits, ranges, states, snapshots."""

import pickle

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from harness.config.sections import EnvConfig
from harness.errors import RunError, UserError
from harness.tasks import find_task, select_backend, task_names
from harness.tasks.suite_table import SUITE

pytestmark = pytest.mark.render

SMALL = {"image_size": 16, "antialiasing": 0, "shadow_size": 64}


@pytest.fixture(scope="module", autouse=True)
def _opengl():
    try:
        select_backend()
    except RunError as error:
        pytest.skip(str(error))


@pytest.fixture
def make():
    """Makes an environment with small pictures, closed at the end."""
    made = []

    def make_one(name, **config):
        made.append(find_task(name, EnvConfig(**{**SMALL, **config})).make())
        return made[-1]

    yield make_one
    for env in made:
        env.close()


def random_actions(env, steps, seed=0):
    shape = (steps, *env.action_space.shape)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def play(env, seed, steps, action_seed=0):
    """Frames, states and rewards of the first steps of an episode."""
    frame, info = env.reset(seed=seed)
    frames, states, rewards = [frame], [info["state"]], []
    for action in random_actions(env, steps, action_seed):
        frame, reward, _, _, info = env.step(action)
        frames.append(frame)
        states.append(info["state"])
        rewards.append(reward)
    return np.array(frames), np.array(states), np.array(rewards)


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def check_determinism(make, name, steps):
    env = make(name)
    first = play(env, 7, steps)
    play(env, 8, steps, action_seed=1)
    assert_same(play(env, 7, steps), first)
    fresh = make(name)
    assert_same(play(fresh, 7, steps), first)
    assert not np.array_equal(fresh.reset(seed=9)[1]["state"], first[1][0])
    spec = env.unwrapped.task_spec
    assert first[1].shape[1] == spec.state_dim
    assert first[0].shape[1:] == spec.image_shape
    if spec.reward_range is not None:
        assert (first[2] >= spec.reward_range[0]).all()
        assert (first[2] <= spec.reward_range[1]).all()
    return first


def check_states(make, name, frames, states):
    env = make(name)
    for index in np.random.default_rng(0).permutation(len(frames)):
        env.unwrapped.set_state(states[index])
        np.testing.assert_array_equal(env.unwrapped.frame(), frames[index])
        np.testing.assert_array_equal(env.unwrapped.get_state(), states[index])


# A camera that tracks, a target drawn anew at every reset, a tendon, a light that moves with the target.
@pytest.mark.parametrize(
    "name", ["dmc/cheetah-run", "dmc/reacher-easy", "dmc/ball_in_cup-catch", "dmc/swimmer-swimmer6"]
)
def test_seeds_reproduce_frames_and_states_restore_them(make, name):
    frames, states, _ = check_determinism(make, name, steps=8)
    assert len(np.unique(frames.reshape(len(frames), -1), axis=0)) > 1
    check_states(make, name, frames, states)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in task_names() if name.startswith("dmc/")])
def test_every_task_of_the_suite(make, name):
    frames, states, _ = check_determinism(make, name, steps=8)
    if make(name).unwrapped.task_spec.restores_state:
        check_states(make, name, frames, states)


@pytest.mark.parametrize("name", ["dmc/cartpole-balance", "dmc/quadruped-walk", "dmc/lqr-lqr_2_1"])
def test_the_spec_matches_the_environment(make, name):
    task = find_task(name, EnvConfig(**SMALL))
    env = make(name)
    assert env.action_space.shape == (task.spec.action_dim,)
    assert (env.action_space.low == -1).all()
    assert (env.action_space.high == 1).all()
    frame, info = env.reset(seed=0)
    assert env.observation_space.contains(frame)
    assert frame.flags.c_contiguous
    assert info["state"].shape == (task.spec.state_dim,)
    assert info["state"].dtype == np.float64
    assert frame.std() > 1


def test_gymnasium_accepts_it(make):
    check_env(make("dmc/cartpole-swingup"), skip_render_check=True)


def test_rewards_are_summed_over_the_repeat(make):
    single, held = (
        make("dmc/cartpole-balance", action_repeat=1),
        make("dmc/cartpole-balance", action_repeat=3),
    )
    actions = random_actions(held, 2)
    single.reset(seed=4)
    held.reset(seed=4)
    for action in actions:
        singles = [single.step(action) for _ in range(3)]
        frame, reward, _, _, info = held.step(action)
        assert reward == pytest.approx(sum(result[1] for result in singles))
        assert reward > 1
        np.testing.assert_array_equal(frame, singles[-1][0])
        np.testing.assert_array_equal(info["state"], singles[-1][4]["state"])


def test_one_picture_per_action(make, monkeypatch):
    env = make("dmc/cartpole-balance", action_repeat=5)
    env.reset(seed=0)
    pictures = []
    camera = env.unwrapped._camera
    monkeypatch.setattr(camera, "render", lambda render=camera.render: pictures.append(1) or render())
    env.step(np.zeros(1, np.float32))
    assert len(pictures) == 1


def test_the_time_limit_truncates_and_does_not_terminate(make):
    env = make("dmc/cartpole-balance", action_repeat=4, time_limit=10)
    for _ in range(2):
        env.reset(seed=0)
        results = [env.step(np.zeros(1, np.float32)) for _ in range(3)]
        assert [result[3] for result in results] == [False, False, True]
        assert not any(result[2] for result in results)
        assert results[2][1] <= 2  # 4 + 4 + 2 simulator steps, each worth at most 1
        with pytest.raises(ValueError, match="reset"):
            env.step(np.zeros(1, np.float32))


def test_the_default_limit_is_a_thousand_steps(make):
    env = make("dmc/cartpole-balance", action_repeat=200)
    env.reset(seed=0)
    assert [env.step(np.zeros(1, np.float32))[3] for _ in range(5)] == [False] * 4 + [True]


def test_an_end_for_good_is_termination(make):
    """LQR ends once its state is almost zero."""
    env = make("dmc/lqr-lqr_2_1", time_limit=5, action_repeat=1)
    env.reset(seed=0)
    assert env.step(np.zeros(1, np.float32))[2:4] == (False, False)
    env.unwrapped.set_state(np.full(4, 1e-9))
    assert env.step(np.zeros(1, np.float32))[2:4] == (True, False)
    with pytest.raises(ValueError, match="reset"):
        env.step(np.zeros(1, np.float32))


def test_lqr_is_the_same_system_in_every_instance(make):
    one, other = make("dmc/lqr-lqr_6_2"), make("dmc/lqr-lqr_6_2")
    stiffness = [env.unwrapped._physics.model.jnt_stiffness for env in (one, other)]
    np.testing.assert_array_equal(*stiffness)


def test_actions_are_mapped_to_the_actuators_range_and_clipped(make):
    env = make("dmc/quadruped-walk")  # its lift actuators want -1 to 1.1
    env.reset(seed=0)
    control = env.unwrapped._physics.data.ctrl
    spec = env.unwrapped._env.action_spec()
    assert spec.maximum.max() > 1
    for value, expected in [(1, spec.maximum), (-1, spec.minimum), (3, spec.maximum)]:
        env.step(np.full(12, value, np.float32))
        np.testing.assert_allclose(control, expected)
    env.step(np.zeros(12, np.float32))
    np.testing.assert_allclose(control, (spec.minimum + spec.maximum) / 2)


@pytest.mark.parametrize("action", [[np.nan], [0.0, 0.0], 0.0])
def test_actions_that_are_none(make, action):
    env = make("dmc/cartpole-balance")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="1 finite numbers"):
        env.step(np.array(action))


def test_a_simulation_that_blows_up_ends_the_episode(make):
    env = make("dmc/cartpole-balance")
    env.reset(seed=0)
    env.unwrapped._physics.data.qvel[:] = 1e20
    _, reward, terminated, truncated, info = env.step(np.zeros(1, np.float32))
    assert (terminated, truncated) == (False, True)
    assert "invalid" in info["error"]
    assert np.isfinite(reward)
    first = play(env, 3, 2)
    assert_same(play(make("dmc/cartpole-balance"), 3, 2), first)


def test_render_quality_is_what_the_configuration_says(make):
    def first(**config):
        return make("dmc/cheetah-run", **({"image_size": 48} | config)).reset(seed=0)[0].astype(float)

    plain = first(antialiasing=4, shadow_size=256)
    assert 0 < np.abs(first(antialiasing=4, shadow_size=2048) - plain).mean() < 0.3
    assert 0.1 < np.abs(first(antialiasing=0, shadow_size=256) - plain).mean() < 3
    assert np.abs(first(antialiasing=4, shadow_size=256, camera=1) - plain).mean() > 3


def test_pictures_larger_than_mujocos_buffer(make):
    assert make("dmc/cartpole-balance", image_size=512).reset(seed=0)[0].shape == (3, 512, 512)


def test_states_that_cannot_be_restored(make):
    with pytest.raises(ValueError, match="has 4 numbers"):
        make("dmc/cartpole-balance").unwrapped.set_state(np.zeros(5))
    with pytest.raises(ValueError, match="terrain"):
        make("dmc/quadruped-escape").unwrapped.set_state(np.zeros(57))


def test_a_broken_opengl_is_a_run_error_with_a_remedy(make, monkeypatch):
    env = make("dmc/cartpole-balance")
    env.reset(seed=0)

    def fail():
        raise RuntimeError("context lost")

    monkeypatch.setattr(env.unwrapped._camera, "render", fail)
    with pytest.raises(RunError, match="context lost") as caught:
        env.step(np.zeros(1, np.float32))
    assert caught.value.kind == "rendering"
    assert "libosmesa6" in caught.value.remedy


def test_a_camera_the_model_lacks():
    with pytest.raises(UserError, match="cameras 0 to 1"):
        find_task("dmc/walker-walk", EnvConfig(camera=7))


def test_closing_twice_is_fine(make):
    env = make("dmc/cartpole-balance")
    env.reset(seed=0)
    env.close()
    env.close()


def check_simulator(make, name):
    """Whatever happened before, a snapshot goes on as the episode it was taken from; `advance` is dm_control's step."""
    env, other, plain = (make(name, action_repeat=2).unwrapped for _ in range(3))
    actions = random_actions(env, 16)
    for one, key in ((env, 7), (plain, 7), (other, 8)):
        one._begin(key)
    for action in actions[:4]:
        gained = [plain._env.step(plain._to_control(action)).reward for _ in range(2)]
        assert env.advance(action) == (sum(gained), False)
        np.testing.assert_array_equal(env.get_state(), plain.get_state())
    snapshot, copy = env.snapshot(), pickle.loads(pickle.dumps(env.snapshot()))
    rewards = [env.advance(action)[0] for action in actions]
    end = env.snapshot()
    for action in actions[:3]:
        other.advance(action)
    fresh = make(name, action_repeat=2).unwrapped
    for simulator, taken in ((other, snapshot), (other, copy), (fresh, snapshot)):
        simulator.restore(taken)
        assert [simulator.advance(action)[0] for action in actions] == rewards
        reached = simulator.snapshot()
        np.testing.assert_array_equal(reached.physics, end.physics)
        assert reached.steps == end.steps == 40
        assert simulator._camera is None  # nothing was drawn: OpenGL is not needed
        assert not simulator._physics._contexts


# Semi-implicit and Runge-Kutta integration, contacts, a target, a tendon's parameters, an end for good.
@pytest.mark.parametrize(
    "name",
    ["cartpole-swingup", "acrobot-swingup", "cheetah-run", "reacher-easy", "point_mass-hard", "lqr-lqr_2_1"],
)
def test_snapshots_go_on_bit_for_bit(make, name):
    check_simulator(make, f"dmc/{name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"dmc/{name}" for name in SUITE if name != "quadruped-escape"])
def test_snapshots_of_every_task_of_the_suite(make, name):
    assert find_task(name, EnvConfig()).spec.simulates
    check_simulator(make, name)


def test_a_snapshot_carries_steps_and_targets(make):
    env, other = (make("dmc/reacher-easy", action_repeat=4, time_limit=10).unwrapped for _ in range(2))
    env._begin(0)
    other._begin(1)
    push = np.ones(2, np.float32)
    env.advance(push)
    first = env.get_state()
    other.restore(env.snapshot())
    np.testing.assert_array_equal(other.get_state(), first)  # the target too
    assert [other.advance(push)[1] for _ in range(3)] == [False, True, True]
    assert other.advance(push) == (0.0, True)
    over = other.snapshot()
    env.restore(over)
    assert env.advance(push) == (0.0, True)
    with pytest.raises(ValueError, match="reset"):
        env.step(push)


def test_a_simulation_that_blows_up_ends_what_is_simulated(make):
    env = make("dmc/cartpole-balance").unwrapped
    env._begin(0)
    good = env.snapshot()
    expected = env.advance(np.ones(1, np.float32))
    env._physics.data.qvel[:] = 1e20
    assert env.advance(np.zeros(1, np.float32)) == (0.0, True)
    env.restore(good)
    assert env.advance(np.ones(1, np.float32)) == expected


def test_a_task_that_does_not_simulate_says_so(make):
    assert not find_task("dmc/quadruped-escape", EnvConfig()).spec.simulates
    with pytest.raises(ValueError, match="terrain"):
        make("dmc/quadruped-escape").unwrapped.snapshot()
