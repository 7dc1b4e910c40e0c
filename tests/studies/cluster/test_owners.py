"""When SLURM's answers mean that the owner of a run is gone; anything else means that it lives."""

import json
import time
from dataclasses import asdict, replace

import pytest

from harness import claim
from harness.rundir import RunDir, RunState
from studies.cluster import owners
from studies.cluster.owners import is_gone, is_listed, key_of, owner_is_gone
from studies.cluster.types import Accounted, Queued

NOW = 1_800_000_000.0
OWNER = claim.Owner("elsewhere", "boot", "pids", 7, 7, NOW - 3600, "12", "3", "1")
RUNS, WAITS = Queued("RUNNING", name="a"), Queued("PENDING", name="a")
ENDED = Accounted("FAILED", name="a", start=NOW - 3700, end=NOW - 100)


def test_the_key_is_what_slurm_calls_the_task():
    assert key_of(OWNER) == "12_3"
    assert key_of(replace(OWNER, task=None)) == "12"
    assert key_of(replace(OWNER, job=None, task=None)) is None


@pytest.mark.parametrize(
    ("gone", "queue", "accounting"),
    [
        (False, None, {"12_3": ENDED}),  # no answer
        (False, {}, None),
        (False, {"12_3": RUNS}, None),
        (False, {"12_3": replace(RUNS, state="COMPLETING")}, {"12_3": ENDED}),
        (False, {"12_3": replace(RUNS, restarts=1)}, None),
        (True, {"12_3": replace(RUNS, restarts=2)}, None),  # it was requeued since
        (True, {"12_3": WAITS}, None),
        (True, {"12_4": RUNS}, {"12_3": ENDED}),
        (False, {}, {"12_3": replace(ENDED, state="RUNNING", end=None)}),
        (True, {}, {"12_3": replace(ENDED, state="RUNNING", start=NOW - 60, end=None)}),  # a later start
        (False, {}, {"12_3": replace(ENDED, state="RUNNING", start=None, end=None)}),
        (False, {}, {"12_3": replace(ENDED, start=NOW - 9000, end=NOW - 8000)}),  # an earlier start
        (True, {}, {"12_3": replace(ENDED, end=None)}),
        (True, {}, {}),  # nobody knows it, an hour after
    ],
)
def test_only_an_answer_that_says_so(gone, queue, accounting):
    assert owner_is_gone(OWNER, queue, accounting, NOW) == gone
    assert not owner_is_gone(replace(OWNER, job=None), queue, accounting, NOW)


def test_a_job_that_nobody_knows_is_gone_after_minutes_without_a_heartbeat():
    assert not owner_is_gone(OWNER, {}, {}, NOW, heartbeat=NOW - 200)
    assert owner_is_gone(OWNER, {}, {}, NOW, heartbeat=NOW - 400)


def test_what_the_accounting_calls_running_for_ever_is_gone_after_an_hour_of_silence():
    runaway = {"12_3": replace(ENDED, state="RUNNING", end=None)}
    assert not owner_is_gone(OWNER, {}, runaway, NOW + 60, heartbeat=NOW - 3000)
    assert owner_is_gone(OWNER, {}, runaway, NOW + 60, heartbeat=NOW - 3600)
    assert not owner_is_gone(OWNER, {"12_3": RUNS}, runaway, NOW + 1e6)
    assert not owner_is_gone(OWNER, None, runaway, NOW + 1e6)


def test_a_number_that_was_used_again_is_another_job():
    assert is_listed(OWNER, {"12_3": RUNS}, "a")
    assert not is_listed(OWNER, {"12_3": RUNS}, "b")
    assert not owner_is_gone(OWNER, {"12_3": RUNS}, None, NOW, name="b")
    assert owner_is_gone(OWNER, {"12_3": RUNS}, {"12_3": replace(ENDED, name="b")}, NOW, name="b")


class Asked:
    """A cluster that counts."""

    cluster_name = None

    def __init__(self, queue, accounting, *, has_accounting=True):
        self.answers = queue, accounting
        self.has_accounting = has_accounting
        self.calls = []

    def queue(self):
        self.calls.append("queue")
        return self.answers[0]

    def accounting(self, jobs, since):
        self.calls.append(f"accounting {jobs}")
        return self.answers[1]


