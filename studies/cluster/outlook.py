"""What a survey means for what happens next: who waits for what, who looks after them, what becomes of failures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from studies.cluster import handing
from studies.cluster.policy import POLICIES, Policy, decide
from studies.cluster.reasons import plain
from studies.cluster.records import Assignment, Dispatch, read_events, read_submission
from studies.cluster.types import Queued
from studies.status import FINISHED
from studies.store import StoredRun, StudyDir
from studies.survey import Look, Seen

_MOST_KEYS = 5
_PROGRAMS = {"slurm": ("squeue", "sacct"), "local": ("the queue of this machine", "its records")}


@dataclass(frozen=True)
class FollowUp:
    """A job in the queue that submits again what the policies allow."""

    key: str
    state: str
    reason: str


def waiting(seen: Sequence[Seen]) -> dict[str, Counter[str]]:
    """How many runs wait in a queue, by state and reason in plain words; what failed is told apart."""
    found: dict[str, Counter[str]] = {}
    for one in seen:
        condition = one.condition
        if condition.queued and condition.name in {"pending", "preempted"}:
            unsaid = "no reason said" if condition.confirmed else "unconfirmed"
            found.setdefault(condition.name, Counter())[why_it_waits(one) or unsaid] += 1
    return found


def why_it_waits(one: Seen) -> str:
    """Why a run waits, in plain words and the scheduler's; empty if nobody says."""
    if not one.condition.reason or not one.history:
        return one.condition.reason
    array = one.history[-1].array
    return plain(one.condition.reason, array.resources.parallel, array.executor)


def follow_ups(study: StudyDir, look: Look) -> list[FollowUp]:
    """The jobs in the queue that look after a study."""
    dispatch = Dispatch(study.path)
    queues = [asked.queue for asked in look.asked.values() if asked.queue]
    if not queues or not dispatch.exists:
        return []
    return [
        FollowUp(key, queue[key].state, queue[key].reason)
        for queue in queues
        for key in handing.follow_ups(dispatch, queue)
    ]


@dataclass(frozen=True)
class Abandoned:
    """What the queue still has of runs that the plan no longer has.

    Attributes:
        runs: how many of them.
        tasks: the keys of their tasks.
    """

    runs: int
    tasks: Sequence[str]

    def sentence(self, study: str) -> str:
        """`2 runs that the plan no longer has are still in the queue (12_3, 12_4): ...`."""
        shown = ", ".join(self.tasks[:_MOST_KEYS]) + (", ..." if len(self.tasks) > _MOST_KEYS else "")
        runs, are = ("1 run", "is") if self.runs == 1 else (f"{self.runs:,} runs", "are")
        return (
            f"{runs} that the plan no longer has {are} still in the queue ({shown}): "
            f"wm cancel {study} --unplanned"
        )


def abandoned(
    study: StudyDir, runs: Iterable[StoredRun], queue: Callable[[str], Mapping[str, Queued] | None]
) -> Abandoned | None:
    """What is still in the queue of runs that the plan no longer has; None if there is nothing.

    Args:
        study: whose plan may have been edited.
        runs: of the plan.
        queue: of an executor; None if it does not answer. It is asked only where the plan has lost runs that are not
            known to have ended.
    """
    dispatch = Dispatch(study.path)
    if not dispatch.exists:
        return None
    planned = {run.hex for run in runs}
    left: dict[str, None] = {}
    tasks: dict[str, None] = {}
    for digits, history in dispatch.assignments.items():
        if digits in planned or _has_ended(digits, history[-1], dispatch):
            continue
        last = history[-1]
        task = (queue(last.array.executor) or {}).get(last.key or "")
        if last.key is not None and task is not None and task.name == last.array.name:
            left[digits] = tasks[last.key] = None
    return Abandoned(len(left), list(tasks)) if left else None


def _has_ended(digits: str, last: Assignment, dispatch: Dispatch) -> bool:
    """Whether nothing of a run can be in the queue, as far as the records alone tell."""
    mark = dispatch.marks.get(digits)
    if mark is not None and mark.name == "cancelled" and mark.time >= last.array.time:
        return True
    return any(
        event["event"] == "ended" and event.get("hex") == digits and event.get("condition") in FINISHED
        for event in read_events(last.array, last.index)
    )


