"""Submissions that meet trouble: a submitter that dies half-way, and a queue without room."""

import json
import time

import pytest
from submitit.core.utils import DelayedSubmission

from studies.cluster import records, unanswered
from studies.cluster.records import Dispatch
from studies.cluster.task import ArrayTask
from studies.cluster.telling import told
from studies.cluster.types import Accounted, Limits
from tests.studies.cluster.fakecluster import make_study, write_state
from tests.studies.cluster.test_submitting import go, listed


def age(array, seconds):
    """Makes an array look as if it had been submitted long ago."""
    file = array.folder / f"array-{array.number}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"time": time.time() - seconds}))


class TestASubmitterThatDied:
    """Between the scheduler's answer and its record."""

    @pytest.fixture
    def died(self, study, cluster):
        cluster.dies = lambda order: True
        with pytest.raises(KeyboardInterrupt):
            go(study, cluster)
        cluster.dies = lambda order: False
        (array,) = Dispatch(study.path).arrays
        assert array.job is None
        return array

    def test_the_job_is_found_in_the_queue_by_its_name(self, study, cluster, died):
        go(study, cluster)
        (array,) = Dispatch(study.path).arrays
        assert array.job == "100"
        assert [order.after for order in cluster.follow_ups.values()] == [("100",)]

    def test_a_job_that_has_left_the_queue_is_found_in_what_its_task_said(self, study, cluster, died):
        cluster.end("100", "FAILED")
        records.say(died, 1, "begin", job="100_1", host="n1")
        write_state(study.planned[0], "done")
        write_state(study.planned[1], "done")
        go(study, cluster)
        assert Dispatch(study.path).arrays[0].job == "100"

    def test_its_tasks_get_what_they_wait_for(self, study, cluster, died):
        del cluster.tasks["100_1"]  # it has waited in vain
        cluster.ended["100_1"] = Accounted("FAILED", 1, name=died.name, end=time.time())
        go(study, cluster)
        logs = died.folder / "logs"
        assert {file.name for file in logs.glob("*.pkl")} == {"100_0_submitted.pkl", "100_1_submitted.pkl"}
        held = DelayedSubmission.load(logs / "100_0_submitted.pkl")
        assert held.function == ArrayTask(str(died.folder), died.number, 0)
        waits, again = study.planned
        assert listed(study) == {again.hex: "retried"}
        assert Dispatch(study.path).assignments[waits.hex][-1].key == "100_0"

    def test_it_may_still_arrive_for_minutes(self, study, cluster, died):
        cluster.tasks.clear()
        go(study, cluster)
        assert len(cluster.arrays) == 1

    def test_one_that_arrives_later_still_is_known(self, study, cluster, died):
        listed_, cluster.tasks = cluster.tasks, {}
        age(died, unanswered.UNCERTAIN_SECONDS + 1)
        cluster.refuses = lambda order: True
        go(study, cluster)
        assert records.read_array(died.folder, 0).error == unanswered.ABSENT
        cluster.tasks = listed_
        cluster.refuses = lambda order: False
        go(study, cluster)
        assert records.read_array(died.folder, 0).job == "100"
        assert len(cluster.arrays) == 1, "nothing of it was submitted again"

    def test_then_it_never_reached_the_scheduler(self, study, cluster, died):
        cluster.tasks.clear()
        age(died, unanswered.UNCERTAIN_SECONDS + 1)
        go(study, cluster)
        assert len(cluster.arrays) == 2
        assert records.read_array(died.folder, 0).error == unanswered.ABSENT


class TestAQueueWithALimit:
    """Tasks for which there is no room come later."""

    @pytest.fixture
    def five(self, tmp_path):
        return make_study(tmp_path, seeds=5)

    def test_the_follow_up_has_a_place_too(self, five, cluster):
        cluster.granted = Limits(1000, max_queued=4)
        outcome = go(five, cluster)
        assert cluster.arrays[0].size == 3
        assert len(cluster.tasks) == 4
        assert sum(array.runs for array in outcome.draft.later) == 2
        assert "2 of them wait until the queue has room" in told("mine", outcome)[1]
        submission = records.read_submission(cluster.arrays[0].folder)
        assert len(submission.selected) == 5, "the follow-up knows of all"

    def test_a_queue_full_of_others_is_tried_again_soon(self, five, cluster):
        cluster.granted = Limits(1000, max_queued=1)
        go(five, cluster)
        assert not cluster.arrays
        (follow_up,) = cluster.follow_ups.values()
        assert (follow_up.after, follow_up.resources.begin) == ((), "now+10minutes")
        go(five, cluster)
        assert len(cluster.follow_ups) == 1, "one is enough"

    def test_a_limit_that_nobody_tells_is_found_by_halving(self, tmp_path, cluster):
        study = make_study(tmp_path, seeds=20)
        cluster.room = 8
        outcome = go(study, cluster)
        assert len(cluster.tasks) == 8, "the follow-up too"
        assert len(cluster.follow_ups) == 1
        assert not outcome.handed.error
        lines = told("mine", outcome)
        assert "13 of them wait until the queue has room" in lines[1]
        assert "QOSMaxSubmit" in lines[2]
        assert len(Dispatch(study.path).assignments) == 7

    def test_a_full_queue_whose_limit_nobody_tells(self, five, cluster):
        cluster.room = 1
        outcome = go(five, cluster)
        assert not cluster.arrays
        assert [order.resources.begin for order in cluster.follow_ups.values()] == ["now+10minutes"]
        assert outcome.handed.is_settled
        assert sum(array.runs for array in outcome.handed.waiting) == 5

    def test_chunks_keep_to_the_largest_array(self, five, cluster):
        cluster.granted = Limits(2)
        go(five, cluster)
        assert [order.size for order in cluster.arrays] == [2, 2, 1]
        assert [order.array for order in cluster.orders.values()] == [0, 1, 2, 3]
