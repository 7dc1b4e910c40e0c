"""A task with a fake run: what it skips, packs, tries again, hands on and says; without a scheduler."""

import errno
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import claim
from harness.config import run_id
from harness.rundir import RunDir, RunState
from studies import worker
from studies.cluster import records, task
from studies.cluster.granting import Granted
from studies.status import observe
from studies.store import StoredRun
from tests.studies import fakes


@pytest.fixture(autouse=True)
def _as_a_task_finds_it(monkeypatch):
    """The fakes can be imported, no SLURM is around, and pytest gets its signals back."""
    monkeypatch.setenv("PYTHONPATH", fakes.HERE)
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    numbers = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Dispatched:
    """A submission of one task, and what can be asked of it."""

    def __init__(self, root, designs, *, together=1, executor="local", reason="new"):
        self.dispatch = records.Dispatch(root / "study")
        fields = {"executor": executor, "command": ("wm", "submit"), "code": "", "execute": fakes.EXECUTE}
        folder = self.dispatch.begin({**fields, "datasets": str(root / "datasets")})
        configs = [fakes.config(design, seed) for seed, design in enumerate(designs)]
        paths = [root / "study" / "runs" / run_id(config) for config in configs]
        entries = [
            (
                StoredRun(
                    path.name,
                    path.name[-12:],
                    config.design,
                    "toy/point-mass",
                    config.seed,
                    config.model_dump(mode="json"),
                    path,
                ),
                records.Entry(path.name[-12:], reason),
            )
            for config, path in zip(configs, paths, strict=True)
        ]
        resources = Granted(runs_per_gpu=together, cpus=3)
        self.array = self.dispatch.add_array(folder, executor, resources, [entries])
        self.arguments = (str(folder), 0, 0)
        self.runs = [RunDir(path) for path in paths]

    def run(self):
        """Runs the task in this process; True if work was left."""
        session = task.Session(Path(self.arguments[0]), *self.arguments[1:])
        return bool(session.run())

    def start(self):
        """Runs the task in a process of its own."""
        command = [sys.executable, "-P", "-m", "studies.cluster.task", *map(str, self.arguments)]
        environment = task.packages.environment({})
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def events(self, name=None):
        found = records.read_events(self.array, 0)
        return [event for event in found if name in {None, event["event"]}]

    def states(self):
        return [str(observe(run.path, time.time())[0]) for run in self.runs]

    def hexes(self):
        return [run.id[-12:] for run in self.runs]


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_side_by_side_one_failing_hurts_no_other(tmp_path):
    one = Dispatched(tmp_path, ["quick", "raises", "diverges", "eats", "steady"], together=3)
    assert not one.run()
    assert one.states() == ["done", "failed:code", "diverged", "done", "done"]
    begin, *_, end = one.events()
    assert (begin["event"], begin["restart"], begin["pid"]) == ("begin", 0, os.getpid())
    assert (end["event"], end["left"], end["because"]) == ("end", [], "")
    ended = {event["hex"]: event for event in one.events("ended")}
    assert ended.keys() == set(one.hexes())
    assert ended[one.hexes()[1]]["condition"] == "failed:code"
    peaks = [ended[digits]["peak_memory_mb"] for digits in one.hexes()]
    assert peaks[3] > max(peaks[:3]) + 0.9 * fakes.MEAL / 2**20
    assert "attempt 1 with 3 threads" in one.runs[0].log.read_text()
    owners = {claim.current(run.path).pid for run in one.runs}
    assert len(owners) == len(one.runs)


def test_what_has_a_result_or_an_owner_is_left_alone(tmp_path):
    one = Dispatched(tmp_path, ["quick"] * 4)
    for run, state in zip(one.runs, ("done", "diverged", "failed"), strict=False):
        run.path.mkdir(parents=True)
        run.write_state(RunState(id=run.id, state=state))
    one.runs[3].path.mkdir(parents=True)
    owned = claim.acquire(one.runs[3].path)
    assert not one.run()
    assert [event["hex"] for event in one.events("started")] == one.hexes()[3:]
    assert one.events("ended")[0]["status"] == worker.OWNED
    assert one.events("ended")[0]["owner"] == str(owned.owner)
    assert all(fakes.counted(run) == [] for run in one.runs)
    assert owned.still_mine()


def test_a_failure_is_tried_again_once_where_the_task_was_submitted_for_it(tmp_path):
    one = Dispatched(tmp_path, ["fails"], reason="retry:code")
    run = one.runs[0]
    run.path.mkdir(parents=True)
    run.write_state(RunState(id=run.id, state="failed", attempt=1))
    assert not one.run()
    assert fakes.counted(run) == [0]
    assert not one.run()  # requeued: its failure is now of this task
    assert fakes.counted(run) == [0]
    assert one.states() == ["failed:code"]


