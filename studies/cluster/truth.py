"""What became of a run: one pure function of its own records, its marks, the queue and the accounting.

::

    recorded done or diverged           that
    its owner is alive                  running
    cancelled by a mark                 cancelled
    the queue does not answer           what the records say, unconfirmed
    the queue lists its last task       pending, preempted and waiting, running, or what its worker died of meanwhile
    not listed, accounted as ended      what the job died of
    not listed, not accounted           unconfirmed; lost once nothing was heard of it for minutes
    not listed, accounted as running    unconfirmed; lost once nothing was heard of it for an hour

A task that bears another name than its array has only the same number. Nothing is called failed, lost or cancelled
because a question was not answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from harness.claim import Owner
from harness.rundir import RunState
from studies import status
from studies.cluster import endings
from studies.cluster.owners import (
    RUNAWAY_SECONDS,
    SKEW_SECONDS,
    UNHEARD_SECONDS,
    is_listed,
    is_of,
    key_of,
    owner_is_gone,
)
from studies.cluster.records import Assignment, Mark
from studies.cluster.types import Accounted, Queued
from studies.cluster.unanswered import UNCERTAIN_SECONDS
from studies.status import FINISHED, Condition, Name, Ownership, age_words

SILENCE_SECONDS = 900.0
"""A run whose job runs and that has written nothing for so long may hang; said, not judged."""

_BEHIND = "behind others in its job"
_ENDING = frozenset({"COMPLETING", "STAGE_OUT", "SIGNALING"})
_HELD_UP = frozenset({"SUSPENDED", "STOPPED"})


@dataclass(frozen=True)
class Answers:
    """What a cluster said about all tasks.

    Attributes:
        queue: None: it did not answer, or was not asked.
        accounting: None likewise; a task that is missing has no record.
        kept: records of tasks that were found to have ended for good before, by key.
        silent: why there is no answer.
        elsewhere: whether there never will be one here.
    """

    queue: Mapping[str, Queued] | None = None
    accounting: Mapping[str, Accounted] | None = None
    kept: Mapping[str, Accounted] = field(default_factory=dict)
    silent: str = "the scheduler does not answer"
    elsewhere: bool = False


class Words(Protocol):
    """What a task said; read only when it matters."""

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """As `records.read_events` has them."""
        ...

    @property
    def log(self) -> Sequence[str]:
        """The last lines of what it printed."""
        ...


@dataclass(frozen=True)
class Said:
    """Words that are known."""

    events: Sequence[Mapping[str, Any]] = ()
    log: Sequence[str] = ()


@dataclass(frozen=True)
class Facts:
    """All that is known of a run.

    Attributes:
        hex: of the run.
        state: what its owner last wrote.
        ownership: of its highest claim, as this machine sees it.
        owner: who made that claim; None if nobody did, or it cannot be read.
        is_foreign: whether another user made it.
        history: the tasks that listed the run, oldest first.
        mark: a person's word.
        answers: of the cluster of its last task.
        slurm: answers of SLURM, about an owner that runs in one of its jobs; none if it is another SLURM's.
        said: by its last task.
    """

    hex: str
    state: RunState | None = None
    ownership: Ownership = "free"
    owner: Owner | None = None
    is_foreign: bool = False
    history: Sequence[Assignment] = ()
    mark: Mark | None = None
    answers: Answers = field(default_factory=Answers)
    slurm: Answers = field(default_factory=Answers)
    said: Words = field(default_factory=Said)

    @property
    def task(self) -> Assignment | None:
        """The last task that lists the run."""
        return self.history[-1] if self.history else None

    @property
    def key(self) -> str | None:
        """What the scheduler calls that task; found by its name if the number was never recorded."""
        task = self.task
        if task is None or task.key is not None:
            return task.key if task else None
        numbers = (
            key.partition("_")[0]
            for key, q in (self.answers.queue or {}).items()
            if q.name == task.array.name
        )
        job = next(numbers, None)
        return replace(task.array, job=job).key(task.index) if job else None

    @property
    def listed(self) -> Queued | None:
        """What the queue says of that task."""
        found = (self.answers.queue or {}).get(self.key or "")
        return found if found and self.task and found.name == self.task.array.name else None

    @property
    def ended(self) -> Accounted | None:
        """The record of that task, if it has one: what was found for good before, else what the accounting says."""
        return self._kept or self._named((self.answers.accounting or {}).get(self.key or ""))

    @property
    def is_kept(self) -> bool:
        """Whether the end of that task was found for good before."""
        return self._kept is not None

    @property
    def _kept(self) -> Accounted | None:
        """The record of that task that was kept, unless the task has begun again since, as by `scontrol requeue`."""
        found = self._named(self.answers.kept.get(self.key or ""))
        if found is None or found.end is None:
            return found
        begun = [event["time"] for event in self.said.events if event["event"] == "begin"]
        skew = SKEW_SECONDS if len(begun) == 1 else 0.0  # the only beginning may be that of the record
        return None if begun and begun[-1] > found.end + skew else found

    def _named(self, found: Accounted | None) -> Accounted | None:
        """A record, if it is of that task and not of another of the same number."""
        name = self.task.array.name if self.task else None
        return found if found is not None and found.name == name else None

    @property
    def kept_of_owner(self) -> Accounted | None:
        """The record of the owner's task that was kept, unless the owner came later."""
        found = self.slurm.kept.get(key_of(self.owner) or "") if self.owner else None
        return found if found is not None and self.owner is not None and is_of(self.owner, found) else None

    @property
    def heard(self) -> float:
        """When anything of the run or its last task was last heard, in unix seconds; 0.0 if never."""
        times = [self.state.heartbeat] if self.state else []
        times += [self.task.array.time] if self.task else []
        times += [self.said.events[-1]["time"]] if self.said.events else []
        return max(times, default=0.0)

    @property
    def mark_in_force(self) -> str | None:
        """The name of the mark, unless the run was submitted again, or has failed, after it."""
        if self.mark is None or (self.task is not None and self.mark.time < self.task.array.time):
            return None
        state = self.state
        if state is not None and state.state == "failed" and self.mark.time < state.heartbeat:
            return None
        return self.mark.name

    @property
    def recorded(self) -> str | None:
        """The recorded state; a failure from before the last task was submitted says nothing any more."""
        if self.state is None:
            return None
        return None if self.state.state == "failed" and self._is_of_before() else self.state.state

    def _is_of_before(self) -> bool:
        """Whether what is recorded was written before the last task was submitted."""
        if self.task is None or self.state is None:
            return False
        if self.listed is not None and not self.listed.runs and self.listed.restarts == 0:
            return True
        earlier = self.state.heartbeat < self.task.array.time  # by two clocks; the task's own word is better
        return earlier and not any(
            event["event"] == "ended" and event.get("hex") == self.hex for event in self.said.events
        )


