"""`wm simulate`: studies with effects that were put in, on disk or again and again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.errors import UserError
from studies.cli.options import PLAN, Json, Only, Runs, console, plain_table, say

if TYPE_CHECKING:
    from analysis.claims.spec import ClaimSpec
    from analysis.simulate.effects import Effects
    from analysis.simulate.power import Power
    from studies.simulating import Simulated

ALL = "all"
_SMALL = 40
"""Runs to write, or studies to draw, below which further processes do not pay."""


def register(app: typer.Typer) -> None:
    """Adds the verb to the command line."""
    app.command(rich_help_panel=PLAN)(simulate)


def simulate(
    study: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY... [K=V]...",
            help="Study files, or studies under RUNS; then effects, such as images=0.1, or H4=true (false, null, "
            "undetectable) for what makes a claim so.",
        ),
    ],
    effects: Annotated[
        Path | None, typer.Option("--effects", metavar="FILE", help="YAML of effects; K=V come on top.")
    ] = None,
    list_effects: Annotated[  # noqa: ARG001 - its callback answers
        bool,
        typer.Option(
            "--list-effects",
            callback=_list_effects,
            is_eager=True,
            help="Print the effects and their defaults.",
        ),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Write the runs to RUNS/NAME; of several studies to RUNS/NAME-STUDY.",
        ),
    ] = None,
    power: Annotated[
        str | None,
        typer.Option(
            "--power", metavar="CLAIM", help="How often H1 to H11, or all of them, get each verdict."
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="N,...", help="Numbers of seeds to try with --power.")
    ] = "3,5,10,20",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Studies drawn for each of them.")] = 200,
    level: Annotated[
        float | None,
        typer.Option("--level", help="Coverage of the intervals that decide, in place of the study's."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws: equal seeds, equal numbers.")] = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default one a core.")
    ] = None,
    forecasts: Annotated[
        bool, typer.Option("--forecasts/--no-forecasts", help="Whether to write forecasts for pictures.")
    ] = True,
    only: Only = None,
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Makes up the results of a study, with effects that are known: to test a report, or to plan how many seeds a
    claim needs. Nothing is trained, and what is written is marked as simulated.
    """
    from analysis.simulate.effects import read_effects
    from studies import store
    from studies.simulating import planned

    names = [text for text in study if "=" not in text]
    given = [text for text in study if "=" in text]
    if not names:
        raise UserError("wm simulate needs a STUDY: a study file, or a study under RUNS")
    if (name is None) == (power is None):
        raise UserError(
            "say what for: --name NAME writes simulated runs to RUNS/NAME, --power H4 says how many seeds it takes"
        )
    root = store.runs_root(runs)
    put_in = read_effects(given, effects)
    found = planned(names, root, name, only or [], strict=runs is not None)
    cores = len(os.sched_getaffinity(0)) if workers is None else workers
    if power is not None:
        asked = {"seeds": _numbers(seeds), "repeats": repeats, "level": level, "seed": seed}
        _power(found, put_in, power, asked, cores, json_=json_)
    else:
        _write(found, put_in, seed, cores, pictures=forecasts, json_=json_)


