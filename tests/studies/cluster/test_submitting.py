"""What a submission hands over, records, asks and leaves alone."""

import os
import signal
from pathlib import Path

import pytest

from harness import claim
from harness.errors import UserError
from harness.rundir import RunDir
from studies.cluster import records, snapshot
from studies.cluster.records import Dispatch
from studies.cluster.submitting import MANY, Options, draft, scripts, submit
from studies.cluster.telling import told
from tests.studies.cluster.fakecluster import make_study, write_state

SAID = []
take = snapshot.take
OPTIONS = Options("slurm", yes=True, say=SAID.append)


def go(study, cluster, **fields):
    SAID.clear()
    return submit(
        study, study.planned, Options("slurm", **{"yes": True, "say": SAID.append} | fields), cluster
    )


def listed(study):
    """Hex and reason of every entry of the newest submission."""
    newest = Dispatch(study.path).arrays[-1].folder
    arrays = [array for array in Dispatch(study.path).arrays if array.folder == newest]
    return {entry.hex: entry.reason for array in arrays for task in array.tasks for entry in task}


def test_an_array_is_recorded_with_its_job_and_a_follow_up_waits_for_it(study, cluster):
    outcome = go(study, cluster, command=("submit", "mine"))
    (array,) = Dispatch(study.path).arrays
    assert (array.job, len(array.tasks), cluster.arrays[0].size) == ("100", 2, 2)
    assert cluster.arrays[0].name == array.name
    assert listed(study) == {run.hex: "new" for run in study.planned}
    ((job, follow_up),) = cluster.follow_ups.items()
    assert (follow_up.after, follow_up.size, follow_up.resources.gpus) == (("100",), 1, 0)
    assert outcome.handed.follow_up == job
    submission = records.read_submission(array.folder)
    assert submission.follow_up == follow_up.name
    assert submission.command == ("submit", "mine")
    assert set(submission.selected) == {run.hex for run in study.planned}
    assert SAID == ["array 1 of 1: job 100, 2 tasks, 2 runs, each task 2 cores, 8 GB, 24 h"]
    assert told("mine", outcome)[0] == "2 new"


def test_what_an_order_runs_is_the_snapshot(study, cluster, monkeypatch):
    monkeypatch.setattr(snapshot, "take", take)
    go(study, cluster)
    submission = records.read_submission(cluster.arrays[0].folder)
    environment = cluster.arrays[0].environment
    assert environment["PYTHONPATH"].startswith(submission.code)
    assert environment["PYTHONSAFEPATH"] == "1"
    assert (study.path / "code" / Path(submission.code).name / "studies" / "pool.py").exists()


def test_calling_again_submits_nothing_while_all_is_queued(study, cluster):
    go(study, cluster)
    before = sorted(path for path in study.path.rglob("*") if "lock" not in path.parts)
    outcome = go(study, cluster)
    assert (outcome.handed, len(cluster.orders)) == (None, 2)
    assert sorted(path for path in study.path.rglob("*") if "lock" not in path.parts) == before
    assert told("mine", outcome) == ["nothing to submit: 2 queued"]


def test_done_runs_are_left_and_the_rest_goes_on(study, cluster):
    first, second = study.planned
    write_state(first, "done")
    write_state(second, "preempted")
    outcome = go(study, cluster)
    assert listed(study) == {second.hex: "continue"}
    assert told("mine", outcome)[:2] == ["1 continue", "1 done"]


def test_a_failure_that_a_policy_retries_is_submitted_with_more_memory_and_one_that_none_does_is_left(
    study, cluster
):
    first, second = study.planned
    go(study, cluster)
    cluster.end("100")
    write_state(first, "failed", "host-memory")
    write_state(second, "failed", "code")
    outcome = go(study, cluster)
    assert listed(study) == {first.hex: "retry:host-memory"}
    assert cluster.arrays[-1].resources.memory_gb == 12.0
    assert RunDir(first.path).read_state() is None
    assert (first.path / "state.previous.json").exists()
    assert RunDir(second.path).read_state().state == "failed"
    words = told("mine", outcome)
    assert words[0] == "1 again after host-memory with 1.5 times the memory"
    assert words[1] == (
        "1 failed run is left: wm status mine says why; "
        "once it is mended: wm retry mine --kind code, then wm submit mine"
    )


