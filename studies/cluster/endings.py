"""Why a run ended whose job has ended: from the job's record, what its task said, and what it printed last. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.cluster.owners import SKEW_SECONDS
from studies.cluster.records import Assignment
from studies.cluster.types import Accounted
from studies.status import Condition

Event = Mapping[str, Any]

COMING_BACK_SECONDS = 30.0
"""How long after a node's failure its job may still come back into the queue."""

_MEMORY = re.compile(r"exceeded (?:job |step )?memory limit|oom[-_ ]kill|Out ?Of ?Memory", re.IGNORECASE)
_NOT_ITS_OWN = ("srun:", "slurmstepd:", "slurmd:")
_MEMORY_WORDS = "killed for its memory"
_NODE = frozenset({"NODE_FAIL", "BOOT_FAIL"})
_BY_STATE = {
    "CANCELLED": Condition("cancelled", note="its job was cancelled by someone else, or by hand (scancel)"),
    "PREEMPTED": Condition("preempted", note="its job was preempted and not queued again"),
    "REVOKED": Condition("preempted", note="its job was preempted and not queued again"),
}
_TIME = frozenset({"TIMEOUT", "DEADLINE"})
_CODES = {signal.SIGABRT: "SIGABRT", signal.SIGKILL: "SIGKILL", signal.SIGSEGV: "SIGSEGV"}
_NO_LOG = 53  # the signal that SLURM reports where it cannot open a job's log files
_KILL_SECONDS = 60.0  # between the end of a process and that of a job that kills it
_WRONG = 2  # exit status of a worker whose request or installation is wrong
_OWNED = 76  # exit status of a worker that found the run owned by another process
_LEFT = 75  # exit status of a task that was stopped with work left


@dataclass(frozen=True)
class Ending:
    """A run whose job is no more.

    Attributes:
        hex: of the run.
        task: its last.
        recorded: what its owner last wrote, None if that is older than the task.
        record: of the job; None if there is no accounting and the task itself said that it ended.
        events: what the task said.
        log: the last lines of what it printed.
    """

    hex: str
    task: Assignment
    recorded: str | None
    record: Accounted | None
    events: Sequence[Event]
    log: Sequence[str]


def last_start(events: Sequence[Event], restarts: int | None = None) -> Sequence[Event] | None:
    """What a task said since it last began; None if it has not begun, or has said that it leaves.

    Args:
        events: of the task.
        restarts: how often it was requeued, if known: an earlier beginning does not count then.
    """
    begins = [index for index, event in enumerate(events) if event["event"] == "begin"]
    if not begins:
        return None
    start = events[begins[-1] :]
    if restarts is not None and int(start[0].get("restart") or 0) < restarts:
        return None
    return None if start[-1]["event"] == "requeue" else start


def last_word(start: Sequence[Event], hexadecimal: str) -> Event | None:
    """The last `started` or `ended` of a run."""
    return next((event for event in reversed(start) if event.get("hex") == hexadecimal), None)


def of_worker(last: Event) -> Condition | None:
    """What a run's process died of, by the task's own word; None if the task saw nothing wrong with it."""
    status = int(last.get("status") or 0)
    if status == _OWNED:
        return Condition("preempted", note=f"its worker found it owned by {last.get('owner') or 'another'}")
    if last.get("oom"):
        return Condition("failed", "host-memory", _MEMORY_WORDS)
    if status < 0:
        return Condition("failed", "killed", f"its process was killed by {_signal(-status)}")
    if status == _WRONG:
        return Condition("failed", "setup", "its process refused to start: see its job's log")
    if status and last.get("condition") == "lost":
        return Condition("failed", "code", f"its process ended with status {status} and recorded nothing")
    return None


def by_own_word(ending: Ending) -> Condition | None:
    """The state of a run by its task's word alone, where there is no record; None if it said no such thing."""
    start = last_start(ending.events)
    if start is None:
        return None
    last = last_word(start, ending.hex)
    died = of_worker(last) if last is not None and last["event"] == "ended" else None
    if died is not None or start[-1]["event"] != "end":
        return died
    if ending.recorded == "preempted" or last is None:
        return _stopped(ending, start, begun=last is not None)
    return None


def explain(ending: Ending, now: float) -> Condition:
    """The state of a run that has no owner and no result, and whose job's record is terminal."""
    record = ending.record
    assert record is not None
    start = _start_of_record(ending, record)
    last = last_word(start, ending.hex) if start else None
    died = of_worker(last) if last is not None and last["event"] == "ended" else None
    if died is not None and last is not None and not _with_the_job(last, died, record):
        return died
    if record.state in _NODE:
        return _node_failed(record, now)
    if record.state in _TIME and start is None:
        return Condition(
            "failed", "setup", f"its time ran out before its Python began{last_line(ending.log)}"
        )
    if record.state in _TIME:
        hours = ending.task.array.resources.hours
        return Condition("failed", "time-limit", f"the {hours:.3g} h of its job ran out")
    if _out_of_memory(ending, record) and not _left_in_order(ending, record, last):
        return Condition("failed", "host-memory", _MEMORY_WORDS)
    return _BY_STATE.get(record.state) or died or _unexplained(ending, record, start, last)


