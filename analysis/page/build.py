"""Renders the page from what the report has made."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from analysis.claims.findings import options, own_stamps, stamps
from analysis.claims.spec import thresholds
from analysis.completeness import too_small
from analysis.drawing import Saved
from analysis.material import Material
from analysis.page.cells import cells
from analysis.page.claims import shown
from analysis.page.clips import clips
from analysis.page.sections import SECTIONS
from analysis.tabled import TableKind
from analysis.tables import Table
from analysis.versions import SEVERAL
from analysis.words import capital, short_task

_SCREEN = 130
"""Pixels of an inch of a figure."""


def page(
    material: Material,
    *,
    figures: Sequence[Saved],
    tables: Sequence[tuple[TableKind, Table]],
    said: Sequence[str],
    notes: Sequence[str],
    source: dict[str, Any],
    videos: dict[str, Any] | None = None,
) -> str:
    """The content of index.html.

    Args:
        material: what the report is made of.
        figures: as they were saved, as PNG among others.
        tables: of `tabled.make_tables`.
        said: completeness in a sentence, then what changed since the last report.
        notes: what is missing, mixed or odd.
        source: of `manifest.manifest`.
        videos: of `clips.clips`, where they are made.
    """
    import jinja2

    results = material.results
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "page"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    colours = {name: look.colour for name, look in material.looks.items()}
    environment.globals["colours"] = colours
    environment.filters["code"] = _code
    sections = _sections(material, figures, tables, notes)
    sections["predictions"]["videos"] = videos or clips(material)
    for name, content in sections.items():
        content["empty"] = "" if _has(content) else SECTIONS[name].empty
    kept = [
        {"id": name, **content} for name, content in sections.items() if _has(content) or SECTIONS[name].empty
    ]
    data = json.dumps({"cells": cells(material)}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return environment.get_template("page.html.jinja").render(
        title=" + ".join(dict.fromkeys(study.name for study in results.studies)),
        sentence=said[0],
        changes=said[1:],
        banners=_banners(material, notes),
        sections=kept,
        tasks=[(task, short_task(task)) for task in results.tasks],
        designs=[*results.designs, *results.baselines],
        style=_markup("page.css"),
        script=_markup("page.js"),
        cells=_raw(data.replace("<", "\\u003c")),
        source=source,
    )


def _markup(name: str) -> Any:
    return _raw((files("analysis.page") / name).read_text(encoding="utf-8"))


def _code(text: str) -> Any:
    """What stands between backticks, as code."""
    from markupsafe import escape

    return _raw(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _raw(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - our own style and script, and JSON without a <


def _has(content: dict[str, Any]) -> bool:
    return any(
        content[name] for name in ("claims", "notes", "first", "figures", "videos", "tables", "folded")
    )


def _banners(material: Material, notes: Sequence[str]) -> list[str]:
    """What a reader must know before anything else."""
    results = material.results
    found = [note for note in results.notes if note.startswith("simulated")]
    small = too_small(results)
    found += [small] if small else []
    if any(note.startswith("mixed ") for note in notes):
        found.append("Mixed: runs that are compared here were not made alike; see the notes.")
    found += [note for note in results.notes if note.startswith(SEVERAL)]
    if told := stamps(material.findings):
        found.append(f"Thresholds and plan: {'; '.join(told)}.")
    return [capital(text) for text in found]


def _sections(
    material: Material,
    figures: Sequence[Saved],
    tables: Sequence[tuple[TableKind, Table]],
    notes: Sequence[str],
) -> dict[str, dict[str, Any]]:
    drawn = {each.kind.name for each in figures}
    found: dict[str, dict[str, Any]] = {}
    for name, section in SECTIONS.items():
        mine = [(kind, table) for kind, table in tables if kind.section == name]
        content: dict[str, Any] = {"title": section.title, "short": section.short, "text": section.text}
        content["figures"] = [_figure(each, material) for each in figures if each.kind.section == name]
        shown_tables = [_table(table, material) for kind, table in mine if not kind.folded]
        content["first"] = shown_tables if name in {"scores", "failures"} else []
        content["tables"] = [] if content["first"] else shown_tables
        content["folded"] = [(kind.folded, _table(table, material)) for kind, table in mine if kind.folded]
        content |= {"claims": [], "notes": [], "videos": None, "empty": ""}
        found[name] = content
    own = own_stamps(material.findings)
    found["claims"]["claims"] = [
        shown(
            replace(each, changed=own[each.id]),
            thresholds(each.id, options(material.results, each.id)[0]),
            drawn,
        )
        for each in material.findings
    ]
    found["completeness"]["notes"] = [capital(note) for note in notes]
    return found


def _figure(saved: Saved, material: Material) -> dict[str, Any]:
    drawn = saved.drawn
    png = next(file for file in saved.files if file.suffix == ".png")
    tasks = [task for task in material.results.tasks if drawn.name.endswith(_suffix(task))]
    return {
        "name": drawn.name,
        "title": drawn.title,
        "caption": drawn.caption,
        "task": tasks[0] if tasks and len(material.results.tasks) > 1 else "",
        "width": round(drawn.figure.get_figwidth() * _SCREEN),
        "files": sorted(file.suffix[1:] for file in saved.files),
        "data": base64.b64encode(Path(png).read_bytes()).decode(),
    }


def _suffix(task: str) -> str:
    return f"_{short_task(task).replace('-', '_')}"


def _table(table: Table, material: Material) -> dict[str, Any]:
    """A table with, of each row, the task and the design that it is of, if it is of one."""
    results = material.results
    tasks = {short_task(task): task for task in results.tasks}
    designs = {*results.designs, *results.baselines}
    rows = []
    for row in table.rows:
        words = row[: table.keys]
        task = next((tasks[cell] for cell in words if cell in tasks), "")
        design = next((cell for cell in words if cell in designs), "")
        rows.append({"cells": row, "task": task, "design": design})
    return {
        "name": table.name,
        "title": table.title,
        "caption": table.caption,
        "header": table.header,
        "words": table.keys,
        "rows": rows,
    }
