import resource
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.episodes import (
    Recorder,
    action_vectors,
    from_arrays,
    load_npz,
    save_npz,
    spec_problems,
    to_arrays,
)
from harness.errors import RunError, UserError
from tests.harness.replays import DISCRETE, SPEC, make_episode, same

SLOW_DISK = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SLOW_DISK
@given(columns=st.integers(2, 12), seed=st.integers(0, 99), spec=st.sampled_from([SPEC, DISCRETE]))
def test_npz_returns_what_was_saved_and_equal_episodes_make_equal_bytes(tmp_path, columns, seed, spec):
    episode = make_episode(columns, seed, spec)
    save_npz(episode, tmp_path / "a.npz")
    save_npz(make_episode(columns, seed, spec), tmp_path / "b.npz")
    assert same(load_npz(tmp_path / "a.npz"), episode)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_npz_has_the_documented_keys(tmp_path):
    save_npz(make_episode(5), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert set(arrays) == {"image", "action", "reward", "is_last", "is_terminal", "physics"}


@SLOW_DISK
@given(part=st.floats(0, 0.999))
def test_a_truncated_npz_is_named(tmp_path, part):
    path = tmp_path / "cut.npz"
    save_npz(make_episode(6), path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(RunError, match=r"cut\.npz: damaged or truncated, \d+ bytes") as raised:
        load_npz(path)
    assert raised.value.kind == "corrupt"
    assert "Restore" in raised.value.remedy


@settings(SLOW_DISK, max_examples=200)
@given(where=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_flipped_bit_is_an_error_or_harmless(tmp_path, where, bit):
    path = tmp_path / "flipped.npz"
    episode = make_episode(6)
    save_npz(episode, path)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content)
    message = "flipped.npz"
    try:
        found = load_npz(path)
    except (RunError, UserError) as error:
        message = str(error)
    else:  # a date, an attribute, or the name of the array that an episode can do without
        assert same(found, replace(episode, image=found.image, state=found.state))
    assert "flipped.npz" in message


def test_a_missing_npz_is_named(tmp_path):
    with pytest.raises(RunError, match="missing"):
        load_npz(tmp_path / "none.npz")


def test_other_arrays_are_no_episode(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.zeros(3), reward=np.zeros(3))
    with pytest.raises(UserError, match=r"a\.npz: not an episode: no action, is_last, is_terminal"):
        load_npz(tmp_path / "a.npz")


def test_a_full_disk_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.npz"
    save_npz(make_episode(3), path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(256, size=(50, 3, 16, 16), dtype=np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(RunError) as raised:
            save_npz(make_episode(50, image=noise), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.kind == "disk"
    assert "Free space" in raised.value.remedy
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"image": np.zeros((5, 4, 4, 3), np.uint8)},
            r"image is uint8 \[5, 4, 4, 3\]; expected uint8 \[5, 3, h, w\]",
        ),
        ({"image": np.zeros((5, 3, 4, 4), np.float32)}, "image is float32"),
        ({"action": np.zeros((5, 2))}, r"action is float64 \[5, 2\]; expected float32"),
        ({"action": np.zeros((4, 2), np.float32)}, "action is"),
        ({"action": np.ones((5, 2), np.float32)}, "column 0 is the reset"),
        (
            {"action": np.full((5, 2), [[0], [0], [np.inf], [0], [0]], np.float32)},
            r"action\[2\] = .* must be finite",
        ),
        ({"reward": np.zeros((5, 1), np.float32)}, "reward is"),
        (
            {"reward": np.array([0, np.nan, 0, np.nan, 0], np.float32)},
            r"reward\[1\] = nan must be finite \(and 1 more",
        ),
        ({"is_last": np.zeros(5, bool)}, "is_last must be true in the last column alone"),
        ({"is_last": np.ones(5, bool)}, "is_last must be true in the last column alone"),
        ({"is_last": np.zeros(5, np.int64)}, "is_last is int64"),
        ({"is_terminal": np.array([0, 1, 0, 0, 0], bool)}, r"is_terminal\[1\] = True stands before the last"),
        ({"state": np.zeros((5, 3), np.float32)}, "physics is float32"),
    ],
)
def test_each_mistake_is_located(changes, message):
    with pytest.raises(UserError, match=message):
        make_episode(5, **changes)


def test_all_mistakes_are_named_at_once():
    with pytest.raises(UserError, match=r"image is .*; action is .*; is_last is"):
        make_episode(
            5, image=np.zeros((5, 4, 4), np.uint8), action=np.zeros((5, 2)), is_last=np.zeros(4, bool)
        )


@pytest.mark.parametrize("frames", [True, False])
def test_of_arrays_of_several_lengths_the_odd_one_is_blamed(tmp_path, frames):
    arrays = to_arrays(make_episode(6)) | {"reward": np.zeros(5, np.float32)}
    if not frames:
        arrays.pop("image")
    with pytest.raises(UserError) as raised:
        from_arrays(arrays)
    assert str(raised.value) == "not an episode: reward is float32 [5]; expected float32 [6]"


def test_an_episode_needs_a_step():
    with pytest.raises(UserError, match="T at least 2"):
        make_episode(1)


def test_length_and_return():
    episode = make_episode(5, reward=np.array([0, 1, 2, 3, 4], np.float32))
    assert (episode.columns, episode.length, episode.total_return) == (5, 4, 10.0)


def test_an_episode_fits_its_own_task():
    assert spec_problems(make_episode(9), SPEC) == []
    assert spec_problems(make_episode(9, spec=DISCRETE), DISCRETE) == []


@pytest.mark.parametrize(
    ("spec", "episode", "message"),
    [
        (replace(SPEC, image_shape=(3, 8, 8)), {}, "image is [3, 4, 4] per column, toy/test has [3, 8, 8]"),
        (replace(SPEC, action_dim=3), {}, "action is float32 [5, 2], toy/test has float32 [T, 3]"),
        (replace(SPEC, state_dim=7), {}, "physics has 3 numbers per column, toy/test has 7"),
        (
            SPEC,
            {"action": np.float32([[0, 0], [0, 2], [0, -3], [0, 0], [0, 0]])},
            "action[1] = [0.0, 2.0] is outside",
        ),
        (
            replace(SPEC, reward_range=(0, 1)),
            {"reward": np.float32([0, 0, 0, 7, 0])},
            "reward[3] = 7.0 is outside",
        ),
        (SPEC, {"is_terminal": np.arange(5) == 4}, "is_terminal is set, but toy/test never terminates"),
        (replace(SPEC, time_limit=3), {}, "4 steps, but toy/test ends after 3"),
    ],
)
def test_what_does_not_fit_a_task_is_named(spec, episode, message):
    (problem,) = spec_problems(make_episode(5, **episode), spec)
    assert problem.startswith(message)


def test_a_discrete_choice_beyond_the_task_is_named():
    (problem,) = spec_problems(make_episode(4, spec=DISCRETE, action=np.array([0, 3, 4, 0])), DISCRETE)
    assert problem.startswith("action[2] = 4 is no choice of 0..3")


def test_a_reward_range_without_zero_does_not_concern_the_reset():
    episode = make_episode(3, reward=np.float32([0, 1, 1]))
    assert spec_problems(episode, replace(SPEC, reward_range=(1.0, 2.0))) == []


def test_discrete_actions_become_one_hot_with_zeros_at_the_reset():
    vectors = action_vectors(np.array([0, 2, 0]), 3)
    assert vectors.tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert vectors.dtype == np.float32


def test_the_recorder_puts_an_action_beside_what_it_produced():
    buffer = np.zeros((3, 4, 4), np.uint8)
    recorder = Recorder(SPEC, buffer, {"state": np.zeros(3)})
    for step in (1, 2):
        buffer[:] = step  # environments may reuse their arrays
        recorder.add(np.full(2, step / 10), buffer, float(step), step == 2, {"state": np.full(3, step)})
    episode = recorder.episode()
    assert episode.image[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert episode.action[:, 0].tolist() == pytest.approx([0, 0.1, 0.2])
    assert episode.reward.tolist() == [0, 1, 2]
    assert episode.is_last.tolist() == episode.is_terminal.tolist() == [False, False, True]
    assert episode.state is not None
    assert episode.state[:, 0].tolist() == [0, 1, 2]


def test_the_recorder_names_the_task_whose_environment_is_wrong():
    with pytest.raises(UserError, match="toy/test: state_dim is 3, but info has no state"):
        Recorder(SPEC, np.zeros((3, 4, 4), np.uint8), {})
    recorder = Recorder(SPEC, np.zeros((3, 8, 8), np.uint8), {"state": np.zeros(3)})
    recorder.add(np.zeros(2), np.zeros((3, 8, 8), np.uint8), 0.0, False, {"state": np.zeros(3)})
    with pytest.raises(UserError, match="toy/test: its environment returned image is"):
        recorder.episode()
