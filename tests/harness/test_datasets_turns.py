"""Many processes that want one dataset: one builds, the others wait; none waits for a dead one."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.claim import acquire
from harness.datasets import Dataset, build, turns
from harness.datasets.turns import Heartbeat
from tests.harness.replays import make_episode

RECIPE = {"kind": "test"}
ROOT = Path(__file__).parents[2]

BUILDER = """
import sys, time
from pathlib import Path
from harness.datasets import build
from tests.harness.replays import make_episode

def episodes():
    with open(sys.argv[2], "a") as file:
        file.write("built\\n")
    for index in range(3):
        time.sleep(float(sys.argv[3]))
        yield make_episode(4, index)

while not Path(sys.argv[4]).exists():
    time.sleep(0.01)
print(build(Path(sys.argv[1]), episodes(), {"kind": "test"}).digest, flush=True)
"""


def start(directory, log, seconds, go):
    command = [sys.executable, "-c", BUILDER, *map(str, (directory, log, seconds, go))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def three():
    return [make_episode(4, index) for index in range(3)]


def lines(log):
    return log.read_text().splitlines() if log.exists() else []


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_of_many_processes_builds(tmp_path):
    directory, log, go = tmp_path / "d", tmp_path / "log", tmp_path / "go"
    builders = [start(directory, log, 0.2, go) for _ in range(4)]
    go.touch()
    digests = {builder.communicate(timeout=60)[0].strip() for builder in builders}
    assert [builder.returncode for builder in builders] == [0] * 4
    assert digests == {Dataset(directory).digest} == {build(tmp_path / "e", three(), RECIPE).digest}
    assert lines(log) == ["built"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "e", "go", "log"]


def test_a_killed_builder_is_followed_at_once(tmp_path):
    directory, log = tmp_path / "d", tmp_path / "log"
    slow = start(directory, log, 600, tmp_path)
    wait_for(lambda: lines(log))
    waiting = start(directory, log, 0, tmp_path)
    time.sleep(0.3)
    assert lines(log) == ["built"]
    slow.send_signal(signal.SIGKILL)
    slow.communicate()
    assert len(waiting.communicate(timeout=30)[0].strip()) == 64
    assert len(Dataset(directory)) == 3
    assert lines(log) == ["built", "built"]
    assert not (tmp_path / ".d.building").exists()


def claimed_elsewhere(tmp_path, monkeypatch):
    """A builder on another machine, of which nobody here can tell whether it lives."""
    claims = tmp_path / ".d.building"
    claims.mkdir()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("harness.claim.this_machine", lambda: ("far away", "boot", "namespace"))
        claim = acquire(claims)
    return claims / f"claim.{claim.number}"


def test_a_builder_elsewhere_that_is_silent_is_not_waited_for_forever(tmp_path, monkeypatch):
    claimed_elsewhere(tmp_path, monkeypatch)
    monkeypatch.setattr(turns, "STALE_SECONDS", 0.5)
    monkeypatch.setattr(turns, "_POLL_SECONDS", 0.05)
    begun = time.monotonic()
    assert len(build(tmp_path / "d", three(), RECIPE)) == 3
    assert 0.5 < time.monotonic() - begun < 5
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_builder_elsewhere_that_lives_is_waited_for(tmp_path, monkeypatch):
    claim = claimed_elsewhere(tmp_path, monkeypatch)
    monkeypatch.setattr(turns, "STALE_SECONDS", 0.6)
    monkeypatch.setattr(turns, "_POLL_SECONDS", 0.05)

    def never():
        raise AssertionError
        yield

    def live():
        for _ in range(15):  # longer than what counts as silence
            time.sleep(0.1)
            os.utime(claim)
        build(tmp_path / "there", three(), RECIPE).directory.rename(tmp_path / "d")

    builder = threading.Thread(target=live)
    builder.start()
    dataset = build(tmp_path / "d", never(), RECIPE)
    builder.join()
    assert len(dataset) == 3


def test_whoever_waits_can_be_stopped(tmp_path, monkeypatch):
    claimed_elsewhere(tmp_path, monkeypatch)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "d", three(), RECIPE, heartbeat=Heartbeat(stop))


def test_a_builder_that_is_stopped_leaves_nothing(tmp_path):
    beats = iter(range(2))

    def stop():
        if next(beats, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "d", three(), RECIPE, heartbeat=Heartbeat(stop))
    assert not list(tmp_path.iterdir())


def test_the_heart_beats_on_the_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "_BEAT_SECONDS", 0)
    heartbeat, seen = Heartbeat(), []

    def episodes():
        (claim,) = tmp_path.glob(".d.building/claim.*")
        for episode in three():
            os.utime(claim, (1, 1))
            heartbeat()
            seen.append(claim.stat().st_mtime > 1)
            yield episode

    build(tmp_path / "d", episodes(), RECIPE, heartbeat=heartbeat)
    assert seen == [True] * 3


def test_a_builder_that_failed_may_have_taken_the_folders_away(tmp_path):
    with turns.turn(tmp_path / "name" / "task", Heartbeat()) as ours:
        assert ours
        assert (tmp_path / "name").is_dir()
