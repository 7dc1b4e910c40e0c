"""What was begun before the first test (`slow`), because SLURM looks at time limits every 30 s."""

from studies.cluster.records import read_events
from tests.harness.runs import numbers
from tests.slurm.slow import SECONDS


def test_a_run_longer_than_its_time_limit_gets_as_many_allocations_as_it_needs(slow):
    study = slow.limits.result(SECONDS)
    study.becomes({"long": "done"})
    attempts = study.did("long")
    assert len(attempts) >= 2
    assert attempts[0]["from"] == 0
    assert all(later["from"] > 2 for later in attempts[1:]), "an attempt began anew"


def test_a_run_that_does_not_heed_the_signal_fails_with_its_time_limit(slow):
    slow.limits.result(SECONDS).becomes({"stubborn": "failed:time-limit"})


def test_a_run_that_everything_happened_to_ends_with_the_numbers_of_one_left_alone(slow):
    study = slow.disturbed.result(SECONDS)
    study.becomes({"real": "done"})
    run = study.run("real")
    assert numbers(run) == numbers(slow.undisturbed.result(SECONDS))
    assert len(study.did("real")) >= 5
    assert len(study.dispatch.arrays) == 1, "it was submitted once; SLURM and its task did the rest"


def test_every_restart_of_the_disturbed_run_is_told(slow):
    study = slow.disturbed.result(SECONDS)
    (array,) = study.dispatch.arrays
    events = read_events(array, 0)
    begun = [event["restart"] for event in events if event["event"] == "begin"]
    assert [int(restart or 0) for restart in begun] == [0, 1, 2, 3, 4]
    assert len([event for event in events if event["event"] == "requeue"]) >= 2
