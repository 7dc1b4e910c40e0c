"""Simulated studies of which something is taken away, and what must hold of everything that a report makes of them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.text import Text

from analysis.claims.spec import CLAIMS
from analysis.claims.table import claims_json
from analysis.claims.table import numbers as of_claims
from analysis.claims.verdicts import has_interval
from analysis.completeness import notes, sentence
from analysis.drawing import Saved
from analysis.figures.registry import FIGURES
from analysis.frames import RunData, run_data
from analysis.inference.estimate import generator
from analysis.load import Results, assembled
from analysis.manifest import manifest
from analysis.material import Material
from analysis.numbers import numbers, tex
from analysis.page.build import page
from analysis.records import Records
from analysis.simulate.effects import Effects
from analysis.simulate.reached import Reached, arrays, reached
from analysis.simulate.records import records
from analysis.simulate.rundirs import START, state_of
from analysis.simulate.world import World, draw
from analysis.study import PlannedRun, Study
from analysis.tabled import make_tables
from analysis.tables import latex, markdown
from tests.analysis.simulate.plans import paper

ALL = ("online", "offline", "dose_response", "sharing", "capacity", "planner", "cross_training")
TASKS = ("dmc/cartpole-swingup", "dmc/cheetah-run")
SEEDS = 3
HORIZON = 3
SMALL: dict[str, Any] = {
    "train": {"episodes": 12},
    "evaluation": {"every": 1, "episodes": 1, "final_episodes": 2, "horizon": HORIZON},
}
Chosen = Callable[[PlannedRun], bool]
Change = Callable[[PlannedRun, Reached], Reached | None]
"""What a run reached in place of that; None: it was not begun."""


@dataclass(frozen=True)
class Case:
    """Studies, and what is on disk of their runs, by directory."""

    studies: tuple[Study, ...]
    data: Mapping[Path, RunData]

    def results(self) -> Results:
        """As `load` would read them; what is on disk can be used again."""
        return assembled(self.studies, {path: _copy(data) for path, data in self.data.items()})

    def planning(self, kept: Chosen) -> Case:
        """A plan of fewer runs; studies without any are left out."""
        studies = [replace(s, runs=tuple(run for run in s.runs if kept(run))) for s in self.studies]
        return replace(self, studies=tuple(study for study in studies if study.runs))

    def changing(self, change: Change) -> Case:
        """The same plan, of which runs reached something else."""
        once = {run.path: run for study in self.studies for run in study.runs}
        return replace(
            self, data={path: _changed(run, change, self.data[path]) for path, run in once.items()}
        )


def _copy(data: RunData) -> RunData:
    return RunData(data.facts | {"notes": list(data.facts["notes"])}, data.rows, dict(data.columns))


NOTHING = run_data(Records({}, "none"), None, [])


def _changed(run: PlannedRun, change: Change, data: RunData) -> RunData:
    old = _reached()[run.id]
    new = change(run, old)
    return data if new is old else NOTHING if new is None else _made(run.id, new)


def _made(id_: str, found: Reached) -> RunData:
    config = _world().configs[id_]
    kinds = records(config, found, generator("ablated", id_))
    return run_data(Records(kinds, "none"), state_of(id_, config, found), [START])


@functools.cache
def _world() -> World:
    studies = paper(*ALL).studies
    return World.of([replace(study, runs=tuple(_small(study))) for study in studies])


def _small(study: Study) -> list[PlannedRun]:
    chosen = [run for run in study.runs if run.task in TASKS and run.seed < SEEDS]
    return [replace(run, config=_over(run.config, SMALL)) for run in chosen]


def _over(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, **{name: {**content[name], **fields} for name, fields in changes.items()}}


@functools.cache
def _reached() -> dict[str, Reached]:
    world = _world()
    drawn = draw(world, Effects(), generator("ablated"))
    found = arrays(world, drawn)
    return {run: reached(world, drawn, found, i) for i, run in enumerate(world.frame["run"])}


@functools.cache
def _data(id_: str) -> RunData:
    return _made(id_, _reached()[id_])


@functools.cache
def whole(*names: str) -> Case:
    """Shipped studies on two tasks and three seeds, every run done."""
    studies = tuple(
        study for study in _world().studies if study.name in {paper(n).studies[0].name for n in names}
    )
    return Case(studies, {run.path: _data(run.id) for study in studies for run in study.runs})


# -- what holds of everything that is made of results


_NOT_A_NUMBER = re.compile(r"(?<![\w-])(nan|inf|NaN|None|−inf|-inf)(?![\w-])")
_SEEDS_A_CELL = re.compile(
    r"(\d+)(?: to (\d+))? seeds? (?:a|per) cell|seeds \((\d+)(?: to (\d+))? seeds? a cell\)"
)
"""As captions count seeds."""


class Pages(HTMLParser):
    """Refuses a page whose tags do not match."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr", "source", "col", "area", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self.open
        assert self.open.pop() == tag, self.getpos()


