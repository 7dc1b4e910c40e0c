"""The pool with a fake run: order, failures, signals, two pools at once, kills."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import claim
from studies.machine import Division
from studies.pool import Job, Pool
from studies.status import observe
from tests.studies import fakes

ROOT = Path(claim.__file__).parent.parent


class Recorder:
    """An observer that remembers."""

    def __init__(self, on_tick=None):
        self.began = []
        self.outcomes = []
        self.said = []
        self.most = 0
        self.on_tick = on_tick

    def started(self, worker):
        self.began.append(worker.job.run.id)

    def ended(self, outcome):
        self.outcomes.append(outcome)

    def tick(self, running, waiting):
        self.most = max(self.most, len(running))
        if self.on_tick:
            self.on_tick(running)

    def say(self, text):
        self.said.append(text)


@pytest.fixture(autouse=True)
def _fakes_are_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", fakes.HERE)


def pool(runs, tmp_path, workers=2, recorder=None):
    recorder = recorder or Recorder()
    jobs = [Job(run) for run in runs]
    return Pool(jobs, Division(workers, 3), tmp_path / "datasets", recorder, fakes.EXECUTE), recorder


def state_of(run):
    return str(observe(run.path, time.time())[0])


def test_bounded_in_order_and_one_failure_stops_no_other(tmp_path):
    designs = ["raises", "quick", "fails", "diverges", "steady"]
    runs = [fakes.make(tmp_path, design) for design in designs]
    made, recorder = pool(runs, tmp_path)
    report = made.run()
    assert recorder.began == [run.id for run in runs]
    assert recorder.most == 2
    assert [state_of(run) for run in runs] == ["failed:code", "done", "failed:code", "diverged", "done"]
    assert len(report.failed) == 2
    assert not report.interrupted
    assert "ValueError: a bug [sic]" in runs[0].read_state().error.message
    assert "fakes.py" in runs[0].read_state().error.traceback
    log = runs[1].log.read_text()
    assert "=== attempt by process" in log
    assert "attempt 1 with 3 threads" in log
    assert all(not claim.is_alive(claim.current(run.path)) for run in runs)


def test_a_run_goes_on_with_the_threads_it_had(tmp_path):
    new, begun = fakes.make(tmp_path), fakes.make(tmp_path, "steady")
    begun.attempts.write_text('{"event": "start", "threads": 7}\n{"event": "end"}\n')
    pool([new, begun], tmp_path)[0].run()
    assert "attempt 1 with 3 threads" in new.log.read_text()
    assert "attempt 1 with 7 threads" in begun.log.read_text()


def test_a_killed_worker_is_lost_and_continues(tmp_path):
    run = fakes.make(tmp_path, "dies")
    report = pool([run], tmp_path)[0].run()
    assert report.failed[0].condition.note == "killed by SIGKILL (often: memory ran out; try fewer --workers)"
    assert state_of(run) == "lost"
    assert pool([run], tmp_path)[0].run().count("done") == 1
    assert fakes.counted(run) == [0, 1, 2, 3, 4]  # nothing twice, nothing left out
    assert run.log.read_text().count("=== attempt") == 2


def test_a_killed_worker_of_a_submitted_task_has_a_remedy_of_its_own(tmp_path):
    jobs = [Job(fakes.make(tmp_path, "dies"))]
    in_task = Pool(jobs, Division(1, 3), tmp_path / "datasets", Recorder(), fakes.EXECUTE, lambda: 0)
    note = in_task.run().failed[0].condition.note
    assert note == "killed by SIGKILL (often: memory ran out; raise its memory_gb)"


def test_a_full_disk_starts_no_further_run(tmp_path):
    runs = [fakes.make(tmp_path, "full"), fakes.make(tmp_path, "quick")]
    report = pool(runs, tmp_path, workers=1)[0].run()
    assert "disk" in report.stopped_because
    assert [run.id for run in report.unstarted] == [runs[1].id]
    assert [state_of(run) for run in runs] == ["failed:disk", "pending"]


def test_two_pools_at_once_run_nothing_twice(tmp_path):
    runs = [fakes.make(tmp_path, "quick", seed) for seed in range(4)]
    paths = [str(run.path) for run in runs]
    pools = [start_pool(2, *paths) for _ in range(2)]
    assert [process.wait(60) for process in pools] == [0, 0]
    for run in runs:
        assert fakes.counted(run) == [0, 1, 2, 3, 4]
        assert run.log.read_text().count("attempt 1 with") == 1


def test_one_signal_stops_at_a_checkpoint(tmp_path):
    runs = [fakes.make(tmp_path, "slow", seed) for seed in range(3)]

    def interrupt_once(running):
        if len(fakes.counted(runs[0])) > 3 and not recorder.said:
            os.kill(os.getpid(), signal.SIGINT)

    recorder = Recorder(interrupt_once)
    made, _ = pool(runs, tmp_path, recorder=recorder)
    before = signal.getsignal(signal.SIGINT)
    report = made.run()
    assert report.interrupted
    assert [run.id for run in report.unstarted] == [runs[2].id]
    assert state_of(runs[0]) == "preempted"
    assert state_of(runs[2]) == "pending"
    assert not report.failed
    assert signal.getsignal(signal.SIGINT) is before


def test_two_signals_kill(tmp_path):
    run = fakes.make(tmp_path, "slow")

    def interrupt_twice(running):
        if len(fakes.counted(run)) >= 3:
            os.kill(running[0].process.pid, signal.SIGSTOP)  # a worker that does not listen
            os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            recorder.on_tick = None

    recorder = Recorder(interrupt_twice)
    report = pool([run], tmp_path, recorder=recorder)[0].run()
    assert report.interrupted
    assert state_of(run) == "lost"


def test_workers_leave_when_the_pool_is_killed(tmp_path):
    run = fakes.make(tmp_path, "slow")
    process = start_pool(1, str(run.path))
    wait_for(lambda: len(fakes.counted(run)) > 3)
    owner = claim.current(run.path)
    process.kill()
    process.wait()
    wait_for(lambda: not claim.is_alive(owner))
    assert state_of(run) == "preempted"


POOL = """
import sys
from pathlib import Path
from harness.rundir import RunDir
from studies.machine import Division
from studies.pool import Job, Pool
from test_pool import Recorder
jobs = [Job(RunDir(path)) for path in sys.argv[2:]]
Pool(jobs, Division(int(sys.argv[1]), 1), Path(sys.argv[2]) / "datasets", Recorder(), "fakes:execute").run()
"""


def start_pool(workers, *paths):
    """A pool in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), fakes.HERE])}
    return subprocess.Popen([sys.executable, "-c", POOL, str(workers), *paths], env=environment)