def _numbers(text: str) -> list[int]:
    try:
        found = sorted({int(word) for word in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise UserError(f"--seeds {text}: write numbers of seeds, such as 3,5,10")
    return found


def _write(
    found: Simulated, effects: Effects, seed: int, workers: int, *, pictures: bool, json_: bool
) -> None:
    import json

    from analysis.inference.estimate import generator
    from analysis.simulate.effects import as_mapping
    from analysis.simulate.world import draw
    from analysis.simulate.writing import refuse_existing, write_studies

    refuse_existing(found.studies)
    world = found.world()
    drawn = draw(world, effects, generator("simulate", seed))
    mark = {"seed": seed, "plans": list(found.sources), "effects": dict(as_mapping(effects))}
    count = sum(len(study.runs) for study in found.studies)
    with _progress(count) as progress:
        write_studies(
            world,
            drawn,
            found.files,
            mark,
            pictures=pictures,
            workers=workers if count >= _SMALL else 1,
            progress=progress,
        )
    paths = [str(study.path) for study in found.studies]
    if json_:
        print(json.dumps({"simulated": True, "runs": count, "studies": paths, **mark}))
        return
    print(f"{count} simulated runs: {', '.join(paths)}")
    say(f"wm report {' '.join(study.name for study in found.studies)} draws them")


def _power(
    found: Simulated, effects: Effects, claim: str, asked: dict[str, Any], workers: int, *, json_: bool
) -> None:
    import json

    from analysis.simulate.power import Question, lacking, power

    specs = _specs(found, claim, asked["level"])
    question = Question(found.studies, effects, specs, asked["seed"])
    if claim == ALL:
        missing = {name: lacking(question, name) for name in specs}
        for name, words in missing.items():
            if words:
                say(f"{name} is left out: the plan lacks {'; '.join(words)}")
        specs = {name: spec for name, spec in specs.items() if not missing[name]}
        if not specs:
            raise UserError(f"no claim can be tested on {' and '.join(found.sources)}")
        question = Question(found.studies, effects, specs, asked["seed"])
    total = len(asked["seeds"]) * asked["repeats"]
    with _progress(total) as progress:
        result = power(
            question,
            asked["seeds"],
            asked["repeats"],
            workers=workers if total >= _SMALL else 1,
            progress=progress,
        )
    if json_:
        print(json.dumps([_row(one) for one in result]))
        return
    print(_put_in(effects))
    for name, spec in specs.items():
        _print(name, spec, [one for one in result if one.claim == name])


def _put_in(effects: Effects) -> str:
    """What the draws assume."""
    import textwrap

    from analysis.simulate.effects import as_mapping

    told = ", ".join(f"{name} {value}" for name, value in as_mapping(effects).items() if value)
    text = f"assumed: {told}; the others are 0 (wm simulate --list-effects explains them)"
    return textwrap.fill(text, 96, subsequent_indent=" " * 9) + "\n"


def _list_effects(asked: bool) -> None:
    """Prints every effect with its default, and ends."""
    if not asked:
        return
    from analysis.simulate.effects import Effects

    table = plain_table("effect", "default", "what it is")
    for name, field in Effects.model_fields.items():
        table.add_row(name, str(field.default), field.description or "")
    console().print(table)
    raise typer.Exit


def _specs(found: Simulated, claim: str, level: float | None) -> dict[str, ClaimSpec]:
    """The thresholds of the claims that are asked for, as the first study that declares them has them."""
    from pydantic import ValidationError

    from analysis.claims.spec import CLAIMS
    from harness.registry import suggest

    if claim != ALL and claim not in CLAIMS:
        raise UserError(f"--power {claim}: no such claim{suggest(claim, CLAIMS)}; write H1 to H11, or all")
    specs = [study.spec for study in found.studies]
    chosen = {}
    for name in CLAIMS if claim == ALL else (claim,):
        declaring = [spec for spec in specs if getattr(spec.claims, name) is not None]
        options = (declaring or specs)[0].options(name)
        try:
            changed = options.model_dump() | ({} if level is None else {"level": level})
            chosen[name] = type(options).model_validate(changed)
        except ValidationError as error:
            raise UserError(f"--level {level}: {error.errors()[0]['msg']}") from None
    return chosen


def _row(one: Power) -> dict[str, Any]:
    low, high = one.interval()
    row: dict[str, Any] = {"claim": one.claim, "seeds": one.seeds, "repeats": one.repeats}
    row |= {"counts": dict(one.counts), "supported": one.rate(), "low": low, "high": high}
    return row | ({"why": one.why} if one.why else {})


def _print(claim: str, spec: ClaimSpec, found: Sequence[Power]) -> None:
    from analysis.claims.findings import HYPOTHESES
    from analysis.simulate.power import ENOUGH, VERDICTS, enough

    print(f"{claim}  {HYPOTHESES[claim].title}, {found[0].repeats} simulated studies, level {spec.level:g}")
    shown = [name for name in VERDICTS if any(one.counts.get(name) for one in found)]
    table = plain_table("seeds", *shown)
    for one in found:
        cells = []
        for verdict in shown:
            low, high = one.interval(verdict)
            cells.append(f"{one.rate(verdict):.1%} [{low:.1%}, {high:.1%}]")
        table.add_row(str(one.seeds), *cells)
    console().print(table)
    least = enough(found, claim)
    tried = ", ".join(str(one.seeds) for one in found)
    print(
        f"{least} seeds are the fewest of {tried} with which {ENOUGH:.0%} of the studies support it"
        if least is not None
        else f"with none of {tried} seeds do {ENOUGH:.0%} of the studies support it"
    )
    reason = next((one.why for one in found if one.why), "")
    if reason:
        print(f"not testable: {reason}")
    print()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    to = Console(stderr=True, highlight=False)
    with Progress(*columns, console=to, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