def readable(text: str, where: object) -> None:
    """No number that is none, as a word."""
    assert not (found := _NOT_A_NUMBER.search(text)), (
        where,
        text[max(0, found.start() - 60) : found.end() + 60],
    )


def drawn(material: Material) -> list[Saved]:
    """Every figure that has something to show, checked; in place of its files one that is empty."""
    found = []
    for kind in FIGURES.values():
        for each in kind.draw(material):
            check_figure(each, material)
            found.append(Saved(kind, each, [Path("x.csv"), Path("x.png")]))
    assert len({each.drawn.name for each in found}) == len(found)
    return found


def check_figure(each: Any, material: Material) -> None:
    """Its words are readable, and its points are of runs that there are."""
    readable(each.caption, each.name)
    for text in each.figure.findobj(Text):
        readable(text.get_text(), each.name)
    data, runs = each.data, material.results.runs
    assert len(data), each.name
    assert len(each.caption) > 40, each.name
    if {"low", "high"} <= set(data):
        ends = np.isfinite(data[["low", "high"]].astype(float))
        known = data[np.asarray(ends.all(axis=1))]
        assert (known["low"].astype(float) <= known["high"].astype(float)).all(), each.name
        said = re.search(r"\d+ % (?:interval|Student|BCa)", each.caption)
        assert len(known) or not said or each.name == "correlation_map", (each.name, each.caption)
    if "seed" in data:
        assert set(data["seed"].dropna().astype(int)) <= {*runs["seed"], -1}, each.name
    if {"n", "task"} <= set(data) and each.name not in {"correlation_map", "factorial", "claims"}:
        seeds = runs["seed"].nunique()
        single = data[~data["task"].isin(["all", "", None])]
        if "design" in single:
            single = single[single["design"] != "baseline"]
        assert (single["n"].fillna(0) <= seeds).all(), (each.name, single["n"].max(), seeds)
    if "design" in data:
        known_names = {*runs["design"], "baseline"}
        if each.name != "sharing":
            assert set(data["design"].dropna().astype(str)) <= known_names, each.name
    for match in _SEEDS_A_CELL.finditer(each.caption):
        most = max(int(number) for number in match.groups() if number)
        ended = runs[runs["state"] != "pending"].groupby(["design", "task"])["seed"].nunique()
        assert most <= (ended.max() if len(ended) else 0), (each.name, match[0])


def check_tables(material: Material, source: dict[str, Any]) -> list[Any]:
    """Every table can be written, and holds no number that is none."""
    tables = make_tables(material, source)
    for _, table in tables:
        readable(table.caption, table.name)
        for row in table.rows:
            assert len(row) == len(table.header), table.name
            for cell in row:
                readable(cell, (table.name, row))
        assert markdown(table).count("\n") == len(table.rows) + 2, table.name
        body = [line for line in latex(table).splitlines() if not line.startswith("%")]
        assert "\n".join(body).isascii(), [line for line in body if not line.isascii()]
    return tables


def check_findings(material: Material) -> None:
    """Eleven, and none is decided without an interval."""
    found = material.findings
    assert [each.id for each in found] == list(CLAIMS)
    for each in found:
        for text in (each.why, each.statement, each.rule, *each.missing):
            readable(text, each.id)
        if each.verdict == "not testable":
            assert not each.primary
            assert each.why
            assert each.missing
        else:
            assert all(map(has_interval, each.primary))
    content = json.loads(json.dumps(claims_json(found), allow_nan=False))
    assert [each["id"] for each in content["claims"]] == list(CLAIMS)
    macros = tex(numbers(material.results) | of_claims(found))
    assert macros.isascii()
    for line in macros.splitlines():
        readable(line, "numbers.tex")
        assert not line.startswith(r"\wm@set{") or re.fullmatch(r"\\wm@set\{[^{}]+\}\{.+\}", line), line


def check(results: Results) -> tuple[Material, list[Saved], list[str], str]:
    """Everything that a report holds: the material, its figures, its notes and the page."""
    material, source = Material(results), manifest(results)
    check_findings(material)
    tables = check_tables(material, source)
    figures = drawn(material)
    told = notes(results)
    for text in (sentence(results), *told):
        readable(text, "notes")
    text = _page(material, figures, tables, told, source)
    return material, figures, told, text


def _page(
    material: Material, figures: list[Saved], tables: list[Any], told: list[str], source: dict[str, Any]
) -> str:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        png = Path(folder) / "x.png"
        png.write_bytes(b"x")
        shown = [replace(each, files=[png.with_suffix(".csv"), png]) for each in figures]
        text = page(
            material,
            figures=shown,
            tables=tables,
            said=[sentence(material.results)],
            notes=told,
            source=source,
        )
    parser = Pages()
    parser.feed(text)
    parser.close()
    assert not parser.open, parser.open
    return text
