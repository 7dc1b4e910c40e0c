"""`wm report --verify`: the report is made again beside the one on disk, and what differs is told by its cause."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.manifest import MANIFEST, digest, file_digests
from analysis.report import Progress, report_again, report_folder
from harness.errors import UserError

PICTURES = (".pdf", ".png", ".svg", ".pgf")
_MACRO = re.compile(r"^\\wm@set\{(.*)\}\{(.*)\}$", re.MULTILINE)
_EMBEDDED = re.compile(r"data:[a-z]+/[^\"')\s]+")
_FEW = 3  # runs or cells that a line names


@dataclass(frozen=True)
class Verification:
    """How the report on disk differs from one that is made now; each difference a line, in the order of the files.

    Attributes:
        report: its folder.
        data: runs, plans and study files that changed since.
        code: the commit and the versions that changed since.
        edited: files that are not as the report wrote them, and what the manifest gets wrong of itself.
        results: claims, numbers, tables, points of figures and words that come out differently.
        pictures: pictures of equal points whose bytes differ.
        notes: what is no difference but worth knowing.
        checked: how many of what was compared: claims, numbers, tables, figures, runs.
    """

    report: Path
    data: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.data or self.code or self.edited or self.results or self.pictures)

    @property
    def groups(self) -> list[tuple[str, list[str]]]:
        """What differs, under the heading of its cause."""
        caused = "the report made now says" if self.data or self.code else "differs, with equal data and code"
        headings = {
            "data changed": self.data,
            "code changed": self.code,
            "changed after the report was made": self.edited,
            caused: self.results,
            "only bytes of pictures": self.pictures,
        }
        return [(heading, lines) for heading, lines in headings.items() if lines]


def verify(
    studies: Sequence[Path], out: Path | None = None, *, progress: Progress | None = None
) -> Verification:
    """Makes the report again, in a temporary folder, and compares.

    Args:
        studies: as `build_report` takes them.
        out: where the report is; by default where `build_report` puts it.
        progress: told of the steps.

    Raises:
        UserError: there is no report, or a study cannot be read.
    """
    folder = report_folder(studies, out)
    old = _manifest(folder)
    made = old.get("made", {})
    with tempfile.TemporaryDirectory(prefix="wm-verify-") as temporary:
        again = Path(temporary) / "report"
        report_again(studies, again, made if isinstance(made, dict) else {}, progress)
        return _compared(folder, old, again)


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    if not file.exists():
        raise UserError(f"{folder} holds no report to verify; make it with wm report, without --verify")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("runs"), list):
        raise UserError(f"{file} is damaged, so nothing can be verified; make the report again: wm report")
    return content


def _compared(folder: Path, old: dict[str, Any], again: Path) -> Verification:
    new = _manifest(again)
    found = Verification(folder, data=list(_data(old, new)), code=list(_code(old, new)))
    files = old.get("files")
    on_disk, fresh = file_digests(folder), file_digests(again)
    changed = _not_as_written(found, files, on_disk)
    if digest(old["runs"]) != old.get("runs_sha256"):
        found.edited.append(f"{MANIFEST}: its runs do not have the digest that it gives them")
    for name in [*fresh, *(name for name in on_disk if name not in fresh)]:
        if name in changed:
            found.edited.extend(_differences(folder, again, name, on_disk, fresh))
        elif on_disk.get(name) != fresh.get(name) and (files is None or name in {*files, *fresh}):
            into = found.pictures if _is_picture_alone(name, on_disk, fresh) else found.results
            into.extend(_differences(folder, again, name, on_disk, fresh))
    found.checked.update(_counts(again, fresh, new))
    return found


def _not_as_written(
    found: Verification, files: Mapping[str, str] | None, on_disk: Mapping[str, str]
) -> set[str]:
    """Files whose content is not what the manifest says; missing ones and those of nobody are told at once."""
    if files is None:
        found.notes.append(
            f"{MANIFEST} has no digests of files: what was edited by hand cannot be told apart"
        )
        return set()
    found.edited.extend(f"{name}: missing" for name in files if name not in on_disk)
    extra = [name for name in on_disk if name not in files]
    if extra:
        found.notes.append(f"not of this report: {_some(extra)}")
    return {name for name, old in files.items() if name in on_disk and on_disk[name] != old}


def _data(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = (
        {study["name"]: study["sha256"] for study in each.get("studies", [])} for each in (old, new)
    )
    for name in [*after, *(name for name in before if name not in after)]:
        files, others = after.get(name), before.get(name)
        if files is None or others is None:
            yield f"the study {name} is {'new in' if others is None else 'no longer in'} the report"
            continue
        yield from (f"{name}: {file} changed" for file in files if files[file] != others.get(file))
    runs, now = ({run["id"]: run for run in each["runs"]} for each in (old, new))
    told = {
        "new in the plan": [run for run in now if run not in runs],
        "no longer in the plan": [run for run in runs if run not in now],
    }
    for run in (run for run in now if run in runs and now[run] != runs[run]):
        was, state = runs[run].get("state"), now[run].get("state")
        if was != state:
            words = f"now {state}, then {was}"
        elif runs[run].get("metrics_sha256") != now[run].get("metrics_sha256"):
            words = "with other records"
        else:
            words = "with other notes on their code or environment"
        told.setdefault(words, []).append(run)
    for words, ids in told.items():
        if ids:
            yield f"{len(ids)} of {len(now)} runs {words}: {_some(ids)}"


def _code(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old.get("commit") != new.get("commit"):
        yield f"commit {old.get('commit') or 'unknown'} -> {new.get('commit') or 'unknown'}"
    before, after = old.get("versions", {}), new.get("versions", {})
    for name in {**after, **before}:
        if before.get(name) != after.get(name):
            yield f"{name} {before.get(name) or 'missing'} -> {after.get(name) or 'missing'}"


def _is_picture_alone(name: str, on_disk: Mapping[str, str], fresh: Mapping[str, str]) -> bool:
    """Whether a file is a picture whose points are the same."""
    points = str(Path(name).with_suffix(".csv"))
    both = name in on_disk and name in fresh
    return both and name.endswith(PICTURES) and on_disk.get(points) == fresh.get(points)


def _differences(
    folder: Path, again: Path, name: str, on_disk: Mapping[str, str], fresh: Mapping[str, str]
) -> Iterator[str]:
    """How a file differs from that of the report made now; nothing for what follows from another file's difference."""
    if name not in on_disk or name not in fresh:
        yield f"{name}: {'not made any more' if name in on_disk else 'new'}"
        return
    if on_disk[name] == fresh[name]:
        yield f"{name}: not as the manifest says, but as it is made now"
        return
    path = Path(name)
    points = str(path.with_suffix(".csv"))
    if path.suffix != ".csv" and on_disk.get(points) != fresh.get(points):
        return  # the csv tells
    compare = _COMPARE.get(path.name) or _BY_SUFFIX.get(path.suffix)
    lines = list(compare(folder / name, again / name)) if compare else ["other bytes"]
    yield from (f"{name}: {line}" for line in lines or ["other bytes, equal content"])


