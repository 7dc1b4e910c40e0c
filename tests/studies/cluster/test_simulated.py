"""Whatever happens on a cluster: no run is lost, none runs twice at once, and no status says more than is true."""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.config import run_id
from harness.errors import UserError
from harness.rundir import RunDir
from studies.cluster import snapshot, submitting
from studies.cluster.records import Dispatch
from studies.plan import plan_line
from studies.status import FINISHED
from studies.store import StoredRun, StudyDir
from studies.survey import survey
from tests.studies import fakes
from tests.studies.cluster.simulated import Simulation


def is_follow_up(order):
    return order.call.endswith("FollowUp")


NODES = ["n1", "n2", "n3"]
LEFT = {"code", "disk", "corrupt", "setup"}  # what no policy tries again
TAKEN = []  # a snapshot of the code, which is not what is tested here
MINUTES = st.sampled_from([0.05, 1, 4, 20])


def planned(home: Path) -> StudyDir:
    """A study of two designs and three seeds, its second design packed two by two."""
    runs = []
    for seed in range(3):
        for design in ("quick", "slow"):
            config = fakes.config(design, seed)
            data = config.model_dump(mode="json")
            if design == "slow":
                data["resources"] |= {"runs_per_gpu": 2, "gpus": 1}
            run = RunDir(home / "runs" / run_id(config))
            runs.append(StoredRun(run.id, run.id[-12:], design, config.task, seed, data, run.path))
    home.mkdir(parents=True)
    (home / "runs").mkdir()
    (home / "plan.jsonl").write_text("".join(json.dumps(plan_line(run)) + "\n" for run in runs))
    return StudyDir(home)