def refusal(study: StudyDir) -> str:
    """The scheduler's words if it refused the last submission; else the empty string."""
    dispatch = Dispatch(study.path)
    files = sorted(dispatch.path.glob("[0-9]*/submission.json"))
    if not files:
        return ""
    folder = files[-1].parent
    answers = [_error(file) for file in sorted(folder.glob("array-*.job.json"))]
    return next(filter(None, answers), "")


def _error(file: Path) -> str:
    try:
        return str(json.loads(file.read_text()).get("error") or "")
    except (OSError, ValueError):
        return ""


def unattended(study: StudyDir, seen: Sequence[Seen]) -> set[str]:
    """The runs, by hex, that neither finish nor are tried again unless a person says so."""
    policies = _policies(study)
    found = set()
    for one in seen:
        condition = one.condition
        if condition.queued or condition.name not in {"failed", "cancelled"}:
            continue
        tried = condition.name == "failed" and one.history
        if not tried or not decide(one.run.hex, condition, one.history, one.state, policies).start:
            found.add(one.run.hex)
    return found


def unanswered(look: Look) -> Iterator[str]:
    """A sentence for each question that was asked in vain."""
    for executor, asked in look.asked.items():
        queue, accounting = _PROGRAMS[executor]
        if asked.queue is None:
            yield f"{queue} did not answer: what is said of runs that wait or run is from the records alone"
        elif asked.jobs and asked.accounting is None:
            yield f"{accounting} did not answer: how jobs ended that have left the queue is not known"
    reasons = Counter(
        one.condition.note.partition(": ")[2]
        for one in look.seen
        if one.condition.elsewhere and one.condition.name in {"pending", "preempted"}
    )
    for why, number in reasons.most_common():
        yield f"of {number} that wait nobody here can tell more: {why}"


def remedies(study: StudyDir, failed: Sequence[Seen], *, looked_after: bool = False) -> Iterator[str]:
    """What is done about runs that failed alike, and the command for it, in as few lines as that takes.

    Args:
        study: of the runs.
        failed: runs that failed with one kind.
        looked_after: whether a follow-up job is in the queue.
    """
    again: Counter[str] = Counter()
    left: Counter[str] = Counter()
    queued = 0
    policies = _policies(study)
    for one in failed:
        decision = decide(one.run.hex, one.condition, one.history, one.state, policies)
        if one.condition.queued:
            queued += 1
        else:
            (again if decision.start and one.history else left)[decision.because] += 1
    number = len(failed)
    for because, count in again.most_common():
        who = "the follow-up job tries again" if looked_after else f"wm submit {study.name}"
        yield f"{who}: {because}{_of(count, number)}"
    retry = f"wm retry {study.name} --kind {failed[0].condition.kind}"
    for because, count in left.most_common():
        words = because if because.startswith("left") else "left; then"
        yield f"{words.partition(';')[0]}; mend it, then {retry}{_of(count, number)}"
    if queued:
        yield f"decided once their jobs have ended{_of(queued, number)}"


def as_json(study: StudyDir, look: Look) -> dict[str, Any]:
    """What the schedulers were asked and answered, by executor, and the jobs that look after the study.

    `queue` and `accounting` are null if not asked, else whether they answered; `states` and `reasons` count the
    study's tasks that the queue lists.
    """
    names = {one.history[-1].array.name for one in look.seen if one.history}
    found: dict[str, Any] = {}
    for executor, asked in look.asked.items():
        tasks = [task for task in (asked.queue or {}).values() if task.name in names]
        found[executor] = {
            "time": asked.queue_time,
            "queue": asked.queue is not None,
            "accounting": asked.accounting is not None if asked.jobs else None,
            "states": Counter(task.state for task in tasks),
            "reasons": Counter(task.reason for task in tasks if task.reason and not task.runs),
        }
    jobs = [{"job": job.key, "state": job.state, "reason": job.reason} for job in follow_ups(study, look)]
    return {"asked": found, "follow_up": jobs}


def _of(count: int, number: int) -> str:
    return f" ({count} of {number})" if count < number else ""


def _policies(study: StudyDir) -> Mapping[str, Policy]:
    """The policies of the profile that the last submission named; the built-in ones if it cannot be read."""
    from studies.cluster.profile import load_profile

    files = sorted(Dispatch(study.path).path.glob("[0-9]*/submission.json"))
    try:
        return load_profile(read_submission(files[-1].parent).profile if files else None).policies
    except UserError:
        return POLICIES
