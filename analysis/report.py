"""`wm report`: builds the report beside the old one, then takes its place."""

from __future__ import annotations

import functools
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.drawing import DEFAULT_FORMATS, Saved, check_formats, draw_figures
from analysis.figures.registry import FIGURES, chosen
from analysis.manifest import MANIFEST, changes, manifest, provenance, seal
from harness.errors import UserError

if TYPE_CHECKING:
    from analysis.material import Material, Width
    from analysis.tables import Table


Progress = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and of how much."""


VIDEOS = "videos"
WITHOUT_STATISTICS = (VIDEOS, "forecasts", "learning_curves")
"""Modules of figures that take long and can begin before the statistics are there."""


@dataclass(frozen=True)
class ReportResult:
    """A report on disk, and what of it belongs on the terminal.

    Attributes:
        index: the HTML file; of a single figure, its first file.
        score_table, verdicts: for printing; empty when figures alone were asked for.
        notes: completeness first, then what is missing, mixed or too small.
        figures: the figure files written.
    """

    index: Path
    score_table: str
    verdicts: str
    notes: list[str]
    figures: list[Path] = field(default_factory=list)


def build_report(
    studies: Sequence[Path],
    out: Path | None = None,
    *,
    figures: Sequence[str] = (),
    formats: Sequence[str] = DEFAULT_FORMATS,
    width: Width = "auto",
    bundle: Path | None = None,
    progress: Progress | None = None,
) -> ReportResult:
    """Reads the studies and writes their report.

    Args:
        studies: directories RUNS/<study>, or bundles; the report covers them together.
        out: where to; by default what `report_folder` says. An existing report there is kept as <out>.previous.
        figures: only these (names of `FIGURES`), written into <out>/figures, the rest left as it is; none: all of it.
        formats: pdf, png, svg or pgf; the HTML needs png, which is then made as well.
        width: of the figures: a column or a page of a paper, or what each needs.
        bundle: the file to export results and report to, if any (`analysis.bundle`).
        progress: told of each step.

    Raises:
        UserError: no such study or figure, a format that is not known, or `out` holds something else.
    """
    chosen(figures)
    formats = check_formats(formats)
    target = report_folder(studies, out)
    if not figures and not _is_report(target, drawn_into=out is None):
        raise UserError(f"{target} is not a report; move it away, or name another folder")
    material = _material(studies, width, progress)
    if figures:
        return _some_figures(material, target, figures, formats, progress)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    old = _previous(target)
    try:
        result = _write(
            material,
            beside,
            formats,
            lambda source: changes(old, source),
            progress,
            at_once=bundle is None,  # which knows what of the forecasts was looked at
        )
        _take_place(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    if bundle is not None:
        from analysis.bundle import export

        export(material.results, target, bundle)
    moved = [target / path.relative_to(beside) for path in result.figures]
    return ReportResult(target / "index.html", result.score_table, result.verdicts, result.notes, moved)


def report_again(
    studies: Sequence[Path], folder: Path, made: Mapping[str, Any], progress: Progress | None = None
) -> None:
    """Writes a report anew, without what was kept from reading the runs before.

    Args:
        studies: as `build_report` takes them.
        folder: where to; it may not exist.
        made: how, as the manifest of the first report says (`made`).
        progress: told of each step.
    """
    formats = check_formats(made.get("formats", DEFAULT_FORMATS))
    material = _material(studies, made.get("width", "auto"), progress, cache=False)
    _write(material, folder, formats, lambda _: str(made.get("since", "")), progress)


def report_folder(studies: Sequence[Path], out: Path | None = None) -> Path:
    """Where the report of these studies is: `out`, else RUNS/<study>/report, BUNDLE-report beside a bundle.

    Of several: the folder of the first, its name followed by the names of the others, `report+offline`.

    Raises:
        UserError: a file is in the way, or there is no study.
    """
    paths = list(dict.fromkeys(Path(path).absolute() for path in studies))
    if not paths:
        raise UserError("name at least one study to report on")
    first, names = paths[0], [path.stem if path.is_file() else path.name for path in paths[1:]]
    default = first.with_name(f"{first.stem}-report") if first.is_file() else first / "report"
    target = (
        Path(out) if out is not None else default.with_name("+".join([default.name, *names]))
    ).absolute()
    if any(part.is_file() for part in (target, *target.parents)):
        raise UserError(f"{target} is, or lies under, a file; name a folder for the report")
    return target


def _material(
    studies: Sequence[Path], width: Width, progress: Progress | None, *, cache: bool = True
) -> Material:
    from analysis.load import load
    from analysis.material import Material

    told = functools.partial(progress, "reading runs") if progress is not None else None
    return Material(load(studies, told, cache=cache), width)


def _is_report(target: Path, *, drawn_into: bool) -> bool:
    """Whether a report may take this place: there is one, or nothing, or single figures that were drawn into it."""
    names = {path.name for path in target.iterdir()} if target.exists() else set()
    return not names or MANIFEST in names or (drawn_into and names == {"figures"})


def _previous(target: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((target / MANIFEST).read_text())
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


def _some_figures(
    material: Material,
    target: Path,
    figures: Sequence[str],
    formats: Sequence[str],
    progress: Progress | None,
) -> ReportResult:
    from analysis.completeness import notes, sentence

    results = material.results
    source = provenance(manifest(results))
    paths: list[Path] = []
    empty = []
    for name, saved in _drawn(material, figures, formats, target / "figures", source, progress):
        paths += [path for each in saved for path in each.files]
        empty += [] if saved else [name]
    if not paths:
        raise UserError(f"nothing to draw for {' and '.join(empty)} yet: {sentence(results)}")
    told = [f"nothing to draw for {name} yet" for name in empty]
    index = paths[1] if len(paths) > 1 else paths[0]
    return ReportResult(index, "", "", [sentence(results), *told, *notes(results)], paths)


def _drawn(
    material: Material,
    names: Sequence[str],
    formats: Sequence[str],
    folder: Path,
    source: str,
    progress: Progress | None,
) -> Iterator[tuple[str, list[Saved]]]:
    """The figures, kind by kind, as they are saved."""
    for done, name in enumerate(names):
        if progress is not None:
            progress(f"figure {name}", done, len(names))
        yield name, draw_figures(material, [name], formats, folder, source)


def _jobs(
    material: Material, formats: Sequence[str], folder: Path, source: str
) -> dict[str, Callable[[], Any]]:
    """What draws the figures of each module, and makes the page's videos; the longest first."""
    from analysis.page.clips import clips

    modules: dict[str, list[str]] = {name: [] for name in WITHOUT_STATISTICS}
    for kind in FIGURES.values():
        modules.setdefault(kind.module, []).append(kind.name)
    jobs: dict[str, Callable[[], Any]] = {
        module: functools.partial(draw_figures, material, names, formats, folder, source)
        for module, names in modules.items()
        if names
    }
    return {VIDEOS: functools.partial(clips, material)} | jobs