def _claims(old: Path, new: Path) -> Iterator[str]:
    yield from _changed(*(dict(_leaves(json.loads(file.read_text(encoding="utf-8")))) for file in (old, new)))


def _leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of all values; items of a list are named by their id or name."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(content, list):
        for index, value in enumerate(content):
            named = value.get("id", value.get("name")) if isinstance(value, dict) else None
            key = str(index if named is None else named)
            yield from _leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path, content


def _macros(old: Path, new: Path) -> Iterator[str]:
    yield from _changed(*(dict(_MACRO.findall(file.read_text(encoding="utf-8"))) for file in (old, new)))


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in [*new, *(key for key in old if key not in new)]:
        if key not in old or key not in new:
            yield f"{key} {'is new' if key in new else 'is gone'}"
        elif old[key] != new[key]:
            yield f"{key} {_text(old[key])} -> {_text(new[key])}"


def _cells(old: Path, new: Path) -> Iterator[str]:
    """What differs between two tables of equal header, cell by cell."""
    before, after = (list(csv.reader(file.read_text(encoding="utf-8").splitlines())) for file in (old, new))
    if before[:1] != after[:1]:
        yield "other columns"
        return
    if len(before) != len(after):
        yield f"{len(before) - 1} rows -> {len(after) - 1}"
        return
    pairs = [
        (row, column, first, second)
        for row, (was, now) in enumerate(zip(before, after, strict=True))
        for column, (first, second) in enumerate(zip(was, now, strict=False))
        if first != second
    ]
    shown = ", ".join(
        f"row {row} {before[0][column]} {_text(first)} -> {_text(second)}"
        for row, column, first, second in pairs[:_FEW]
    )
    if pairs:
        yield f"{len(pairs)} of {sum(map(len, after[1:]))} cells: {shown}{', ...' if len(pairs) > _FEW else ''}"


def _frames(old: Path, new: Path) -> Iterator[str]:
    import pandas as pd

    before, after = (pd.read_parquet(file) for file in (old, new))
    if list(before) != list(after):
        yield "other columns"
    elif len(before) != len(after):
        yield f"{len(before)} rows -> {len(after)}"
    else:
        names = [str(name) for name in after if not before[name].equals(after[name])]
        if names:
            yield f"other values in {_some(names)}"


def _pixels(old: Path, new: Path) -> Iterator[str]:
    import numpy as np
    from matplotlib.image import imread

    before, after = imread(old), imread(new)
    if before.shape != after.shape:
        yield f"{before.shape[1]} x {before.shape[0]} pixels -> {after.shape[1]} x {after.shape[0]}"
    elif count := int(np.any(before != after, axis=-1).sum()):
        yield f"{count:,} of {after.shape[0] * after.shape[1]:,} pixels"


def _words(old: Path, new: Path) -> Iterator[str]:
    """Lines of text that differ; pictures and data within the text are left out, their own files tell."""
    before, after = (_EMBEDDED.sub("", file.read_text(encoding="utf-8")).splitlines() for file in (old, new))
    gone, come = set(before) - set(after), set(after) - set(before)
    if count := max(len(gone), len(come)):
        first = next((line for line in after if line in come), "") or next(iter(sorted(gone)), "")
        yield f"{count} lines differ, the first: {' '.join(first.split())[:80]}"


_COMPARE: dict[str, Callable[[Path, Path], Iterator[str]]] = {"claims.json": _claims, "numbers.tex": _macros}
_BY_SUFFIX: dict[str, Callable[[Path, Path], Iterator[str]]] = {
    ".csv": _cells,
    ".parquet": _frames,
    ".png": _pixels,
    ".html": _words,
    ".md": _words,
    ".tex": _words,
    ".json": _claims,
}


def _counts(again: Path, fresh: Iterable[str], new: Mapping[str, Any]) -> dict[str, int]:
    """How many of each kind were compared."""
    names = list(fresh)
    claims = again / "claims.json"
    return {
        "claims": len(json.loads(claims.read_text(encoding="utf-8"))) if claims.exists() else 0,
        "numbers": len(_MACRO.findall((again / "numbers.tex").read_text(encoding="utf-8"))),
        "tables": sum(name.startswith("tables/") and name.endswith(".csv") for name in names),
        "figures": sum(name.startswith("figures/") and name.endswith(".csv") for name in names),
        "runs": len(new["runs"]),
    }


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(map(str, names[:_FEW])) + more


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