def test_a_failed_run_waits_for_the_task_that_it_shares_with_others(tmp_path, cluster):
    study = make_study(tmp_path, resources={"quick": {"runs_per_gpu": 2}})
    go(study, cluster)
    cluster.runs("100")
    write_state(study.planned[0], "failed", "gpu-memory")
    assert go(study, cluster).handed is None
    cluster.end("100")
    write_state(study.planned[1], "done")
    go(study, cluster)
    assert listed(study) == {study.planned[0].hex: "retry:gpu-memory"}


@pytest.fixture
def three(tmp_path):
    """Three resource classes of one run each."""
    resources = {"quick": {"cpus": 1}, "slow": {"cpus": 2}, "fails": {"cpus": 3}}
    return make_study(tmp_path, ("quick", "slow", "fails"), 1, resources)


def test_a_refused_array_does_not_hold_up_the_others_and_is_submitted_by_calling_again(three, cluster):
    quick, slow, fails = three.planned
    write_state(slow, "failed", "gpu-memory")
    cluster.refuses = lambda order: order.resources.cpus == 2
    outcome = go(three, cluster)
    assert [array.job for array in outcome.handed.arrays] == ["100", "101"]
    assert "Invalid qos" in outcome.handed.error
    assert [order.after for order in cluster.follow_ups.values()] == [("100", "101")]
    assert RunDir(slow.path).read_state().state == "failed", "the refused run is as it was"
    assert told("mine", outcome)[-1].splitlines()[1] == (
        "2 tasks in the queue (job 100, 101); 1 task of 1 run is not. "
        "Once that is mended, submit the rest with: wm submit mine"
    )
    cluster.refuses = lambda order: False
    go(three, cluster)
    assert [order.resources.cpus for order in cluster.arrays] == [1, 3, 2]
    assert listed(three) == {slow.hex: "retry:gpu-memory"}
    assert not {quick.hex, fails.hex} & listed(three).keys()


def test_an_array_that_may_have_been_taken_is_not_submitted_again_and_ends_the_submission(three, cluster):
    cluster.loses = lambda order: order.resources.cpus == 2
    outcome = go(three, cluster)
    assert [array.job for array in outcome.handed.arrays] == ["100"]
    assert outcome.handed.stopped
    unanswered_, answered = sorted(Dispatch(three.path).arrays, key=lambda array: array.job or "")
    assert (unanswered_.error, answered.job) == ("", "100")
    cluster.loses = lambda order: False
    go(three, cluster)
    assert [order.resources.cpus for order in cluster.arrays] == [1, 3], "it may be on its way"


def test_a_request_to_stop_ends_a_submission_in_order(three, cluster):
    cluster.refuses = lambda order: os.kill(os.getpid(), signal.SIGTERM)
    outcome = go(three, cluster)
    assert [array.job for array in outcome.handed.arrays] == ["100"]
    assert "stopped by SIGTERM" in outcome.handed.error
    assert len(cluster.follow_ups) == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_first_array_that_is_refused_leaves_nothing_in_the_queue(study, cluster):
    cluster.refuses = lambda order: True
    outcome = go(study, cluster)
    assert (cluster.orders, outcome.handed.follow_up) == ({}, None)
    assert "nothing was submitted; 2 tasks of 2 runs are not" in told("mine", outcome)[-1]


def test_a_follow_up_that_is_refused_is_told(study, cluster):
    cluster.refuses = lambda order: "follow-up" in order.name
    outcome = go(study, cluster)
    assert len(cluster.arrays) == 1
    assert any("the follow-up job was refused" in line for line in told("mine", outcome))


def test_without_an_answer_nothing_is_submitted(study, cluster):
    cluster.answers = False
    with pytest.raises(UserError, match="does not answer"):
        go(study, cluster)
    assert not cluster.orders
    assert not list((study.path / "dispatch").glob("0*"))


def test_a_directory_in_which_no_job_can_work(tmp_path, cluster):
    with pytest.raises(UserError, match="set --runs to another"):
        go(make_study(tmp_path / "a:b"), cluster)
    assert not cluster.orders


