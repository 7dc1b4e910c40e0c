"""What may happen to jobs from outside, and what `wm status` says before, meanwhile and after."""

import shutil
import time

import pytest

from tests.slurm.lab import word

CANCEL_NODE, LOST_NODE = "n2", "n5"


def test_runs_are_cancelled_running_or_waiting_by_wm_or_by_hand(lab):
    """Two run and two wait; wm cancels one of each, scancel the others."""
    where = {"nodelist": CANCEL_NODE, "parallel": 2}
    study = lab.study(
        "cancelled", ["waits-wm", "waits-hand", "waits-wm-queued", "waits-hand-queued"], resources=where
    )
    study.submit().begun("waits-wm").begun("waits-hand")
    rows = study.becomes(
        {
            "waits-wm": "running",
            "waits-hand": "running",
            "waits-wm-queued": "pending",
            "waits-hand-queued": "pending",
        }
    )
    assert rows["waits-wm-queued"]["reason"] == "JobArrayTaskLimit"
    assert rows["waits-wm-queued"]["job"] == study.job_of("waits-wm-queued")
    assert rows["waits-wm-queued"]["queued"]

    study.wm("cancel", study.name, "--only", "design=waits-wm-queued")
    lab.cluster.call("scancel", study.job_of("waits-hand-queued"))
    study.becomes({"waits-wm-queued": "cancelled", "waits-hand-queued": "cancelled", "waits-wm": "running"})
    study.wm("cancel", study.name, "--only", "design=waits-wm")
    lab.cluster.call("scancel", study.job_of("waits-hand"))
    study.settled().becomes(dict.fromkeys(rows, "cancelled"))
    assert study.states() == dict.fromkeys(rows, "cancelled")
    assert study.did("waits-wm-queued") == []

    study.go()
    study.submit().settled()  # asked for again, a cancelled run goes on
    study.becomes(dict.fromkeys(rows, "done"))


def test_a_node_that_goes_down_costs_no_run(lab):
    """Its jobs are queued again; one that may not be requeued is told as a failure of the node."""
    study = lab.study("nodes", ["waits-requeued", "waits-left"], resources={"nodelist": LOST_NODE}).submit()
    study.begun("waits-requeued").begun("waits-left")
    lab.cluster.call("scontrol", "update", f"JobId={study.job_of('waits-left')}", "Requeue=0")
    lab.cluster.node_down(LOST_NODE)
    rows = study.becomes({"waits-requeued": "preempted", "waits-left": "failed:node"})
    assert rows["waits-requeued"]["queued"]
    lab.cluster.node_up(LOST_NODE)
    study.begun("waits-requeued", attempts=2).go()
    study.settled().becomes({"waits-requeued": "done", "waits-left": "failed:node"})

    study.wm("retry", study.name, "--kind", "node")
    study.submit().settled().becomes({"waits-requeued": "done", "waits-left": "done"})


def test_a_job_requeued_by_hand_goes_on(lab):
    study = lab.study("requeued", ["waits"]).submit().begun("waits")
    lab.cluster.call("scontrol", "requeue", study.job_of("waits"))
    lab.until("the queue has it again", lambda: study.jobs() and study.jobs()[0][2] == "PENDING")
    row = study.becomes({"waits": "preempted"})["waits"]
    assert row["queued"]
    study.begun("waits", attempts=2).go()
    study.settled().becomes({"waits": "done"})


def test_a_suspended_job_is_no_dead_one(lab):
    study = lab.study("suspended", ["waits"]).submit().begun("waits")
    lab.cluster.call("scontrol", "suspend", study.job_of("waits"))
    lab.until("it is suspended", lambda: study.jobs()[0][2] == "SUSPENDED")
    row = study.becomes({"waits": "running"})["waits"]
    assert "suspend" in (row["note"] + row["reason"]).lower()
    lab.cluster.call("scontrol", "resume", study.job_of("waits"))
    study.go()
    study.settled().becomes({"waits": "done"})


def test_a_job_whose_log_folder_is_missing_failed_before_it_began(lab):
    study = lab.study("logless", ["quick"], resources={"begin": "now+1hour"}).submit()
    row = study.becomes({"quick": "pending"})["quick"]
    assert row["reason"] == "BeginTime"
    (submission,) = (study.path / "dispatch").glob("0*")
    shutil.move(submission / "logs", submission / "elsewhere")
    lab.cluster.call("scontrol", "update", f"JobId={study.job_of('quick')}", "StartTime=now")
    study.settled().becomes({"quick": "failed:setup"})
    assert not study.did("quick")


def test_a_controller_that_restarts_changes_nothing(lab):
    """While it is gone nothing is called dead, nothing can be submitted, and afterwards the run ends as it would."""
    study = lab.study("restarted", ["waits"]).submit().begun("waits")
    with lab.cluster.controller_down():
        row = study.rows()["waits"]
        assert word(row) == "running"
        refused = study.wm("submit", str(study.file), status=2)
        assert "answer" in refused.stderr
    study.becomes({"waits": "running"})
    study.go()
    study.settled().becomes({"waits": "done"})
    assert len(study.did("waits")) == 1
    assert len(list((study.path / "dispatch").glob("0*"))) == 1


@pytest.fixture(scope="module")
def mixed(lab):
    """One run is alive, one died of a signal, one is done."""
    study = lab.study("mixed", ["waits", "dies", "quick"]).submit().begun("waits")
    study.becomes({"waits": "running", "dies": "failed:killed", "quick": "done"})
    yield study
    study.go()
    study.settled()


@pytest.mark.parametrize(
    "sacct",
    [
        pytest.param(None, id="missing"),
        pytest.param("exit 1", id="failing"),
        pytest.param("echo 'sacct: error' >&2; echo nonsense", id="nonsense"),
    ],
)
def test_without_accounting_nothing_alive_is_called_dead(lab, mixed, sacct):
    path = lab.without("sacct") if sacct is None else lab.commands("bad-sacct", sacct=sacct)
    states = mixed.states(PATH=path)
    assert states["waits"] == "running"
    assert states["quick"] == "done"
    assert states["dies"] in {"failed:killed", "lost", "running"}


def test_slow_answers_are_not_waited_for_for_ever(lab, mixed):
    """Neither program answers within an hour; wm says what the records say."""
    path = lab.commands("slow", sacct="exec sleep 3600", squeue="exec sleep 3600")
    begun = time.monotonic()
    states = mixed.states(PATH=path)
    assert time.monotonic() - begun < 60
    assert states["waits"] == "running"
    assert states["quick"] == "done"


def test_accounting_that_is_down_delays_the_truth_and_changes_none(lab, mixed):
    with lab.cluster.accounting_down():
        states = mixed.states()
        assert states["waits"] == "running"
        assert states["quick"] == "done"
    mixed.becomes({"waits": "running", "dies": "failed:killed", "quick": "done"})
