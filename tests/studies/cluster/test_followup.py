"""The job that looks after a study once its arrays have ended."""

import pickle

import pytest

from studies.cluster import followup, records
from studies.cluster.followup import FollowUp, follow_up
from studies.cluster.records import Dispatch
from studies.cluster.submitting import Options, submit
from studies.cluster.types import Accounted, Limits
from tests.studies.cluster.fakecluster import make_study, write_state


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
