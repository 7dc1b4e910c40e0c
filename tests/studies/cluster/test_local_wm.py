"""`wm submit --executor local` from the command line, with fake runs: killed pools, cancelled runs, queued runs."""

import os
import signal
import time

import pytest

from harness.rundir import RunDir
from studies import store
from studies.cluster import localqueue
from studies.survey import survey
from tests.studies import fakes

STUDY = """
name: mine
base: {task: toy/point-mass, predict: images, space: latent, dynamics: stochastic, size: tiny, train: {episodes: 10}}
designs: {slow: {planner.horizon: 3}, quick: {planner.horizon: 4}}
grid: {design: [slow, quick]}
resources: {default: {cpus: 1, memory_gb: 0.1}}
"""


@pytest.fixture(autouse=True)
def _user(tmp_path, monkeypatch):
    """A user without a profile whose runs only count."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("WM_PROFILE", raising=False)
    monkeypatch.setattr("studies.worker.EXECUTE", fakes.EXECUTE)


@pytest.fixture
def study(wm, tmp_path):
    """The runs of a study that was submitted, on a machine with room for one task: slow runs, quick waits."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    (tmp_path / "mine.yaml").write_text(STUDY)
    try:
        status, _, err = wm("submit", "mine.yaml", "--executor", "local")
        assert status == 0, err
        slow, quick = store.StudyDir(tmp_path / "runs" / "mine").planned
        wait_for(lambda: fakes.counted(RunDir(slow.path)))
        yield slow, quick
    finally:
        os.sched_setaffinity(0, before)
        for pool in localqueue.living():
            os.kill(pool.owner().pid, signal.SIGKILL)
    wait_for(lambda: state_of(slow) != "running")


def state_of(run):
    return str(survey([run])[0].condition)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_a_killed_pool_leaves_nothing_that_seems_to_run_and_submitting_again_continues(study, wm):
    slow, quick = study
    first, follow_up = localqueue.living()
    os.kill(follow_up.owner().pid, signal.SIGKILL)  # else it would do what a person does below
    os.kill(first.owner().pid, signal.SIGKILL)
    wait_for(lambda: state_of(slow) == "preempted")  # its task had time to write a checkpoint
    assert state_of(quick) == "preempted"
    assert "2 preempted" in wm("status", "mine")[1]
    status, _, err = wm("submit", "mine", "--executor", "local", "--run", quick.hex)
    assert (status, "1 continue" in err) == (0, True), err
    wait_for(lambda: state_of(quick) == "done")
    assert state_of(slow) == "preempted"


def test_cancelling_retrying_and_running_beside_the_queue(study, wm):
    slow, quick = study
    status, _, err = wm("run", "mine")
    assert status == 0
    assert "1 of them is queued: wm status mine" in err
    assert "continue with" not in err
    assert "nothing to retry" in wm("retry", "mine", "--kind", "cancelled")[2]
    assert wm("cancel", "mine", "--run", quick.hex)[0] == 0
    assert state_of(quick) == "cancelled"
    status, _, err = wm("retry", "mine", "--kind", "cancelled")
    assert status == 0
    assert "1 run to do again; wm submit mine --executor local" in err
    assert state_of(quick) == "pending"
    status, _, err = wm("run", "mine")
    assert state_of(quick) == "done", err
    assert "1 of them run in another process" in err
    assert wm("cancel", "mine", "--yes")[0] == 0
    wait_for(lambda: state_of(slow) == "cancelled")
    wait_for(lambda: not localqueue.living())


def test_what_only_the_scheduler_knows_is_retried_too(wm, tmp_path):
    text = STUDY.replace("slow", "fails").replace(
        "memory_gb: 0.1", "memory_gb: 0.1, setup: 'no-such-command 1'"
    )
    (tmp_path / "mine.yaml").write_text(text)
    assert wm("submit", "mine.yaml", "--executor", "local", "--no-follow-up")[0] == 0
    fails, quick = store.StudyDir(tmp_path / "runs" / "mine").planned
    wait_for(lambda: state_of(fails) == state_of(quick) == "failed:setup")
    assert not fails.path.exists()  # its Python never began
    assert "no-such-command: command not found" in wm("status", "mine")[1]
    assert "nothing to submit: 2 failed runs are left" in wm("submit", "mine", "--executor", "local")[2]
    assert wm("retry", "mine", "--kind", "node")[0] == 2
    status, _, err = wm("retry", "mine", "--kind", "setup", "--only", "design=fails")
    assert (status, "wm submit mine --executor local" in err) == (0, True), err
    assert (state_of(fails), state_of(quick)) == ("pending", "failed:setup")
    assert wm("run", "mine")[0] == 1
    assert (state_of(fails), state_of(quick)) == ("failed:code", "failed:setup")  # of its own, after wm retry
    assert wm("retry", "mine")[0] == 0
    assert (state_of(fails), state_of(quick)) == ("pending", "pending")
    assert wm("retry", "mine")[0] == 2  # nothing has failed since
