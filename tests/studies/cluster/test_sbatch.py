"""Batch scripts: what SLURM is told, and what its refusals mean."""

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from studies.cluster.granting import Granted
from studies.cluster.sbatch import explain, script
from studies.cluster.types import Order

RESOURCES = {
    "gpus": 1,
    "cpus": 4,
    "memory_gb": 24.0,
    "hours": 12.0,
    "partition": "gpu,low",
    "account": "lab",
    "qos": "long",
    "reservation": "course",
    "constraint": "a100|h100",
    "nodelist": "n[1-4]",
    "exclude": "n3",
    "nice": 50,
    "begin": "22:00",
}


def order(tmp_path, size=3, **resources):
    return Order(
        name="wm-pilot-0001-0-abcdef",
        folder=tmp_path / "dispatch" / "0001",
        array=0,
        size=size,
        resources=Granted(**resources),
        parallel=None,
        environment={"PYTHONSAFEPATH": "1", "WM_WORDS": "it's two"},
        python="/opt/python",
    )


def options(text):
    """The options of a batch script, by name."""
    lines = (line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH"))
    pairs = [shlex.split(line)[0].partition("=") for line in lines]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


def lines_of(text):
    """The lines of a batch script that a shell runs."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_resource_reaches_sbatch(tmp_path):
    logs = tmp_path / "dispatch" / "0001" / "logs"
    assert options(script(order(tmp_path, **RESOURCES))) == {
        "job-name": "wm-pilot-0001-0-abcdef",
        "array": "0-2%3",
        "partition": "gpu,low",
        "account": "lab",
        "qos": "long",
        "reservation": "course",
        "constraint": "a100|h100",
        "nodelist": "n[1-4]",
        "exclude": "n3",
        "nice": "50",
        "begin": "22:00",
        "gpus-per-node": "1",
        "cpus-per-task": "4",
        "mem": "24576M",
        "time": "720",
        "nodes": "1",
        "ntasks-per-node": "1",
        "requeue": "",
        "signal": "USR2@90",
        "open-mode": "append",
        "output": f"{logs}/%A_%a_0_log.out",
        "error": f"{logs}/%A_%a_0_log.err",
    }
    assert not logs.exists()


def test_what_is_not_asked_for_is_not_said(tmp_path):
    assert options(script(order(tmp_path))).keys() == {
        *("array", "cpus-per-task", "error", "job-name", "mem", "nodes", "ntasks-per-node", "open-mode"),
        *("output", "requeue", "signal", "time"),
    }


def test_a_task_alone_is_a_plain_job(tmp_path):
    text = script(order(tmp_path, size=1))
    assert "array" not in options(text)
    assert options(text)["output"].endswith("/%j_0_log.out")


@pytest.mark.parametrize(
    ("hours", "time", "signal"), [(0.01, 1, 15), (1 / 60, 1, 15), (0.05, 3, 45), (0.101, 7, 90)]
)
def test_minutes_are_rounded_up_and_a_short_job_is_told_later(tmp_path, hours, time, signal):
    found = options(script(order(tmp_path, hours=hours)))
    assert (found["time"], found["signal"]) == (str(time), f"USR2@{signal}")


def test_generic_resources_stand_in_place_of_gpus(tmp_path):
    found = options(script(order(tmp_path, gpus=2, gres="gpu:a100:1,shard:2")))
    assert found["gres"] == "gpu:a100:1,shard:2"
    assert "gpus-per-node" not in found


def test_after_other_jobs_and_so_many_at_once(tmp_path):
    found = options(script(replace(order(tmp_path), after=["12", "13_4"], parallel=2)))
    assert found["dependency"] == "afterany:12:13_4"
    assert found["kill-on-invalid-dep"] == "yes"
    assert found["array"] == "0-2%2"


def test_srun_is_told_the_cores(tmp_path):
    [command] = [line for line in lines_of(script(order(tmp_path, cpus=4))) if "submitit.core" in line]
    assert command.startswith("srun ")
    assert "--cpus-per-task=4 /opt/python -u -m submitit.core._submit" in command


def test_without_srun_python_takes_the_place_of_the_shell_and_gets_its_signals(tmp_path):
    text = script(order(tmp_path, srun=False))
    assert lines_of(text)[-1].startswith("exec /opt/python -u -m submitit.core._submit")
    assert options(text)["signal"] == "B:USR2@90"


def run(text):
    """Runs what a batch script does before Python starts."""
    setup = text[: text.index("\n# command")] + "\nenv\n"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "/before"}
    done = subprocess.run(["bash", "-c", setup], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, dict(line.partition("=")[::2] for line in done.stdout.splitlines())


def test_the_environment_of_a_job(tmp_path):
    status, found = run(script(order(tmp_path)))
    assert status == 0
    assert found["WM_WORDS"] == "it's two"
    assert found["SLURM_EXPORT_ENV"] == "ALL"


def test_the_first_line_that_fails_ends_the_job(tmp_path):
    status, found = run(script(order(tmp_path, setup="export SEEN=1\nfalse\nexport NEVER=1")))
    assert (status, found) == (1, {})


def test_a_module_cannot_put_other_code_before_ours(tmp_path):
    loads = order(tmp_path, setup="export PYTHONPATH=/module OMP_NUM_THREADS=3")
    loads = replace(loads, environment={"PYTHONPATH": "/our snapshot", "OMP_NUM_THREADS": "1"})
    _, found = run(script(loads))
    assert found["PYTHONPATH"] == "/our snapshot:/module"
    assert found["OMP_NUM_THREADS"] == "3"


def test_further_options(tmp_path):
    own = "mail-type=END\n#SBATCH --comment='a b'\n\n--exclusive\nhint nomultithread\nsignal=USR2@300"
    found = options(script(order(tmp_path, sbatch=own)))
    assert found["mail-type"] == "END"
    assert found["comment"] == "a b"
    assert not found["exclusive"]
    assert found["hint"] == "nomultithread"
    assert found["signal"] == "USR2@300"


@pytest.mark.parametrize(
    ("line", "field"), [("mem=3G", "memory_gb"), ("--time 1:00:00", "hours"), ("gpus-per-node=2", "gpus")]
)
def test_an_option_that_a_field_sets_is_refused_with_its_name(tmp_path, line, field):
    with pytest.raises(UserError, match=rf"use `resources\.{field}`"):
        script(order(tmp_path, sbatch=line))


@pytest.mark.parametrize(
    "line",
    ["array=0-9", "--output=x", "no-requeue", "dependency=afterok:1", "job_name=x", "-p gpu", "wrap=ls"],
)
def test_options_that_would_break_dispatch_are_refused(tmp_path, line):
    with pytest.raises(UserError, match=r"resources\.sbatch: "):
        script(order(tmp_path, sbatch=line))


def test_a_path_that_slurm_would_rewrite_is_refused(tmp_path):
    with pytest.raises(UserError, match="--runs"):
        script(order(tmp_path / "50%a"))


def test_a_path_with_blanks_is_quoted(tmp_path):
    folder = tmp_path / "my $runs"
    text = script(order(folder, size=1))
    assert options(text)["output"] == f"{folder}/dispatch/0001/logs/%j_0_log.out"
    words = shlex.split(lines_of(text)[-1])
    assert words[-1] == f"{folder}/dispatch/0001/logs"


def test_a_dry_run_needs_no_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "#SBATCH" in script(order(tmp_path))


PREFIX = "sbatch: error: Batch job submission failed: "
POLICY = PREFIX + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(  # recorded from 22.05
    ("words", "remedy"),
    [
        (
            "sbatch: error: invalid partition specified: x\n" + PREFIX + "Invalid partition name specified",
            "`partition`",
        ),
        (PREFIX + "Invalid account or account/partition combination specified", "`account`"),
        (PREFIX + "Invalid qos specification", "`qos`"),
        (PREFIX + "Requested time limit is invalid (missing or exceeds some limit)", "`hours`"),
        (PREFIX + "Invalid job array specification", "grep -i array"),
        (f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}", "once some have ended"),
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}", "once some have ended"),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", "`hours`"),
        (POLICY, "sacctmgr show qos"),
        (
            f"sbatch: error: Memory specification can not be satisfied\n{PREFIX}Node configuration",
            "`memory_gb`",
        ),
        (PREFIX + "Requested node configuration is not available", "`gpus`"),
        (PREFIX + "More processors requested than permitted", "`cpus`"),
        ("sbatch: error: Invalid generic resource (gres) specification", "`gres`"),
        (PREFIX + "Invalid feature specification", "`constraint`"),
        (PREFIX + "Invalid node name specified", "`nodelist`"),
        (PREFIX + "Requested reservation is invalid", "`reservation`"),
        (PREFIX + "Unable to contact slurm controller (connect failure)", "`wm doctor`"),
        (PREFIX + "Socket timed out on send/recv operation", "`wm doctor`"),
        (
            "sbatch: unrecognized option '--mailtype=END'\nTry \"sbatch --help\" for more information",
            "`sbatch`",
        ),
        ("Invalid time specification (pos=0): x\nsbatch: error: Invalid --begin specification", "`begin`"),
        ("sbatch is not on the PATH", "--executor local"),
    ],
)
def test_a_refusal_has_a_remedy(words, remedy):
    said, _, advice = explain(words).partition("\n")
    assert "sbatch: " not in said
    assert "submission failed" not in said
    assert remedy in advice


def test_an_unknown_refusal_is_passed_on():
    assert explain("sbatch: error: the moon is full\n") == "the moon is full"
    assert explain("") == "sbatch said nothing"


def test_submitit_is_loaded_only_where_a_script_is_made():
    code = "import sys, studies.cluster.slurm; assert 'submitit' not in sys.modules"
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(root)})


def test_lists_of_names_may_have_blanks(tmp_path):
    found = options(script(order(tmp_path, partition="gpu, low", exclude="n1 , n2")))
    assert (found["partition"], found["exclude"]) == ("gpu,low", "n1,n2")


@pytest.mark.parametrize("sign", ["%", ":", "\\"])
def test_a_path_that_no_job_can_have(tmp_path, sign):
    with pytest.raises(UserError, match="set --runs to another"):
        script(replace(order(tmp_path), folder=tmp_path / f"a{sign}b"))
