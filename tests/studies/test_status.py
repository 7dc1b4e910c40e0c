"""The state of a run as shown: truthful after crashes, and never a guess that loses a result."""

import json
import time
from dataclasses import asdict, replace

import pytest

from harness import claim
from harness.rundir import Failure, RunDir, RunState
from studies.status import CONTINUED, FINISHED, NAMES, Condition, derive, observe

NOW = 1_000_000.0
OWNERSHIPS = ["free", "alive", "dead", "unknown"]
ENDINGS = [None, "running", "done", "diverged", "failed", "preempted"]


def recorded(ending, *, age=10.0):
    if ending is None:
        return None
    error = Failure("disk", "disk is full") if ending == "failed" else None
    return RunState(id="run", state=ending, heartbeat=NOW - age, error=error)


@pytest.mark.parametrize(
    ("ending", "names"),
    [
        (None, ["pending", "running", "lost", "running"]),
        ("running", ["lost", "running", "lost", "running"]),
        ("done", ["done"] * 4),
        ("diverged", ["diverged"] * 4),
        ("failed", ["failed", "running", "failed", "failed"]),
        ("preempted", ["preempted", "running", "preempted", "preempted"]),
    ],
)
def test_every_combination(ending, names):
    assert [derive(recorded(ending), owner, NOW).name for owner in OWNERSHIPS] == names


def test_states_are_told_apart():
    assert FINISHED.isdisjoint(CONTINUED)
    assert FINISHED | CONTINUED | {"running", "failed"} == set(NAMES)


def test_a_failure_says_its_kind_and_message():
    condition = derive(recorded("failed"), "free", NOW)
    assert str(condition) == "failed:disk"
    assert condition.note == "disk is full"


@pytest.mark.parametrize(
    ("age", "note"),
    [
        (5, ""),
        (-500, ""),
        (61, "unconfirmed for 1 min"),
        (180, "unconfirmed for 3 min"),
        (9000, "unconfirmed for 2 h"),
        (345_600, "unconfirmed for 4 d"),
    ],
)
def test_an_owner_that_cannot_be_seen_is_unconfirmed_and_never_dead(age, note):
    assert derive(recorded("running", age=age), "unknown", NOW) == Condition(
        "running", note=note, confirmed=not note
    )


def test_observe_reads_claim_and_state(tmp_path):
    run = RunDir(tmp_path)
    assert observe(tmp_path / "nowhere", time.time())[0].name == "pending"
    held = claim.acquire(tmp_path)
    assert observe(tmp_path, time.time())[0].name == "running"
    run.write_state(RunState(id="run", state="running"))
    held.release()
    assert observe(tmp_path, time.time())[0].name == "lost"
    elsewhere = replace(claim.this_process(), host="elsewhere")
    (tmp_path / "claim.2").write_text(json.dumps(asdict(elsewhere)))
    assert observe(tmp_path, time.time())[0].name == "running"
    run.write_state(RunState(id="run", state="done"))
    assert observe(tmp_path, time.time())[0].name == "done"


def test_a_state_file_that_a_power_cut_emptied_counts_as_lost(tmp_path):
    dead = replace(claim.this_process(), start=1)
    (tmp_path / "claim.1").write_text(json.dumps(asdict(dead)))
    (tmp_path / "state.json").write_text("")
    assert observe(tmp_path, time.time())[0].name == "lost"
