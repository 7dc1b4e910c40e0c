"""What SLURM's programs print, recorded from 22.05, and in the shapes of other versions."""

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.cluster import queries
from studies.cluster.queries import ask, compress, expand, gibibytes, parse_accounting, parse_queue
from studies.cluster.types import Accounted, Queued

QUEUE = """\
1_2|PENDING|JobArrayTaskLimit||0|wm-pilot-0001-0-abcdef|
1_0|RUNNING|None|n1|2|wm-pilot-0001-0-abcdef|
11|PENDING|BeginTime||1|a|name|
22|PENDING|Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions||0|x|
1_8|COMPLETING|None|n1|0|wm-pilot-0001-0-abcdef|
"""
OLD_QUEUE = """\
1_2|PENDING|JobArrayTaskLimit|||wm-pilot-0001-0-abcdef
1_0|RUNNING|None|n1||wm-pilot-0001-0-abcdef
"""


def test_a_queue():
    found = parse_queue(QUEUE)
    assert list(found) == ["1_2", "1_0", "11", "22", "1_8"]
    assert found["1_2"] == Queued("PENDING", "JobArrayTaskLimit", "", "wm-pilot-0001-0-abcdef", 0)
    assert found["1_0"] == Queued("RUNNING", "", "n1", "wm-pilot-0001-0-abcdef", 2)
    assert found["1_0"].runs
    assert not found["1_2"].runs
    assert found["11"].name == "a|name"
    assert found["22"].reason.startswith("Nodes required")
    assert found["1_8"].state == "COMPLETING"


def test_the_queue_of_an_old_version():
    found = parse_queue(OLD_QUEUE)
    assert found["1_2"] == Queued("PENDING", "JobArrayTaskLimit", "", "wm-pilot-0001-0-abcdef", None)
    assert found["1_0"].restarts is None


def test_an_empty_queue_is_an_answer_and_a_strange_one_is_none():
    assert parse_queue("") == {}
    assert parse_queue("CLUSTER: north\n11|RUNNING|None|n1|0|x|\n") == {
        "11": Queued("RUNNING", "", "n1", "x", 0)
    }
    assert parse_queue("CLUSTER: north\n\nCLUSTER: south\n") == {}
    assert parse_queue("slurm_load_jobs error: Unexpected message received\n") is None
    assert parse_queue("\n\n") is None


def test_a_queue_that_does_not_expand_its_arrays():
    assert list(parse_queue("7_[1-2,5%3]|PENDING|Priority||0|x|\n")) == ["7_1", "7_2", "7_5"]


# JobID,State,ExitCode,Submit,Start,End,NodeList,ReqMem,MaxRSS,JobName
ENDED = """\
1_0|FAILED|3:0|1795374764|1795374764|1795374769|n1|500M||wm-pilot
1_0.batch|FAILED|3:0|1795374764|1795374764|1795374769|n1||12132K|batch
1_0.0|COMPLETED|0:0|1795374764|1795374764|1795374764|n1|||bash
1_0.1|FAILED|3:0|1795374764|1795374764|1795374769|n1||4872K|bash
1_8|CANCELLED by 0|0:0|1795374764|1795374786|1795374789|n1|500M||wm-pilot
1_8.batch|CANCELLED|0:15|1795374786|1795374786|1795374789|n1||11864K|batch
1_[2-4,9%2]|PENDING|0:0|1795374764|Unknown|Unknown|None assigned|500M||wm-pilot
"""


def test_accounting_of_an_array():
    found = parse_accounting(ENDED)
    assert found.keys() == {"1_0", "1_8"}  # that the others wait is for the queue to say
    assert found["1_0"] == Accounted(
        "FAILED", 3, 0, False, "wm-pilot", "n1", 1795374764.0, 1795374769.0, 12132 / 1024**2
    )
    assert found["1_8"].state == "CANCELLED"
    assert found["1_8"].terminal
    assert not found["1_8"].out_of_memory
    rest = parse_accounting(ENDED.replace("PENDING", "CANCELLED by 0"))
    assert rest.keys() == {"1_0", "1_8", "1_2", "1_3", "1_4", "1_9"}
    assert rest["1_3"] == Accounted("CANCELLED", name="wm-pilot")


def record(job, state, exit_code="0:0", submit=1, memory="100M", peak="", node="n1"):
    """A line of sacct."""
    return f"{job}|{state}|{exit_code}|{submit}|{submit}|{submit + 9}|{node}|{memory}|{peak}|x\n"


@pytest.mark.parametrize(
    ("lines", "killed"),
    [
        # a cgroup's kill: SLURM 22.05 tells it in the step alone, newer ones in the job too
        (record("5", "FAILED", "1:0") + record("5.0", "OUT_OF_MEMORY", "0:125"), True),
        (record("5", "OUT_OF_MEMORY", "0:125") + record("5.extern", "COMPLETED"), True),
        (record("5", "FAILED", "1:0") + record("5.batch", "OUT_OF_ME+"), True),
        (record("5", "FAILED", "0:125"), True),
        # SLURM's own kill (OverMemoryKill), as recorded
        (
            record("5", "FAILED", "9:0")
            + record("5.batch", "FAILED", "9:0", memory="", peak="10500K")
            + record("5.0", "CANCELLED by 0", "0:9", memory="", peak="423088K"),
            True,
        ),
        (record("5", "FAILED", "9:0") + record("5.0", "CANCELLED by 0", "0:9", memory="", peak="90M"), False),
        (record("5", "FAILED", "9:0", memory="100Mn") + record("5.0", "FAILED", "0:9", peak="0.2G"), True),
        # more than was asked for, and no harm done
        (record("5", "FAILED", "1:0") + record("5.0", "FAILED", "1:0", peak="423088K"), False),
    ],
)
def test_out_of_memory(lines, killed):
    assert parse_accounting(lines)["5"].out_of_memory is killed


