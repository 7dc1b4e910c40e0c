"""Reasons in plain words, and failures whose messages differ only in where they come from."""

from pathlib import Path

import pytest

from studies.cluster.reasons import plain
from studies.dispatch import group_failures
from studies.status import Condition
from studies.store import StoredRun
from studies.survey import Seen


@pytest.mark.parametrize(
    ("reason", "parallel", "executor", "words"),
    [
        ("JobArrayTaskLimit", 2, "slurm", "your `parallel: 2` (JobArrayTaskLimit)"),
        ("JobArrayTaskLimit", None, "slurm", "as many run as may at once (JobArrayTaskLimit)"),
        ("Resources", None, "slurm", "nothing that fits is free (Resources)"),
        ("Resources", None, "local", "the cores, memory or GPUs of this machine are taken (Resources)"),
        (
            "QOSMaxJobsPerUserLimit",
            None,
            "slurm",
            "the limit on running jobs of your QOS (QOSMaxJobsPerUserLimit)",
        ),
        ("AssocGrpGRES", None, "slurm", "the limit on GPUs of your account (AssocGrpGRES)"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n1",
            None,
            "slurm",
            "a node that it needs is down or reserved (ReqNodeNotAvail, UnavailableNodes:n1)",
        ),
        ("SomethingNew", None, "slurm", "SomethingNew"),
    ],
)
def test_plain_words_keep_the_schedulers_own(reason, parallel, executor, words):
    assert plain(reason, parallel, executor) == words


def failed(number, note, kind="setup"):
    digits = f"{number:012x}"
    run = StoredRun(f"run-{digits}", digits, "design", "task", number, {}, Path(f"runs/run-{digits}"))
    return Seen(run, Condition("failed", kind, note))


@pytest.mark.parametrize(
    ("notes", "shown"),
    [
        (
            (
                "/var/n2/job00027/slurm_script: line 23: module: command not found",
                "/var/n1/job00028/slurm_script: line 23: module: command not found",
            ),
            "setup: slurm_script: line 23: module: command not found",
        ),
        (
            ("slurmstepd-n1: error: execve(): on n1", "slurmstepd-n2: error: execve(): on n2"),
            "setup: slurmstepd: error: execve(): on NODE",
        ),
        (("n1 failed", "n2 failed"), "setup: NODE failed"),
        (("job 12_3 ended", "job 14_0 ended"), "setup: job N ended"),
        (("line 3: no", "line 3: no"), "setup: line 3: no"),
    ],
)
def test_failures_that_differ_only_in_their_place_are_one(notes, shown):
    assert [(message, len(members)) for message, members in group_failures(map(failed, (1, 2), notes))] == [
        (shown, 2)
    ]


def test_failures_that_differ_otherwise_are_two():
    assert len(group_failures([failed(1, "line 3: no"), failed(2, "line 4: no")])) == 2
    assert group_failures([failed(1, "/a/b: gone")])[0][0] == "setup: /a/b: gone"