def _node_failed(record: Accounted, now: float) -> Condition:
    node = record.node or "its node"
    if record.end is not None and now - record.end < COMING_BACK_SECONDS:
        note = f"{node} failed; its job may be queued again"
        return Condition("preempted", note=note, queued=True, confirmed=False)
    return Condition("failed", "node", f"{node} failed")


def _unexplained(
    ending: Ending, record: Accounted, start: Sequence[Event] | None, last: Event | None
) -> Condition:
    """A job that ended by itself and left the run unfinished."""
    how, said = _how(record), last_line(ending.log)
    if start is None and record.signal == _NO_LOG:
        return Condition("failed", "setup", "its log files could not be opened")
    if start is None:
        return Condition("failed", "setup", f"its job ended{how} before its Python began{said}")
    if _left_in_order(ending, record, last):
        return _stopped(ending, start, begun=last is not None)
    if record.state == "COMPLETED":
        return Condition("lost", note="its job ended in order, and the run is not finished")
    return Condition("failed", "killed", f"its job ended{how}{said}")


def _stopped(ending: Ending, start: Sequence[Event], *, begun: bool) -> Condition:
    """A run that left at a checkpoint, or whose turn did not come, in a job that ended in order."""
    end = start[-1] if start[-1]["event"] == "end" else {}
    because, kind = str(end.get("because") or ""), str(end.get("kind") or "")
    if kind and (begun or kind != "time-limit"):
        return Condition("failed", kind, because)
    what = "stopped at a checkpoint" if ending.recorded == "preempted" else "its job ended before its turn"
    return Condition("preempted", note=f"{what}: {because}" if because else what)


def _left_in_order(ending: Ending, record: Accounted, last: Event | None) -> bool:
    """Whether a run was stopped at a checkpoint, or had not had its turn when its job ended by itself."""
    in_order = record.state == "COMPLETED" or record.exit_code == _LEFT
    return ending.recorded == "preempted" or (last is None and in_order)


def _with_the_job(last: Event, died: Condition, record: Accounted) -> bool:
    """Whether a run's process was killed because its job was, or for the memory that its job took."""
    if died.kind != "killed":
        return False
    if record.state in {"COMPLETED", "FAILED", "OUT_OF_MEMORY"}:
        return record.out_of_memory and last.get("status") == -signal.SIGKILL
    return record.end is None or last["time"] > record.end - _KILL_SECONDS


def _start_of_record(ending: Ending, record: Accounted) -> Sequence[Event] | None:
    """What the task said in the start that the record is of."""
    begins = [index for index, event in enumerate(ending.events) if event["event"] == "begin"]
    if not begins:
        return None
    start = ending.events[begins[-1] :]
    return None if record.start is not None and _is_of_before(start, record.start) else start


def _is_of_before(start: Sequence[Event], began: float) -> bool:
    """Whether a start of a task was over when its job began as recorded; by two clocks, whose difference is unknown."""
    begin, last = start[0]["time"], start[-1]
    if last["event"] == "requeue":  # the job began near the one end of it or near the other
        return bool(began > (begin + last["time"]) / 2)
    return bool(began > begin + SKEW_SECONDS)


def _out_of_memory(ending: Ending, record: Accounted) -> bool:
    """Whether the job was killed for its memory: its record, a step's, or its own last words say so."""
    if record.out_of_memory or record.state == "OUT_OF_MEMORY":
        return True
    killed = signal.SIGKILL in {record.signal, record.exit_code} or record.exit_code == 128 + signal.SIGKILL
    return killed and any(_MEMORY.search(line) for line in ending.log)


def _how(record: Accounted) -> str:
    """` by SIGKILL`, ` with status 3`, from a job's record."""
    if record.state == "COMPLETED":
        return ""
    number = record.signal or (record.exit_code - 128 if record.exit_code > 128 else 0)
    if number:
        return f" by {_signal(number)}"
    if record.exit_code in _CODES:  # srun makes an exit status of a signal
        return f" with status {record.exit_code} (often {_CODES[signal.Signals(record.exit_code)]})"
    return f" with status {record.exit_code}" if record.exit_code else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(log: Sequence[str]) -> str:
    """`: module: command not found`, the last line that a job itself printed; empty if it printed nothing."""
    lines = [line.strip() for line in log if line.strip()]
    own = [line for line in lines if not line.startswith(_NOT_ITS_OWN)]
    return f": {(own or lines)[-1][:300]}" if lines else ""
