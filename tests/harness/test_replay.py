import json
import resource
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import RunError, UserError
from harness.replay import EMPTY, Replay
from harness.replay import live as live_module
from tests.harness.replays import DISCRETE, SPEC, make_episode, same

SLOW_DISK = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
LENGTHS = st.lists(st.integers(2, 12), min_size=1, max_size=6)


def filled(directory, lengths, spec=SPEC):
    replay = Replay.open(directory, spec)
    for seed, columns in enumerate(lengths):
        replay.append(make_episode(columns, seed, spec))
    return replay


def naive_clips(episodes, length, shortest):
    """Every valid clip of a list of episodes, as (image, action, reward, terminal, mask)."""
    clips = []
    for episode in episodes:
        for start in range(max(episode.columns - shortest, 0) + 1):
            take = range(start, min(start + length, episode.columns))
            clip = [np.zeros((length, *episode.image.shape[1:]), np.uint8), np.zeros((length, 2), np.float32)]
            clip += [np.zeros(length, np.float32), np.zeros(length, bool), np.zeros(length, np.float32)]
            for to, at in enumerate(take):
                clip[0][to] = episode.image[at]
                if to:
                    clip[1][to], clip[2][to] = episode.action[at], episode.reward[at]
                clip[3][to], clip[4][to] = episode.is_terminal[at], 1
            clips.append(b"".join(part.tobytes() for part in clip))
    return clips


def sampled_clips(batch):
    parts = (batch.image, batch.action, batch.reward, batch.terminal, batch.mask)
    return [b"".join(part[i].tobytes() for part in parts) for i in range(len(batch.image))]


@SLOW_DISK
@given(lengths=LENGTHS, length=st.integers(1, 14), missing=st.integers(0, 13), seed=st.integers(0, 2**32))
def test_clips_are_those_of_a_naive_implementation(tmp_path_factory, lengths, length, missing, seed):
    replay, shortest = filled(tmp_path_factory.mktemp("r"), lengths), max(1, length - missing)
    known = naive_clips([make_episode(n, i) for i, n in enumerate(lengths)], length, shortest)
    batch = replay.sample(np.random.default_rng(seed), 16, length, shortest)
    assert set(sampled_clips(batch)) <= set(known)
    assert batch.first[:, 0].all()
    assert not batch.first[:, 1:].any()
    # The clip is the one that the stream names: the k-th of all valid starts.
    assert sampled_clips(batch) == [
        known[k] for k in np.random.default_rng(seed).integers(len(known), size=16)
    ]


def test_all_valid_starts_are_equally_likely(tmp_path):
    replay = filled(tmp_path, [5, 3, 9, 2])  # length 4: 2 + 1 + 6 + 1 starts
    known = naive_clips([make_episode(n, i) for i, n in enumerate([5, 3, 9, 2])], 4, 4)
    draws = 20_000
    found = sampled_clips(replay.sample(np.random.default_rng(1), draws, 4))
    counts = np.array([found.count(clip) for clip in known])
    assert len(known) == 10
    expected = draws / 10
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert counts.sum() == draws
    assert chi_square < 27.9  # the 0.1 % quantile at 9 degrees of freedom


def test_the_end_of_an_episode_is_seen_at_every_column_that_is_scored(tmp_path):
    """With clips that are all full, a forecast would learn of ends at its last step alone."""
    replay = Replay.open(tmp_path, DISCRETE)
    replay.append(make_episode(30, 3, DISCRETE))
    full = replay.sample(np.random.default_rng(0), 400, 6)
    assert full.terminal.any(0).tolist() == [False] * 5 + [True]
    batch = replay.sample(np.random.default_rng(0), 400, 6, shortest=3)
    assert batch.terminal.any(0).tolist() == [False] * 2 + [True] * 4
    assert batch.mask.sum(1).min() == 3


def test_discrete_actions_are_one_hot_and_zero_at_the_cut(tmp_path):
    replay = Replay.open(tmp_path, DISCRETE)
    episode = make_episode(8, 3, DISCRETE)
    replay.append(episode)
    batch = replay.sample(np.random.default_rng(0), 5, 8)
    assert batch.action.shape == (5, 8, 4)
    assert not batch.action[:, 0].any()
    assert batch.action[0, 1:].argmax(-1).tolist() == episode.action[1:].tolist()
    assert (batch.action[0, 1:].sum(-1) == 1).all()
    assert batch.terminal[:, -1].all()
    assert same(replay.episode(0), episode)


def test_a_short_episode_is_padded_and_masked(tmp_path):
    batch = filled(tmp_path, [3]).sample(np.random.default_rng(0), 2, 5)
    assert batch.mask.tolist() == [[1, 1, 1, 0, 0]] * 2
    assert not batch.image[:, 3:].any()
    assert not batch.action[:, 3:].any()
    assert not batch.reward[:, 3:].any()


