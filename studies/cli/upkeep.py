"""`wm clean` and `wm doctor`: what is no longer needed, and what is missing."""

from __future__ import annotations

from typing import Annotated

import typer

from studies.cli.options import UPKEEP, Runs, Study, console, plain_table, say
from studies.findings import Finding

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


def doctor(
    job: Annotated[
        bool, typer.Option("--job", help="Also examine a node of the cluster, by a small job there.")
    ] = False,
    runs: Runs = None,
) -> None:
    """Checks Python, libraries, rendering, GPU, disk, clock and SLURM; says what to do about each failure."""
    from studies import store
    from studies.doctor import examine

    root = store.runs_root(runs)
    broken = sum(_show(finding) for finding in examine(root))
    if job:
        from studies.cluster.profile import load_profile
        from studies.cluster.slurm import Slurm
        from studies.doctor_node import examine_node

        broken += sum(_show(finding) for finding in examine_node(root, Slurm(), load_profile()))
    print("something that is needed is broken" if broken else "all that is needed works")
    raise typer.Exit(int(broken > 0))


def _show(finding: Finding) -> bool:
    """Prints a finding; returns whether something that is needed is broken."""
    from rich.text import Text

    out = console()
    serious = not finding.ok and finding.needed
    mark, style = ("ok  ", "green") if finding.ok else ("FAIL", "red") if serious else ("note", "yellow")
    out.print(Text(mark, style=style), Text(f"{finding.name}: {finding.detail}"), soft_wrap=True)
    if not finding.ok and finding.remedy:
        out.print(Text(f"       remedy: {finding.remedy}"), soft_wrap=True)
    return serious