def derive(facts: Facts, now: float) -> Condition:
    """The state of a run.

    Args:
        facts: all that is known; the answers must be no newer than the state.
        now: unix seconds.
    """
    recorded = facts.state.state if facts.state else None
    if recorded in FINISHED:
        return Condition(recorded, job=facts.key)
    listed = facts.listed is not None
    found = _derive(facts, ownership(facts, now), now)
    queued = found.queued or (listed and found.name != "cancelled")
    return replace(found, queued=queued, job=facts.key)


def ownership(facts: Facts, now: float) -> Ownership:
    """Whether the run has an owner, as far as this machine and SLURM can tell together."""
    owner = facts.owner
    if facts.ownership != "unknown" or owner is None or owner.job is None:
        return facts.ownership
    key, queue = key_of(owner), facts.slurm.queue
    if key == facts.key and _worker_ended(facts, owner):
        return "dead"
    name = next((one.array.name for one in facts.history if one.key == key), None)
    if is_listed(owner, queue, name):
        return "alive"
    known: Mapping[str, Accounted] | None = facts.slurm.accounting
    if key is not None and facts.kept_of_owner is not None:
        known = {**(known or {}), key: facts.kept_of_owner}
    heartbeat = facts.state.heartbeat if facts.state else None
    gone = owner_is_gone(owner, queue, known, now, heartbeat=heartbeat, name=name)
    return "dead" if gone else "unknown"


def _worker_ended(facts: Facts, owner: Owner) -> bool:
    """Whether a task that goes on with other runs says that this run's worker has ended; both tell one clock's time."""
    if facts.task is None or len(facts.task.array.tasks[facts.task.index]) == 1:
        return False  # such a task ends with its worker
    last = endings.last_word(facts.said.events, facts.hex)
    return last is not None and last["event"] == "ended" and last["time"] >= owner.time


def _derive(facts: Facts, held: Ownership, now: float) -> Condition:
    found = _by_record(facts, held, now)
    if found is not None:
        return found
    if facts.task is None:
        return status.derive(facts.state, "dead" if held == "dead" else "free", now)
    if facts.listed is not None:
        return _listed(facts, facts.listed)
    if facts.mark_in_force == "retried":  # a person's word, also where nobody confirms it
        return Condition("pending", note="to be tried again")
    if facts.answers.queue is None and not facts.is_kept:
        return _silent(facts, now, facts.answers.silent)
    return _gone(facts, now)


def _by_record(facts: Facts, held: Ownership, now: float) -> Condition | None:
    """What the owner, its last word or a person's say, whatever became of the task; None if they settle nothing."""
    cancelled = facts.mark_in_force == "cancelled"
    if held == "alive":
        return Condition("running", note=_alive(facts, now, cancelled=cancelled))
    if facts.recorded == "failed" and facts.mark_in_force != "retried":
        error = facts.state.error if facts.state else None
        return Condition("failed", error.kind if error else "code", error.message if error else "")
    if held == "unknown" and facts.recorded != "preempted":
        return _unseen(facts, now)
    return Condition("cancelled", note="wm submit or wm run continues it") if cancelled else None


