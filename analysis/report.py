"""`wm report`: builds the report beside the old one, then takes its place."""

from __future__ import annotations

import base64
import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.drawing import DEFAULT_FORMATS, check_formats, draw_figures
from analysis.figures.registry import FIGURES, chosen
from harness.errors import UserError

if TYPE_CHECKING:
    from analysis.load import Results
    from analysis.material import Material, Width
    from analysis.style import Drawn
    from analysis.tables import Table


@dataclass(frozen=True)
class ReportResult:
    """A report on disk, and what of it belongs on the terminal.

    Attributes:
        index: the HTML file; of a single figure, its first file.
        score_table, correlation_table: for printing; empty when a single figure was asked for.
        notes: completeness first, then what is missing, mixed or too small.
        figures: the figure files written.
    """

    index: Path
    score_table: str
    correlation_table: str
    notes: list[str]
    figures: list[Path] = field(default_factory=list)


def build_report(
    studies: Sequence[Path],
    out: Path | None = None,
    *,
    figure: str | None = None,
    formats: Sequence[str] = DEFAULT_FORMATS,
    width: Width = "auto",
) -> ReportResult:
    """Reads the studies and writes their report.

    Args:
        studies: directories RUNS/<study>; the report covers them together.
        out: where to; by default RUNS/<study>/report (of several: RUNS/<first>/report+<others>). An existing report
            there is kept as <out>.previous.
        figure: only this figure (a name of `FIGURES`), written into <out>/figures, the rest left as it is.
        formats: pdf, png, svg or pgf; the HTML needs png, which is then made as well.
        width: of the figures: a column or a page of a paper, or what each needs.

    Raises:
        UserError: no such study or figure, a format that is not known, or `out` holds something else.
    """
    from analysis.load import load
    from analysis.material import Material

    chosen([figure] if figure is not None else [])
    formats = check_formats(formats)
    results = load(studies)
    material = Material(results, width)
    target = (Path(out) if out is not None else _default(results)).absolute()
    if any(part.is_file() for part in (target, *target.parents)):
        raise UserError(f"{target} is, or lies under, a file; name a folder for the report")
    if figure is not None:
        return _one_figure(material, target, figure, formats)
    if target.exists() and any(target.iterdir()) and not (target / "manifest.json").exists():
        raise UserError(f"{target} is not a report; move it away, or name another folder")
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        result = _write(material, beside, _previous(target), formats)
        _take_place(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    moved = [target / path.relative_to(beside) for path in result.figures]
    return ReportResult(
        target / "index.html", result.score_table, result.correlation_table, result.notes, moved
    )


def _default(results: Results) -> Path:
    first, *others = results.studies
    return first.path / "+".join(["report", *(study.name for study in others)])


def _previous(target: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((target / "manifest.json").read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _take_place(beside: Path, target: Path) -> None:
    """Renames the new report into place; the old one becomes <target>.previous."""
    previous = target.with_name(f"{target.name}.previous")
    if target.exists():
        if previous.exists():
            shutil.rmtree(previous)
        target.replace(previous)
    beside.replace(target)


def _one_figure(material: Material, target: Path, figure: str, formats: Sequence[str]) -> ReportResult:
    from analysis.completeness import notes, sentence

    results = material.results
    saved = draw_figures(material, [figure], formats, target / "figures")
    if not saved:
        raise UserError(f"nothing to draw for {figure} yet: {sentence(results)}")
    paths = [path for each in saved for path in each.files]
    return ReportResult(
        paths[1] if len(paths) > 1 else paths[0], "", "", [sentence(results), *notes(results)], paths
    )


def _write(
    material: Material, folder: Path, old: dict[str, Any] | None, formats: Sequence[str]
) -> ReportResult:
    from analysis import content, tables
    from analysis.completeness import notes, sentence, too_small
    from analysis.heldout import heldout_table
    from analysis.manifest import changes, manifest, provenance
    from analysis.numbers import numbers, tex
    from analysis.prediction import run_errors

    results = material.results
    folder.mkdir(parents=True)
    source = manifest(results)
    made = [
        content.score_table(results),
        content.correlation_table(results),
        content.horizon_error_table(results),
        content.confound_table(results),
        content.run_table(results),
        *filter(None, [heldout_table(results)]),
    ]
    for table in made:
        tables.save(table, folder / "tables")
    kinds = dict.fromkeys([*formats, "png"])
    saved = draw_figures(material, FIGURES, kinds, folder / "figures", provenance(source))
    drawn, files = [each.drawn for each in saved], [path for each in saved for path in each.files]
    errors = run_errors(results).drop(columns=["design", "task", "seed", "state", "predict"])
    results.runs.drop(columns="path").merge(errors, on="run", how="left").to_parquet(
        folder / "results.parquet"
    )
    (folder / "numbers.tex").write_text(tex(numbers(results)), encoding="utf-8")
    said = [text for text in (sentence(results), too_small(results), changes(old, source)) if text]
    all_notes = notes(results)
    page = _html(results, folder, drawn, made, said, all_notes, source)
    (folder / "index.html").write_text(page, encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(source, indent=1) + "\n", encoding="utf-8")
    printed = [f"{tables.markdown(table)}\n{table.caption}\n" for table in made[:2]]
    return ReportResult(folder / "index.html", printed[0], printed[1], [*said, *all_notes], files)


def _html(
    results: Results,
    folder: Path,
    drawn: Sequence[Drawn],
    made: Sequence[Table],
    said: Sequence[str],
    all_notes: Sequence[str],
    source: dict[str, Any],
) -> str:
    import jinja2

    from analysis.colours import looks
    from analysis.completeness import too_small
    from analysis.words import capital

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    figures = [
        {
            "name": each.name,
            "title": each.title,
            "caption": each.caption,
            "width": round(each.figure.get_figwidth() * 130),
            "files": sorted(path.suffix[1:] for path in (folder / "figures").glob(f"{each.name}.*")),
            "data": base64.b64encode((folder / "figures" / f"{each.name}.png").read_bytes()).decode(),
        }
        for each in drawn
    ]
    banner = too_small(results)
    return environment.get_template("report.html.jinja").render(
        title=" + ".join(study.name for study in results.studies),
        sentence=said[0],
        banner=banner,
        changes=[text for text in said[1:] if text != banner],
        notes=[capital(note) for note in all_notes],
        mixed=any(note.startswith("mixed ") for note in all_notes),
        figures=figures,
        tables=made,
        colours={name: look.colour for name, look in looks(results.designs).items()},
        source=source,
    )
