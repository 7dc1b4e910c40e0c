"""Claims: exactly one owner, whatever races and whatever is killed."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from harness import claim
from harness.errors import UserError

ROOT = Path(claim.__file__).parent.parent


def foreign(run_dir: Path, number: int = 1, **changes: object) -> claim.Owner:
    """Writes a claim of a process other than this one."""
    owner = replace(claim.this_process(), **changes)
    (run_dir / f"claim.{number}").write_text(json.dumps(asdict(owner)))
    return owner


def dead_pid() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_first_claim_owns_and_release_frees(tmp_path):
    first = claim.acquire(tmp_path)
    assert first.still_mine()
    assert (tmp_path / "claim.1").exists()
    first.release()
    assert not first.still_mine()
    second = claim.acquire(tmp_path)
    assert second.number == 2
    first.release()  # late, and harmless
    assert second.still_mine()
    assert not list(tmp_path.glob(".*"))


def test_a_living_owner_keeps_the_run(tmp_path):
    held = claim.acquire(tmp_path)
    with pytest.raises(claim.OwnedElsewhere, match=f"process {os.getpid()}"):
        claim.acquire(tmp_path)
    assert held.still_mine()


@pytest.mark.parametrize(
    "changes",
    [{"pid": dead_pid(), "start": 5}, {"start": 5}, {"boot": "before the reboot"}],
    ids=["gone", "pid used again", "rebooted"],
)
def test_a_dead_owner_loses_the_run(tmp_path, changes):
    foreign(tmp_path, **changes)
    taken = claim.acquire(tmp_path)
    assert taken.number == 2
    assert (tmp_path / "claim.1").exists()  # a number is never used twice


@pytest.mark.parametrize(
    "changes",
    [{"host": "elsewhere"}, {"namespace": "pid:[1]", "pid": 999_999}, {"host": "elsewhere", "boot": "b"}],
    ids=["other host", "other container", "other host and boot"],
)
def test_unknown_means_alive(tmp_path, changes):
    foreign(tmp_path, **changes)
    with pytest.raises(claim.OwnedElsewhere, match="--take-over"):
        claim.acquire(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}'])
def test_an_unreadable_claim_means_alive(tmp_path, content):
    (tmp_path / "claim.3").write_text(content)
    with pytest.raises(claim.OwnedElsewhere, match="unreadable"):
        claim.acquire(tmp_path)


def test_a_zombie_is_dead(tmp_path):
    process = subprocess.Popen(["sleep", "60"])
    owner = foreign(tmp_path, pid=process.pid, start=claim._start_of(process.pid))
    assert claim.is_alive(owner)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not claim.is_alive(owner)
    process.wait()


def test_the_highest_number_owns(tmp_path):
    foreign(tmp_path, 9, host="elsewhere")
    foreign(tmp_path, 10, start=5)
    assert claim.acquire(tmp_path).number == 11


def test_a_beaten_owner_sees_it(tmp_path):
    beaten = claim.acquire(tmp_path)
    foreign(tmp_path, 2, host="elsewhere")
    assert not beaten.still_mine()
    beaten.release()
    assert claim.highest(tmp_path) == 2
    assert claim.is_alive(claim.current(tmp_path))


def test_an_archived_directory_is_nobodys(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    mine = claim.acquire(run)
    run.rename(tmp_path / "archived")
    assert not mine.still_mine()
    run.mkdir()
    foreign(run, 1, host="elsewhere")
    assert not mine.still_mine()


def test_take_over_frees_an_unknown_owner(tmp_path):
    assert claim.take_over(tmp_path) is None
    owner = foreign(tmp_path, host="elsewhere")
    assert claim.take_over(tmp_path) == owner
    assert claim.acquire(tmp_path).number == 3


def test_without_hard_links_it_says_so(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(UserError, match="hard links"):
        claim.acquire(tmp_path)
    assert not list(tmp_path.iterdir())


RACER = """
import fcntl, os, random, sys, time
from pathlib import Path
from harness import claim
run, seconds = Path(sys.argv[1]), float(sys.argv[2])
random.seed(os.getpid())
end = time.monotonic() + seconds
while time.monotonic() < end:
    try:
        mine = claim.acquire(run)
    except claim.OwnedElsewhere:
        continue
    with (run / "witness").open("w") as witness:
        try:
            fcntl.flock(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("two owners", flush=True)
            os._exit(1)
        print(mine.number, flush=True)
        time.sleep(random.random() * 0.002)
        if not mine.still_mine():
            print("beaten while alive", flush=True)
            os._exit(1)
    mine.release()
"""


def start_racer(run: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", RACER, str(run), "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_owner_says_which_element_of_an_array_it_is(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "16")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    assert ", SLURM job 16, since 20" in str(claim.this_process())
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    assert ", SLURM job 16_0, since 20" in str(claim.this_process())


def test_race_with_kills_has_one_owner_at_any_time(tmp_path):
    """Racers hold a kernel lock while they own: a second owner would find it taken."""
    (tmp_path / "witness").touch()
    survivors = [start_racer(tmp_path) for _ in range(4)]
    victims = []
    for _ in range(4):
        victim = start_racer(tmp_path)
        time.sleep(0.4 + random.random() * 0.1)
        victim.send_signal(signal.SIGKILL)
        victims.append(victim)
    outputs = [racer.communicate(timeout=60)[0] for racer in survivors]
    for victim in victims:
        victim.communicate()
    assert [racer.returncode for racer in survivors] == [0] * 4, outputs
    numbers = [int(line) for output in outputs for line in output.split()]
    assert len(numbers) == len(set(numbers))
    assert len(numbers) > 20
    with (tmp_path / "witness").open("w") as witness:
        fcntl.flock(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
