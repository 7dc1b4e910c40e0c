"""What `wm status` prints: a matrix, the queue, when it will be done, rows, and grouped failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from studies.cli.options import plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from studies.store import StudyDir
    from studies.survey import Look, Seen

_COLOURS = {"done": "green", "failed": "red", "lost": "red", "diverged": "magenta", "running": "cyan"}
_MAX_ROWS = 40
_HOUR = 3600.0


def overview(study: StudyDir, look: Look) -> RenderableType:
    """A study as it is."""
    from rich.console import Group
    from rich.text import Text

    from studies import dispatch
    from studies.matrix import row_names, varying
    from studies.status import FINISHED

    seen = look.seen
    names = row_names([one.run for one in seen])
    parts: list[RenderableType] = [
        Text(f"{study.name}, {dispatch.counts(seen)}", style="bold"),
        _matrix(seen, names),
    ]
    if differing := varying((one.run for one in seen), names):
        parts.append(Text(f"within a row vary {differing}"))
    if lines := [*_queue_lines(study, look), *_time_lines(look)]:
        parts += [Text(), *map(Text, lines)]
    rows = [one for one in seen if one.condition.name not in FINISHED | {"pending", "failed"}]
    if rows:
        parts += [Text(), _rows(rows, look)]
    return Group(*parts, *_failures(study, look))


def _matrix(seen: list[Seen], names: dict[str, str]) -> RenderableType:
    """A row per design and form (`names`, by hex), a column per task: `2/3`, and what is not simply waiting."""
    from rich.text import Text

    from studies.status import FINISHED

    tasks = list(dict.fromkeys(one.run.task for one in seen))
    cells: dict[tuple[str, str], Counter[str]] = {}
    for one in seen:
        cells.setdefault((names[one.run.hex], one.run.task), Counter())[one.condition.name] += 1
    table = plain_table("design", *tasks)
    for name in dict.fromkeys(names[one.run.hex] for one in seen):
        row = [Text(name)]
        for task in tasks:
            count = cells.get((name, task), Counter())
            text = Text()
            if count:
                finished = sum(count[name] for name in FINISHED)
                whole = finished == count.total()
                text.append(f"{finished}/{count.total()}", style="green" if whole else "")
            for state in ("diverged", "running", "preempted", "cancelled", "lost", "failed"):
                if count[state]:
                    text.append(f", {count[state]} {state}", style=_COLOURS.get(state, "yellow"))
            row.append(text)
        table.add_row(*row)
    return table


def _queue_lines(study: StudyDir, look: Look) -> Iterator[str]:
    """What waits and why, what no queue has, the job that looks after them, and who did not answer."""
    from studies.cluster.outlook import follow_ups, unanswered, waiting

    for name, reasons in waiting(look.seen).items():
        listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
        yield f"{reasons.total():,} {name}{', queued again' if name == 'preempted' else ''}: {listed}"
    idle = [one for one in look.seen if _is_idle(one)]
    if idle and any(one.history for one in look.seen):
        number = "1 is" if len(idle) == 1 else f"{len(idle):,} are"
        yield f"{number} neither done nor in the queue: wm submit {study.name}"
    for job in follow_ups(study, look):
        why = f" ({job.reason})" if job.reason else ""
        yield f"job {job.key} submits again what the policies allow: {job.state}{why}"
    yield from unanswered(look)


def _is_idle(one: Seen) -> bool:
    from studies.status import CONTINUED

    condition = one.condition
    return condition.name in CONTINUED - {"cancelled"} and not condition.queued and not one.run.reused_from


def _time_lines(look: Look) -> Iterator[str]:
    """When it will be done at the present pace, and what that pace was lately."""
    from studies.cost import time_left
    from studies.progress import duration
    from studies.status import FINISHED

    states = {one.run.hex: one.condition.name for one in look.seen}
    progress = {one.run.hex: one.state.progress for one in look.seen if one.state}
    at_once = sum(name == "running" for name in states.values())
    ended = [one.state.heartbeat for one in look.seen if one.state and one.condition.name in FINISHED]
    lately = sum(look.time - time < _HOUR for time in ended)
    known = time_left([one.run for one in look.seen], states, progress, at_once) if at_once else None
    if known is not None:
        seconds, basis = known
        pace = f"; {lately:,} ended in the last hour" if lately else ""
        yield f"about {duration(seconds)} left ({basis}){pace}"
    elif lately and at_once:
        yield f"{lately:,} ended in the last hour"


def _rows(seen: list[Seen], look: Look) -> RenderableType:
    """A row per run that is neither done nor simply waiting nor failed."""
    from rich.text import Text

    with_jobs = any(one.condition.job for one in seen)
    table = plain_table(
        "run", "state", *(("job", "node") if with_jobs else ()), "phase", "iteration", "return", ""
    )
    for one in seen[:_MAX_ROWS]:
        state, condition = one.state, one.condition
        score = f"{state.last_return:.1f}" if state and state.last_return is not None else ""
        name = Text(str(condition), style=_COLOURS.get(condition.name, "yellow"))
        where = f"{state.iteration}/{state.iterations}" if state and state.iterations else ""
        place = (condition.job or "", _node(one, look)) if with_jobs else ()
        phase = state.phase if state else ""
        table.add_row(one.run.id, name, *place, phase, where, score, Text(_note(one)))
    if len(seen) > _MAX_ROWS:
        table.add_row(f"and {len(seen) - _MAX_ROWS} more")
    return table


def _note(one: Seen) -> str:
    """`queued again (BeginTime); stopped at a checkpoint`."""
    condition = one.condition
    waits = f"queued again ({condition.reason})" if condition.reason and condition.name != "running" else ""
    return "; ".join(filter(None, (waits, condition.note)))


def _node(one: Seen, look: Look) -> str:
    """Where the last task of a run is."""
    asked = look.asked.get(one.history[-1].array.executor) if one.history else None
    task = (asked.queue or {}).get(one.condition.job or "") if asked else None
    return task.node if task and one.condition.queued else ""


def _failures(study: StudyDir, look: Look) -> Iterator[RenderableType]:
    """Each kind of failure once: how many, what it says, what is done about it, and the commands."""
    from rich.text import Text

    from studies import dispatch
    from studies.cluster.outlook import remedies
    from studies.store import called

    for message, members in dispatch.group_failures(look.seen):
        number = f"{len(members)} runs, same error" if len(members) > 1 else "1 run"
        ids = ", ".join(one.run.hex for one in members[:5]) + (", ..." if len(members) > 5 else "")
        yield Text()
        yield Text(f"{number}: {message}", style="red")
        yield Text(f"  {ids};  wm logs {called(members[0].run, study)}")
        yield from (Text(f"  {line}") for line in remedies(study, members))
