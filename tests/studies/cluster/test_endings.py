"""Why a run ended whose job has ended, where what its task said decides."""

from dataclasses import replace

import pytest

from studies.cluster.records import Entry
from studies.cluster.truth import Said
from studies.cluster.types import Queued
from tests.studies.cluster.test_truth import (
    BEGAN,
    BEGIN,
    END,
    ENDED,
    ENTRY,
    KILLED,
    NAME,
    STARTED,
    STOPPED,
    TASK,
    accounted,
    owner,
    told,
)


def test_time_ran_out_and_nothing_was_gained():
    end = END | {"because": "time limit, and nothing was gained in this allocation", "kind": "time-limit"}
    said = Said((BEGIN, STARTED, STOPPED, end))
    assert told("preempted", record=accounted("FAILED", exit_code=75), said=said).kind == "time-limit"
    behind = told(None, record=accounted("FAILED", exit_code=75), said=Said((BEGIN, end)))
    assert behind.name == "preempted"  # its turn never came


def test_a_node_on_which_no_process_starts_is_at_fault():
    end = END | {"because": "cannot start a run: Resource temporarily unavailable", "kind": "node"}
    for state, said in ((None, (BEGIN, end)), ("preempted", (BEGIN, STARTED, STOPPED, end))):
        found = told(state, record=accounted("FAILED", exit_code=75), said=Said(said))
        assert (str(found), found.note) == ("failed:node", end["because"])


@pytest.mark.parametrize("record", [accounted("COMPLETED"), accounted("FAILED", exit_code=1), ()])
@pytest.mark.parametrize("seen", ["lost", "running"])
def test_a_worker_that_found_the_run_owned_says_so(record, seen):
    last = STOPPED | {"status": 76, "condition": seen, "owner": "process 7 on n9"}
    found = told("running", record=record, said=Said((BEGIN, STARTED, last, END | {"left": []})))
    assert (found.name, found.note) == ("preempted", "its worker found it owned by process 7 on n9")


def test_a_job_began_by_the_clock_of_a_node_that_is_late():
    died = accounted("FAILED", exit_code=3)
    assert told(record=replace(died, start=BEGAN + 110)).kind == "killed"
    assert told(record=replace(died, start=BEGAN + 130)).kind == "setup"  # an earlier start is what began


@pytest.mark.parametrize("late", [-100, 0, 100])
def test_a_start_that_asked_to_be_requeued_is_told_from_the_next(late):
    """Whatever the node's clock shows, as long as it ran for longer than the clock is wrong."""
    begin, requeue = BEGIN | {"time": BEGAN - late}, {"event": "requeue", "time": BEGAN + 600 - late}
    said = Said((begin, STARTED, requeue))
    before, after = (accounted("FAILED", exit_code=3, start=BEGAN + age) for age in (0, 605))
    assert told(record=before, said=said).kind == "killed"
    assert told(record=after, said=said).kind == "setup"


def test_a_worker_that_was_killed_with_its_job_ended_as_its_job_did():
    last = KILLED | {"time": ENDED - 2}
    said = Said((BEGIN, STARTED, last))
    assert told(record=accounted("TIMEOUT"), said=said).kind == "time-limit"
    assert told(record=accounted("TIMEOUT"), story="killed").kind == "killed"
    assert told(record=accounted("TIMEOUT"), story="out of memory").kind == "host-memory"


def test_a_worker_that_died_beside_a_neighbour_is_not_called_running():
    """Its process is on another machine, and its claim was never released."""
    packed = replace(TASK, array=replace(TASK.array, tasks=((ENTRY, Entry("ba9876543210")),) * 5))
    goes_on = {
        "queue": Queued("RUNNING", name=NAME),
        "ownership": "unknown",
        "owner": owner(),
        "task": packed,
    }
    died = told(said=Said((BEGIN, STARTED, KILLED)), **goes_on)
    assert (str(died), died.queued) == ("failed:killed", True)
    again = STARTED | {"time": KILLED["time"] + 5}
    assert told(said=Said((BEGIN, STARTED, KILLED, again)), **goes_on).name == "running"
    older = KILLED | {"time": BEGAN}  # of the start before
    assert told(said=Said((BEGIN, older)), **goes_on).name == "running"


def test_a_run_whose_job_has_just_left_the_queue_is_not_taken_for_running():
    """Or the follow-up job, which starts at that moment, would leave it to nobody."""
    fresh = {"ownership": "unknown", "owner": owner(), "now": ENDED - 5}  # heard of five seconds ago
    for record in (accounted("RUNNING", end=None), ()):
        found = told(record=record, **fresh)
        assert (found.name, found.confirmed) == ("running", False)
    assert told(queue=Queued("RUNNING", name=NAME), **fresh).confirmed
    assert told(queue=None, **fresh).confirmed