def _small(found: Any) -> Any:
    """What a process hands back."""
    return (
        [each.light if isinstance(each, Saved) else each for each in found]
        if isinstance(found, list)
        else found
    )


def _write(
    material: Material,
    folder: Path,
    formats: Sequence[str],
    since: Callable[[dict[str, Any]], str],
    progress: Progress | None = None,
    *,
    at_once: bool = True,
) -> ReportResult:
    from analysis.claims.findings import stamps
    from analysis.claims.table import claims_json, summary
    from analysis.claims.table import numbers as of_claims
    from analysis.completeness import notes, sentence, too_small
    from analysis.numbers import numbers, tex
    from analysis.page.build import page
    from analysis.tabled import make_tables
    from analysis.tables import save
    from analysis.workers import Workers, processes

    results = material.results
    folder.mkdir(parents=True)
    source = manifest(results)
    changed = since(source)
    tell = progress if progress is not None else lambda *_: None
    kinds = list(dict.fromkeys([*formats, "png"]))
    jobs = _jobs(material, kinds, folder / "figures", provenance(source))
    early = {name: job for name, job in jobs.items() if name in WITHOUT_STATISTICS}
    count = processes() if at_once else 1
    with Workers(count, _small) as workers:
        workers.start(early, max(1, count - 1))  # this process is the further one
        tell("statistics", 0, 1)
        made = make_tables(material, source)
        workers.start({name: job for name, job in jobs.items() if name not in early})
        for _, table in made:
            save(table, folder / "tables")
        said, told = [text for text in (sentence(results), changed) if text], notes(results)
        told += [f"thresholds and plan: {text}" for text in stamps(material.findings)]
        _write_results(material, folder / "results.parquet")
        _write_text(folder / "claims.json", json.dumps(claims_json(material.findings), indent=1) + "\n")
        _write_text(folder / "numbers.tex", tex(numbers(results) | of_claims(material.findings)))
        drawn = workers.finish(lambda name, done, total: tell(f"figure {name}", done, total))
    videos = drawn.pop(VIDEOS)
    order = list(FIGURES)
    saved = sorted(
        (each for found in drawn.values() for each in found), key=lambda s: order.index(s.kind.name)
    )
    text = page(material, figures=saved, tables=made, said=said, notes=told, source=source, videos=videos)
    _write_text(folder / "index.html", text)
    made_with = {"formats": list(formats), "width": material.width, "since": changed}
    seal(folder, source | {"made": made_with})
    small = too_small(results)
    printed = {table.name: _printed(table) for _, table in made}
    return ReportResult(
        folder / "index.html",
        printed["scores"],
        summary(material.findings),
        [*said, *([small] if small else []), *told],
        [path for each in saved for path in each.files],
    )


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _write_results(material: Material, file: Path) -> None:
    """One row a run, everything that is known of it."""
    known = material.runs.drop(columns=["fields", "place"])
    further = material.results.runs.drop(columns="path")
    further = further.drop(columns=[name for name in further.columns if name in known and name != "run"])
    known.merge(further, on="run", how="right").to_parquet(file)


def _printed(table: Table) -> str:
    from analysis.tables import markdown

    return f"{markdown(table)}\n{table.caption}\n"
