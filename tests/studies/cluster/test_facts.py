"""What is asked for a survey, how often, and in which order."""

import json
import time
from dataclasses import asdict, replace

import pytest

from harness import claim
from harness.config import run_id
from harness.errors import UserError
from harness.rundir import RunDir, RunState
from studies.cluster import records
from studies.cluster.accounts import Accounts
from studies.cluster.facts import Schedulers
from studies.cluster.granting import Granted
from studies.cluster.outlook import unanswered
from studies.cluster.types import Accounted, Queued
from studies.plan import plan_line
from studies.retrying import reset
from studies.store import StoredRun, StudyDir
from studies.survey import look, survey
from tests.studies import fakes


class Cluster:
    """Answers what it is told to, and keeps count."""

    has_accounting = True

    def __init__(self):
        self.listed, self.records = {}, {}
        self.calls = []
        self.meanwhile = lambda: None  # happens while the queue is asked
        self.called = None

    @property
    def cluster_name(self):
        self.calls.append("name")
        return self.called

    def queue(self):
        self.calls.append("queue")
        self.meanwhile()
        return self.listed

    def accounting(self, jobs, since):
        assert since < time.time()
        self.calls.append(f"accounting {','.join(sorted(jobs))}")
        if self.records is None:
            return None
        return {key: one for key, one in self.records.items() if key.partition("_")[0] in jobs}


@pytest.fixture
def cluster(monkeypatch):
    found = Cluster()
    monkeypatch.setattr("studies.cluster.clusters.cluster_for", lambda _: found)
    return found


@pytest.fixture
def study(tmp_path):
    """Six runs, not submitted."""
    home = StudyDir(tmp_path / "runs" / "mine")
    home.runs.mkdir(parents=True)
    lines = []
    for seed in range(6):
        config = fakes.config("slow", seed)
        name = run_id(config)
        data = config.model_dump(mode="json")
        run = StoredRun(name, name[-12:], "slow", config.task, seed, data, home.runs / name)
        lines.append(json.dumps(plan_line(run)) + "\n")
    home.plan_file.write_text("".join(lines))
    return home


def submit(study, runs, job, executor="slurm", **submission):
    """Puts runs into an array, one a task; returns it."""
    dispatch = records.Dispatch(study.path)
    said = {"executor": executor, "command": [], "code": "", "datasets": "", "execute": "", **submission}
    folder = dispatch.begin(said)
    tasks = [[(run, records.Entry(run.hex))] for run in runs]
    array = dispatch.add_array(folder, executor, Granted(hours=1), tasks)
    dispatch.answered(array, job=job)
    return replace(array, job=job)


def write(run, state, *, released=True, age=0.0, **who):
    """What a worker has left."""
    directory = RunDir.create(run.path, fakes.config("slow", run.seed))
    owner = replace(claim.this_process(), host="elsewhere", time=time.time() - age, released=released, **who)
    (run.path / "claim.1").write_text(json.dumps(asdict(owner)))
    directory.write_state(RunState(id=run.id, state=state, heartbeat=time.time() - age))


def names(study):
    return [str(one.condition) for one in survey(study.planned)]


def test_a_study_that_was_never_dispatched_asks_nobody(cluster, study):
    write(study.planned[0], "done")
    assert names(study) == ["done"] + ["pending"] * 5
    assert cluster.calls == []
    assert not (study.path / "dispatch").exists()


def test_one_question_each_for_all_arrays(cluster, study):
    one, two = submit(study, study.planned[:3], "10"), submit(study, study.planned[3:], "20")
    cluster.listed = {"10_0": Queued("PENDING", "Priority", name=one.name)}
    cluster.records = {
        key: Accounted("CANCELLED", name=array.name, end=time.time())
        for array in (one, two)
        for key in (array.key(0), array.key(1), array.key(2))
    }
    assert names(study) == ["pending"] + ["cancelled"] * 5
    assert cluster.calls == ["queue", "accounting 10,20"]


def test_the_accounting_is_asked_only_about_what_is_unfinished_and_gone(cluster, study):
    array = submit(study, study.planned[:2], "10")
    submit(study, study.planned[2:], "20")
    for run in study.planned[2:]:
        write(run, "done")
    cluster.listed = {array.key(index): Queued("RUNNING", name=array.name) for index in range(2)}
    assert names(study) == ["running", "running"] + ["done"] * 4
    assert cluster.calls == ["queue"]
    for run in study.planned:
        write(run, "diverged")
    assert names(study) == ["diverged"] * 6
    assert cluster.calls == ["queue"]  # nothing is left to ask about


def test_what_a_task_wrote_before_it_left_the_queue_is_seen(cluster, study):
    run = study.planned[0]
    array = submit(study, [run], "10")
    write(run, "running", released=False, job="10", task=None, age=600)
    cluster.meanwhile = lambda: write(run, "done")
    cluster.records = {"10": Accounted("COMPLETED", name=array.name, end=time.time())}
    assert names(study)[0] == "done"