def _alive(facts: Facts, now: float, *, cancelled: bool) -> str:
    """What is to be said of a run whose owner is alive."""
    if cancelled:
        return "cancelled; it is stopping"
    if facts.listed is not None and facts.listed.state in _HELD_UP:
        return facts.listed.state.lower()
    age = now - facts.state.heartbeat if facts.state else 0.0
    if facts.ownership == "unknown" and age > SILENCE_SECONDS:
        return f"its job runs, but it has said nothing for {age_words(age)}"
    return ""


def _unseen(facts: Facts, now: float) -> Condition:
    """A run with an owner that nobody can see: alive as far as anybody knows."""
    note = status.confirmation(facts.state, now)
    asked = facts.owner is not None and facts.owner.job is not None
    left = asked and facts.slurm.queue is not None  # a job that the queue lists is no unseen owner
    if note and asked and facts.slurm.queue is None:
        note += f": {facts.slurm.silent}"
    elif note and asked and facts.slurm.accounting is None:
        note += ": the accounting does not answer"
    elif left and not note:
        note = "its job has left the queue"
    return Condition("running", note=note, confirmed=not note, elsewhere=facts.slurm.elsewhere)


def _silent(facts: Facts, now: float, why: str) -> Condition:
    """A run whose task may be anywhere: what the records say, and that nobody confirms it."""
    if facts.recorded == "running" and facts.state is not None:
        age = age_words(max(0.0, now - facts.state.heartbeat))
        found = Condition("running", note=f"unconfirmed for {age}: {why}")
    else:
        found = _waiting(facts, f"unconfirmed: {why}")
    return replace(found, queued=True, confirmed=False, elsewhere=facts.answers.elsewhere)


def _waiting(facts: Facts, note: str = "", reason: str = "") -> Condition:
    """A run that nobody executes: preempted if it had begun, else pending."""
    name: Name = "preempted" if facts.recorded in {"running", "preempted"} else "pending"
    return Condition(name, note=note, reason=reason)


def _listed(facts: Facts, listed: Queued) -> Condition:
    """A run without an owner whose task is in the queue."""
    if not listed.runs:
        return _waiting(facts, reason=listed.reason or listed.state)
    if listed.state in _HELD_UP:
        return Condition("running", note=listed.state.lower())
    if listed.state not in _ENDING:
        return _in_running_job(facts, listed)
    if facts.recorded == "running":
        return Condition("running", note="its job is ending", confirmed=False)
    return replace(_waiting(facts, "its job is ending"), confirmed=False)


def _in_running_job(facts: Facts, listed: Queued) -> Condition:
    """A run without an owner whose task runs: its turn has not come, or is over."""
    start = endings.last_start(facts.said.events, listed.restarts)
    if start is None:
        return Condition("running", note=f"its job starts{f' on {listed.node}' if listed.node else ''}")
    last = endings.last_word(start, facts.hex)
    if last is None:
        return _waiting(facts, "waits for its turn", _BEHIND)
    if last["event"] == "started":
        return Condition("running", note="its process is starting or has just ended", confirmed=False)
    if facts.recorded == "preempted":
        return _waiting(facts, "stopped at a checkpoint", _BEHIND)
    return endings.of_worker(last) or _waiting(facts, "its job goes on without it", _BEHIND)


def _gone(facts: Facts, now: float) -> Condition:
    """A run without an owner whose task the queue does not list."""
    task, record, events = facts.task, facts.ended, facts.said.events
    assert task is not None
    ending = endings.Ending(facts.hex, task, facts.recorded, record, events, facts.said.log)
    if record is not None and record.terminal:
        return endings.explain(ending, now)
    unheard = now - max(facts.heard, (record and record.start) or 0.0)
    if record is not None and unheard <= RUNAWAY_SECONDS:
        return _silent(facts, now, f"the queue does not list its job, the accounting says {record.state}")
    found = endings.by_own_word(ending)
    if found is not None:
        return found
    if facts.key is None and not events:
        if now - task.array.time < UNCERTAIN_SECONDS:
            return replace(_waiting(facts, "is being submitted"), queued=True, confirmed=False)
        return _waiting(facts, "its submission was interrupted")
    return _unaccounted(facts, now)


def _unaccounted(facts: Facts, now: float) -> Condition:
    """A run of whose task there is no end on record, and no word."""
    age = now - facts.heard
    if facts.ended is not None:
        says = f"the queue does not list its job, the accounting still says {facts.ended.state}"
        return Condition("lost", note=f"{says}; last heard of {age_words(age)} ago")
    if facts.answers.accounting is None:
        return _silent(facts, now, "the accounting does not answer")
    if age <= UNHEARD_SECONDS:
        return _silent(facts, now, "neither the queue nor the accounting lists its job")
    if _waited(facts):
        return Condition("cancelled", note="its job left the queue while it waited, most likely by scancel")
    note = f"neither the queue nor the accounting knows its job; last heard of {age_words(age)} ago"
    printed = "" if facts.said.events else endings.last_line(facts.said.log)
    return Condition("lost", note=note + (f"; its log ends with{printed}" if printed else ""))


def _waited(facts: Facts) -> bool:
    """Whether a task waited as far as anybody heard of it: it never began, or asked to be queued again."""
    events = facts.said.events
    return events[-1]["event"] == "requeue" if events else not facts.said.log
