"""The job that looks after a study once its arrays have ended."""

import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest

from studies.cluster import followup, records, snapshot
from studies.cluster.followup import FollowUp, follow_up
from studies.cluster.records import Dispatch
from studies.cluster.submitting import Options, submit
from studies.cluster.types import Accounted, Limits
from tests.studies.cluster.fakecluster import empty_snapshot, make_study, write_state


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Nothing is waited for."""
    monkeypatch.setattr(followup, "SETTLE_SECONDS", 0.0)


def go(study, cluster, runs=None, **fields):
    submit(
        study,
        runs or study.planned,
        Options("slurm", **{"yes": True, "say": lambda _: None} | fields),
        cluster,
    )
    return Dispatch(study.path).arrays[-1].folder


def wake(cluster, study, **fields):
    """Runs the newest follow-up as its job would; returns what it did."""
    key, order = list(cluster.follow_ups.items())[-1]
    cluster.runs(key)
    slept = []
    outcome = follow_up(order.folder, cluster, sleep=slept.append, **fields)
    cluster.end(key)
    return outcome, slept


def reasons(study):
    array = Dispatch(study.path).arrays[-1]
    return {entry.hex: entry.reason for task in array.tasks for entry in task}


def test_it_is_strings_only_and_finds_all_in_the_folder(study, cluster):
    folder = go(study, cluster)
    assert next(iter(cluster.follow_ups.values())).call == "studies.cluster.followup:FollowUp"
    cluster.end("100")
    for run in study.planned:
        write_state(run, "done")
    call = pickle.loads(pickle.dumps(FollowUp(str(folder), 1, 0)))
    call()
    assert "nothing to submit: 2 done" in (folder / followup.LOG).read_text()


def test_it_submits_what_policies_try_again_and_the_next_follow_up(study, cluster):
    folder = go(study, cluster, profile=None, execute="fakes:execute")
    first, second = study.planned
    cluster.end("100")
    write_state(first, "failed", "host-memory")
    write_state(second, "done")
    wake(cluster, study)
    assert reasons(study) == {first.hex: "retry:host-memory"}
    assert [order.after for order in cluster.follow_ups.values()] == [("100",), ("102",)]
    again = records.read_submission(Dispatch(study.path).arrays[-1].folder)
    before = records.read_submission(folder)
    assert (again.code, again.execute, again.datasets) == (before.code, "fakes:execute", before.datasets)
    cluster.end("102")
    write_state(first, "done")
    outcome, _ = wake(cluster, study)
    assert outcome.handed is None
    assert len(cluster.follow_ups) == 2, "it ends where nothing is left"


def test_it_leaves_alone_what_was_never_submitted(study, cluster):
    first = study.planned[0]
    go(study, cluster, [first])
    cluster.end("100")
    write_state(first, "preempted")
    wake(cluster, study)
    assert reasons(study) == {first.hex: "continue"}


def test_it_leaves_alone_what_was_cancelled(study, cluster):
    first, second = study.planned
    go(study, cluster)
    cluster.end("100")
    write_state(first, "failed", "gpu-memory")
    write_state(second, "preempted")
    Dispatch(study.path).mark([first.hex, second.hex], "cancelled")
    outcome, _ = wake(cluster, study)
    assert outcome.handed is None


def test_it_submits_what_had_no_room(tmp_path, cluster):
    study = make_study(tmp_path, seeds=5)
    cluster.granted = Limits(1000, max_queued=4)
    go(study, cluster)
    assert len(reasons(study)) == 3
    cluster.end("100")
    for run in study.planned[:3]:
        write_state(run, "done")
    wake(cluster, study)
    assert set(reasons(study)) == {run.hex for run in study.planned[3:]}


def test_it_submits_what_was_refused_before(tmp_path, cluster):
    study = make_study(tmp_path, ("quick", "slow"), 1, {"slow": {"cpus": 5}})
    cluster.refuses = lambda order: order.resources.cpus == 5
    go(study, cluster)
    cluster.refuses = lambda order: False
    cluster.end("100")
    write_state(study.planned[0], "done")
    wake(cluster, study)
    assert set(reasons(study)) == {study.planned[1].hex}


def test_it_tries_for_a_while_when_the_scheduler_does_not_answer(study, cluster):
    folder = go(study, cluster)
    cluster.end("100")
    cluster.answers = False
    slept = []
    assert follow_up(folder, cluster, sleep=slept.append) is None
    assert followup.PATIENCE_SECONDS <= sum(slept) < 2 * followup.PATIENCE_SECONDS + 60
    assert "gave up; continue with: wm submit mine" in (folder / followup.LOG).read_text()


def test_it_goes_on_once_the_scheduler_answers(study, cluster):
    folder = go(study, cluster)
    cluster.end("100")
    write_state(study.planned[0], "preempted")
    write_state(study.planned[1], "done")
    cluster.answers = False

    def sleep(_):
        cluster.answers = True

    outcome = follow_up(folder, cluster, sleep=sleep)
    assert [array.job for array in outcome.handed.arrays] == ["102"]


def test_a_second_chain_does_not_submit_the_same_again(study, cluster):
    first, second = study.planned
    one = go(study, cluster, [first])
    two = go(study, cluster, [second])
    assert [order.after for order in cluster.follow_ups.values()] == [("100",), ("102",)]
    cluster.end("100")
    write_state(first, "preempted")
    follow_up(one, cluster, sleep=None)
    assert reasons(study) == {first.hex: "continue"}
    cluster.end("102")
    write_state(second, "preempted")
    follow_up(two, cluster, sleep=None)
    assert reasons(study) == {second.hex: "continue"}


def test_it_waits_for_the_accounting_which_lags_behind_the_queue(study, cluster, monkeypatch):
    monkeypatch.setattr(followup, "SETTLE_SECONDS", 60.0)
    folder = go(study, cluster)
    first, second = study.planned
    write_state(first, "running")
    write_state(second, "done")
    name = cluster.tasks.pop("100_0").name
    cluster.end("100_1")

    def sleep(_):
        cluster.ended["100_0"] = Accounted("NODE_FAIL", name=name, node="n1")

    monkeypatch.setattr("time.sleep", sleep)
    follow_up(folder, cluster, sleep=None)
    assert reasons(study) == {first.hex: "retry:node"}


def test_it_goes_on_with_the_code_that_a_run_was_last_submitted_with(study, cluster, monkeypatch):
    first, second = study.planned

    def code(name):
        made = replace(empty_snapshot(Dispatch(study.path)), path=study.path / "code" / name, digest=name)
        monkeypatch.setattr(snapshot, "take", lambda dispatch, own: made)
        monkeypatch.setattr(
            snapshot, "read_snapshot", lambda path: replace(made, path=path, digest=path.name)
        )

    code("old")
    one = go(study, cluster)
    cluster.end("100")
    write_state(first, "preempted")
    write_state(second, "preempted")
    code("new")
    go(study, cluster, [second])
    cluster.end("102")
    write_state(second, "preempted")
    code("old")
    follow_up(one, cluster, sleep=None)
    codes = {
        entry.hex: Path(records.read_submission(array.folder).code).name
        for array in Dispatch(study.path).arrays[-2:]
        for task in array.tasks
        for entry in task
    }
    assert codes == {first.hex: "old", second.hex: "new"}
    paths = [order.environment["PYTHONPATH"].partition(":")[0] for order in cluster.arrays[-2:]]
    assert [Path(path).name for path in paths] == ["old", "new"]


def test_a_job_that_was_cancelled_by_hand_stays_so_whatever_was_cancelled_before(study, cluster):
    first, second = study.planned
    Dispatch(study.path).mark([first.hex], "cancelled")
    go(study, cluster)
    write_state(second, "done")
    cluster.end("100", "CANCELLED")
    outcome, _ = wake(cluster, study)
    assert outcome.handed is None


def test_a_node_that_failed_is_excluded_by_the_name_that_slurm_has_for_it(study, cluster):
    go(study, cluster)
    write_state(study.planned[0], "running")
    write_state(study.planned[1], "done")
    cluster.end("100", "NODE_FAIL")
    for key, record in cluster.ended.items():
        cluster.ended[key] = replace(record, end=record.end - 3600, node="n1")
    wake(cluster, study)
    assert cluster.arrays[-1].resources.exclude == "n1"


def test_two_that_wake_at_once_leave_one(study, cluster):
    first, second = study.planned
    go(study, cluster, [first])
    go(study, cluster, [second])
    (one, one_order), (two, two_order) = cluster.follow_ups.items()
    cluster.end("100")
    cluster.end("102")
    write_state(first, "preempted")
    write_state(second, "preempted")
    cluster.runs(one)
    cluster.runs(two)
    follow_up(one_order.folder, cluster, sleep=None)
    assert len(reasons(study)) == 2
    follow_up(two_order.folder, cluster, sleep=None)
    assert len(cluster.arrays) == 3
    assert len(cluster.follow_ups) == 3, "the second added none"


def test_one_that_is_ending_is_not_counted_on(study, cluster):
    first, second = study.planned
    go(study, cluster, [first])
    go(study, cluster, [second])
    (one, one_order), (two, two_order) = cluster.follow_ups.items()
    cluster.end("100")
    write_state(first, "done")
    cluster.runs(one)
    cluster.runs(two)  # while its array still runs
    follow_up(one_order.folder, cluster, sleep=None)
    assert len(cluster.follow_ups) == 2, "the other is there"
    follow_up(two_order.folder, cluster, sleep=None)
    assert [order.after for order in cluster.follow_ups.values()][2:] == [("102",)]


def test_an_array_that_is_always_refused_does_not_keep_it_busy(study, cluster):
    go(study, cluster)
    cluster.end("100")
    for run in study.planned:
        write_state(run, "preempted")
    cluster.refuses = lambda order: True
    outcome, slept = wake(cluster, study)
    assert "Invalid qos" in outcome.handed.error
    assert slept == []


def test_it_waits_no_longer_than_its_job_may_last(monkeypatch):
    monkeypatch.setattr(followup, "SETTLE_SECONDS", 7200.0)
    assert followup._settling() == 7200.0
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 1900))
    assert 900 < followup._settling() <= 1000
