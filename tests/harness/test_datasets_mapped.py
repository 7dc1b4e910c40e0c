import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from harness.datasets import Dataset, Label, build, open_mapped
from harness.datasets.mapped import MappedReplay
from harness.episodes import save_npz
from harness.errors import RunError, UserError
from harness.replay import Replay
from tests.harness.replays import DISCRETE, SPEC, make_episode, same

EPISODES = [make_episode(n, seed) for seed, n in enumerate((4, 6, 5, 9))]
LABELS = [Label("train"), Label("heldout"), Label("train"), Label("train")]


def make(directory, episodes=EPISODES, labels=LABELS, recipe=None):
    return build(directory, episodes, recipe or {"kind": "test"}, labels)


def files(dataset, part="train"):
    return {path.name: path.read_bytes() for path in (dataset.directory / "mapped" / part).iterdir()}


def test_it_holds_the_episodes_of_its_part_and_draws_the_clips_of_a_live_replay(tmp_path):
    dataset = make(tmp_path / "d")
    mapped = open_mapped(dataset, "train", SPEC)
    live = Replay.open(tmp_path / "live", SPEC)
    for index in (0, 2, 3):
        live.append(EPISODES[index])
    assert all(same(a, b) for a, b in zip(mapped, live, strict=True))
    assert list(mapped.lengths) == [4, 5, 9]
    for seed in range(5):
        ours, theirs = (r.sample(np.random.default_rng(seed), 8, 6, 3) for r in (mapped, live))
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert len(open_mapped(dataset, "heldout", SPEC)) == 1


def test_it_is_made_once_and_is_no_part_of_the_dataset(tmp_path):
    dataset = make(tmp_path / "d")
    open_mapped(dataset, "train", SPEC)
    before = (dataset.directory / "mapped" / "train").stat()
    open_mapped(Dataset(dataset.directory, verify=False), "train", SPEC)
    after = (dataset.directory / "mapped" / "train").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert Dataset(dataset.directory).digest == dataset.digest
    shutil.rmtree(dataset.directory / "mapped")
    assert len(open_mapped(dataset, "train", SPEC)) == 3


@pytest.mark.parametrize("name", ["replay.json", "frames.u8", "columns.bin", "episodes.bin", "mapped.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damaged_files_are_made_anew(tmp_path, name, damage):
    dataset = make(tmp_path / "d")
    open_mapped(dataset, "train", SPEC)
    whole, path = files(dataset), dataset.directory / "mapped" / "train" / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= 255
        path.write_bytes(content if damage == "flip" else content[:-3])
    again = open_mapped(dataset, "train", SPEC)
    assert all(same(a, EPISODES[i]) for a, i in zip(again, (0, 2, 3), strict=True))
    assert files(dataset) == whole
    assert sorted(p.name for p in (dataset.directory / "mapped").iterdir()) == [".train.lock", "train"]


def test_files_of_other_episodes_are_made_anew(tmp_path):
    old = make(tmp_path / "old", EPISODES[::-1])
    open_mapped(old, "train", SPEC)
    dataset = make(tmp_path / "d")
    shutil.copytree(old.directory / "mapped", dataset.directory / "mapped")
    assert same(open_mapped(dataset, "train", SPEC).episode(0), EPISODES[0])


def test_episodes_without_states_are_mapped_without(tmp_path):
    dataset = make(tmp_path / "d", [EPISODES[0], replace(EPISODES[1], state=None)], [Label(), Label()])
    mapped = open_mapped(dataset, "train", SPEC)
    assert mapped.episode(0).state is None
    assert np.array_equal(mapped.episode(1).image, EPISODES[1].image)
    assert len(open_mapped(dataset, "train", SPEC)) == 2


def test_discrete_actions_are_mapped(tmp_path):
    dataset = make(tmp_path / "d", [make_episode(5, spec=DISCRETE)], [Label()])
    batch = open_mapped(dataset, "train", DISCRETE).sample(np.random.default_rng(0), 2, 3)
    assert batch.action.shape == (2, 3, 4)


def test_what_does_not_fit_is_refused(tmp_path):
    dataset = make(tmp_path / "d", EPISODES[:1], LABELS[:1], {"action_repeat": 2})
    with pytest.raises(UserError, match="no episode is in its part heldout"):
        open_mapped(dataset, "heldout", SPEC)
    with pytest.raises(UserError, match=r"repeat 2, the run has 1; set env\.action_repeat=2"):
        open_mapped(dataset, "train", SPEC)
    with pytest.raises(UserError, match="does not fit toy/test as configured: image is"):
        open_mapped(dataset, "train", replace(SPEC, action_repeat=2, image_shape=(3, 8, 8)))
    with pytest.raises(TypeError, match="never changes"):
        open_mapped(dataset, "train", replace(SPEC, action_repeat=2)).append(EPISODES[0])


def test_an_episode_that_was_exchanged_is_found(tmp_path):
    dataset = make(tmp_path / "d")
    save_npz(make_episode(5, 77), dataset.directory / "episode-00002.npz")
    with pytest.raises(RunError, match=r"episode-00002\.npz: not the episode that was built"):
        open_mapped(Dataset(dataset.directory, verify=False), "train", SPEC)
    assert not (dataset.directory / "mapped" / "train").exists()


def _open_in_a_process(directory, times, results):
    calls = []

    def tick():
        calls.append(1)
        time.sleep(times)

    mapped = open_mapped(Dataset(directory, verify=False), "train", SPEC, tick)
    results.put((len(mapped), isinstance(mapped, MappedReplay), len(calls)))


def test_processes_wait_for_the_one_that_makes_it(tmp_path):
    dataset = make(tmp_path / "d")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    first = context.Process(target=_open_in_a_process, args=(dataset.directory, 0.3, results))
    first.start()
    while not list((dataset.directory / "mapped").glob(".train.*.tmp")):
        time.sleep(0.01)
    inode = next((dataset.directory / "mapped").glob(".train.*.tmp")).stat().st_ino
    _open_in_a_process(dataset.directory, 0.0, results)
    first.join()
    found = [results.get(timeout=5) for _ in range(2)]
    assert all(one[:2] == (3, True) for one in found)
    assert (dataset.directory / "mapped" / "train").stat().st_ino == inode


def test_a_kill_leaves_nothing_that_is_used(tmp_path):
    dataset = make(tmp_path / "d")
    context = multiprocessing.get_context("fork")
    for delay in (0.0, 0.05, 0.1):
        process = context.Process(target=_open_in_a_process, args=(dataset.directory, 0.04, context.Queue()))
        process.start()
        while not list((dataset.directory / "mapped").glob(".train.*.tmp")):
            time.sleep(0.002)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    mapped = open_mapped(dataset, "train", SPEC)
    assert all(same(a, EPISODES[i]) for a, i in zip(mapped, (0, 2, 3), strict=True))
    assert sorted(p.name for p in (dataset.directory / "mapped").iterdir()) == [".train.lock", "train"]


def test_a_tick_that_stops_leaves_nothing(tmp_path):
    dataset = make(tmp_path / "d")

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_mapped(dataset, "train", SPEC, stop)
    assert [p.name for p in (dataset.directory / "mapped").iterdir()] == [".train.lock"]