def wait_for(condition, seconds=30):
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_fewer_at_once_from_now_on(tmp_path):
    runs = [
        fakes.make(tmp_path, design, seed)
        for seed, design in enumerate(["quick", "longer", "quick", "quick"])
    ]
    recorder = Recorder()
    made, _ = pool(runs, tmp_path, recorder=recorder)

    def lower(running):
        made.limit = 1 if recorder.outcomes or len(fakes.counted(runs[1])) > 1 else 2

    recorder.on_tick = lower
    made.run()
    assert [state_of(run) for run in runs] == ["done"] * 4
    packed = {outcome.run.id: outcome.packed for outcome in recorder.outcomes}
    assert [packed[run.id] for run in runs] == [True, True, False, False]


def test_a_single_run_is_dropped(tmp_path):
    runs = [
        fakes.make(tmp_path, "slow", 0),
        fakes.make(tmp_path, "longer", 1),
        fakes.make(tmp_path, "quick", 2),
    ]
    recorder = Recorder()
    made, _ = pool(runs, tmp_path, recorder=recorder)

    def drop(running):
        if len(fakes.counted(runs[0])) > 2:
            made.drop({runs[0].id[-12:], runs[2].id[-12:]})

    recorder.on_tick = drop
    report = made.run()
    assert [state_of(run) for run in runs] == ["preempted", "done", "pending"]
    assert not report.interrupted
    assert not report.failed


def test_a_dropped_run_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("studies.pool._PATIENCE", 0.2)
    run = fakes.make(tmp_path, "slow")
    recorder = Recorder()
    made, _ = pool([run], tmp_path, recorder=recorder)

    def drop(running):
        if len(fakes.counted(run)) > 2:
            os.kill(running[0].process.pid, signal.SIGSTOP)
            made.drop({run.id[-12:]})
            recorder.on_tick = None

    recorder.on_tick = drop
    assert not made.run().outcomes[0].oom
    assert recorder.outcomes[0].status == -signal.SIGKILL


def test_a_signal_that_comes_as_a_worker_ends_takes_nothing_from_its_outcome(tmp_path):
    runs = [fakes.make(tmp_path, "quick", seed) for seed in range(2)]
    recorder = Recorder()
    made, _ = pool(runs, tmp_path, recorder=recorder)

    def drop_what_has_ended(running):
        if running:
            os.waitid(os.P_PID, running[0].process.pid, os.WEXITED | os.WNOWAIT)
            made.drop({running[0].job.hex})

    recorder.on_tick = drop_what_has_ended
    assert [outcome.status for outcome in made.run().outcomes] == [0, 0]
    assert [state_of(run) for run in runs] == ["done", "done"]
