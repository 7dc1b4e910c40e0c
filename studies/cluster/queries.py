"""Questions to SLURM's programs, in bounded time, and what their answers say. The parsers are pure.

A task has a key, `123` or `123_4`; where SLURM writes several at once, such as `123_[5-9%2]`, they are told apart.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from signal import SIGKILL

from studies.cluster.types import Accounted, Queued

SECONDS = 20.0
"""How long a question may take; SLURM's own programs give up a silent controller after 10 s by default."""

_FOREIGN = ("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SUBMITIT_", "SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_")
_KEPT = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"})
_OF_THIS_ALLOCATION = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL",
        "ROCR_VISIBLE_DEVICES",
        "MUJOCO_EGL_DEVICE_ID",
        "WM_RENDERING",
    }
)
_PLAIN = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}  # times in unix seconds, array indices in full

_QUEUE_FIELDS = ("JobArrayID", "State", "Reason", "NodeList", "RestartCnt", "Name")
_OLD_QUEUE_FIELDS = "%i|%T|%r|%N||%j"  # before 20.11: without the number of restarts
_ACCOUNTING_FIELDS = (
    "JobID",
    "State",
    "ExitCode",
    "Submit",
    "Start",
    "End",
    "NodeList",
    "ReqMem",
    "MaxRSS",
    "JobName",
)
_LONGEST = 60_000  # characters of job numbers in one command; the kernel's limit of an argument is 131,072
_OOM_SIGNAL = 125
_CLOCKS = 3600.0  # seconds by which the clock of the accounting, or the end of summer time, may be off


@dataclass(frozen=True)
class Answer:
    """What a program wrote; `error` says why there is no answer."""

    ok: bool
    text: str = ""
    error: str = ""


def foreign() -> list[str]:
    """The variables of this environment that a job of our own must not inherit: those of the job that this process
    may be in, and options of SLURM's programs.
    """
    ours = os.environ.keys() - _KEPT
    return sorted(name for name in ours if name.startswith(_FOREIGN) or name in _OF_THIS_ALLOCATION)