def test_an_end_is_asked_for_until_it_is_a_minute_old_and_then_never_again(cluster, study):
    array = submit(study, study.planned[:1], "10")
    cluster.records = {"10": Accounted("TIMEOUT", name=array.name, end=time.time() - 5)}
    records.say(array, 0, "begin")
    for _ in range(2):
        assert names(study)[0] == "failed:time-limit"
    assert cluster.calls == ["queue", "accounting 10"] * 2
    cluster.records = {"10": replace(cluster.records["10"], end=time.time() - 70)}
    assert names(study)[0] == "failed:time-limit"
    cluster.records, cluster.calls = {}, []  # the accounting has forgotten it
    assert names(study)[0] == "failed:time-limit"
    assert cluster.calls == ["queue"]
    cluster.listed = None
    assert names(study)[0] == "failed:time-limit"
    cluster.listed = {"10": Queued("PENDING", name=array.name)}  # somebody requeued it by hand
    assert names(study)[0] == "pending"


def test_a_damaged_file_of_kept_records_is_as_none(tmp_path):
    accounts = Accounts(tmp_path)
    for content in ("", "[]", '{"1": 2}', '{"1": {"state": "FAILED", "new": 1}}'):
        accounts.file.write_text(content)
        assert accounts.read() == {}
    record = Accounted("FAILED", end=100.0)
    accounts.keep({"1": record, "2": Accounted("RUNNING"), "3": replace(record, end=990.0)}, now=1000.0)
    assert accounts.read() == {"1": record}
    Accounts(tmp_path / "nowhere").keep({"1": record}, now=1000.0)  # no error


def test_watching_asks_a_scheduler_seldom(cluster, study, monkeypatch):
    array = submit(study, study.planned[:1], "10")
    cluster.listed = {"10": Queued("PENDING", name=array.name)}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    schedulers = Schedulers(every=15.0)
    for seconds, calls in ((0, 1), (2, 1), (14, 1), (16, 2), (18, 2)):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: now + seconds)
        assert look(study.planned, schedulers).seen[0].condition.queued
        assert len(cluster.calls) == calls
    monkeypatch.setattr(time, "time", lambda: now + 20)
    later = submit(study, study.planned[1:2], "20")
    cluster.listed["20"] = Queued("PENDING", name=later.name)
    assert look(study.planned, schedulers).seen[1].condition.queued  # what came after the answer
    assert len(cluster.calls) == 3


def test_a_run_that_is_reused_is_asked_for_where_it_is(cluster, study, tmp_path):
    array = submit(study, study.planned[:1], "10")
    cluster.listed = {"10": Queued("PENDING", "Priority", name=array.name)}
    other = StudyDir(tmp_path / "runs" / "other")
    other.path.mkdir()
    line = plan_line(replace(study.planned[0], reused_from="mine"))
    other.plan_file.write_text(json.dumps(line) + "\n")
    assert survey(other.planned)[0].condition.reason == "Priority"


def test_two_studies_ask_together(cluster, study, tmp_path):
    submit(study, study.planned[:1], "10")
    other = StudyDir(tmp_path / "runs" / "other")
    other.path.mkdir()
    other.plan_file.write_text(study.plan_file.read_text())
    submit(other, other.planned[:1], "20")
    survey([*study.planned, *other.planned])
    assert cluster.calls.count("queue") == 1


def test_a_pool_of_another_machine_cannot_be_asked(cluster, study):
    array = submit(study, study.planned[:1], "L1-ab", "local")
    assert names(study)[0] == "pending"
    file = array.folder / "submission.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"host": "elsewhere"}))
    cluster.calls.clear()
    condition = survey(study.planned)[0].condition
    assert cluster.calls == []
    assert condition.queued
    assert condition.note == "unconfirmed: it was submitted on elsewhere"


def long_after(monkeypatch, seconds=7200):
    later = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: later)


@pytest.mark.parametrize(("here", "shown"), [("a", "cancelled"), ("b", "pending"), (None, "pending")])
def test_the_queue_of_another_cluster_says_nothing(cluster, study, monkeypatch, here, shown):
    array = submit(study, study.planned[:2], "10", cluster="a")
    cluster.listed = {"10_0": Queued("RUNNING", name="of somebody")}
    cluster.called = here
    long_after(monkeypatch)
    found = [one.condition for one in survey(study.planned)[:2]]
    assert [one.name for one in found] == [shown] * 2
    assert {one.confirmed for one in found} == {shown == "cancelled"}
    if here == "b":
        assert found[0].note == "unconfirmed: it is on the cluster a, this is b"
        assert found[0].elsewhere
        assert not found[0].may_settle  # nobody waits for it
        told = list(unanswered(look(study.planned, Schedulers())))
        assert told == ["of 2 that wait nobody here can tell more: it is on the cluster a, this is b"]
        del cluster.calls[2:]
    assert cluster.calls == ["queue", "name"] + ["accounting 10"] * (here == "a")
    cluster.calls.clear()
    cluster.listed["10_1"] = Queued("PENDING", name=array.name)  # proves where this is
    assert names(study)[:2] == ["cancelled", "pending"]
    assert "name" not in cluster.calls


