"""Several runs in one allocation, and which GPU each has."""

import pytest

from studies.cluster.records import read_events


@pytest.fixture(scope="module")
def shared(lab):
    """Two allocations with two runs each, on one node with two GPUs."""
    where = {"gpus": 1, "runs_per_gpu": 2, "nodelist": "n6"}
    study = lab.study("shared", ["waits-a", "raises", "waits-b", "dies"], resources=where).submit()
    study.begun("waits-a").begun("waits-b")
    return study


def test_one_run_that_fails_does_not_hurt_the_other(shared):
    rows = shared.becomes({"waits-a": "running", "waits-b": "running", "raises": "failed:code"})
    assert rows["dies"]["state"] != "done"  # killed: once more, alone, when the other has ended
    shared.go()
    shared.settled()
    shared.becomes({"waits-a": "done", "waits-b": "done", "raises": "failed:code", "dies": "failed:killed"})
    assert shared.job_of("waits-a") == shared.job_of("raises")
    assert shared.job_of("waits-b") == shared.job_of("dies")


def test_runs_of_an_allocation_share_its_gpu_and_allocations_do_not(shared):
    first, second = shared.did("waits-a")[0], shared.did("waits-b")[0]
    assert first["CUDA_VISIBLE_DEVICES"] == shared.did("raises")[0]["CUDA_VISIBLE_DEVICES"]
    assert second["CUDA_VISIBLE_DEVICES"] == shared.did("dies")[0]["CUDA_VISIBLE_DEVICES"]
    assert {first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]} == {"0", "1"}


def test_every_run_has_its_own_record_with_its_own_memory(shared):
    shared.go()
    shared.settled()
    array = shared.dispatch.assignments[shared.hex("waits-a")][-1].array
    ended = [event for index in (0, 1) for event in read_events(array, index) if event["event"] == "ended"]
    assert {event["hex"] for event in ended} == {
        shared.hex(name) for name in ("waits-a", "raises", "waits-b", "dies")
    }
    memory = {event["hex"]: event["peak_memory_mb"] for event in ended}
    assert all(10 < megabytes < 500 for megabytes in memory.values())
