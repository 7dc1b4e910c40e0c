"""`wm clean` and `wm doctor`: what is no longer needed, and what is missing."""

from __future__ import annotations

from typing import Annotated

import typer

from studies.cli.options import UPKEEP, Runs, Study, console, plain_table, say

_MAX_ROWS = 40


def register(app: typer.Typer) -> None:
    """Adds the verbs to the command line."""
    app.command(rich_help_panel=UPKEEP)(clean)
    app.command(rich_help_panel=UPKEEP)(doctor)


def clean(
    study: Study,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also checkpoints of finished runs.")
    ] = False,
    frames: Annotated[
        bool, typer.Option("--frames", help="Also training episodes of finished runs.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only say what would go.")] = False,
    runs: Runs = None,
) -> None:
    """Shows what a study no longer needs (runs of no plan), and deletes it with --yes."""
    from rich.markup import escape

    from studies import retrying, store

    opened = store.open_study(study, store.runs_root(runs), strict=runs is not None)
    found = retrying.rubbish(opened, checkpoints=checkpoints, frames=frames)
    if not found:
        say("nothing to delete")
        return
    table = plain_table("path", "MB", "why")
    for item in found[:_MAX_ROWS]:
        table.add_row(escape(str(item.path.relative_to(opened.path))), f"{item.bytes / 1e6:.1f}", item.why)
    if len(found) > _MAX_ROWS:
        table.add_row(f"and {len(found) - _MAX_ROWS} more", "", "")
    console().print(table)
    total = sum(item.bytes for item in found) / 1e6
    if yes:
        retrying.delete(found)
        say(f"deleted {len(found)}, {total:.1f} MB")
    else:
        say(f"{len(found)}, {total:.1f} MB; nothing was deleted: add --yes to delete them")


def doctor(runs: Runs = None) -> None:
    """Checks Python, libraries, rendering, GPU, disk and clock; says what to do about each failure."""
    from rich.text import Text

    from studies import store
    from studies.doctor import examine

    out = console()
    broken = 0
    for finding in examine(store.runs_root(runs)):
        serious = not finding.ok and finding.needed
        broken += serious
        mark, style = ("ok  ", "green") if finding.ok else ("FAIL", "red") if serious else ("note", "yellow")
        out.print(Text(mark, style=style), Text(f"{finding.name}: {finding.detail}"), soft_wrap=True)
        if not finding.ok and finding.remedy:
            out.print(Text(f"       remedy: {finding.remedy}"), soft_wrap=True)
    print("something that is needed is broken" if broken else "all that is needed works")
    raise typer.Exit(int(broken > 0))
