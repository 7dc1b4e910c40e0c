import json
import resource
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import RunError, UserError
from harness.replay import Replay, finish, is_finished, read_shards
from harness.replay import shards as shards_module
from harness.replay.shards import MOST_SHARDS, parse_retention
from tests.harness.replays import DISCRETE, SPEC, make_episode, same

LENGTHS = [5, 9, 3, 12, 7]


def fill(directory, spec=SPEC, lengths=LENGTHS):
    replay = Replay.open(directory, spec)
    for seed, columns in enumerate(lengths):
        replay.append(make_episode(columns, seed, spec))


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("retention", "kept", "frames"),
    [
        ("all", [0, 1, 2, 3, 4], True),
        ("states", [0, 1, 2, 3, 4], False),
        ("last:2", [3, 4], True),
        ("last:99", [0, 1, 2, 3, 4], True),
        ("none", [], True),
    ],
)
def test_retention_keeps_what_it_says(tmp_path, retention, kept, frames):
    fill(tmp_path)
    finish(tmp_path, retention)
    found = list(read_shards(tmp_path))
    assert len(found) == len(kept)
    for episode, index in zip(found, kept, strict=True):
        assert same(episode, make_episode(LENGTHS[index], index), frames=frames)
        assert episode.has_frames == frames
    assert names(tmp_path) == (["shard-00000.npz"] if kept else []) + ["shards.json"]


def test_states_keeps_frames_where_they_cannot_be_rendered_again(tmp_path):
    fill(tmp_path, DISCRETE)
    finish(tmp_path, "states")
    assert all(same(e, make_episode(LENGTHS[i], i, DISCRETE)) for i, e in enumerate(read_shards(tmp_path)))


def test_frames_are_rendered_again_from_the_states(tmp_path):
    fill(tmp_path)
    finish(tmp_path, "states")
    seen = []

    def render(states):
        seen.append(states)
        return np.full((len(states), 3, 4, 4), 9, np.uint8)

    episodes = list(read_shards(tmp_path, render))
    assert [e.image.shape for e in episodes] == [(n, 3, 4, 4) for n in LENGTHS]
    assert all((e.image == 9).all() for e in episodes)
    assert np.array_equal(seen[1], make_episode(9, 1).state)


@pytest.mark.parametrize("text", ["", "last:0", "last:-1", "last:x", "last", "All", "frames"])
def test_an_unknown_retention_is_refused(text):
    with pytest.raises(UserError, match="expected all, states, last:N"):
        parse_retention(text, restores_state=True)


def test_shards_are_bounded_in_size_and_number(tmp_path):
    fill(tmp_path / "a")
    finish(tmp_path / "a", "all", raw_bytes=900)
    shards = json.loads((tmp_path / "a" / "shards.json").read_text())["shards"]
    assert [(s["first"], s["episodes"]) for s in shards] == [(0, 2), (2, 2), (4, 1)]
    assert len(list(read_shards(tmp_path / "a"))) == 5
    fill(tmp_path / "b", lengths=[2, 30] * 20)
    finish(tmp_path / "b", "all", raw_bytes=1)
    assert len(json.loads((tmp_path / "b" / "shards.json").read_text())["shards"]) <= MOST_SHARDS
    assert [e.columns for e in read_shards(tmp_path / "b")] == [2, 30] * 20


def test_finishing_again_changes_nothing(tmp_path):
    fill(tmp_path)
    finish(tmp_path, "all")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    finish(tmp_path, "all")
    finish(tmp_path, "none")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert is_finished(tmp_path)


def test_a_run_without_a_replay_has_nothing_to_finish(tmp_path):
    finish(tmp_path / "replay", "all")
    assert not (tmp_path / "replay").exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(40))
def test_killed_at_any_moment_nothing_is_lost(tmp_path, monkeypatch, moment):
    """Dies at the n-th file operation; what is there then, and what a second call makes of it, is whole."""
    fill(tmp_path)
    left = [moment]

    def dying(real):
        def call(*args, **kwargs):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(shards_module, "write_atomically", dying(shards_module.write_atomically))
        patch.setattr(shards_module, "_write_episode", dying(shards_module._write_episode))
        patch.setattr(shards_module, "sync_directory", dying(shards_module.sync_directory))
        patch.setattr("pathlib.Path.replace", dying(shards_module.Path.replace))
        patch.setattr("pathlib.Path.unlink", dying(shards_module.Path.unlink))
        try:
            finish(tmp_path, "all", raw_bytes=900)
        except Killed:
            left[0] = 10**6
    live = None if is_finished(tmp_path) else Replay.open(tmp_path)
    assert live is None or len(live) == 5
    finish(tmp_path, "all", raw_bytes=900)
    assert all(same(e, make_episode(LENGTHS[i], i)) for i, e in enumerate(read_shards(tmp_path)))
    assert len(list(read_shards(tmp_path))) == 5
    assert names(tmp_path) == [f"shard-0000{i}.npz" for i in range(3)] + ["shards.json"]


def test_a_full_disk_leaves_the_live_replay(tmp_path):
    replay = Replay.open(tmp_path, SPEC)
    noise = np.random.default_rng(0).integers(256, size=(40, 3, 4, 4), dtype=np.uint8)
    for _ in range(3):
        replay.append(make_episode(40, image=noise))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(RunError) as raised:
            finish(tmp_path, "all")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.kind == "disk"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_damaged_live_replay_is_not_finished(tmp_path):
    fill(tmp_path)
    frames = tmp_path / "frames.u8"
    frames.write_bytes(b"\xff" * frames.stat().st_size)
    with pytest.raises(RunError, match="episode 0 is damaged"):
        finish(tmp_path, "all")
    assert {"frames.u8", "columns.bin", "episodes.bin", "replay.json"} <= set(names(tmp_path))


def test_a_finished_replay_is_not_appended_to(tmp_path):
    fill(tmp_path)
    finish(tmp_path, "all")
    with pytest.raises(RunError, match="this replay is finished"):
        Replay.open(tmp_path, SPEC)


def test_a_damaged_shard_is_named(tmp_path):
    fill(tmp_path)
    finish(tmp_path, "all")
    shard = tmp_path / "shard-00000.npz"
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(RunError, match=r"shard-00000\.npz: damaged or truncated") as raised:
        list(read_shards(tmp_path))
    assert raised.value.kind == "corrupt"
    shard.unlink()
    with pytest.raises(RunError, match=r"shard-00000\.npz: missing"):
        list(read_shards(tmp_path))
    (tmp_path / "shards.json").write_text("{}")
    with pytest.raises(RunError, match=r"shards\.json: missing or damaged"):
        list(read_shards(tmp_path))


def test_an_error_of_the_renderer_is_not_called_damage(tmp_path):
    fill(tmp_path, replace(SPEC, name="toy/other"))
    finish(tmp_path, "states")

    def render(states):
        raise ValueError("no display")

    with pytest.raises(ValueError, match="no display"):
        list(read_shards(tmp_path, render))