@pytest.mark.parametrize(
    ("design", "together", "attempts", "ending"),
    [
        ("dies", 2, 2, "done"),
        ("dies", 1, 1, "lost"),  # alone already: more memory is for a policy to ask
        ("no-room", 2, 2, "done"),
        ("no-room", 1, 1, "failed:gpu-memory"),
        ("crashes-once", 1, 2, "done"),
        ("crashes", 2, 2, "lost"),
    ],
)
def test_what_is_tried_once_more_alone(tmp_path, design, together, attempts, ending):
    one = Dispatched(tmp_path, [design, "quick", "quick"], together=together)
    assert not one.run()
    assert one.states() == [ending, "done", "done"]
    mine = [event for event in one.events("ended") if event["hex"] == one.hexes()[0]]
    assert len(mine) == attempts
    if attempts == 2:
        assert one.events("started")[-1]["hex"] == one.hexes()[0]
        running = 0
        for event in one.events()[:-3]:
            running += {"started": 1, "ended": -1}.get(event["event"], 0)
        assert running == 0  # nobody was at its side


def test_what_is_tried_again_keeps_the_threads_it_asked_for(tmp_path, monkeypatch):
    asked = {"resources": {"cpus": 1}, "runtime": {"threads": 2}}
    config = fakes.config
    monkeypatch.setattr(
        fakes, "config", lambda *a: type(made := config(*a)).model_validate(made.model_dump() | asked)
    )
    one = Dispatched(tmp_path, ["crashes-once", "quick"], together=2)
    assert not one.run()
    assert re.findall("attempt . with . threads", one.runs[0].log.read_text()) == [
        "attempt 1 with 2 threads",
        "attempt 2 with 2 threads",
    ]


def test_after_a_kill_the_survivors_go_on_and_what_comes_later_runs_alone(tmp_path, monkeypatch):
    kills = iter([0, *[1] * 100])
    monkeypatch.setattr(task.machine, "memory_kills", lambda: next(kills))
    one = Dispatched(tmp_path, ["dies", "longer", "quick", "quick"], together=2)
    assert not one.run()
    assert one.states() == ["done"] * 4
    first = one.events("ended")[0]
    assert (first["hex"], first["status"], first["oom"]) == (one.hexes()[0], -9, True)
    order = [(event["event"], one.hexes().index(event["hex"])) for event in one.events() if "hex" in event]
    assert order[:3] == [("started", 0), ("started", 1), ("ended", 0)]
    assert order[3:] == [
        (what, which)
        for which in (1, 2, 3, 0)
        for what in ("started", "ended")
        if (what, which) != ("started", 1)
    ]


def test_a_signal_leaves_work_that_the_next_start_goes_on_with(tmp_path):
    one = Dispatched(tmp_path, ["longer", "longer", "quick"], together=2)
    process = one.start()
    wait_for(lambda: all(len(fakes.counted(run)) > 3 for run in one.runs[:2]))
    process.send_signal(signal.SIGUSR2)
    process.send_signal(signal.SIGTERM)  # which kills nobody
    process.communicate(timeout=30)
    assert process.returncode == task.LEFT
    assert one.states() == ["preempted", "preempted", "pending"]
    assert one.events("end")[0]["left"] == one.hexes()
    assert one.events("end")[0]["because"] == "asked to stop"
    assert not one.run()
    assert one.states() == ["done"] * 3
    assert fakes.counted(one.runs[0]) == list(range(50))
    assert [event["restart"] for event in one.events("begin")] == [0, 1]
    assert one.events("end")[-1]["left"] == []


SCONTROL = """#!/bin/sh
echo "$@" >> {log}
[ "$1" = requeue ] && exit {status}
echo "JobId=5 JobState={state} Reason=None PreemptTime={preempted} EndTime={end}"
"""


