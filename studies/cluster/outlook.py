"""What a survey means for what happens next: who waits for what, who looks after them, what becomes of failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from studies.cluster import handing
from studies.cluster.policy import POLICIES, Policy, decide
from studies.cluster.records import Dispatch, read_submission
from studies.store import StudyDir
from studies.survey import Look, Seen

_PROGRAMS = {"slurm": ("squeue", "sacct"), "local": ("the queue of this machine", "its records")}


@dataclass(frozen=True)
class FollowUp:
    """A job in the queue that submits again what the policies allow."""

    key: str
    state: str
    reason: str


def waiting(seen: Sequence[Seen]) -> dict[str, Counter[str]]:
    """How many runs wait in a queue, by state and reason; what runs does not wait, and what failed is told apart."""
    found: dict[str, Counter[str]] = {}
    for one in seen:
        condition = one.condition
        if condition.queued and condition.name in {"pending", "preempted"}:
            why = condition.reason or ("no reason said" if condition.confirmed else "unconfirmed")
            found.setdefault(condition.name, Counter())[why] += 1
    return found


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


def remedies(study: StudyDir, failed: Sequence[Seen]) -> Iterator[str]:
    """What is done about runs that failed alike, and the command for it, in as few lines as that takes.

    Args:
        study: of the runs.
        failed: runs that failed with one kind.
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
        yield f"wm submit {study.name}: {because}{_of(count, number)}"
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
