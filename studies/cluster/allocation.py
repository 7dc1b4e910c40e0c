"""The SLURM allocation that this process runs in: what it is called, how it stands, and how it is requeued."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from studies.cluster.sbatch import SIGNAL_SECONDS

_TIMEOUT = 20.0  # seconds for one answer of the controller
_TRIES = 3
_EARLY = 120.0  # by how much the signal of a time limit may come before its time, and some to spare


@dataclass(frozen=True)
class Standing:
    """What the controller says of this job.

    Attributes:
        state: RUNNING, COMPLETING, ... as scontrol writes it.
        reason: as scontrol writes it: None, TimeLimit, ...
        preempted: it was chosen to make room for another job, and may still have its grace time.
        remaining: seconds until its time limit; None without one.
    """

    state: str
    reason: str
    preempted: bool
    remaining: float | None


def key() -> str | None:
    """What SLURM calls this task; None outside of an allocation."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID")


def restarts() -> int:
    """How often SLURM has requeued this job."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def standing() -> Standing | None:
    """How this job stands; None if the controller does not answer in time."""
    number = os.environ.get("SLURM_JOB_ID")
    if number is None:
        return None
    try:  # by the number of the job alone, the element that bears the array's number would be told of all others
        answer = _scontrol(["show", "job", "--oneliner", str(key())])
    except (OSError, subprocess.SubprocessError):
        return None
    return read_standing(answer.stdout, number, time.time()) if answer.returncode == 0 else None


def read_standing(text: str, number: str, now: float) -> Standing | None:
    """What ``scontrol show job`` says of a job; None if it has no line of that job number."""
    line = next((line for line in text.splitlines() if line.startswith(f"JobId={number} ")), "")
    fields = dict(re.findall(r"\b(JobState|Reason|PreemptTime|EndTime)=(\S+)", line))
    if "JobState" not in fields:
        return None
    try:
        remaining = datetime.fromisoformat(fields.get("EndTime", "")).timestamp() - now
    except ValueError:
        remaining = None
    preempted = fields.get("PreemptTime", "None") not in {"None", "Unknown", "N/A"}
    return Standing(fields["JobState"], fields.get("Reason", "None"), preempted, remaining)


def signal_lead(options: str | None) -> float:
    """How many seconds before its time limit a job is told, if `resources.sbatch` is as given."""
    asked = re.findall(r"\bsignal[=\s]\S*@(\d+)", options or "")
    return float(asked[-1]) if asked else float(SIGNAL_SECONDS)


def why_requeue(standing: Standing | None, *, warned: bool, lead: float = SIGNAL_SECONDS) -> str:
    """Why a job with work left is to be requeued: preempted, time limit or signal; the empty string: it is not to be.

    SIGTERM alone says only that the end is near: of a job that is cancelled, or out of time, or preempted where the
    cluster sends no other signal. SLURM takes a preempted job that ends within its grace time for finished.

    Args:
        standing: of the job; None if nobody knows.
        warned: SIGUSR2 came, which means preemption or time limit (or a person who wants a requeue).
        lead: seconds before the time limit at which SIGUSR2 comes.
    """
    if standing is None:
        return "signal" if warned else ""
    timed_out = standing.reason == "TimeLimit"
    if standing.state != "RUNNING" and not timed_out:
        return ""  # cancelled, or requeued by another
    if standing.preempted:
        return "preempted"
    if not warned:
        return ""
    near = standing.remaining is not None and standing.remaining < lead + _EARLY
    return "time limit" if near or timed_out else "signal"


def requeue() -> str:
    """Asks the controller to requeue this job; returns why it refused, or the empty string."""
    error = "not in a SLURM allocation"
    for attempt in range(_TRIES if key() else 0):
        time.sleep(attempt)
        try:
            answer = _scontrol(["requeue", str(key())])
        except subprocess.TimeoutExpired:
            error = f"no answer within {_TIMEOUT:.0f} s"
        except OSError as failure:
            error = str(failure)
        else:
            if answer.returncode == 0:
                return ""
            error = answer.stderr.strip() or f"exit status {answer.returncode}"
    return error


def _scontrol(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Asks scontrol, which the end of this very job must not interrupt."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])
    try:
        return subprocess.run(
            ["scontrol", *arguments],
            env=os.environ | {"SLURM_TIME_FORMAT": "standard"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
