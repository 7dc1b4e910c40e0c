"""When a job is requeued, from what the controller says of it."""

import time

import pytest

from studies.cluster import allocation
from studies.cluster.allocation import Standing, why_requeue

LINE = (
    "JobId=13 ArrayJobId=12 ArrayTaskId=1 JobName=wm-x UserId=me(1) Priority=1 Nice=0 JobState=RUNNING Reason=None "
    "Dependency=(null) Requeue=1 Restarts=2 TimeLimit=1-00:00:00 StartTime=2026-11-22T10:00:00 "
    "EndTime=2026-11-22T12:00:00 Deadline=N/A PreemptEligibleTime=2026-11-22T10:00:00 PreemptTime=None SuspendTime=None"
)


def test_reads_what_scontrol_says():
    noon = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))
    assert allocation.read_standing(LINE, "13", noon - 90) == Standing("RUNNING", "None", False, 90)
    preempted = LINE.replace("PreemptTime=None", "PreemptTime=2026-11-22T11:00:00").replace(
        "T12:00:00 ", "T?? "
    )
    assert allocation.read_standing(preempted, "13", noon) == Standing("RUNNING", "None", True, None)
    assert allocation.read_standing("slurm_load_jobs error: Invalid job id specified", "13", noon) is None


def test_reads_its_own_line_among_those_of_its_array():
    """The element that bears the number of the array is told of all elements, whatever their order."""
    noon = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))
    mine = LINE.replace("JobId=13", "JobId=12").replace("TaskId=1 ", "TaskId=3 ")
    other = LINE.replace("RUNNING", "COMPLETING").replace("T12:00:00 ", "T23:00:00 ")
    much = LINE.replace("JobId=13", "JobId=123")
    for text in (f"{mine}\n{other}\n{much}\n", f"{much}\n{other}\n{mine}\n"):
        assert allocation.read_standing(text, "12", noon - 90) == Standing("RUNNING", "None", False, 90)
    assert allocation.read_standing(f"{other}\n{much}\n", "12", noon) is None


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (None, 90),
        ("mail-type=END", 90),
        ("signal=USR2@300", 300),
        ("exclusive\n#SBATCH --signal B:USR2@600", 600),
    ],
)
def test_how_long_before_its_time_limit_a_job_is_told(options, seconds):
    assert allocation.signal_lead(options) == seconds


def test_a_time_limit_is_near_where_its_signal_comes():
    def why(remaining, lead):
        return why_requeue(Standing("RUNNING", "None", False, remaining), warned=True, lead=lead)

    assert [why(seconds, 90) for seconds in (200, 250)] == ["time limit", "signal"]
    assert [why(seconds, 300) for seconds in (310, 400, 500)] == ["time limit", "time limit", "signal"]


@pytest.mark.parametrize(
    ("standing", "after_usr2", "after_term"),
    [
        (Standing("RUNNING", "None", True, 4000), "preempted", "preempted"),
        (Standing("RUNNING", "None", False, 80), "time limit", ""),
        (Standing("RUNNING", "None", False, 4000), "signal", ""),
        (Standing("RUNNING", "None", False, None), "signal", ""),
        (Standing("COMPLETING", "TimeLimit", False, -5), "time limit", ""),
        (Standing("COMPLETING", "None", False, 4000), "", ""),  # cancelled
        (Standing("CANCELLED", "None", False, 4000), "", ""),
        (Standing("PENDING", "BeginTime", False, 4000), "", ""),  # requeued already
        (None, "signal", ""),
    ],
)
def test_when_a_job_is_requeued(standing, after_usr2, after_term):
    assert why_requeue(standing, warned=True) == after_usr2
    assert why_requeue(standing, warned=False) == after_term


def test_outside_of_an_allocation_nothing_is_asked(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    assert allocation.key() is None
    assert allocation.standing() is None
    assert allocation.requeue() == "not in a SLURM allocation"