def test_the_memory_of_a_job_is_that_of_its_largest_step():
    lines = (
        record("5", "COMPLETED")
        + record("5.batch", "COMPLETED", peak="1G")
        + record("5.0", "COMPLETED", peak="2G")
    )
    assert parse_accounting(lines)["5"].peak_gb == 2.0
    assert parse_accounting(record("5", "COMPLETED"))["5"].peak_gb is None


def test_the_latest_record_of_a_task_counts_with_its_own_steps():
    first = record("5_1", "REQUEUED", submit=10) + record("5_1.0", "OUT_OF_MEMORY", submit=10, peak="9G")
    second = record("5_1", "RUNNING", submit=20) + record("5_1.0", "RUNNING", submit=20, peak="1G")
    for text in (first + second, second + first):
        latest = parse_accounting(text)["5_1"]
        assert (latest.state, latest.out_of_memory, latest.peak_gb) == ("RUNNING", False, 1.0)


def test_a_task_of_its_own_says_more_than_the_rest_of_its_array():
    own, rest = record("5_1", "COMPLETED", submit=1), record("5_[0-3]", "CANCELLED by 7", submit=2)
    for text in (own + rest, rest + own):
        assert [parse_accounting(text)[f"5_{i}"].state[:3] for i in range(4)] == ["CAN", "COM", "CAN", "CAN"]


def test_times_may_be_written_out():
    line = "5|COMPLETED|0:0|2026-11-22T19:00:00|Unknown|None|n1|1G||x\n"
    found = parse_accounting(line)["5"]
    assert (found.start, found.end) == (None, None)
    line = line.replace("Unknown", "2026-11-22T19:00:05")
    assert time.localtime(parse_accounting(line)["5"].start)[:6] == (2026, 11, 22, 19, 0, 5)


def test_accounting_that_cannot_be_understood_is_none():
    assert parse_accounting("") == {}
    assert parse_accounting("sacct: error: something\n") is None


def test_several_thousand_tasks_are_read_quickly():
    text = "".join(
        record(f"7_{i}", "COMPLETED")
        + record(f"7_{i}.batch", "COMPLETED", peak="1G")
        + record(f"7_{i}.0", "COMPLETED")
        for i in range(5000)
    )
    began = time.perf_counter()
    assert len(parse_accounting(text)) == 5000
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("ids", "keys"),
    [
        ("123", ["123"]),
        ("123_4", ["123_4"]),
        ("123_[5-7]", ["123_5", "123_6", "123_7"]),
        ("123_[1,3,8-9%2]", ["123_1", "123_3", "123_8", "123_9"]),
        ("123_[0-10:5]", ["123_0", "123_5", "123_10"]),
        ("123_[1-2,5,...", ["123_1", "123_2", "123_5"]),  # cut by SLURM_BITSTR_LEN
        ("123+0", ["123+0"]),
    ],
)
def test_expand(ids, keys):
    assert expand(ids) == keys


@given(st.sets(st.tuples(st.integers(1, 3), st.none() | st.integers(0, 12))))
def test_compress_is_the_opposite_of_expand(tasks):
    keys = {str(job) if index is None else f"{job}_{index}" for job, index in tasks}
    words = compress(keys)
    found = {key for word in words for key in expand(word)}
    whole = {key for key in keys if "_" not in key}
    assert found == {key for key in keys if key in whole or key.split("_")[0] not in whole}
    assert len(words) == len({key.split("_")[0] for key in keys})


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2G", 2.0),
        ("512M", 0.5),
        ("1048576K", 1.0),
        ("1073741824", 1.0),
        ("0", 0.0),
        ("1.50G", 1.5),
        ("", None),
        ("?", None),
    ],
)
def test_gibibytes(text, size):
    assert gibibytes(text) == size


@given(st.sets(st.integers(1, 10**8), max_size=40))
def test_batches_hold_every_job_and_stay_short(jobs):
    wanted = {str(job) for job in jobs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queries, "_LONGEST", 30)
        found = list(queries.batches(wanted))
    assert sorted(job for batch in found for job in batch) == sorted(wanted)
    assert all(len(",".join(batch)) <= 30 for batch in found)
    assert len(list(queries.batches(wanted))) <= 1


def test_programs_are_asked_in_bounded_time_and_never_raise(tmp_path):
    assert ask(sys.executable, "-c", "print('hello')").text == "hello\n"
    began = time.monotonic()
    slow = ask("sleep", "30", seconds=0.2)
    assert time.monotonic() - began < 5
    assert not slow.ok
    assert slow.error == "sleep did not answer within 0 s"
    assert ask("no-such-program-anywhere").error == "no-such-program-anywhere is not on the PATH"
    assert ask(str(tmp_path)).error.endswith("Permission denied")
    assert ask("sh", "-c", "echo why >&2; exit 3").error == "why"
    assert ask("sh", "-c", "exit 3").error == "sh ended with 3"


def test_questions_do_not_see_the_job_that_asks(monkeypatch):
    hidden = ["SLURM_JOB_ID", "SBATCH_PARTITION", "SQUEUE_FORMAT", "SUBMITIT_FOLDER", "CUDA_VISIBLE_DEVICES"]
    kept = ["SLURM_CONF", "SLURM_CLUSTERS", "HOME"]
    for name in hidden + kept:
        monkeypatch.setenv(name, "x")
    printed = ask("env").text.splitlines()
    names = {line.partition("=")[0] for line in printed}
    assert names.isdisjoint(hidden)
    assert names >= set(kept)
    assert "SLURM_TIME_FORMAT=%s" in printed
