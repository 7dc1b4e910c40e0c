"""`wm status`: how a study goes."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.cli.options import LOOK, Json, Only, Prefix, Runs, Study, console, plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from studies.store import StoredRun, StudyDir
    from studies.survey import Seen

_COLOURS = {"done": "green", "failed": "red", "lost": "red", "diverged": "magenta", "running": "cyan"}
_MAX_ROWS = 40
_WATCH_SECONDS = 2.0


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command(rich_help_panel=LOOK)(status)


def status(
    study: Study,
    only: Only = None,
    run_: Prefix = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew every two seconds.")] = False,
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Shows how a study goes: a matrix of designs and tasks, runs that are not done, grouped failures."""
    from studies import store
    from studies.survey import survey

    opened = store.open_study(study, store.runs_root(runs), strict=runs is not None)
    chosen = store.select(opened.planned, only or [], run_ or [])
    if json_:
        _print_json(opened, survey(chosen))
    elif watch:
        with suppress(KeyboardInterrupt):
            _watch(opened, chosen)
    else:
        console().print(_overview(opened, survey(chosen)))


def _watch(study: StudyDir, runs: list[StoredRun]) -> None:
    """Shows the overview anew until nothing is left to do."""
    from rich.live import Live

    from studies.status import CONTINUED
    from studies.survey import survey

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            seen = survey(runs)
            live.update(_overview(study, seen), refresh=True)
            if not any(one.condition.name in CONTINUED | {"running"} for one in seen):
                return
            time.sleep(_WATCH_SECONDS)


def _print_json(study: StudyDir, seen: list[Seen]) -> None:
    import json

    from harness.rundir import RunDir

    rows = []
    for one in seen:
        state = RunDir(one.run.path).read_state()
        row: dict[str, Any] = {
            name: getattr(one.run, name) for name in ("id", "hex", "design", "task", "seed")
        }
        row |= {"state": one.condition.name, "kind": one.condition.kind, "note": one.condition.note}
        progress = ("attempt", "phase", "iteration", "iterations", "env_steps", "grad_steps", "progress")
        for name in (*progress, "last_return", "heartbeat"):
            row[name] = getattr(state, name) if state else None
        rows.append(row | {"path": str(one.run.path), "reused_from": one.run.reused_from})
    counts = Counter(one.condition.name for one in seen)
    print(json.dumps({"study": study.name, "path": str(study.path), "counts": counts, "runs": rows}))


def _overview(study: StudyDir, seen: list[Seen]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from studies import dispatch
    from studies.matrix import row_names, varying
    from studies.status import FINISHED

    names = row_names([one.run for one in seen])
    parts: list[RenderableType] = [
        Text(f"{study.name}, {dispatch.counts(seen)}", style="bold"),
        _matrix(seen, names),
    ]
    if differing := varying((one.run for one in seen), names):
        parts.append(Text(f"within a row vary {differing}"))
    rows = [one for one in seen if one.condition.name not in FINISHED | {"pending", "failed"}]
    if rows:
        parts += [Text(), _rows(rows)]
    for message, members in dispatch.group_failures(seen):
        number = f"{len(members)} runs, same error" if len(members) > 1 else "1 run"
        ids = ", ".join(one.run.hex for one in members[:5]) + (", ..." if len(members) > 5 else "")
        parts += [
            Text(),
            Text(f"{number}: {message}", style="red"),
            Text(f"  {ids};  wm logs {members[0].run.hex}"),
        ]
    return Group(*parts)


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
            for state in ("diverged", "running", "preempted", "lost", "failed"):
                if count[state]:
                    text.append(f", {count[state]} {state}", style=_COLOURS.get(state, "yellow"))
            row.append(text)
        table.add_row(*row)
    return table


def _rows(seen: list[Seen]) -> RenderableType:
    from rich.text import Text

    from harness.rundir import RunDir

    table = plain_table("run", "state", "phase", "iteration", "return", "")
    for one in seen[:_MAX_ROWS]:
        state = RunDir(one.run.path).read_state()
        score = f"{state.last_return:.1f}" if state and state.last_return is not None else ""
        name = Text(str(one.condition), style=_COLOURS.get(one.condition.name, "yellow"))
        where = f"{state.iteration}/{state.iterations}" if state and state.iterations else ""
        table.add_row(one.run.id, name, state.phase if state else "", where, score, one.condition.note)
    if len(seen) > _MAX_ROWS:
        table.add_row(f"and {len(seen) - _MAX_ROWS} more", "", "", "", "", "")
    return table
