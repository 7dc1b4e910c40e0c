"""`wm plan STUDY... --for CLAIM`: the runs that a claim or a figure needs and that are not done."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.cli.costs import show_hours
from studies.cli.options import console, plain_table, say

if TYPE_CHECKING:
    from studies.needed import Needed
    from studies.plan import Plan
    from studies.store import StoredRun

_DONE = {"done", "diverged"}


def show_needs(
    wanted: Sequence[str],
    arguments: Sequence[str],
    overrides: Sequence[str],
    only: list[str],
    prefixes: list[str],
    runs: Path | None,
    *,
    as_json: bool,
) -> None:
    """Prints what claims or figures need, what of it is not done, its cost, and the command that does it.

    Args:
        wanted: texts of `--for`.
        arguments: the studies, as they were named.
        overrides: of their fields, for files.
        only: of `--only`.
        prefixes: of `--run`.
        runs: of `--runs`.
        as_json: as one JSON object in place of text.
    """
    from studies import cost, store
    from studies.needed import names_in, needed
    from studies.plan import read_plan, run_states, simulated_warning

    names = names_in(wanted)
    root = store.runs_root(runs)
    plans = [read_plan(text, root, overrides, strict=runs is not None) for text in arguments]
    for told in filter(None, map(simulated_warning, plans)):
        say(told)
    found = needed(names, plans, arguments)
    together = list({run.id: run for one in found for run in one.runs}.values())
    chosen = store.select(together, only, prefixes) if together else []
    states = run_states(chosen)
    price = cost.estimate(chosen, states)
    called = dict(zip((plan.name for plan in plans), arguments, strict=True))
    called |= {
        run.study: source.argument for one in found for source in one.others for run in source.runs[:1]
    }
    left = cost.left(chosen, states)
    commands = _commands(
        left, called, [*overrides, "--for", ",".join(names), *_selection(only, prefixes, runs)]
    )
    if as_json:
        _print_json(found, chosen, states, price, commands)
        return
    for one in found:
        _show(one, {run.id for run in chosen}, states, plans)
    if left:
        _show_left(left, states, several=len({run.study for run in chosen}) > 1)
        show_hours(price, None)
    _show_next(found, left, states, commands, arguments)


def _selection(only: Sequence[str], prefixes: Sequence[str], runs: Path | None) -> list[str]:
    """The options that selected runs, as they are written."""
    chosen = [part for text in only for part in ("--only", text)]
    chosen += [part for text in prefixes for part in ("--run", text)]
    return [*chosen, *(["--runs", str(runs)] if runs is not None else [])]


def _commands(left: Iterable[StoredRun], called: dict[str, str], rest: Sequence[str]) -> list[str]:
    """What runs the rest, a command a study."""
    names = dict.fromkeys(called.get(run.study, run.study) for run in left)
    return [shlex.join(["wm", "run", name, *rest]) for name in names]


def _print_json(
    found: Sequence[Needed],
    chosen: Sequence[StoredRun],
    states: dict[str, str],
    price: dict[str, Any],
    commands: Sequence[str],
) -> None:
    kept = {run.id for run in chosen}
    names = ("id", "study", "design", "task", "seed")
    needs = []
    for one in found:
        runs = [run for run in one.runs if run.id in kept]
        missing = [run for run in runs if states[run.hex] not in _DONE]
        rows = [{name: getattr(run, name) for name in names} | {"state": states[run.hex]} for run in missing]
        needs.append(
            {
                "for": one.name,
                "title": one.title,
                "runs": len(runs),
                "done": len(runs) - len(missing),
                "missing": rows,
                "lacking": list(one.lacking),
                "others": [source.argument for source in one.others],
            }
        )
    print(json.dumps({"needs": needs, "cost": price, "next": list(commands)}))


def _show(one: Needed, kept: set[str], states: dict[str, str], plans: Sequence[Plan]) -> None:
    """A claim or figure in a few lines."""
    print(f"{one.name}: {one.title}")
    runs = [run for run in one.runs if run.id in kept]
    done = sum(states[run.hex] in _DONE for run in runs)
    own = [plan.name for plan in plans]
    beside = f", with {' and '.join(source.argument for source in one.others)}" if one.others else ""
    made_up = sum(states[run.hex] == "simulated" for run in runs)
    told = f"{done} done, {len(runs) - done} not" + (f" ({made_up} simulated)" if made_up else "")
    print(f"  needs {_count(len(runs), 'run')} of {' and '.join(own)}{beside}: {told}")
    for text in one.lacking:
        print(f"  lacking in the plan: {text}")
    print()


def _show_left(left: Sequence[StoredRun], states: dict[str, str], *, several: bool) -> None:
    """The seeds that are not done: designs down, tasks across."""
    from rich.text import Text

    from studies.matrix import row_names

    names = row_names(left)
    cells: dict[tuple[str, str], dict[str, dict[str, list[int]]]] = {}
    for run in left:
        cell = cells.setdefault((names[run.hex], run.study), {}).setdefault(run.task, {})
        cell.setdefault(states[run.hex], []).append(run.seed)
    tasks = list(dict.fromkeys(run.task for run in left))
    table = plain_table("seeds not done", *(["study"] if several else []), *tasks)
    for (design, study), row in cells.items():
        shown = (Text(_cell(row.get(task, {}))) for task in tasks)
        table.add_row(Text(design), *([study] if several else []), *shown)
    console().print(table)


def _cell(seeds: dict[str, list[int]]) -> str:
    """`0-2, failed 3`: the seeds of each state."""
    words = [f"{'' if state == 'pending' else f'{state} '}{_ranges(of)}" for state, of in seeds.items()]
    return ", ".join(words) or "-"


def _ranges(seeds: Iterable[int]) -> str:
    """`0-4, 7`."""
    parts: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)


def _show_next(
    found: Sequence[Needed],
    left: Sequence[StoredRun],
    states: dict[str, str],
    commands: Sequence[str],
    arguments: Sequence[str],
) -> None:
    if failed := sorted({run.study for run in left if states[run.hex].startswith("failed")}):
        print(f"\nsome of them failed: {' and '.join(f'wm retry {name}' for name in failed)}, then")
    for command in commands:
        print(f"\nnext: {command}\n  or: {command.replace('wm run', 'wm submit', 1)}")
    if not commands:
        lacking = any(one.lacking for one in found)
        names = [*arguments, *(source.argument for one in found for source in one.others)]
        report = shlex.join(["wm", "report", *dict.fromkeys(names)])
        print("nothing is left to run that the plans have" if lacking else f"all of it is done: {report}")
    if any(one.lacking for one in found):
        say(
            "note: what is lacking in the plan needs an edited study file, or a further study named beside it"
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
