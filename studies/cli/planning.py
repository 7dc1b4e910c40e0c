"""`wm init`, `wm plan` and `wm schema`: before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.cli.costs import show_cost
from studies.cli.options import PLAN, Json, Only, Overrides, Prefix, Runs, Study, console, plain_table, say

if TYPE_CHECKING:
    from studies.difference import Difference
    from studies.language import Dropped
    from studies.plan import Plan
    from studies.store import StoredRun

_MANY = 12  # lines of a list that a person reads
_FEW = 3  # values within a line


def register(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command(rich_help_panel=PLAN)(init)
    app.command(rich_help_panel=PLAN)(plan)
    app.command(rich_help_panel=PLAN)(schema)


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The study's name; writes NAME.yaml here.")],
) -> None:
    """Writes a commented study to start from."""
    from studies.starter import write_starter

    path = write_starter(name, Path())
    say(f"wrote {path}; see what it runs with: wm plan {path}")


def plan(
    study: Study,
    overrides: Overrides = None,
    only: Only = None,
    run_: Prefix = None,
    for_: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="CLAIM|FIGURE",
            help="What this needs and what of it is not done, such as H4; may be repeated. Several studies may "
            "be named.",
        ),
    ] = None,
    runs: Runs = None,
    diff: Annotated[bool, typer.Option("--diff", help="Compare with what is on disk.")] = False,
    as_json: Json = False,
) -> None:
    """Shows what a study runs, what was dropped and why, and what it costs. Starts nothing, writes nothing."""
    from studies import cost, store
    from studies.difference import compare
    from studies.estimating import forecaster, shortfalls
    from studies.freeze import report_changes
    from studies.plan import read_plan, simulated_warning

    if for_:
        _plan_for(for_, [study, *(overrides or [])], only or [], run_ or [], runs, as_json=as_json, diff=diff)
        return
    found = read_plan(study, store.runs_root(runs), overrides or [], strict=runs is not None)
    chosen = store.select(found.runs, only or [], run_ or [])
    states = found.states()
    price = cost.estimate(chosen, states)
    difference = compare(found, states) if diff else None
    if told := simulated_warning(found):
        say(told)
    for warning in shortfalls(chosen, forecaster(found.home)):
        say(f"warning: {warning}")
    if as_json:
        _print_json(found, chosen, states, price, difference)
        return
    _show_matrix(found, chosen, states)
    _show_dropped(found)
    show_cost(price, study)
    if difference is not None:
        _show_difference(difference)
    for note in found.notes:
        say(f"note: {note}")
    if changed := report_changes(found):
        say(f"note: {changed}")
    _say_if_another_file(found)


def _plan_for(
    wanted: list[str],
    arguments: list[str],
    only: list[str],
    prefixes: list[str],
    runs: Path | None,
    *,
    as_json: bool,
    diff: bool,
) -> None:
    """What claims or figures need of one or several studies; the arguments without `=` are studies."""
    from harness.errors import UserError
    from studies.cli.needs import show_needs

    if diff:
        raise UserError("--diff compares a whole plan with what is on disk: leave --for out")
    named = [text for text in arguments if "=" not in text or Path(text).is_file()]
    overrides = [text for text in arguments if text not in named]
    show_needs(wanted, named, overrides, only, prefixes, runs, as_json=as_json)


def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail unless the file is current.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the file (in a checkout).")] = False,
) -> None:
    """Prints the JSON Schema of study files, for editors."""
    from harness.errors import UserError
    from studies.schema import SCHEMA_FILE, schema_text

    text = schema_text()
    if write:
        SCHEMA_FILE.write_text(text)
        say(f"wrote {SCHEMA_FILE}")
    elif check:
        if not SCHEMA_FILE.exists() or SCHEMA_FILE.read_text() != text:
            raise UserError(f"{SCHEMA_FILE} is not current: wm schema --write")
        say(f"{SCHEMA_FILE} is current")
    else:
        sys.stdout.write(text)


def _print_json(
    found: Plan,
    chosen: list[StoredRun],
    states: dict[str, str],
    price: dict[str, Any],
    difference: Difference | None,
) -> None:
    from dataclasses import asdict

    names = ("id", "design", "task", "seed")
    rows = [
        {name: getattr(run, name) for name in names} | {"state": states[run.hex], "config": run.config}
        for run in chosen
    ]
    dropped = [{"cell": cell.cell, "reason": cell.reason} for cell in found.dropped]
    content: dict[str, Any] = {
        "study": found.name,
        "runs": rows,
        "dropped": dropped,
        "cost": price,
    }
    if difference is not None:
        content["diff"] = asdict(difference)
    print(json.dumps(content))  # in one piece: json.dump writes 10,000 runs word by word
    for note in found.notes:
        say(f"note: {note}")


def _show_matrix(found: Plan, chosen: list[StoredRun], states: dict[str, str]) -> None:
    """Designs and their forms down, tasks across: how many runs, and how many of them are done."""
    from rich.text import Text

    from studies.matrix import row_names, varying

    names = row_names(chosen)
    cells: dict[tuple[str, str], list[StoredRun]] = {}
    for run in chosen:
        cells.setdefault((names[run.hex], run.task), []).append(run)
    tasks = list(dict.fromkeys(task for _, task in cells))
    seeds = {run.seed for run in chosen}
    print(f"{found.name}: {_count(len(chosen), 'run')}, {_count(len(seeds), 'seed')}\n")
    table = plain_table("runs", *tasks)
    for name in dict.fromkeys(name for name, _ in cells):
        row = [cells.get((name, task), []) for task in tasks]
        table.add_row(Text(name), *(_cell(members, states) for members in row))
    console().print(table)
    if differing := varying(chosen, names):
        print(f"within a row vary {differing}")


def _cell(members: list[StoredRun], states: dict[str, str]) -> str:
    done = sum(states[run.hex] in {"done", "diverged"} for run in members)
    made_up = sum(states[run.hex] == "simulated" for run in members)
    told = [f"{count} {word}" for count, word in ((done, "done"), (made_up, "simulated")) if count]
    return f"{len(members)}" + (f" ({', '.join(told)})" if told else "") if members else "-"


def _show_dropped(found: Plan) -> None:
    """A line for each reason: how many cells, where the file says it, and the values that it is about."""
    groups: dict[str, list[Dropped]] = {}
    for dropped in found.dropped:
        groups.setdefault(dropped.reason, []).append(dropped)
    if groups:
        print()
    for reason, cells in groups.items():
        details = list(dict.fromkeys(cell.place for cell in cells if cell.place))[:_FEW]
        for name in dict.fromkeys(name for cell in cells for name in cell.matter):
            values = list(dict.fromkeys(str(cell.matter[name]) for cell in cells if name in cell.matter))
            if len(values) > 1 or f"{name} {values[0]}" not in reason:
                rest = f", ... ({len(values)} in all)" if len(values) > _FEW else ""
                details.append(f"{name}: {', '.join(values[:_FEW])}{rest}")
        where = f" [{'; '.join(details)}]" if details else ""
        print(f"dropped {_count(len(cells), 'cell')}: {reason}{where}")


def _show_difference(difference: Difference) -> None:
    print("\ncompared with what is on disk")
    counts = ("new", "done", "open", "stale", "orphaned", "renamed")
    print("  " + ", ".join(f"{len(getattr(difference, name))} {name}" for name in counts))
    for old, new in difference.stale[:_MANY]:
        print(f"  stale: {old}, now {new}")
    for name in difference.orphaned[:_MANY]:
        print(f"  orphaned: {name}")
    for old, new in difference.renamed[:_MANY]:
        print(f"  renamed: {old}, now {new}")
    for change in difference.changed[:_MANY]:
        print(f"  changed: {change} ({_count(change.runs, 'run')})")
    for change in difference.unused[:_MANY]:
        print(f"  changed, same id: {change} ({_count(change.runs, 'run')})")


def _say_if_another_file(found: Plan) -> None:
    from harness.errors import UserError
    from studies.freeze import refuse_other_file

    try:
        if found.study is not None:
            refuse_other_file(found)
    except UserError as error:
        say(f"note: {error}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
