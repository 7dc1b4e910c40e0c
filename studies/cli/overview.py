"""What `wm status` prints: a matrix, the queue, when it will be done, rows, and grouped failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from studies.cli.layout import Column, blocks, fitted, lines, sentences, width_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from studies.cluster.facts import Schedulers
    from studies.store import StudyDir
    from studies.survey import Look, Seen

_COLOURS = {"done": "green", "failed": "red", "lost": "red", "diverged": "magenta", "running": "cyan"}
_MAX_ROWS = 40
_DROPPED = ("return", "iteration", "node", "phase", "job")
"""Columns that a narrow terminal has no room for, the least important first."""
_HOUR = 3600.0


def overview(study: StudyDir, look: Look, schedulers: Schedulers, width: int) -> RenderableType:
    """A study as it is.

    Args:
        study: whose runs were looked at.
        look: at some or all of its runs.
        schedulers: that were asked for it.
        width: of the terminal.
    """
    from rich.console import Group
    from rich.text import Text

    from studies import dispatch
    from studies.matrix import row_names, varying
    from studies.plan import MADE_UP
    from studies.status import FINISHED

    seen = look.seen
    names = row_names([one.run for one in seen])
    parts: list[RenderableType] = [
        *sentences(f"{study.name}, {dispatch.counts(seen)}", width, "bold"),
        *(sentences(MADE_UP, width, "bold") if study.is_simulated else ()),
        *_matrix(seen, names, width),
    ]
    if differing := varying((one.run for one in seen), names):
        parts += sentences(f"within a row vary {differing}", width)
    if said := [*_queue_lines(study, look, schedulers), *_time_lines(study, look)]:
        parts += [Text(), *(line for text in said for line in sentences(text, width))]
    rows = [one for one in seen if one.condition.name not in FINISHED | {"pending", "failed"}]
    if rows:
        parts += [Text(), *_rows(rows, look, width)]
    return Group(*parts, *_failures(study, look, width))


def _matrix(seen: list[Seen], names: dict[str, str], width: int) -> Iterator[Text]:
    """A row per design and form (`names`, by hex), a column per task: `2/3`, and what is not simply waiting."""
    from rich.text import Text

    cells: dict[tuple[str, str], Counter[str]] = {}
    for one in seen:
        cells.setdefault((names[one.run.hex], one.run.task), Counter())[one.condition.name] += 1
    rows = list(dict.fromkeys(names[one.run.hex] for one in seen))
    tasks = [
        Column(task, [_cell(cells.get((name, task), Counter())) for name in rows])
        for task in dict.fromkeys(one.run.task for one in seen)
    ]
    for block in blocks(Column("design", [Text(name) for name in rows]), tasks, width):
        yield from lines(block, width)


def _cell(count: Counter[str]) -> Text:
    from rich.text import Text

    from studies.status import FINISHED

    text = Text()
    if count:
        finished = sum(count[name] for name in FINISHED)
        whole = finished == count.total()
        text.append(f"{finished}/{count.total()}", style="green" if whole else "")
    for state in ("diverged", "running", "preempted", "cancelled", "lost", "failed"):
        if count[state]:
            text.append(f", {count[state]} {state}", style=_COLOURS.get(state, "yellow"))
    return text


def _queue_lines(study: StudyDir, look: Look, schedulers: Schedulers) -> Iterator[str]:
    """What waits and why, what no queue has, the job that looks after them, and who did not answer."""
    from studies.cluster.outlook import abandoned, follow_ups, refusal, unanswered, waiting
    from studies.cluster.reasons import plain

    for name, reasons in waiting(look.seen).items():
        several = len(reasons) > 1
        listed = ", ".join(f"{number:,} {why}" if several else why for why, number in reasons.most_common())
        yield f"{reasons.total():,} {name}{', queued again' if name == 'preempted' else ''}: {listed}"
    idle = [one for one in look.seen if _is_idle(one)]
    refused = refusal(study) if idle else ""
    if idle and (refused or any(one.history for one in look.seen)):
        number = "1 is" if len(idle) == 1 else f"{len(idle):,} are"
        yield f"{number} neither done nor in the queue: wm submit {study.name}"
    if refused:
        yield f"of the last submission some was refused: {refused.splitlines()[0]}"
    for job in follow_ups(study, look):
        why = f", {plain(job.reason)}" if job.reason else ""
        yield f"job {job.key} submits again what the policies allow: {job.state}{why}"
    if left := abandoned(study, study.planned, lambda executor: schedulers.queue(executor, 0.0)):
        yield left.sentence(study.name)
    yield from unanswered(look)


def _is_idle(one: Seen) -> bool:
    from studies.status import CONTINUED

    condition = one.condition
    return condition.name in CONTINUED - {"cancelled"} and not condition.queued and not one.run.reused_from


def _time_lines(study: StudyDir, look: Look) -> Iterator[str]:
    """When it will be done at the present pace, and what that pace was lately."""
    from studies.cluster.outlook import unattended
    from studies.cost import time_left
    from studies.progress import duration
    from studies.status import FINISHED

    states = {one.run.hex: one.condition.name for one in look.seen}
    progress = {one.run.hex: one.state.progress for one in look.seen if one.state}
    at_once = sum(name == "running" for name in states.values())
    ended = [one.state.heartbeat for one in look.seen if one.state and one.condition.name in FINISHED]
    lately = sum(look.time - time < _HOUR for time in ended)
    if not at_once:
        return
    left_out = unattended(study, look.seen)
    runs = [one.run for one in look.seen if one.run.hex not in left_out]
    known = time_left(runs, states, progress, at_once)
    if known is not None:
        seconds, basis = known
        yield f"about {duration(seconds)} left ({basis})"
    if lately:
        yield f"{lately:,} ended in the last hour"


def _rows(seen: list[Seen], look: Look, width: int) -> Iterator[Text]:
    """A row per run that is neither done nor simply waiting nor failed."""
    from rich.text import Text

    shown = seen[:_MAX_ROWS]
    columns = [
        Column("run", [Text(one.run.id) for one in shown]),
        Column(
            "state",
            [Text(str(one.condition), style=_COLOURS.get(one.condition.name, "yellow")) for one in shown],
        ),
        Column("job", [Text(one.condition.job or "") for one in shown]),
        Column("node", [Text(_node(one, look)) for one in shown]),
        Column("phase", [Text(_phase(one)) for one in shown]),
        Column("iteration", [Text(_iteration(one)) for one in shown]),
        Column("return", [Text(_return(one)) for one in shown]),
    ]
    kept = fitted(columns, _DROPPED, width)
    if width_of(kept) > width:
        kept = fitted([Column("run", [Text(one.run.hex) for one in shown]), *columns[1:]], _DROPPED, width)
    yield from lines(kept, width, [_note(one) for one in shown])
    if len(seen) > _MAX_ROWS:
        yield Text(f"and {len(seen) - _MAX_ROWS} more")


def _phase(one: Seen) -> str:
    """What its worker does; empty where its last word is that of an earlier one."""
    state = one.state
    stale = state is None or (one.condition.name == "running" and state.state != "running")
    return "" if stale or state is None else state.phase


def _iteration(one: Seen) -> str:
    return f"{one.state.iteration}/{one.state.iterations}" if one.state and one.state.iterations else ""


def _return(one: Seen) -> str:
    score = one.state.last_return if one.state else None
    return "" if score is None else f"{score:.1f}"


def _note(one: Seen) -> str:
    """`queued again: not before a time (BeginTime); stopped at a checkpoint`."""
    from studies.cluster.outlook import why_it_waits

    condition = one.condition
    why = why_it_waits(one)
    waits = f"queued again: {why}" if why and condition.name != "running" else ""
    return "; ".join(filter(None, (waits, condition.note)))


def _node(one: Seen, look: Look) -> str:
    """Where the last task of a run is."""
    asked = look.asked.get(one.history[-1].array.executor) if one.history else None
    task = (asked.queue or {}).get(one.condition.job or "") if asked else None
    return task.node if task and one.condition.queued else ""


def _failures(study: StudyDir, look: Look, width: int) -> Iterator[RenderableType]:
    """Each kind of failure once: how many, what it says, what is done about it, and the commands."""
    from rich.text import Text

    from studies import dispatch
    from studies.cluster.outlook import follow_ups, remedies
    from studies.store import called

    looked_after = bool(follow_ups(study, look))

    for message, members in dispatch.group_failures(look.seen):
        number = f"{len(members)} runs, same error" if len(members) > 1 else "1 run"
        ids = ", ".join(one.run.hex for one in members[:5]) + (", ..." if len(members) > 5 else "")
        yield Text()
        yield from sentences(f"{number}: {message}", width, "red")
        for line in (
            f"{ids};  wm logs {called(members[0].run, study)}",
            *remedies(study, members, looked_after=looked_after),
        ):
            yield from sentences(f"  {line}", width)
