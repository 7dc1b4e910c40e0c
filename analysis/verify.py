"""`wm report --verify`: the report is made again beside the one on disk, and what differs is told by its cause."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analysis.filediff import EQUAL, MACRO, difference, some
from analysis.manifest import MANIFEST, digest, file_digests
from analysis.report import Progress, report_again, report_folder
from harness.errors import UserError

PICTURES = (".pdf", ".png", ".svg", ".pgf")


@dataclass(frozen=True)
class Verification:
    """How the report on disk differs from one that is made now; each difference a line, in the order of the files.

    Attributes:
        report: its folder, or the bundle that holds it.
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
            "files changed after the report was made; how they differ from the one made now": self.edited,
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
        out: where the report is; by default where `build_report` puts it, of a single bundle the one that it holds.
        progress: told of the steps.

    Raises:
        UserError: there is no report, or a study cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="wm-verify-") as temporary:
        again = Path(temporary) / "report"
        bundle = (
            Path(studies[0]) if out is None and len(studies) == 1 and Path(studies[0]).is_file() else None
        )
        folder = _taken_out(bundle, Path(temporary)) if bundle else report_folder(studies, out)
        made = _manifest(folder).get("made", {})
        report_again(studies, again, made if isinstance(made, dict) else {}, progress)
        found = compared(folder, again)
        return replace(found, report=bundle) if bundle else found


def _taken_out(bundle: Path, folder: Path) -> Path:
    """The report that a bundle holds, as files."""
    inside = folder / "bundle"
    try:
        with zipfile.ZipFile(bundle) as opened:
            opened.extractall(inside, [name for name in opened.namelist() if name.startswith("report/")])
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{bundle} is no bundle, or is damaged: {error}") from error
    if not (inside / "report" / MANIFEST).exists():
        raise UserError(f"{bundle} holds no report to verify; name the folder of one with --out")
    return inside / "report"


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


def compared(folder: Path, again: Path) -> Verification:
    """How a report differs from one that was made later.

    Raises:
        UserError: one of them is no report, or its manifest is damaged.
    """
    old, new = _manifest(folder), _manifest(again)
    found = Verification(folder, data=list(_data(old, new)), code=list(_code(old, new)))
    files = old.get("files")
    if str(old.get("commit")).endswith("-dirty"):
        found.notes.append("the report was made by changed code: its commit does not say what it was")
    on_disk, fresh = file_digests(folder), file_digests(again)
    changed = _not_as_written(found, files, on_disk)
    if digest(old["runs"]) != old.get("runs_sha256"):
        found.edited.append(f"{MANIFEST}: its runs do not have the digest that it gives them")
    bytes_alone = []
    for name in [*fresh, *(name for name in on_disk if name not in fresh)]:
        if on_disk.get(name) == fresh.get(name) and name not in changed:
            continue
        lines = list(_differences(folder, again, name, on_disk, fresh))
        if name in changed:
            found.edited.extend(lines)
        elif files is not None and (name not in {*files, *fresh} or (name in files and name not in on_disk)):
            continue  # told above
        elif not _is_picture_alone(name, on_disk, fresh):
            found.results.extend(lines)
        elif lines == [f"{name}: {EQUAL}"]:
            bytes_alone.append(name)
        else:
            found.pictures.extend(lines)
    if bytes_alone:
        found.pictures.append(f"{len(bytes_alone)} with {EQUAL}: {some(bytes_alone)}")
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
        found.notes.append(f"not of this report: {some(extra)}")
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
            yield f"{len(ids)} of {len(now)} runs {words}: {some(ids)}"


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
    yield from (f"{name}: {line}" for line in difference(folder / name, again / name))


def _counts(again: Path, fresh: Iterable[str], new: Mapping[str, Any]) -> dict[str, int]:
    """How many of each kind were compared."""
    names = list(fresh)
    return {
        "claims": len(json.loads((again / "claims.json").read_text(encoding="utf-8"))["claims"]),
        "numbers": len(MACRO.findall((again / "numbers.tex").read_text(encoding="utf-8"))),
        "tables": sum(name.startswith("tables/") and name.endswith(".csv") for name in names),
        "figures": sum(name.startswith("figures/") and name.endswith(".csv") for name in names),
        "runs": len(new["runs"]),
    }
