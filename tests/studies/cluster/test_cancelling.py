"""What is marked and what is taken out of the queue when runs are cancelled."""

import pytest

from harness.errors import UserError
from studies.cluster.cancelling import cancel
from studies.cluster.records import Dispatch
from studies.cluster.submitting import Options, submit
from studies.survey import survey
from tests.studies.cluster.fakecluster import FakeCluster, make_study, write_state

OPTIONS = Options("slurm", yes=True, say=lambda _: None)


def marks(study):
    return {digits for digits, mark in Dispatch(study.path).marks.items() if mark.name == "cancelled"}


def hexes(runs):
    return {run.hex for run in runs}


@pytest.fixture
def packed(tmp_path, cluster):
    """Four runs in two tasks, 100_0 and 100_1, and their follow-up 101."""
    study = make_study(tmp_path, seeds=4, resources={"quick": {"runs_per_gpu": 2}})
    submit(study, study.planned, OPTIONS, cluster)
    return study


def test_a_whole_study_goes_with_its_follow_up(packed, cluster):
    cluster.runs("100_0")
    write_state(packed.planned[0], "done")
    done = cancel(packed, packed.planned)
    assert hexes(done.finished) == {packed.planned[0].hex}
    assert (len(done.running) + len(done.waiting), done.tasks, done.follow_ups) == (3, 2, 1)
    assert cluster.cancelled == ["101", "100_0", "100_1"], "what would submit again goes first"
    assert marks(packed) == hexes(packed.planned[1:])
    assert [str(one.condition) for one in survey(packed.planned)] == ["done"] + 3 * ["cancelled"]


def test_a_packed_neighbour_goes_on(packed, cluster):
    chosen = packed.planned[:1]
    done = cancel(packed, chosen)
    assert (hexes(done.waiting), done.tasks, cluster.cancelled) == (hexes(chosen), 0, [])
    assert marks(packed) == hexes(chosen)


def test_a_task_ends_with_the_last_of_its_runs(packed, cluster):
    cancel(packed, packed.planned[:1])
    done = cancel(packed, packed.planned[1:2])
    assert (done.tasks, cluster.cancelled) == (1, ["100_0"])
    assert done.follow_ups == 0


def test_a_task_ends_if_the_other_run_is_done(packed, cluster):
    cluster.runs("100_0")
    write_state(packed.planned[1], "done")
    cancel(packed, packed.planned[:1])
    assert cluster.cancelled == ["100_0"]


def test_a_cancelled_run_is_submitted_again_by_a_person(packed, cluster):
    cancel(packed, packed.planned)
    submit(packed, packed.planned, OPTIONS, cluster)
    assert len(cluster.arrays) == 2
    assert all(one.condition.queued for one in survey(packed.planned))


def test_without_an_answer_nothing_is_marked(packed, cluster):
    cluster.answers = False
    with pytest.raises(UserError, match="does not answer"):
        cancel(packed, packed.planned)
    assert not marks(packed)


def test_a_kind_selects_what_is_tried_again_after_it(packed, cluster):
    cluster.end("100")
    first, *others = packed.planned
    write_state(first, "failed", "gpu-memory")
    for run in others:
        write_state(run, "preempted")
    submit(packed, packed.planned, OPTIONS, cluster)
    done = cancel(packed, packed.planned, ["gpu-memory"])
    assert hexes(done.waiting) == {first.hex}
    assert marks(packed) == {first.hex}
    assert done.follow_ups == 0


def test_what_waits_for_a_follow_up_is_not_tried_again(packed, cluster):
    first = packed.planned[0]
    cluster.end("100_0")
    write_state(first, "failed", "gpu-memory")
    write_state(packed.planned[1], "done")
    done = cancel(packed, [first])
    assert (hexes(done.idle), marks(packed)) == ({first.hex}, {first.hex})


def test_a_number_that_somebody_else_has_now_is_left(packed, cluster):
    cluster.end("100")
    cluster.tasks["100_0"] = next(iter(cluster.tasks.values())).__class__("RUNNING", name="somebody-elses")
    cancel(packed, packed.planned)
    assert "100_0" not in cluster.cancelled


def test_a_job_whose_number_was_never_recorded_is_found(study, cluster):
    cluster.dies = lambda order: True
    with pytest.raises(KeyboardInterrupt):
        submit(study, study.planned, OPTIONS, cluster)
    done = cancel(study, study.planned)
    assert (len(done.waiting), cluster.cancelled) == (2, ["100_0", "100_1"])


def test_a_study_that_was_never_submitted(study, cluster):
    with pytest.raises(UserError, match="never submitted"):
        cancel(study, study.planned)


def test_a_scheduler_that_is_silent_does_not_keep_the_others_from_cancelling(study, cluster):
    here, there = study.planned
    local = FakeCluster("local")
    submit(study, [here], Options("local", yes=True, say=lambda _: None), local)
    submit(study, [there], OPTIONS, cluster)
    cluster.answers = False
    done = cancel(study, study.planned, places={"slurm": cluster, "local": local})
    assert (local.cancelled, cluster.cancelled) == (["101", "100"], [])
    assert (hexes(done.waiting), hexes(done.unasked), done.silent) == ({here.hex}, {there.hex}, ["slurm"])
    assert marks(study) == {here.hex}