class Cluster(RuleBasedStateMachine):
    """Events in any order; what must hold after each of them."""

    @initialize(
        max_queued=st.sampled_from([None, 6]), room=st.sampled_from([None, 5]), accounting=st.booleans()
    )
    def begin(self, max_queued, room, accounting):
        self.patch = pytest.MonkeyPatch()
        self.root = Path(tempfile.mkdtemp())
        self.cluster = Simulation(self.patch, max_queued=max_queued)
        self.cluster.room = room
        self.cluster.has_accounting = accounting
        self.patch.setattr("studies.cluster.clusters.cluster_for", lambda _: self.cluster)
        code = snapshot.take(Dispatch(self.root / "any"), ()) if not TAKEN else TAKEN[0]
        TAKEN[:] = [code]
        self.patch.setattr(snapshot, "take", lambda *_: code)
        self.study = planned(self.root / "runs" / "mine")
        self.patch.chdir(self.root)
        self.patch.setenv("XDG_CONFIG_HOME", str(self.root))
        self.zombies = set()

    def teardown(self):
        if not hasattr(self, "root"):
            return
        try:
            self.everything_ends()
        finally:
            self.patch.undo()
            shutil.rmtree(self.root)

    # What people and the scheduler do.

    @rule()
    def submit(self):
        self.submit_all()

    @rule()
    def submission_is_refused(self):
        self.cluster.refuses = lambda order: True
        self.submit_all()
        self.cluster.refuses = lambda order: False

    @rule(packed=st.booleans())
    def one_kind_of_array_is_refused(self, packed):
        """It does not hold up the others: what can run is in the queue then, unless that is full or silent."""
        cluster = self.cluster
        cluster.refuses = lambda order: (order.resources.gpus > 0) == packed and not is_follow_up(order)
        submitted = self.submit_all()
        cluster.refuses = lambda order: False
        if submitted is not None and not submitted.draft.later and cluster.room is None:
            tasks = Dispatch(self.study.path).assignments
            newest = max((self.study.path / "dispatch").glob("[0-9]*"))
            for choice in submitted.draft.choices:
                granted = choice.run.config["resources"]["gpus"] > 0
                if choice.decision.start and granted != packed:
                    assert tasks[choice.run.hex][-1].array.folder == newest, choice

    @rule()
    def submitter_dies_before_it_hears_the_number(self):
        self.cluster.crashes = True
        self.submit_all()
        self.cluster.crashes = False

    def submit_all(self, follows=None):
        options = submitting.Options(
            executor="slurm", yes=True, execute=fakes.EXECUTE, follows=follows, say=lambda _: None
        )
        with contextlib.suppress(UserError, KeyboardInterrupt):
            return submitting.submit(self.study, self.study.planned, options, self.cluster)
        return None

    def some(self, data, states):
        tasks = [task for task in self.cluster.tasks.values() if task.state in states and task.ended is None]
        return data.draw(st.sampled_from(tasks)) if tasks else None

    @rule(data=st.data(), node=st.sampled_from(NODES))
    def a_task_starts(self, data, node):
        if (task := self.some(data, {"PENDING"})) and self.cluster.may_start(task):
            self.start(task, node)

    def start(self, task, node):
        if task.looks_after:
            task.state = "RUNNING"
            self.submit_all(follows=task.name)
            self.cluster.end(task, "COMPLETED")
            return
        before = {worker.run.path for worker in self.cluster.workers if worker.pid not in self.zombies}
        self.cluster.start(task, node)
        for worker in task.workers:
            if worker.alive and worker.owns and worker.task is task:
                assert worker.run.path not in before - {w.run.path for w in task.workers if w is not worker}
        self.cluster.supervisor_ends(task)

    def worker(self, data):
        workers = [worker for worker in self.cluster.workers if worker.owns]
        return data.draw(st.sampled_from(workers)) if workers else None

    @rule(data=st.data())
    def a_run_goes_on(self, data):
        if worker := self.worker(data):
            assert self.cluster.write(worker, "running")

    @rule(data=st.data(), ending=st.sampled_from(["done", "done", "diverged"]))
    def a_run_ends(self, data, ending):
        if worker := self.worker(data):
            assert self.cluster.write(worker, ending)
            self.cluster.supervisor_ends(worker.task)

    @rule(data=st.data(), kind=st.sampled_from(["code", "gpu-memory", "rendering"]))
    def a_run_fails(self, data, kind):
        if worker := self.worker(data):
            assert self.cluster.write(worker, "failed", kind)
            self.cluster.supervisor_ends(worker.task)

    @rule(data=st.data())
    def a_task_is_preempted(self, data):
        if task := self.some(data, {"RUNNING"}):
            self.cluster.preempt(task)

    @rule(data=st.data(), zombies=st.booleans())
    def a_node_goes_down(self, data, zombies):
        if task := self.some(data, {"RUNNING"}):
            self.zombies |= {worker.pid for worker in task.workers if worker.alive} if zombies else set()
            self.cluster.requeue(task, zombies=zombies)

    @rule(
        data=st.data(),
        state=st.sampled_from(["FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "CANCELLED", "COMPLETED"]),
    )
    def a_task_is_killed(self, data, state):
        if task := self.some(data, {"RUNNING"}):
            self.cluster.end(task, state)

    @rule(data=st.data())
    def a_waiting_task_is_cancelled_by_hand(self, data):
        if task := self.some(data, {"PENDING"}):
            self.cluster.end(task, "CANCELLED")

    @rule(data=st.data())
    def a_job_is_forgotten(self, data):
        if task := self.some(data, {"PENDING", "RUNNING"}):
            self.cluster.end(task, "FAILED")
            task.visible = False

    @rule(data=st.data())
    def a_number_is_used_again(self, data):
        ended = [task for task in self.cluster.tasks.values() if task.ended is not None]
        if ended:
            self.cluster.take_number(data.draw(st.sampled_from(ended)).key.partition("_")[0])

    @rule(answers=st.booleans())
    def the_queue_may_not_answer(self, answers):
        self.cluster.queue_answers = answers

    @rule(answers=st.booleans())
    def the_accounting_may_not_answer(self, answers):
        self.cluster.accounting_answers = answers

    @rule(minutes=MINUTES)
    def time_passes(self, minutes):
        self.cluster.now += 60 * minutes
        for worker in self.cluster.workers:
            state = worker.run.read_state()
            if worker.owns and state is not None:
                state.heartbeat = self.cluster.now
                worker.run.write_state(state)

    # What must hold.

    @invariant()
    def none_is_written_by_two(self):
        owners = [worker.run.path for worker in self.cluster.workers if worker.owns] if self.begun else []
        assert len(owners) == len(set(owners))

    @invariant()
    def the_state_shown_is_true(self):
        if not self.begun:
            return
        self.cluster.asked.clear()
        seen = survey(self.study.planned)
        assert self.cluster.asked.count("queue") <= 1
        assert self.cluster.asked.count("accounting") <= 1
        working = {w.run.path for w in self.cluster.workers if w.owns and w.pid not in self.zombies}
        waiting = self.waiting()
        for one in seen:
            state = RunDir(one.run.path).read_state()
            recorded = state.state if state else None
            name = one.condition.name
            assert (name in FINISHED) == (recorded in FINISHED), one
            if one.run.path in working:
                assert name == "running", one
            if recorded not in FINISHED and one.run.hex in waiting and self.cluster.queue_answers:
                assert one.condition.queued, one
                assert one.condition.job == waiting[one.run.hex], one
            if not self.cluster.queue_answers and recorded != "failed":
                assert name not in {"failed", "lost"}, one

    def waiting(self):
        """The runs whose last task waits in the queue, by hex, and what the scheduler calls it."""
        found = {}
        for digits, assignments in Dispatch(self.study.path).assignments.items():
            key = assignments[-1].key
            task = self.cluster.tasks.get(key)
            if task is not None and task.ended is None and task.state == "PENDING" and task.visible:
                found[digits] = key
        return found

    @property
    def begun(self):
        return hasattr(self, "study")

    def everything_ends(self):
        """The cluster behaves from here on: every run ends, or is left with a reason that no policy mends."""
        cluster = self.cluster
        cluster.queue_answers = cluster.accounting_answers = True
        cluster.foreign.clear()  # or they fill the queue for ever
        for _ in range(12):
            for worker in cluster.workers:
                if worker.pid in self.zombies:
                    worker.alive = False
            cluster.now += 3600
            self.submit_all()
            for task in [task for task in cluster.tasks.values() if task.ended is None]:
                if task.state == "PENDING" and cluster.may_start(task):
                    self.start(task, "n1")
                for worker in [worker for worker in task.workers if worker.alive]:
                    cluster.write(worker, "done")
                    worker.alive = False
                cluster.supervisor_ends(task)
            conditions = [one.condition for one in survey(self.study.planned)]
            if all(c.name in FINISHED | {"failed"} for c in conditions):
                break
        for condition in conditions:
            assert condition.name in FINISHED or (condition.name == "failed" and condition.note), condition


Cluster.TestCase.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnySequenceOfEvents = Cluster.TestCase