def scontrol(folder, monkeypatch, *, state="RUNNING", preempted="None", end="Unknown", status=0):
    """Puts a controller that answers so on the PATH; returns the file of what it was asked."""
    log = folder / "asked"
    script = folder / "bin" / "scontrol"
    script.parent.mkdir()
    script.write_text(SCONTROL.format(log=log, state=state, preempted=preempted, end=end, status=status))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    for name, value in {"JOB_ID": "5", "ARRAY_JOB_ID": "4", "ARRAY_TASK_ID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    return log


def stopped_by(number, root):
    """A task of SLURM that a signal stops while its run goes on."""
    one = Dispatched(root, ["slow"], executor="slurm")
    process = one.start()
    wait_for(lambda: len(fakes.counted(one.runs[0])) > 3)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == task.LEFT
    assert one.states() == ["preempted"]
    return one


@pytest.mark.parametrize(
    ("number", "preempted", "because"),
    [
        (signal.SIGUSR2, "2026-11-22T10:00:00", "preempted"),
        (signal.SIGUSR2, "None", "signal"),
        (signal.SIGTERM, "2026-11-22T10:00:00", "preempted"),  # a cluster that sends no other signal
    ],
)
def test_a_job_with_work_left_is_requeued(tmp_path, monkeypatch, number, preempted, because):
    asked = scontrol(tmp_path, monkeypatch, preempted=preempted)
    one = stopped_by(number, tmp_path)
    assert asked.read_text().splitlines() == ["show job --oneliner 4_0", "requeue 4_0"]
    assert one.events("requeue")[0]["because"] == because
    assert one.events("requeue")[0]["left"] == one.hexes()
    assert not one.events("end")
    assert one.events("begin")[0]["job"] == "4_0"


def test_a_job_that_is_told_to_end_is_not_requeued(tmp_path, monkeypatch):
    asked = scontrol(tmp_path, monkeypatch)
    one = stopped_by(signal.SIGTERM, tmp_path)
    assert asked.read_text().splitlines() == ["show job --oneliner 4_0"]
    assert one.events("end")[0]["because"] == "asked to stop"


def test_a_controller_that_refuses_is_asked_again_and_then_named(tmp_path, monkeypatch):
    asked = scontrol(tmp_path, monkeypatch, status=3)
    one = stopped_by(signal.SIGUSR2, tmp_path)
    assert asked.read_text().splitlines()[1:] == ["requeue 4_0"] * 3
    assert one.events("end")[0]["because"] == "signal, and could not be requeued: exit status 3"


@pytest.mark.parametrize(
    ("seconds", "why", "kind"), [(90, "time limit", "time-limit"), (None, "signal", ""), (9000, "signal", "")]
)
def test_an_allocation_in_which_nothing_was_gained_is_left_to_the_policies(
    tmp_path, monkeypatch, seconds, why, kind
):
    end = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + (seconds or 0)))
    asked = scontrol(tmp_path, monkeypatch, end=end if seconds else "Unknown")
    monkeypatch.setattr(task.Session, "_progress", lambda _: 0.5)
    one = Dispatched(tmp_path, ["slow"], executor="slurm")
    monkeypatch.setattr(task.Session, "tick", lambda *_: os.kill(os.getpid(), signal.SIGUSR2))
    assert one.run()
    assert "requeue" not in asked.read_text()
    said = one.events("end")[0]
    assert (said["because"], said["kind"]) == (f"{why}, and nothing was gained in this allocation", kind)


def test_a_node_on_which_no_process_starts_is_named(tmp_path, monkeypatch):
    def fork(*_, **__):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("studies.pool.subprocess.Popen", fork)
    one = Dispatched(tmp_path, ["quick", "steady"])
    assert one.run()
    end = one.events("end")[0]
    assert (end["kind"], end["left"]) == ("node", one.hexes())
    assert end["because"].startswith(f"cannot start {one.runs[0].id}: ")


def test_a_full_disk_on_which_no_run_begins_is_no_fault_of_the_node(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("studies.pool.RunDir.create", full)
    one = Dispatched(tmp_path, ["quick"])
    assert one.run()
    assert one.events("end")[0]["kind"] == "disk"


def test_it_says_what_slurm_calls_its_node(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURMD_NODENAME", "n017")
    one = Dispatched(tmp_path, ["quick"], executor="slurm")
    assert not one.run()
    assert one.events("begin")[0]["node"] == "n017"


def test_half_a_line_costs_nothing_but_itself(tmp_path):
    one = Dispatched(tmp_path, [])
    records.say(one.array, 0, "begin")
    with one.array.events_file(0).open("a") as file:
        file.write('{"event": "star')
    assert [event["event"] for event in one.events()] == ["begin"]
    records.say(one.array, 0, "begin")
    records.say(one.array, 0, "end", left=[])
    assert [event["event"] for event in one.events()] == ["begin", "begin", "end"]


def test_a_cancelled_run_leaves_and_its_neighbour_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(task, "_MARKS_SECONDS", 0.1)
    one = Dispatched(tmp_path, ["slow", "quick", "quick"], together=2)
    slow, _, never = one.runs
    one.dispatch.mark([never.id[-12:]], "cancelled")
    tick = task.Session.tick

    def cancel(session, running, waiting):
        if len(fakes.counted(slow)) >= 3 and slow.id[-12:] not in one.dispatch.marks:
            one.dispatch.mark([slow.id[-12:]], "cancelled")
        tick(session, running, waiting)

    monkeypatch.setattr(task.Session, "tick", cancel)
    assert not one.run()
    assert one.states() == ["preempted", "done", "pending"]
    assert {event["hex"] for event in one.events("started")} == set(one.hexes()[:2])


def test_a_mark_from_before_the_submission_is_undone(tmp_path):
    digits = run_id(fakes.config("quick"))[-12:]
    records.Dispatch(tmp_path / "study").mark([digits], "cancelled")
    one = Dispatched(tmp_path, ["quick"])
    assert not one.run()
    assert one.states() == ["done"]


def test_a_full_disk_leaves_the_rest(tmp_path):
    one = Dispatched(tmp_path, ["full", "quick"])
    assert one.run()
    assert one.events("end")[0]["left"] == one.hexes()[1:]
    assert "disk" in one.events("end")[0]["because"]


def test_what_a_scheduler_holds_is_its_place_alone(tmp_path):
    one = Dispatched(tmp_path, ["quick"])
    assert pickle.loads(pickle.dumps(task.ArrayTask(*one.arguments)))() is None
    assert one.states() == ["done"]
    full = Dispatched(tmp_path / "full", ["full", "quick"])
    with pytest.raises(SystemExit, match=str(task.LEFT)):
        task.ArrayTask(*full.arguments)()
