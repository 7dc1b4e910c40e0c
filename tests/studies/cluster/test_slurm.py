"""The client of SLURM against programs that stand in for SLURM's; tests/slurm has the genuine ones."""

import os
import signal

import pytest
from submitit.core.utils import DelayedSubmission

from harness.errors import UserError
from studies.cluster.sbatch import failure
from studies.cluster.slurm import Slurm
from studies.cluster.types import (
    LimitReached,
    Limits,
    Partition,
    Queued,
    QueueFull,
    Silent,
    SubmissionError,
    Unanswered,
)
from tests.studies.cluster.programs import refuses, says, stand_in
from tests.studies.cluster.test_limits import CONFIGURATION, PARTITIONS
from tests.studies.cluster.test_queries import ENDED, OLD_QUEUE, QUEUE
from tests.studies.cluster.test_sbatch import order
from tests.studies.cluster.test_sbatch import script as script_of

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.fixture
def program(tmp_path, monkeypatch):
    return stand_in(tmp_path, monkeypatch)


def tree(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def test_an_array_is_submitted_once_with_the_script_that_was_shown(program, tmp_path):
    calls = program("sbatch", f'cp "$1" {tmp_path}/seen; echo Submitted batch job 123')
    wanted = order(tmp_path)
    assert Slurm().submit(wanted) == "123"
    assert len(calls()) == 1
    assert (tmp_path / "seen").read_text() == Slurm().script(wanted) == script_of(wanted)
    pickles = [f"123_{index}_submitted.pkl" for index in range(3)]
    assert tree(wanted.folder) == [*pickles, "123_submission.sh"]


def test_a_task_alone_is_submitted_as_a_plain_job(program, tmp_path):
    program("sbatch", "echo Submitted batch job 7 on cluster north")
    wanted = order(tmp_path, size=1)
    assert Slurm().submit(wanted) == "7"
    assert tree(wanted.folder) == ["7_submission.sh", "7_submitted.pkl"]


def test_a_job_inherits_nothing_of_the_job_that_submits_it(program, tmp_path, monkeypatch):
    for name in ("SLURM_JOB_ID", "SBATCH_TIMELIMIT", "SUBMITIT_EXECUTOR", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "5")
    monkeypatch.setenv("SLURM_CONF", "/etc/mine.conf")
    program("sbatch", f"env > {tmp_path}/env; echo Submitted batch job 123")
    Slurm().submit(order(tmp_path))
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert {name for name in names if name.startswith(("SLURM", "SBATCH", "SUBMITIT", "CUDA"))} == {
        "SLURM_CONF"
    }
    assert os.environ["SLURM_JOB_ID"] == "5"


def test_nothing_is_left_of_a_refused_submission(program, tmp_path, capfd):
    program("sbatch", "echo Submitted batch job 123")
    Slurm().submit(order(tmp_path))
    before = tree(tmp_path / "dispatch")
    program("sbatch", refuses("sbatch: error: Batch job submission failed: Invalid qos specification"))
    with pytest.raises(SubmissionError, match=r"(?s)refused wm-pilot.*: Invalid qos.*\n.*set `qos`"):
        Slurm().submit(order(tmp_path))
    assert tree(tmp_path / "dispatch") == before
    assert capfd.readouterr() == ("", "")


def test_a_job_that_was_accepted_although_sbatch_failed_is_found_by_its_name(program, tmp_path):
    lost = refuses("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    program("sbatch", lost)
    with pytest.raises(Unanswered, match="may still have taken wm-pilot-0001-0-abcdef"):
        Slurm().submit(order(tmp_path))
    assert tree(tmp_path / "dispatch") == []
    program("squeue", says("77_[0-2]|PENDING|None||0|wm-pilot-0001-0-abcdef\n"))
    assert Slurm().submit(order(tmp_path)) == "77"
    assert tree(tmp_path / "dispatch") == [f"77_{index}_submitted.pkl" for index in range(3)]
    held = DelayedSubmission.load(tmp_path / "dispatch" / "0001" / "logs" / "77_2_submitted.pkl")
    assert (held.function.index, held.function.folder) == (2, str(tmp_path / "dispatch" / "0001"))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("sbatch: error: Batch job submission failed: Invalid qos specification", SubmissionError),
        ("sbatch: unrecognized option '--gpu'", SubmissionError),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", Silent),
        ("sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received", Unanswered),
        ("", Unanswered),
        ("sbatch: error: AssocGrpSubmitJobsLimit\nsbatch: error: Batch job submission failed: x", QueueFull),
        (f"sbatch: error: Batch job submission failed: {POLICY}", LimitReached),
        (
            f"sbatch: error: QOSMaxWallDurationPerJobLimit\nBatch job submission failed: {POLICY}",
            SubmissionError,
        ),
    ],
)
def test_what_sbatch_says_and_what_it_means(words, kind):
    assert failure(words) is kind


def test_what_a_site_prints_before_the_number(program, tmp_path):
    program("sbatch", "echo 'NOTE: job 64 GB default'; echo Submitted batch job 1234; echo see job 7")
    assert Slurm().submit(order(tmp_path, size=1)) == "1234"


def test_an_interrupted_submission_is_taken_back(program, tmp_path):
    program("sbatch", "kill -INT $PPID; echo Submitted batch job 123")
    taken = program("scancel", "")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            Slurm().submit(order(tmp_path))
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(taken()) == 1
    assert tree(tmp_path / "dispatch") == []


