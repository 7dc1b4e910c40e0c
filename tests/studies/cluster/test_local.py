"""The local executor with a task that waits for a file: turns, slots, terminals that close, pools that are killed."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import claim
from studies import machine
from studies.cluster import localqueue
from studies.cluster.granting import Granted
from studies.cluster.local import Local
from studies.cluster.types import Order, SubmissionError
from tests.studies.cluster import local_task

ROOT = Path(claim.__file__).parent.parent


class Lab:
    """Orders for the local executor, and what came of them."""

    def __init__(self, path):
        self.path = path
        self.local = Local()
        self.jobs = []

    def order(self, size=1, name="wm-test", **fields):
        folder = self.path / f"000{len(self.jobs) + 1}"
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        resources = Granted(**{"cpus": 1, "memory_gb": 0.1, "hours": 1.0, **fields.pop("resources", {})})
        path = os.pathsep.join([str(ROOT), local_task.HERE])
        environment = {"PYTHONSAFEPATH": "1", "PYTHONPATH": path}
        standard = {
            "parallel": None,
            "environment": environment,
            "python": sys.executable,
            "call": local_task.CALL,
        }
        return Order(name, folder, 0, size, resources, **{**standard, **fields})

    def submit(self, size=1, **fields):
        order = self.order(size, **fields)
        self.jobs.append(self.local.submit(order))
        return self.jobs[-1], order.folder

    def queued(self, job):
        """State and reason of a job's tasks in the queue, by index."""
        found = {}
        for key, task in self.local.queue().items():
            number, _, index = key.partition("_")
            if number == job:
                found[int(index or 0)] = f"{task.state} {task.reason}".strip()
        return found

    def accounted(self, job):
        records = self.local.accounting([job], 0.0)
        return {int(key.partition("_")[2] or 0): record.state for key, record in records.items()}

    def pool_pid(self, job):
        return localqueue.pool_of(job)[0].read_state().owner.pid

    def kill(self, job):
        """SIGKILL to a job's pool."""
        os.kill(self.pool_pid(job), signal.SIGKILL)
        wait_for(lambda: not self.queued(job))


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # a machine with room for one task
    made = Lab(tmp_path / "dispatch")
    yield made
    os.sched_setaffinity(0, before)
    for pool in localqueue.living():
        os.kill(pool.owner().pid, signal.SIGKILL)


