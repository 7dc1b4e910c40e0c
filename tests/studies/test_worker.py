"""One worker process, and where it takes its code from."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from harness import claim
from harness.rundir import RunState
from studies import packages, worker
from tests.studies import fakes


def start(run, *, execute=fakes.EXECUTE, path=(), cwd=None, parent=None, again=False):
    """A worker as the pool starts one."""
    environment = packages.environment({"OMP_NUM_THREADS": "1"})
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], fakes.HERE])
    if path:
        environment["PYTHONPATH"] = os.pathsep.join([*map(str, path), environment["PYTHONPATH"]])
    command = [sys.executable, "-P", "-m", "studies.worker", str(run.path), "--execute", execute]
    command += ["--datasets", str(run.path / "datasets"), "--parent", str(parent or os.getpid())]
    command += ["--again"] if again else []
    return subprocess.Popen(command, env=environment, cwd=cwd, stdout=-1, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(
    ("design", "status"),
    [("quick", "done"), ("fails", "failed"), ("raises", "failed"), ("diverges", "diverged")],
)
def test_exit_status_says_the_ending(tmp_path, design, status):
    run = fakes.make(tmp_path, design)
    process = start(run)
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == worker.EXIT_STATUS[status]
    assert run.read_state().state == status
    assert not claim.is_alive(claim.current(run.path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_asks_for_a_checkpoint(tmp_path, number):
    run = fakes.make(tmp_path, "slow")
    process = start(run)
    end = time.monotonic() + 30
    while not fakes.counted(run):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == worker.EXIT_STATUS["preempted"]
    assert run.read_state().state == "preempted"


def test_signals_to_the_very_end_kill_nothing(tmp_path):
    run = fakes.make(tmp_path, "slow")
    process = start(run)
    end = time.monotonic() + 30
    while not fakes.counted(run):
        assert time.monotonic() < end
        time.sleep(0.02)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    process.communicate()
    assert process.returncode == worker.EXIT_STATUS["preempted"]


def test_a_signal_while_it_starts_is_heard(tmp_path):
    """As the pool starts it: held back until the handlers stand."""
    run = fakes.make(tmp_path, "slow")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.SIGNALS)
    process = start(run)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.send_signal(signal.SIGUSR2)
    process.communicate(timeout=30)
    assert process.returncode == worker.EXIT_STATUS["preempted"]
    assert fakes.counted(run) == []


def test_a_failure_is_tried_again_where_it_is_told_to(tmp_path):
    run = fakes.make(tmp_path)
    run.write_state(RunState(id=run.id, state="failed"))
    process = start(run, again=True)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert fakes.counted(run) == [0, 1, 2, 3, 4]


def test_the_owner_in_an_earlier_start_of_the_same_job_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    run = fakes.make(tmp_path)
    before = replace(claim.this_process(), host="another node", restart="0")
    monkeypatch.setattr(claim, "this_process", lambda: before)
    claim.acquire(run.path)
    process = start(run)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert run.read_state().state == "done"


def test_a_run_that_is_owned_is_left_alone(tmp_path):
    run = fakes.make(tmp_path)
    claim.acquire(run.path)
    process = start(run)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == worker.OWNED
    assert "is owned by process" in said
    assert not run.log.exists()
    assert run.read_state() is None


@pytest.fixture
def far(tmp_path, monkeypatch):
    """A run whose owner is in a job on another machine, and what was asked about it."""
    run, asked = fakes.make(tmp_path), []
    with monkeypatch.context() as there:
        owner = replace(claim.this_process(), host="elsewhere", job="12")
        there.setattr(claim, "this_process", lambda: owner)
        claim.acquire(run.path)
    monkeypatch.setattr(worker, "_ASK_SECONDS", (0.0, 0.0, 0.0))
    return run, asked


def test_an_owner_is_asked_for_again_while_nobody_knows(far, monkeypatch):
    run, asked = far
    monkeypatch.setattr(
        "studies.cluster.owners.is_gone", lambda *owner: asked.append(owner) or len(asked) == 3
    )
    assert worker.own(run.path, worker.Stop()).still_mine()
    assert len(asked) == 3


def test_in_the_end_an_owner_of_whom_nobody_knows_stays(far, monkeypatch):
    run, asked = far
    monkeypatch.setattr("studies.cluster.owners.is_gone", lambda *owner: asked.append(owner))
    with pytest.raises(claim.OwnedElsewhere):
        worker.own(run.path, worker.Stop())
    assert len(asked) == 4


def test_an_owner_that_writes_is_not_asked_for_again(far, monkeypatch):
    run, asked = far

    def write(*owner):
        asked.append(owner)
        run.write_state(RunState(id=run.id, state="running", heartbeat=time.time()))

    monkeypatch.setattr("studies.cluster.owners.is_gone", write)
    with pytest.raises(claim.OwnedElsewhere):
        worker.own(run.path, worker.Stop())
    assert len(asked) == 1


def test_a_worker_that_waits_for_an_owner_leaves_when_it_is_told_to(far, monkeypatch):
    run, asked = far
    stop = worker.Stop()
    monkeypatch.setattr(worker, "_ASK_SECONDS", (60.0,))
    monkeypatch.setattr(
        "studies.cluster.owners.is_gone", lambda *owner: asked.append(owner) or stop.request()
    )
    with pytest.raises(claim.OwnedElsewhere):
        worker.own(run.path, stop)
    assert len(asked) == 1


@pytest.mark.parametrize("state", ["done", "diverged", "failed"])
def test_what_has_ended_meanwhile_is_not_run_again(tmp_path, state):
    run = fakes.make(tmp_path)
    run.write_state(RunState(id=run.id, state=state))
    process = start(run)
    process.communicate(timeout=30)
    assert process.returncode == worker.EXIT_STATUS[state]
    assert not fakes.counted(run)


def test_it_leaves_when_its_parent_is_gone(tmp_path):
    run = fakes.make(tmp_path, "slow")
    process = start(run, parent=1)
    process.communicate(timeout=30)
    assert process.returncode == worker.EXIT_STATUS["preempted"]


def test_what_cannot_be_imported_is_recorded(tmp_path):
    run = fakes.make(tmp_path)
    process = start(run, execute="harness.no_such_module:execute")
    process.communicate(timeout=30)
    state = run.read_state()
    assert state.state == "failed"
    assert "no module harness.no_such_module" in state.error.message


@pytest.mark.parametrize("name", packages.PACKAGES)
def test_decoys_in_the_working_directory_are_not_seen(tmp_path, name):
    decoy = tmp_path / "decoys" / name
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text("raise RuntimeError('a decoy was imported')\n")
    run = fakes.make(tmp_path)
    process = start(run, cwd=decoy.parent)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 0, said


@pytest.mark.parametrize("name", ["models", "analysis"])
def test_a_foreign_package_that_stands_first_is_named(tmp_path, name):
    decoy = tmp_path / "decoys" / name
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text("raise RuntimeError('a decoy was imported')\n")
    run = fakes.make(tmp_path)
    process = start(run, path=[decoy.parent])
    said = process.communicate(timeout=30)[0]
    assert process.returncode == worker.WRONG
    assert f"the package `{name}` comes from {decoy}" in said
    assert not claim.highest(run.path)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(packages, "PACKAGES", ("models", "no_such_package"))
    with pytest.raises(packages.UserError, match="`no_such_package` is missing"):
        packages.verify()


def test_the_log_is_capped(tmp_path, monkeypatch):
    log = tmp_path / "log.txt"
    log.write_bytes(b"first line\n" + b"a line of some length\n" * 100 + b"last line\n")
    descriptor = os.open(log, os.O_RDWR | os.O_APPEND)
    monkeypatch.setattr(worker, "LOG_BYTES", 1000)
    worker.shorten(descriptor)
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    text = log.read_text()
    assert len(text) < 600
    assert text.startswith("[older lines dropped]\na line")
    assert text.endswith("last line\nafter\n")
