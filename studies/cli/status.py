"""`wm status`: how a study goes."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.cli.options import LOOK, Json, Only, Prefix, Runs, Study, console

if TYPE_CHECKING:
    from studies.cluster.facts import Schedulers
    from studies.store import StoredRun, StudyDir
    from studies.survey import Look

_WATCH_SECONDS = 2.0
_OF_CONDITION = ("kind", "note", "queued", "job", "reason", "confirmed")
_OF_STATE = (
    "attempt",
    "phase",
    "iteration",
    "iterations",
    "env_steps",
    "grad_steps",
    "progress",
    "last_return",
    "heartbeat",
)
_ASK_SECONDS = 15.0
"""How often `--watch` asks a scheduler, which many users share."""


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
    """Shows how a study goes: a matrix of designs and tasks, the queue, runs that are not done, grouped failures."""
    from studies import store
    from studies.cli.overview import overview
    from studies.cluster.facts import Schedulers
    from studies.survey import look

    opened = store.open_study(study, store.runs_root(runs), strict=runs is not None)
    chosen = store.select(opened.planned, only or [], run_ or [])
    if json_:
        schedulers = Schedulers()
        _print_json(opened, look(chosen, schedulers), schedulers)
    elif watch:
        with suppress(KeyboardInterrupt):
            _watch(opened, chosen)
    else:
        schedulers = Schedulers()
        found = look(chosen, schedulers)
        console().print(overview(opened, found, schedulers, console().width))


def _watch(study: StudyDir, runs: list[StoredRun]) -> None:
    """Shows the overview anew until nothing is left to do; a scheduler is asked less often than files are read."""
    from rich.live import Live

    from studies.cli.overview import overview
    from studies.cluster.facts import Schedulers
    from studies.status import CONTINUED
    from studies.survey import look

    schedulers = Schedulers(_ASK_SECONDS)
    with Live(console=console(), auto_refresh=False) as live:
        while True:
            found = look(runs, schedulers)
            live.update(overview(study, found, schedulers, console().width), refresh=True)
            left = CONTINUED | {"running"}
            if not any(one.condition.queued or one.condition.name in left for one in found.seen):
                return
            time.sleep(_WATCH_SECONDS)


def _print_json(study: StudyDir, found: Look, schedulers: Schedulers) -> None:
    import json

    from studies.cluster.outlook import abandoned, as_json

    rows = []
    for one in found.seen:
        row: dict[str, Any] = {
            name: getattr(one.run, name) for name in ("id", "hex", "design", "task", "seed")
        }
        row |= {"state": one.condition.name} | {name: getattr(one.condition, name) for name in _OF_CONDITION}
        for name in _OF_STATE:
            row[name] = getattr(one.state, name) if one.state else None
        rows.append(row | {"path": str(one.run.path), "reused_from": one.run.reused_from})
    counts = Counter(one.condition.name for one in found.seen)
    content = {
        "study": study.name,
        "path": str(study.path),
        "counts": counts,
        "simulated": study.is_simulated,
    }
    scheduler = as_json(study, found)
    left = abandoned(study, study.planned, lambda executor: schedulers.queue(executor, 0.0))
    scheduler["unplanned"] = list(left.tasks) if left else []
    print(json.dumps(content | {"scheduler": scheduler, "runs": rows}))