def test_types_and_shapes(tmp_path):
    batch = filled(tmp_path, [9, 9]).sample(np.random.default_rng(0), 7, 4)
    shapes = [(field.dtype.name, field.shape) for field in batch]
    assert shapes == [
        ("uint8", (7, 4, 3, 4, 4)),
        ("float32", (7, 4, 2)),
        ("float32", (7, 4)),
        ("bool", (7, 4)),
        ("bool", (7, 4)),
        ("float32", (7, 4)),
    ]


def test_sampling_while_growing_sees_the_new_episode(tmp_path):
    replay = filled(tmp_path, [4])
    replay.sample(np.random.default_rng(0), 2, 4)
    replay.append(make_episode(4, 5))
    values = replay.sample(np.random.default_rng(0), 64, 4).image[:, 0, 0, 0, 0]
    assert set(values.tolist()) == {0, 37 * 5}


def test_counts_and_reopening(tmp_path):
    replay = filled(tmp_path, [5, 3])
    assert (len(replay), replay.columns, replay.steps) == (2, 8, 6)
    again = Replay.open(tmp_path)
    assert again.spec == SPEC
    assert again.position() == replay.position()
    assert json.loads(json.dumps(replay.position())) == replay.position()
    assert all(
        same(found, make_episode(n, i)) for i, (found, n) in enumerate(zip(again, [5, 3], strict=True))
    )
    with pytest.raises(IndexError):
        again.episode(2)


def test_an_empty_replay_has_no_clips(tmp_path):
    replay = Replay.open(tmp_path / "new", SPEC, EMPTY)
    assert replay.position() == EMPTY
    replay.flush()
    with pytest.raises(ValueError, match="empty replay"):
        replay.sample(np.random.default_rng(0), 1, 1)


@SLOW_DISK
@given(lengths=LENGTHS, data=st.data())
def test_a_resumed_replay_equals_one_that_was_never_cut(tmp_path_factory, lengths, data):
    keep = data.draw(st.integers(0, len(lengths)))
    other, straight = tmp_path_factory.mktemp("cut"), tmp_path_factory.mktemp("straight")
    replay = filled(other, lengths[:keep])
    position = replay.position()
    replay.append(make_episode(7, 99))  # after the checkpoint
    for path in other.glob("*.[bu]*"):  # and half an episode on top
        garbage = data.draw(st.binary(max_size=40))
        with path.open("ab") as file:
            file.write(garbage)
    resumed = Replay.open(other, SPEC, position)
    for seed, columns in enumerate(lengths[keep:], keep):
        resumed.append(make_episode(columns, seed))
    filled(straight, lengths)
    for path in straight.iterdir():
        assert (other / path.name).read_bytes() == path.read_bytes()


def test_zeros_behind_the_checkpoint_are_cut_off(tmp_path):
    """A power cut may leave whole records of zeros where a file had grown but its data was not written."""
    replay = filled(tmp_path, [4, 5])
    position = replay.position()
    table = tmp_path / "episodes.bin"
    whole = table.read_bytes()
    table.write_bytes(whole + bytes(3 * len(whole)))
    assert Replay.open(tmp_path, SPEC, position).position() == position
    assert table.read_bytes() == whole


def test_half_a_record_at_the_end_is_no_episode(tmp_path):
    replay = filled(tmp_path, [4, 5])
    table = tmp_path / "episodes.bin"
    table.write_bytes(table.read_bytes()[:-3])
    again = Replay.open(tmp_path, SPEC)
    assert len(again) == 1
    again.append(make_episode(5, 1))
    assert again.position() == replay.position()


@pytest.mark.parametrize("name", ["frames.u8", "columns.bin"])
def test_a_truncated_replay_is_named_with_its_bytes(tmp_path, name):
    position = filled(tmp_path, [4, 5]).position()
    path = tmp_path / name
    needed = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    for where in (position, None):
        with pytest.raises(
            RunError, match=f"{name} has {needed - 1} bytes, 2 episodes need {needed}"
        ) as raised:
            Replay.open(tmp_path, SPEC, where)
        assert raised.value.kind == "corrupt"
        assert "--fresh" in raised.value.remedy


def test_an_earlier_checkpoint_continues_a_truncated_replay(tmp_path):
    replay = filled(tmp_path, [4])
    position = replay.position()
    replay.append(make_episode(5, 1))
    frames = tmp_path / "frames.u8"
    frames.write_bytes(frames.read_bytes()[:-1])
    resumed = Replay.open(tmp_path, SPEC, position)
    assert same(resumed.episode(0), make_episode(4, 0))