def ask(*command: str, seconds: float = SECONDS) -> Answer:
    """Runs one of SLURM's programs; never raises, never takes longer."""
    hidden = set(foreign())
    variables = {name: value for name, value in os.environ.items() if name not in hidden} | _PLAIN
    try:
        done = subprocess.run(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(ok=False, error=f"{command[0]} did not answer within {seconds:.0f} s")
    except FileNotFoundError:
        return Answer(ok=False, error=f"{command[0]} is not on the PATH")
    except OSError as error:
        return Answer(ok=False, error=f"{command[0]}: {error.strerror}")
    if done.returncode:
        words = done.stderr.strip() or done.stdout.strip() or f"{command[0]} ended with {done.returncode}"
        return Answer(ok=False, error=words)
    return Answer(ok=True, text=done.stdout)


def user() -> str:
    """The name of this user, as SLURM knows it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without an entry for the user
        return str(os.getuid())


def queue_command(*, old: bool = False) -> list[str]:
    """Asks for every task of this user that waits or runs.

    Args:
        old: for a squeue from before 20.11, which refuses the format or cuts the fields.
    """
    # a separator in place of a width: nothing is cut; the name comes last, as it may hold anything
    fields = _OLD_QUEUE_FIELDS if old else ",".join(f"{name}:|" for name in _QUEUE_FIELDS)
    option = "--format" if old else "--Format"
    return ["squeue", "--noheader", "--array", f"--user={os.getuid()}", f"{option}={fields}"]


def parse_queue(text: str) -> dict[str, Queued] | None:
    """What `queue_command` printed, by key; None if it cannot be understood."""
    found = {}
    for line in text.splitlines():
        if line.startswith("CLUSTER:") or (not line.strip() and "CLUSTER:" in text):
            continue
        fields = [field.strip() for field in line.split("|", len(_QUEUE_FIELDS) - 1)]
        if len(fields) < len(_QUEUE_FIELDS):
            return None
        ids, state, reason, node, restarts, name = fields
        task = Queued(
            state=state,
            reason="" if reason in {"None", "(null)"} else reason,
            node=node,
            name=name.removesuffix("|"),
            restarts=int(restarts) if restarts.isdigit() else None,
        )
        found.update(dict.fromkeys(expand(ids), task))
    return found


def accounting_command(jobs: Sequence[str], since: float) -> list[str]:
    """Asks for the latest record of every task of some jobs, with their steps (only these tell out of memory)."""
    start = datetime.fromtimestamp(max(0.0, since - _CLOCKS)).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    fields = ",".join(_ACCOUNTING_FIELDS)
    return [
        "sacct",
        "--noheader",
        "--parsable2",
        f"--format={fields}",
        f"--starttime={start}",
        f"--jobs={','.join(jobs)}",
    ]


def batches(jobs: Collection[str]) -> Iterator[list[str]]:
    """Job numbers, sorted, in as few commands as the length of a command line allows."""
    batch: list[str] = []
    length = 0
    for job in sorted(set(jobs), key=lambda job: (len(job), job)):
        if batch and length + len(job) + 1 > _LONGEST:
            yield batch
            batch, length = [], 0
        batch.append(job)
        length += len(job) + 1
    if batch:
        yield batch


@dataclass
class _Record:
    """A job's record while its steps are read."""

    submit: float
    memory: float | None  # asked for, GiB
    accounted: Accounted


def parse_accounting(text: str) -> dict[str, Accounted] | None:
    """What `accounting_command` printed, by key; None if it cannot be understood.

    A task that was requeued, or whose number was used before, may have several records: the last submitted counts.
    The record of an array's tasks that never started (`123_[5-9]`) yields to a record of their own, and as long as it
    says PENDING, it is none: it goes on to list those that were cancelled one by one.
    """
    single: dict[str, _Record] = {}
    several: dict[str, _Record] = {}
    current: _Record | None = None
    for line in text.splitlines():
        if not line.strip():
            continue
        values = line.split("|", len(_ACCOUNTING_FIELDS) - 1)
        if len(values) < len(_ACCOUNTING_FIELDS):
            return None
        fields = dict(zip(_ACCOUNTING_FIELDS, values, strict=True))
        ids, _, step = fields["JobID"].partition(".")
        if step:
            if current is not None:
                _add_step(current, fields)
            continue
        current = _record(fields)
        keys = expand(ids)
        place = single if keys == [ids] else several
        for key in keys:
            if key not in place or current.submit >= place[key].submit:
                place[key] = current
    ended = {key: record for key, record in several.items() if record.accounted.terminal}
    return {key: record.accounted for key, record in (ended | single).items()}


def _record(fields: dict[str, str]) -> _Record:
    code, signal = _exit(fields["ExitCode"])
    state = fields["State"].split(" ")[0]
    accounted = Accounted(
        state=state,
        exit_code=code,
        signal=signal,
        out_of_memory=state == "OUT_OF_MEMORY" or signal == _OOM_SIGNAL,
        name=fields["JobName"],
        node="" if fields["NodeList"] == "None assigned" else fields["NodeList"],
        start=_time(fields["Start"]),
        end=_time(fields["End"]),
        peak_gb=gibibytes(fields["MaxRSS"]),
    )
    return _Record(_time(fields["Submit"]) or 0.0, gibibytes(fields["ReqMem"].removesuffix("n")), accounted)


def _add_step(record: _Record, fields: dict[str, str]) -> None:
    """What a step tells about its job: its memory, and whether that was its end.

    A cgroup's kill is OUT_OF_MEMORY or 0:125. Where SLURM itself watches (OverMemoryKill), the step was killed by
    signal 9 with more memory than the job had asked for.
    """
    _, signal = _exit(fields["ExitCode"])
    peak = gibibytes(fields["MaxRSS"])
    killed = fields["State"].startswith("OUT_OF_ME") or signal == _OOM_SIGNAL
    too_much = signal == SIGKILL and peak is not None and record.memory is not None and peak > record.memory
    before = record.accounted
    known = [value for value in (before.peak_gb, peak) if value is not None]
    record.accounted = replace(
        before,
        out_of_memory=before.out_of_memory or killed or too_much,
        peak_gb=max(known) if known else None,
    )


def _exit(text: str) -> tuple[int, int]:
    code, _, signal = text.partition(":")
    return int(code) if code.isdigit() else 0, int(signal) if signal.isdigit() else 0


def _time(text: str) -> float | None:
    if text.isdigit():
        return float(text)
    with suppress(ValueError):
        return datetime.fromisoformat(text).timestamp()
    return None


def gibibytes(text: str) -> float | None:
    """`12132K`, `1.50G` or bytes, as memory in 1024^3 bytes (what SLURM calls GB); None for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)", text.strip())
    if match is None:
        return None
    power = " KMGTP".index(match[2] or " ")
    return float(match[1]) * 1024.0 ** (power - 3)


def expand(ids: str) -> list[str]:
    """The keys in `123`, `123_4` or `123_[1-3,7,10-20:5%2]`; what cannot be understood is left as it is."""
    match = re.fullmatch(r"(\d+)_\[([^\]%]*)(?:%\d+)?\]?", ids)
    if match is None:
        return [ids]
    keys = []
    for part in match[2].split(","):
        span = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if span is not None:
            first = int(span[1])
            keys += [f"{match[1]}_{n}" for n in range(first, int(span[2] or first) + 1, int(span[3] or 1))]
    return keys


def compress(keys: Collection[str]) -> list[str]:
    """The shortest words for some tasks, the opposite of `expand`: one for each job."""
    indices: dict[str, list[int]] = {}
    words = []
    for key in sorted(set(keys)):
        job, _, index = key.partition("_")
        if index.isdigit():
            indices.setdefault(job, []).append(int(index))
        else:
            words.append(key)
    arrays = {job: _spans(sorted(found)) for job, found in indices.items() if job not in words}
    return words + [
        f"{job}_{spans}" if spans.isdigit() else f"{job}_[{spans}]" for job, spans in arrays.items()
    ]


def _spans(numbers: Sequence[int]) -> str:
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
