"""What a submission and a cancellation say to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from studies.cluster.choosing import Choice
from studies.cluster.handing import Handed
from studies.cluster.policy import Decision
from studies.cluster.submitting import Outcome

_UNCERTAIN = "of which the scheduler cannot say yet whether they have ended: call again in a minute"


def told(name: str, outcome: Outcome) -> list[str]:
    """What a submission did, for a person.

    Args:
        name: of the study.
        outcome: of `submit`; that something was refused comes last.
    """
    choices, handed = outcome.draft.choices, outcome.handed
    lines = []
    if words := started(choices):
        lines.append(words)
    if words := left(choices, name):
        lines.append(words if lines else f"nothing to submit: {words}")
    if not lines:
        lines.append("nothing to submit")
    waiting = [*outcome.draft.later, *(handed.waiting if handed else ())]
    if waiting:
        runs = sum(array.runs for array in waiting)
        looked_after = outcome.draft.follow_up is not None and not (handed and handed.alone)
        then = "the follow-up job submits them" if looked_after else f"then again: wm submit {name}"
        lines.append(f"{runs} of them wait until the queue has room for more of your jobs; {then}")
    if handed is None:
        return lines
    if handed.waiting:
        lines.append(handed.full)
    if handed.follow_up is not None:
        lines.append(f"job {handed.follow_up} then looks after them; wm status {name} shows how it goes")
    if handed.alone:
        lines.append(
            f"the follow-up job was refused, so that failures wait for: wm submit {name}\n{handed.alone}"
        )
    if handed.error:
        lines.append(refusal(name, handed))
    return lines


def refusal(name: str, handed: Handed) -> str:
    """What was submitted and what was not, after the scheduler refused arrays."""
    tasks = sum(len(array.tasks) for array in handed.arrays)
    rest = sum(len(array.tasks) for array in handed.refused)
    runs = sum(array.runs for array in handed.refused)
    jobs = ", ".join(str(array.job) for array in handed.arrays)
    before = f"{tasks} task{'s' * (tasks != 1)} in the queue (job {jobs})"
    before = before if handed.arrays else "nothing was submitted"
    return (
        f"{handed.error}\n{before}; {rest} task{'s' * (rest != 1)} of {runs} run{'s' * (runs != 1)} "
        f"{'are' if rest != 1 else 'is'} not. Once that is mended, submit the rest with: wm submit {name}"
    )


def started(choices: Collection[Choice]) -> str:
    """`12 new, 3 continue, 2 again after host-memory with 1.5 times the memory`."""
    counts = Counter(_word(choice.decision) for choice in choices if choice.decision.start)
    return ", ".join(f"{number} {word}" for word, number in counts.items())


def left(choices: Collection[Choice], study: str) -> str:
    """What is not started although it is not done, and what a person does about it; empty if there is none."""
    counts = Counter(_state(choice) for choice in choices if not choice.decision.start)
    names = ("done", "diverged", "running", "queued", "cancelled", _UNCERTAIN)
    words = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    failed = counts["failed"] + counts["lost"]
    if failed:
        are = "failed run is" if failed == 1 else "failed runs are"
        words += f"{'; ' if words else ''}{failed} {are} left: wm status {study} says why"
        kinds = dict.fromkeys(
            choice.seen.condition.kind or choice.seen.condition.name
            for choice in choices
            if not choice.decision.start and _state(choice) == "failed"
        )
        again = f"wm retry {study}" + (f" --kind {next(iter(kinds))}" if len(kinds) == 1 else "")
        words += f"; once it is mended: {again}, then wm submit {study}"
    return words


def _state(choice: Choice) -> str:
    if not choice.seen.condition.confirmed:
        return _UNCERTAIN
    if choice.decision.because.startswith("left:"):
        return "failed"
    return "queued" if choice.decision.because == "queued" else choice.seen.condition.name


def _word(decision: Decision) -> str:
    reason, _, kind = decision.entry.reason.partition(":")
    changes = [
        f"{factor:.3g} times the {what}"
        for factor, what in ((decision.memory, "memory"), (decision.hours, "hours"))
        if factor != 1
    ]
    what = {"retry": f"again after {kind}", "retried": "again as wm retry asked"}.get(reason, reason)
    return what + (f" with {' and '.join(changes)}" if changes else "")