def test_an_owner_on_another_cluster_or_of_another_user_is_not_gone(cluster, study, monkeypatch):
    run = study.planned[0]
    later = submit(study, [run], "20")
    write(run, "running", released=False, job="10", task=None, cluster="a")
    cluster.listed = {"20": Queued("PENDING", name=later.name)}
    cluster.called = "b"
    long_after(monkeypatch)
    condition = survey(study.planned)[0].condition
    assert (condition.name, condition.confirmed) == ("running", False)
    assert condition.note.startswith("unconfirmed for 2 h: it is on the cluster a, this is b")
    cluster.called = "a"
    assert names(study)[0] == "preempted"
    monkeypatch.setattr(claim, "is_of_another_user", lambda _: True)
    condition = survey(study.planned)[0].condition
    assert (condition.name, condition.confirmed) == ("running", False)
    assert "another user" in condition.note


def test_what_was_kept_is_asked_for_again_once_the_task_has_begun_again(cluster, study, monkeypatch):
    array = submit(study, study.planned[:1], "10")
    records.say(array, 0, "begin")
    cluster.records = {"10": Accounted("TIMEOUT", name=array.name, end=time.time() + 10)}
    long_after(monkeypatch)
    assert names(study)[0] == "failed:time-limit"
    cluster.records = {"10": Accounted("NODE_FAIL", name=array.name, node="n1", end=time.time() + 3600)}
    assert names(study)[0] == "failed:time-limit"  # it is kept
    records.say(array, 0, "begin", restart=1)  # scontrol requeue, by hand
    long_after(monkeypatch)
    assert names(study)[0] == "failed:node"
    cluster.records = {}
    assert names(study)[0] == "failed:node"


def test_marks_and_submissions_follow_each_other_whatever_the_clocks_say(cluster, study, monkeypatch):
    run = study.planned[0]
    dispatch = records.Dispatch(study.path)
    cluster.listed = None
    long_after(monkeypatch, 300)
    submit(study, [run], "10")
    monkeypatch.undo()  # this machine's clock is behind
    monkeypatch.setattr("studies.cluster.clusters.cluster_for", lambda _: cluster)
    dispatch.mark([run.hex], "cancelled")
    assert names(study)[0] == "cancelled"
    long_after(monkeypatch, 600)
    dispatch.mark([run.hex], "cancelled")
    monkeypatch.undo()
    monkeypatch.setattr("studies.cluster.clusters.cluster_for", lambda _: cluster)
    submit(study, [run], "20")
    assert names(study)[0] == "pending"


def test_a_person_may_try_again_what_nobody_confirms(cluster, study):
    run, owned = study.planned[:2]
    submit(study, [run, owned], "10")
    write(run, "running")
    write(owned, "running", released=False, job="10", task="1", age=600)
    cluster.listed = None
    assert names(study)[:2] == ["running", "running"]
    for runs, by_name in (([run], False), ([owned], True)):
        with pytest.raises(UserError, match=r"nothing to retry.*--take-over"):
            reset(runs, kinds=(), by_name=by_name)
    assert reset([run], kinds=(), by_name=True) == [run]
    assert names(study)[:2] == ["pending", "running"]
    assert not survey(study.planned)[0].condition.queued


def test_the_owner_of_a_job_before_the_last_is_asked_about_too(cluster, study):
    run = study.planned[0]
    submit(study, [run], "10")
    later = submit(study, [run], "20")
    write(run, "running", released=False, job="10", task=None, age=2)
    cluster.listed = {"20": Queued("PENDING", "Priority", name=later.name)}
    assert names(study)[0] == "running"  # nobody says that 10 has ended
    cluster.records = {"10": Accounted("NODE_FAIL", name=records.Dispatch(study.path).arrays[0].name)}
    assert names(study)[0] == "preempted"
    assert cluster.calls == ["queue", "accounting 10"] * 2


def test_a_run_outside_any_study_knows_no_jobs(cluster, tmp_path):
    (tmp_path / "dispatch").mkdir()
    config = fakes.config()
    run = RunDir.create(tmp_path / "x" / "alone", config)
    stored = StoredRun("alone", "0" * 12, "quick", config.task, 0, {}, run.path)
    assert survey([stored])[0].condition.name == "pending"
