"""Where the accounting is wrong, or where there is none; and which cluster it is that answers."""

from dataclasses import replace

import pytest

from studies.cluster import slurm, submitting
from studies.cluster.queries import Answer
from studies.cluster.records import read_submission
from studies.cluster.truth import derive
from tests.studies import fakes
from tests.studies.cluster.test_truth import (
    BEGAN,
    NOW,
    SETUP,
    accounted,
    facts,
    owner,
    recorded,
    told,
)


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "REQUEUED"])
def test_what_the_accounting_calls_unfinished_for_ever_is_lost_after_an_hour_of_silence(state):
    runaway = accounted(state, end=None)
    for held in ({}, {"ownership": "unknown", "owner": owner()}):
        soon = told(record=runaway, **held)
        assert (soon.name, soon.confirmed) == ("running", False)
        later = told(record=runaway, now=NOW + 3600, **held)
        assert (later.name, later.queued, later.confirmed) == ("lost", False, True)
        assert f"the accounting still says {state}; last heard of 77 min ago" in later.note
    begun_lately = replace(runaway, start=NOW + 3000)
    assert not told(record=begun_lately, now=NOW + 3600).confirmed
    assert told("preempted", record=runaway, story="stopped", now=NOW + 3600).note == (
        "stopped at a checkpoint: asked to stop"
    )


@pytest.mark.parametrize(
    ("shown", "given_"),
    [
        ("cancelled", {"state": None, "story": "nothing"}),
        ("cancelled", {"state": "preempted", "story": "requeued"}),
        ("lost", {"state": None, "story": "nothing", "log": SETUP}),  # it printed something
        ("lost", {"state": "running", "story": "started"}),
    ],
)
def test_a_task_that_left_the_queue_while_it_waited_was_cancelled(shown, given_):
    """Without accounting, and for an element of an array that was cancelled alone."""
    condition = told(**given_)
    assert (condition.name, condition.queued) == (shown, False)


def test_a_record_that_was_kept_is_not_of_an_owner_that_came_later():
    later = replace(owner(), time=NOW - 60)
    known = facts(record=None, ownership="unknown", owner=later)
    kept = replace(known.slurm, kept={"12_3": accounted("TIMEOUT")})
    known = replace(known, state=recorded("running", NOW - 50), slurm=kept, answers=kept)
    assert known.kept_of_owner is None
    assert derive(known, NOW).name == "running"
    assert replace(known, owner=replace(later, time=BEGAN)).kept_of_owner is not None


def test_a_submission_tells_the_name_of_its_cluster(cluster, study):
    cluster.cluster_name = "a"
    options = submitting.Options("slurm", yes=True, execute=fakes.EXECUTE, say=lambda _: None)
    submitting.submit(study, study.planned, options, cluster)
    assert read_submission(cluster.arrays[0].folder).cluster == "a"


def test_slurm_is_asked_for_its_name_with_the_limits_or_not_at_all(monkeypatch):
    asked = []

    def ask(*command):
        asked.append(command[0])
        return Answer(ok=True, text="ClusterName             = alpha\nAccountingStorageType = none\n")

    monkeypatch.setattr(slurm, "ask", ask)
    monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
    one = slurm.Slurm()
    one.limits()
    assert one.cluster_name == "alpha"
    assert asked.count("scontrol") == 1
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "beta")
    assert slurm.Slurm().cluster_name == "beta"
    assert asked.count("scontrol") == 1