def test_a_job_of_another_name_is_not_ours(study, cluster):
    go(study, cluster)
    cluster.end("100")
    for run in study.planned:
        write_state(run, "preempted")
    ours = next(iter(cluster.follow_ups.values()))
    cluster.tasks = {"100_0": cluster.queue()["101"].__class__("RUNNING", name="somebody-elses")}
    cluster.ended.clear()
    cluster.end("101")
    go(study, cluster)
    assert len(cluster.arrays) == 2
    assert ours.name != list(cluster.follow_ups.values())[-1].name


class TestQuestions:
    """What a person is asked."""

    def ask(self, study, cluster, answer=True):
        asked = []

        def asks(question):
            asked.append(question)
            return answer

        submit(study, study.planned, Options("slurm", say=SAID.append), cluster, asks)
        return asked

    def test_many_jobs(self, tmp_path, cluster):
        study = make_study(tmp_path, seeds=MANY + 1)
        with pytest.raises(UserError, match="nothing was submitted"):
            self.ask(study, cluster, answer=False)
        assert not cluster.orders
        assert self.ask(study, cluster) == ["501 jobs (501 runs) are to be submitted."]
        assert cluster.arrays[0].size == 501

    def test_a_disk_that_is_smaller_than_what_the_runs_may_keep(self, study, cluster, monkeypatch):
        monkeypatch.setattr("studies.machine.free_gb", lambda _: 0.0)
        (question,) = self.ask(study, cluster)
        assert "0 GB are free" in question

    def test_nothing_is_asked_of_a_small_one(self, study, cluster):
        assert self.ask(study, cluster) == []

    def test_without_a_person_it_is_refused(self, tmp_path, cluster):
        study = make_study(tmp_path, seeds=MANY + 1)
        with pytest.raises(UserError, match="--yes"):
            submit(study, study.planned, Options("slurm"), cluster)


def test_what_nobody_looks_after_gets_a_follow_up(study, cluster):
    cluster.dies = lambda order: "follow-up" in order.name
    with pytest.raises(KeyboardInterrupt):
        go(study, cluster)
    cluster.dies = lambda order: False
    assert go(study, cluster).handed is None, "it is known by its name"
    del cluster.tasks["101"]
    outcome = go(study, cluster)
    assert len(cluster.arrays) == 1
    assert (outcome.handed.follow_up, cluster.follow_ups["102"].after) == ("102", ("100",))
    assert go(study, cluster).handed is None


def test_no_follow_up_where_none_is_wanted(study, cluster, tmp_path):
    go(study, cluster, follow_up=False)
    assert not cluster.follow_ups
    assert records.read_submission(cluster.arrays[0].folder).follow_up is None
    profile = tmp_path / "config" / "wm" / "profile.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("follow_up: false\n")
    cluster.end("100")
    for run in study.planned:
        write_state(run, "preempted")
    go(study, cluster)
    assert (len(cluster.arrays), len(cluster.follow_ups)) == (2, 0)


def test_a_study_that_is_taken_over_meanwhile_is_left(three, cluster, monkeypatch):
    monkeypatch.setattr(claim.Claim, "still_mine", lambda self: len(cluster.orders) < 1)
    outcome = go(three, cluster)
    assert len(cluster.arrays) == 1
    assert "taken the study over" in outcome.handed.error


def test_a_draft_writes_nothing(study, cluster):
    before = sorted(study.path.rglob("*"))
    drafted = draft(study, study.planned, OPTIONS, cluster)
    script, follow_up = scripts(study, drafted, cluster)
    assert "wm-mine-follow-up-NUMBER" in follow_up
    assert "--array=0-1" in script
    assert sorted(study.path.rglob("*")) == before
    assert not cluster.orders


def test_a_parallel_is_shared_with_what_is_in_the_queue(tmp_path, cluster):
    study = make_study(tmp_path, seeds=8, resources={"quick": {"parallel": 4}})
    submit(study, study.planned[:6], OPTIONS, cluster)
    submit(study, study.planned, OPTIONS, cluster)
    assert [order.parallel for order in cluster.arrays] == [4, 1]
    assert cluster.throttled == {"100": 3}
