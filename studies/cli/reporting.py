"""`wm report`: figures, tables, verdicts and the page, from run directories alone."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.figures.registry import FIGURES
from studies.cli.options import RESULTS, Runs, console, plain_table, say

if TYPE_CHECKING:
    from analysis.report import Progress
    from analysis.verify import Verification

_MANY = 12  # differences of a kind that are listed
BUNDLE = ".zip"
"""Ends the names of bundles, which stand for studies."""


class Width(StrEnum):
    """How wide figures are."""

    AUTO = "auto"
    COLUMN = "column"
    PAGE = "page"


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command(rich_help_panel=RESULTS)(report)


def _figure_names(given: list[str] | None) -> list[str] | None:
    """The names of `--figure`, several of them with commas; `help` lists them and ends."""
    names = [name.strip() for text in given or [] for name in text.split(",")]
    if "help" in names:
        table = plain_table("figure", "what it shows", "claims")
        for kind in FIGURES.values():
            table.add_row(kind.name, kind.help, ", ".join(kind.claims))
        console().print(table)
        raise typer.Exit
    return names


def report(
    study: Annotated[
        list[str],
        typer.Argument(metavar="STUDY...", help="Studies under RUNS, their files, or bundles (.zip)."),
    ],
    figure: Annotated[
        list[str] | None,
        typer.Option(
            "--figure",
            metavar="NAME",
            is_eager=True,
            callback=_figure_names,
            help=f"Only this figure; may be repeated; `help` says what each shows: {', '.join(FIGURES)}.",
        ),
    ] = None,
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="pdf|png|svg|pgf",
            help="Of the figures; may be repeated; by default pdf and png.",
        ),
    ] = None,
    width: Annotated[
        Width | None, typer.Option("--width", help="Of the figures: a column or a page of a paper.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Make the report again elsewhere, and say what differs from the one here."
        ),
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="FILE.zip",
            help="Write a bundle as well, from which the report can be made elsewhere.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to; by default report/ of the (first) study."),
    ] = None,
    runs: Runs = None,
) -> None:
    """Tests the claims and draws figures, tables and an HTML report, also of partial data.

    With --verify the exit status is 1 if anything differs.
    """
    from analysis.report import build_report

    _check(verify=verify, export=export, figures=figure or [], drawing=bool(format_ or width))
    paths = [_opened(name, runs) for name in study]
    if verify:
        _verify(paths, out, study, runs)
        return
    options = {"formats": _split(format_)} if format_ else {}
    with _progress() as progress:
        result = build_report(
            paths,
            out,
            figures=figure or [],
            width=(width or Width.AUTO).value,
            bundle=export,
            progress=progress,
            **options,
        )
    for text in (result.score_table, result.verdicts):
        if text:
            print(text.rstrip() + "\n")
    for note in result.notes:
        say(note)
    for path in result.figures if figure else [result.index]:
        print(f"{'figure' if figure else 'report'}: {path}")
    if export is not None:
        print(f"bundle: {export}")


def _check(*, verify: bool, export: Path | None, figures: Sequence[str], drawing: bool) -> None:
    """Refuses options that do not go together."""
    from harness.errors import UserError

    if verify and export is not None:
        raise UserError("--verify and --export are two requests: make them one after the other")
    if verify and (figures or drawing):
        raise UserError(
            "--verify makes the report again as it was made: leave --figure, --format and --width out"
        )
    if export is not None and figures:
        raise UserError("--export takes the whole report with it: leave --figure out")
    if export is not None and export.suffix != BUNDLE:
        raise UserError(
            f"--export {export}: name a file in {BUNDLE}, such as {export.name or 'study'}{BUNDLE}"
        )
    if export is not None and not export.absolute().parent.is_dir():
        raise UserError(f"--export {export}: there is no folder {export.absolute().parent}; make it first")


def _split(texts: Sequence[str]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",")]


def _opened(name: str, runs: Path | None) -> Path:
    """The study's directory, or the bundle; says where a study file is not what was dispatched."""
    from harness.errors import UserError
    from studies import store

    if name.endswith(BUNDLE):
        if not Path(name).is_file():
            raise UserError(f"no bundle {name}; `wm report STUDY --export {name}` makes it")
        return Path(name).absolute()
    opened = store.open_study(name, store.runs_root(runs), strict=runs is not None)
    _ = opened.planned  # a damaged plan is refused, not drawn
    if Path(name).is_file() and (told := _undispatched(Path(name), opened.study_file)):
        say(f"note: `report` of {name} differs from what was dispatched: {'; '.join(told)}. This report uses what was "
            f"dispatched; `wm run {name}` takes the file over, and the report then says what changed")  # fmt: skip
    return opened.path


def _undispatched(file: Path, dispatched: Path) -> list[str]:
    """What of `report` a study file says otherwise than the dispatched one."""
    from analysis.claims.stamp import differences
    from analysis.study import report_spec

    old, new = report_spec(dispatched), report_spec(file)
    if new is None:
        return ["it is not of this version of wm, or wrong"]
    return differences(old, new) if old is not None else []


def _verify(paths: Sequence[Path], out: Path | None, named: Sequence[str], runs: Path | None) -> None:
    """Says what differs; exit status 1 if anything does."""
    from analysis.verify import verify

    with _progress() as progress:
        found = verify(paths, out, progress=progress)
    for note in found.notes:
        say(f"note: {note}")
    for line in _told(found):
        print(line)
    checked = ", ".join(f"{number:,} {what}" for what, number in found.checked.items())
    if found.same:
        print(f"the same: {checked}; {found.report}")
        return
    print(f"{found.report} differs from the one made now (compared: {checked})")
    places = (("--out", out), ("--runs", runs))
    rest = [word for name, path in places if path is not None for word in (name, str(path))]
    say(f"make it anew with: {shlex.join(['wm', 'report', *named, *rest])}")
    raise typer.Exit(1)


def _told(found: Verification) -> Iterator[str]:
    for heading, lines in found.groups:
        yield f"{heading}:"
        yield from (f"  {line}" for line in lines[:_MANY])
        if len(lines) > _MANY:
            yield f"  and {len(lines) - _MANY} more"


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A bar on standard error, for long work; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    if not sys.stderr.isatty():
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        row = bar.add_task("", total=None)
        told: Callable[[str, int, int], None] = lambda what, done, total: bar.update(  # noqa: E731
            row, description=what, completed=done, total=total
        )
        yield told