def test_an_answer_without_a_job_is_no_submission(program, tmp_path):
    program("sbatch", "echo welcome to our cluster: invalid guests leave")
    with pytest.raises(Unanswered, match="welcome to our cluster"):
        Slurm().submit(order(tmp_path))
    assert tree(tmp_path / "dispatch") == []


def test_a_machine_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm = Slurm()
    with pytest.raises(SubmissionError, match="--executor local"):
        slurm.submit(order(tmp_path))
    assert tree(tmp_path / "dispatch") == []
    assert slurm.queue() is None
    assert slurm.accounting(["1"], 0) is None
    assert not slurm.has_accounting
    with pytest.raises(UserError, match="not on the PATH"):
        slurm.cancel(["1"])
    with pytest.raises(UserError, match="not on the PATH"):
        slurm.limits()


def test_the_queue_is_one_call(program):
    calls = program("squeue", says(QUEUE))
    assert Slurm().queue()["1_2"] == Queued("PENDING", "JobArrayTaskLimit", "", "wm-pilot-0001-0-abcdef", 0)
    [call] = calls()
    assert f"--user={os.getuid()}" in call


@pytest.mark.parametrize(
    "answer", [refuses("squeue: error: Invalid job format specification: |"), says("11    RUNNI\n")]
)
def test_an_old_squeue_is_asked_in_its_own_way(program, answer):
    calls = program("squeue", f"case $* in *--Format*) {answer};; *) {says(OLD_QUEUE)};; esac")
    slurm = Slurm()
    assert slurm.queue()["1_0"].node == "n1"
    assert slurm.queue().keys() == {"1_2", "1_0"}
    assert len(calls()) == 3


def test_a_queue_that_fails_or_is_slow_is_none(program, monkeypatch):
    words = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    calls = program("squeue", refuses(words))
    assert Slurm().queue() is None
    assert len(calls()) == 1
    program("squeue", "sleep 20")
    monkeypatch.setattr("studies.cluster.queries.ask.__kwdefaults__", {"seconds": 0.3})
    assert Slurm().queue() is None


def test_accounting_is_one_call(program):
    calls = program("sacct", says(ENDED))
    slurm = Slurm()
    assert slurm.accounting({"1", "12"}, 1795374000.0)["1_0"].exit_code == 3
    assert slurm.has_accounting
    [call] = calls()
    assert "--jobs=1,12" in call
    assert "--starttime=2026-11-" in call
    assert slurm.accounting([], 0.0) == {}
    assert len(calls()) == 1


def test_accounting_that_fails_is_not_accounting_that_is_not_there(program):
    program("scontrol", says(CONFIGURATION))
    program("sacct", refuses("sacct: error: Problem talking to the database: Connection refused"))
    slurm = Slurm()
    assert slurm.accounting(["1"], 0) is None
    assert slurm.has_accounting
    program("sacct", refuses("Slurm accounting storage is disabled"))
    assert slurm.accounting(["1"], 0) is None
    assert not slurm.has_accounting


def test_the_configuration_says_whether_there_is_accounting(program):
    calls = program("scontrol", says(CONFIGURATION.replace("slurmdbd", "none")))
    slurm = Slurm()
    assert not slurm.has_accounting
    assert not slurm.has_accounting
    assert calls() == ["show config"]
    program("scontrol", refuses("slurm_load_ctl_conf error: Unable to contact slurm controller"))
    assert Slurm().has_accounting  # nobody knows


def test_cancelling(program):
    calls = program("scancel", "")
    Slurm().cancel(["12_3", "12_4", "12_7", "5", "13_0"])
    assert calls() == ["5 12_[3-4,7] 13_0"]
    Slurm().cancel([])
    assert len(calls()) == 1
    Slurm().cancel([str(number) for number in range(1000, 1250)])
    assert len(calls()) == 4


def test_what_is_gone_already_is_cancelled(program):
    words = "scancel: error: Kill job error on job id 5: Invalid job id specified\n"
    program("scancel", refuses(words))
    Slurm().cancel(["5"])
    program(
        "scancel", refuses(words + "scancel: error: Kill job error on job id 6: Access/permission denied")
    )
    with pytest.raises(UserError, match="permission denied"):
        Slurm().cancel(["5", "6"])


def test_limits(program):
    asked = program("scontrol", says(CONFIGURATION))
    program("sinfo", says(PARTITIONS))
    program("sacctmgr", f"case $* in *qos*Name*) {says('normal|')};; *) {says('lab|lab||50|')};; esac")
    slurm = Slurm()
    found = slurm.limits()
    assert (found.max_array_size, found.max_queued) == (1001, 50)
    assert found.max_of == {("account", "lab"): 50}
    assert found.partitions["short"] == Partition(
        "short", default=False, hours=0.5, nodes=1, gpus=4, memory_gb=500.0
    )
    assert slurm.limits() is found
    assert len(asked()) == 1


def test_limits_that_cannot_be_asked_are_unknown(program):
    program("scontrol", says(CONFIGURATION))
    assert Slurm().limits() == Limits(max_array_size=1001, max_queued=10000)
    program("scontrol", refuses("slurm_load_ctl_conf error: Unable to contact slurm controller"))
    with pytest.raises(UserError, match="Unable to contact slurm controller"):
        Slurm().limits()