@pytest.mark.parametrize(("mine", "gone"), [("0", False), ("1", False), ("2", True), (None, False)])
def test_the_earlier_start_of_this_very_task_needs_no_question(monkeypatch, tmp_path, mine, gone):
    monkeypatch.setattr(owners.claim, "this_process", lambda: replace(OWNER, restart=mine))
    cluster = Asked({}, {})
    assert is_gone(OWNER, tmp_path, cluster) == gone
    assert not cluster.calls


@pytest.mark.parametrize(
    ("gone", "cluster", "calls"),
    [
        (True, Asked({}, {"12_3": Accounted("FAILED", name="a")}), ["queue", "accounting ['12']"]),
        (False, Asked({"12_3": RUNS}, {}), ["queue"]),
        (False, Asked(None, {}), ["queue"]),
        (False, Asked({}, None), ["queue", "accounting ['12']"]),
        (True, Asked({}, None, has_accounting=False), ["queue", "accounting ['12']"]),
    ],
)
def test_each_program_is_asked_once_at_most(monkeypatch, tmp_path, gone, cluster, calls):
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert is_gone(OWNER, tmp_path, cluster) == gone
    assert cluster.calls == calls


def test_slurm_is_not_asked_about_an_owner_outside_it(tmp_path):
    assert not is_gone(replace(OWNER, job=None), tmp_path, Asked(None, None))


def test_an_owner_that_wrote_just_now_is_not_gone_because_no_scheduler_knows_its_job(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    for heartbeat, gone in ((NOW - 200, False), (NOW - 400, True)):
        RunDir(tmp_path).write_state(RunState(id="run", state="running", heartbeat=heartbeat))
        assert is_gone(OWNER, tmp_path, Asked({}, {})) == gone


def test_of_another_users_jobs_the_scheduler_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    (tmp_path / "claim.1").write_text(json.dumps(asdict(OWNER)))
    assert is_gone(OWNER, tmp_path, Asked({}, {}))
    monkeypatch.setattr(claim.os, "getuid", lambda: (tmp_path / "claim.1").stat().st_uid + 1)
    assert not is_gone(OWNER, tmp_path, Asked({}, {}))


@pytest.mark.parametrize(
    ("owners", "here", "gone"), [("a", "a", True), ("a", "b", False), ("a", None, False), (None, "b", True)]
)
def test_of_another_clusters_jobs_the_scheduler_says_nothing(tmp_path, monkeypatch, owners, here, gone):
    monkeypatch.setattr(time, "time", lambda: NOW)
    cluster = Asked({}, {})
    cluster.cluster_name = here
    owner = replace(OWNER, cluster=owners)
    assert is_gone(owner, tmp_path, cluster) == gone
    again = replace(OWNER, restart="2", cluster=here)  # the same numbers; on another cluster another job
    monkeypatch.setattr(claim, "this_process", lambda: again)
    assert is_gone(owner, tmp_path, cluster) == gone


def test_a_claim_names_its_cluster_and_one_without_is_still_read(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "a")
    assert claim.acquire(tmp_path).owner.cluster == "a"
    old = asdict(OWNER)
    del old["cluster"]
    (tmp_path / "claim.2").write_text(json.dumps(old))
    assert claim.current(tmp_path) == OWNER


def test_a_run_is_taken_over_from_a_job_that_is_gone(tmp_path):
    (tmp_path / "claim.1").write_text(json.dumps(asdict(replace(OWNER, time=time.time()))))
    with pytest.raises(claim.OwnedElsewhere):
        claim.acquire(tmp_path)
    with pytest.raises(claim.OwnedElsewhere):
        claim.acquire(tmp_path, lambda *_: False)
    asked = []
    assert claim.acquire(tmp_path, lambda owner, _: not asked.append(owner)).number == 2
    assert [key_of(owner) for owner in asked] == ["12_3"]


def test_an_owner_that_this_machine_sees_alive_is_never_asked_about(tmp_path):
    claim.acquire(tmp_path)
    with pytest.raises(claim.OwnedElsewhere):
        claim.acquire(tmp_path, lambda *_: True)


def test_the_claim_of_an_array_names_the_array(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "15")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert key_of(claim.this_process()) == "12_3"