def test_a_lost_table_is_named(tmp_path):
    position = filled(tmp_path, [4, 5]).position()
    (tmp_path / "episodes.bin").unlink()
    with pytest.raises(RunError, match=r"episodes\.bin: 0 episodes, the checkpoint counts on 2"):
        Replay.open(tmp_path, SPEC, position)


def test_a_replay_of_another_checkpoint_is_refused(tmp_path):
    position = filled(tmp_path / "a", [4, 5]).position()
    filled(tmp_path / "b", [5, 4])
    with pytest.raises(RunError, match="not the episodes that the checkpoint was made with"):
        Replay.open(tmp_path / "b", SPEC, position)


def test_a_nonsense_table_is_named(tmp_path):
    filled(tmp_path, [4, 5])
    (tmp_path / "episodes.bin").write_bytes(b"\x07" * 60)
    with pytest.raises(RunError, match=r"episodes\.bin: 60 bytes that are no table"):
        Replay.open(tmp_path, SPEC)


@pytest.mark.parametrize("content", [b"", b"{", b'{"spec": {}}', b'{"spec": {"name": 1}}', b"[]"])
def test_a_damaged_header_is_named(tmp_path, content):
    filled(tmp_path, [4])
    (tmp_path / "replay.json").write_bytes(content)
    with pytest.raises(RunError, match=r"replay\.json: damaged"):
        Replay.open(tmp_path, SPEC)


def test_a_lost_header_is_named(tmp_path):
    filled(tmp_path, [4])
    (tmp_path / "replay.json").unlink()
    with pytest.raises(
        RunError, match=r"replay\.json: missing, beside episodes\.bin, columns\.bin, frames\.u8"
    ):
        Replay.open(tmp_path, SPEC)


def test_a_replay_of_another_task_is_refused(tmp_path):
    filled(tmp_path, [4])
    with pytest.raises(RunError, match="made for another task: action_dim is 2, not 3"):
        Replay.open(tmp_path, replace(SPEC, action_dim=3))


@pytest.mark.parametrize("name", ["frames.u8", "columns.bin"])
def test_a_flipped_bit_is_found_when_the_episode_is_read(tmp_path, name):
    filled(tmp_path, [4, 5])
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 16
    path.write_bytes(content)
    replay = Replay.open(tmp_path, SPEC)
    assert same(replay.episode(0), make_episode(4, 0))
    with pytest.raises(RunError, match="episode 1 is damaged"):
        replay.episode(1)


def test_an_episode_that_does_not_fit_is_refused(tmp_path):
    replay = filled(tmp_path, [4])
    for episode, message in [
        (make_episode(4, spec=DISCRETE), "action is int64"),
        (make_episode(4, state=None), "no simulator state"),
        (make_episode(4, image=np.zeros((4, 3, 0, 0), np.uint8)), r"image is \[3, 0, 0\]"),
    ]:
        with pytest.raises(UserError, match=message):
            replay.append(episode)
    assert len(replay) == 1


def test_a_full_disk_loses_nothing_and_the_run_can_go_on(tmp_path):
    replay = filled(tmp_path, [4])
    position, before = replay.position(), (tmp_path / "frames.u8").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(RunError, match="cannot write") as raised:
            replay.append(make_episode(40, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.kind == "disk"
    assert "Free space" in raised.value.remedy
    assert (tmp_path / "frames.u8").read_bytes() == before
    assert replay.position() == position
    replay.append(make_episode(40, 1))
    assert same(Replay.open(tmp_path, SPEC, replay.position()).episode(1), make_episode(40, 1))


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_an_append_that_is_interrupted_leaves_whole_episodes(tmp_path, monkeypatch, writes):
    replay = filled(tmp_path, [4])
    real, left = live_module.write_at, [writes]

    def interrupted(path, offset, data):
        if not left[0]:
            real(path, offset, data[: len(data) // 2])
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, offset, data)

    monkeypatch.setattr(live_module, "write_at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replay.append(make_episode(5, 1))
    monkeypatch.undo()
    assert Replay.open(tmp_path, SPEC).position() == replay.position()
    assert len(replay) == 1


def test_reading_a_live_replay_changes_no_file(tmp_path):
    filled(tmp_path, [4])
    with (tmp_path / "frames.u8").open("ab") as file:  # the writer is in the middle of an episode
        file.write(b"half")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    Replay.open(tmp_path).sample(np.random.default_rng(0), 3, 4)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_at_most_four_files(tmp_path):
    filled(tmp_path, [4] * 20).flush()
    assert len(list(tmp_path.iterdir())) == 4