def began(folder):
    """The tasks that began, in order: index, GPUs, pid, key."""
    file = folder / "began"
    return [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []


def go(folder, which="", status=""):
    (folder / (f"go-{which}" if which != "" else "go")).write_text(str(status))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_pool_that_begins_after_its_submitter_died_is_alive(lab, monkeypatch):
    ticket = {"name": "wm-test", "folder": "", "array": 0, "size": 1, "script": "", "cpus": 1}
    pool = localqueue.add(ticket | {"memory_gb": 0.1, "gpus": 0, "parallel": None, "after": []})
    with monkeypatch.context() as died:
        died.setattr(claim, "is_alive", lambda _: False)
        assert not pool.alive
    pool.write_state(localqueue.PoolState(claim.this_process()))
    assert pool.alive
    shutil.rmtree(pool.path)


def test_tasks_run_in_order_as_many_as_the_machine_holds(lab):
    job, folder = lab.submit(3)
    wait_for(lambda: len(began(folder)) == 1)
    assert lab.queued(job) == {0: "RUNNING", 1: "PENDING Resources", 2: "PENDING Resources"}
    go(folder, 0)
    wait_for(lambda: len(began(folder)) == 2)
    assert lab.accounted(job) == {0: "COMPLETED", 1: "RUNNING", 2: "PENDING"}
    go(folder, 1, 3)
    go(folder, 2)
    wait_for(lambda: not lab.queued(job))
    assert [line[0] for line in began(folder)] == ["0", "1", "2"]
    assert [line[3] for line in began(folder)] == [f"{job}_{index}" for index in range(3)]
    assert lab.accounted(job) == {0: "COMPLETED", 1: "FAILED", 2: "COMPLETED"}
    failed = lab.local.accounting([job], 0.0)[f"{job}_1"]
    assert (failed.exit_code, failed.signal, failed.name) == (3, 0, "wm-test")
    assert failed.terminal
    assert failed.end > failed.start > time.time() - 60
    assert (folder / "logs" / f"{job}_1_0_log.out").read_text() == "task 1 of array 0\n"


def test_a_second_submission_waits_its_turn_and_then_gets_the_room(lab):
    first, folder = lab.submit(2, name="first")
    second, behind = lab.submit(1, name="second")
    wait_for(lambda: began(folder))
    wait_for(lambda: lab.queued(second) == {0: "PENDING Priority"})
    assert {task.name for task in lab.local.queue().values()} == {"first", "second"}
    go(folder, 0)
    wait_for(lambda: lab.queued(first) == {1: "RUNNING"})
    wait_for(lambda: lab.queued(second) == {0: "PENDING Resources"})  # nobody waits before it now
    assert not began(behind)
    go(folder, 1)
    wait_for(lambda: began(behind))
    go(behind)
    wait_for(lambda: not lab.local.queue())
    assert lab.accounted(second) == {0: "COMPLETED"}
    assert began(behind)[0][3] == second  # an array of one is a plain job


def test_a_job_waits_for_the_end_of_others_and_blocks_nobody(lab):
    first, folder = lab.submit(1)
    then, after = lab.submit(1, after=[first])
    third, other = lab.submit(1)
    wait_for(lambda: lab.queued(then) == {0: "PENDING Dependency"})
    go(folder, status=1)
    wait_for(lambda: began(after))
    assert lab.accounted(first) == {0: "FAILED"}
    go(after)
    wait_for(lambda: began(other))
    go(other)
    wait_for(lambda: not lab.queued(third))


def test_no_more_at_once_than_asked_for(lab):
    os.sched_setaffinity(0, range(os.cpu_count()))
    job, folder = lab.submit(3, parallel=1)
    wait_for(lambda: lab.queued(job) == dict.fromkeys((1, 2), "PENDING JobArrayTaskLimit") | {0: "RUNNING"})
    go(folder)
    wait_for(lambda: not lab.queued(job))


def test_each_task_has_gpus_of_its_own(lab, monkeypatch):
    os.sched_setaffinity(0, range(os.cpu_count()))
    if machine.cores() < 2:
        pytest.skip("two tasks at once need two cores")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    _, folder = lab.submit(1, resources={"gpus": 1})
    second, behind = lab.submit(2, resources={"gpus": 1})
    wait_for(lambda: began(folder) and began(behind))
    assert began(folder)[0][1] == "5"
    assert began(behind)[0][1] == "GPU-7"
    wait_for(lambda: lab.queued(second) == {0: "RUNNING", 1: "PENDING Resources"})
    go(folder)
    wait_for(lambda: len(began(behind)) == 2)
    assert began(behind)[1][1] == "5"
    go(behind)
    wait_for(lambda: not lab.local.queue())
    plain, without = lab.submit(1)
    wait_for(lambda: began(without))
    assert began(without)[0][1] == ""  # what asks for no GPU sees none
    go(without)
    wait_for(lambda: not lab.queued(plain))


def test_cancelling(lab):
    job, folder = lab.submit(4)
    wait_for(lambda: began(folder))
    lab.local.cancel([f"{job}_2", "L999-none_1", "123_4"])
    assert lab.queued(job).keys() == {0, 1, 3}  # at once
    lab.local.cancel([f"{job}_0"])
    wait_for(lambda: lab.queued(job) == {1: "RUNNING", 3: "PENDING Resources"})
    assert lab.accounted(job) == {0: "CANCELLED", 1: "RUNNING", 2: "CANCELLED", 3: "PENDING"}
    lab.local.cancel([job])
    wait_for(lambda: not lab.queued(job))
    wait_for(lambda: set(lab.accounted(job).values()) == {"CANCELLED"})
    assert [line[0] for line in began(folder)] == ["0", "1"]


def test_a_killed_pool_takes_its_tasks_along_and_the_next_goes_on(lab):
    job, folder = lab.submit(2)
    second, behind = lab.submit(1)
    wait_for(lambda: began(folder))
    task = int(began(folder)[0][2])
    lab.kill(job)
    killed = lab.local.accounting([job], 0.0)
    assert (killed[f"{job}_0"].state, killed[f"{job}_0"].signal) == ("FAILED", 9)
    assert killed[f"{job}_1"].state == "PREEMPTED"  # it had not begun: nothing about it was wrong
    wait_for(lambda: not Path(f"/proc/{task}").exists())
    wait_for(lambda: began(behind))
    go(behind)
    wait_for(lambda: not lab.local.queue())
    assert lab.submit(1)[0] not in {job, second}


def test_a_restart_of_the_machine_leaves_nothing_that_seems_to_run(lab):
    job, folder = lab.submit(2)
    wait_for(lambda: began(folder))
    lab.kill(job)
    state_file = localqueue.pool_of(job)[0].state_file
    state_file.write_text(state_file.read_text().replace(claim.this_machine()[1], "another boot"))
    assert lab.accounted(job) == {0: "NODE_FAIL", 1: "PREEMPTED"}


def test_a_pool_that_is_told_to_stop_lets_its_tasks_leave(lab):
    job, folder = lab.submit(2)
    wait_for(lambda: began(folder))
    os.kill(lab.pool_pid(job), signal.SIGTERM)
    wait_for(lambda: not lab.queued(job))
    assert lab.accounted(job) == {0: "FAILED", 1: "PREEMPTED"}
    assert lab.local.accounting([job], 0.0)[f"{job}_0"].exit_code == 75


SUBMIT = """
import pickle, signal, sys
from studies.cluster.local import Local
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also under nohup
print(Local().submit(pickle.load(open(sys.argv[1], "rb"))), flush=True)
sys.stdin.read()
"""


def test_it_outlives_the_terminal_it_came_from(lab, tmp_path):
    import pickle

    order = lab.order(2)
    (tmp_path / "order").write_bytes(pickle.dumps(order))
    main, terminal = os.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-c", SUBMIT, tmp_path / "order"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "SLURM_JOB_ID": "17"},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    )
    job = shell.stdout.readline().decode().strip()
    wait_for(lambda: began(order.folder))
    assert os.getsid(lab.pool_pid(job)) != shell.pid
    os.close(terminal)
    os.close(main)  # the terminal is closed: SIGHUP
    os.killpg(shell.pid, signal.SIGHUP)
    shell.stdout.close()
    assert shell.wait(30) == -signal.SIGHUP
    assert lab.queued(job) == {0: "RUNNING", 1: "PENDING Resources"}
    environment = Path(f"/proc/{began(order.folder)[0][2]}/environ").read_text()
    assert "SLURM_JOB_ID" not in environment  # the tasks are no part of the job that submitted them
    go(order.folder)
    wait_for(lambda: not lab.queued(job))
    assert lab.accounted(job) == {0: "COMPLETED", 1: "COMPLETED"}


def test_setup_lines_come_first_and_one_that_fails_ends_the_task(lab):
    order = lab.order(resources={"setup": "export CUDA_VISIBLE_DEVICES=set\n"})
    assert lab.local.script(order) == (
        "set -e\nexport CUDA_VISIBLE_DEVICES=set\n"
        f"exec {sys.executable} -P -m local_task {order.folder} 0 $WM_TASK\n"
    )
    job, folder = lab.submit(resources={"setup": "export CUDA_VISIBLE_DEVICES=set"})
    wait_for(lambda: began(folder))
    assert began(folder)[0][1] == "set"
    go(folder)
    wait_for(lambda: not lab.queued(job))
    job, folder = lab.submit(resources={"setup": "false\necho unreachable"})
    wait_for(lambda: not lab.queued(job))
    assert lab.accounted(job) == {0: "FAILED"}
    assert not began(folder)


def test_a_pool_that_cannot_begin_is_refused_and_forgotten(lab, monkeypatch):
    order = lab.order(environment={"PYTHONHOME": "/nowhere"})
    with pytest.raises(SubmissionError, match=r"did not begin(.|\n)*No module named"):
        lab.local.submit(order)
    assert localqueue.pools() == []
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing")
    with pytest.raises(SubmissionError, match="/proc/nothing"):
        lab.local.submit(lab.order())


def test_a_process_that_is_stopped_in_the_lock_holds_nobody_up_for_ever(lab, monkeypatch):
    localqueue.registry().mkdir(parents=True)
    with (localqueue.registry() / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        monkeypatch.setattr(localqueue, "LOCK_SECONDS", 0.1)
        with pytest.raises(SubmissionError, match="another process holds"):
            lab.submit()
    assert [path.name for path in localqueue.registry().iterdir()] == ["lock"]


def test_what_ended_long_ago_is_forgotten(lab, monkeypatch):
    old, folder = lab.submit()
    go(folder)
    wait_for(lambda: not localqueue.living())
    monkeypatch.setattr(localqueue, "KEPT_SECONDS", -1.0)
    new, folder = lab.submit()
    assert lab.accounted(old) == {}
    assert [pool.ticket.job for pool in localqueue.pools()] == [new]
    assert new.startswith("L1-")
    go(folder)
    wait_for(lambda: not lab.queued(new))
