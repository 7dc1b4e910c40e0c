"""Reads a bundle (`analysis.bundle`): checks every digest, then lays out what a report reads, as studies on disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from analysis.bundle import FRAMES, INDEX, NUMBERS, RUNS, SCHEMA, STUDIES, index_digest, start_line
from analysis.claims.spec import ReportSpec
from analysis.frames import KINDS, TEXT, Column, RunData, Text
from analysis.study import PlannedRun, Study
from harness.errors import UserError

_FEW = 3
_BLOCK = 1 << 20
_WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True)
class Unbundled:
    """What a bundle holds.

    Attributes:
        studies: as `read_study` gives them.
        data: of every run directory.
        folder: a temporary folder that holds their files; to be removed by whoever uses them.
    """

    studies: list[Study]
    data: dict[Path, RunData]
    folder: Path


def unbundle(file: Path) -> Unbundled:
    """Checks a bundle and lays it out.

    Raises:
        UserError: it is no bundle, of a newer version, damaged, or was edited; says which of its files.
    """
    folder = Path(tempfile.mkdtemp(prefix="wm-bundle-"))
    try:
        with file.open("rb") as raw, zipfile.ZipFile(raw) as opened:
            _check_names(file, opened)
            _check_digests(file, opened, _index(file, opened))
            return _laid_out(opened, folder, folder / file.stem)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(f"{file} is no bundle, or is damaged: {error}; get it again") from error
    except _WRONG as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"{file}: this version of wm cannot read the bundle ({type(error).__name__}: {error})"
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_names(file: Path, opened: zipfile.ZipFile) -> None:
    """No file may lead out of where it is laid out, be a link, or come twice."""
    names = Counter(info.filename for info in opened.infolist())
    bad = [name for name in names if not _is_safe(name)]
    bad += [info.filename for info in opened.infolist() if stat.S_ISLNK(info.external_attr >> 16)]
    bad += [name for name, count in names.items() if count > 1]
    if bad:
        raise UserError(f"{file} is not as wm writes a bundle, and is not opened: {_some(bad)}")


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    odd = any(character in name for character in "\\:\0")
    return bool(name) and not odd and not path.is_absolute() and ".." not in path.parts and str(path) == name


def _index(file: Path, opened: zipfile.ZipFile) -> dict[str, Any]:
    try:
        index = json.loads(opened.read(INDEX))
        schema, said, _ = index["schema"], index["sha256"], index["files"].items()
    except _WRONG:
        raise UserError(f"{file} is no bundle of wm: it has no {INDEX} that can be read") from None
    if schema != SCHEMA:
        raise UserError(f"{file} is a bundle of schema {schema}; this version of wm reads {SCHEMA}")
    if index_digest(index) != said:
        raise UserError(f"{file} was changed after it was exported: {INDEX} does not have its own digest")
    return dict(index)


def _check_digests(file: Path, opened: zipfile.ZipFile, index: Mapping[str, Any]) -> None:
    wanted: dict[str, str] = index["files"]
    there = [name for name in opened.namelist() if name != INDEX]
    wrong = {
        "missing": [name for name in wanted if name not in there],
        "not of it": [name for name in there if name not in wanted],
        "changed": [name for name in there if name in wanted and _digest(opened, name) != wanted[name]],
    }
    told = [
        f"{_some(names)} {'is' if len(names) == 1 else 'are'} {words}"
        for words, names in wrong.items()
        if names
    ]
    if told:
        raise UserError(f"{file} was changed or damaged after it was exported: {'; '.join(told)}")


def _digest(opened: zipfile.ZipFile, name: str) -> str:
    """SHA-256; empty where it cannot be read."""
    found = hashlib.sha256()
    try:
        with opened.open(name) as member:
            while block := member.read(_BLOCK):
                found.update(block)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return ""
    return found.hexdigest()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def _laid_out(opened: zipfile.ZipFile, folder: Path, root: Path) -> Unbundled:
    runs = json.loads(opened.read(RUNS))
    for name in opened.namelist():
        top, _, rest = name.partition("/")
        if top == "studies":
            _put(opened, name, root / rest)
        elif top == "forecasts":
            place, _, dataset = rest.rpartition("/")
            _put(opened, name, root / place / "forecasts" / dataset)
    for name, known in runs["directories"].items():
        if not _is_safe(name):
            raise ValueError(f"{name} is no directory of a run")
        if known["begun"] is not None:
            place = root / name / "attempts.jsonl"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(start_line(known["begun"]))
    columns = _columns(opened)
    of_directory = {directory: run for run, directory in runs["used"].items()}
    data = {
        root / name: _run_data(known["facts"], columns, of_directory.get(name))
        for name, known in runs["directories"].items()
    }
    return Unbundled([_study(content, root) for content in json.loads(opened.read(STUDIES))], data, folder)


def _put(opened: zipfile.ZipFile, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(name) as member, path.open("wb") as file:
        shutil.copyfileobj(member, file)


def _study(content: Mapping[str, Any], root: Path) -> Study:
    path = root / content["folder"]
    runs = tuple(
        PlannedRun(
            run["id"],
            path.name,
            run["design"],
            run["task"],
            run["seed"],
            run["config"],
            root / run["directory"],
            run["reused_from"],
        )
        for run in content["runs"]
    )
    spec = ReportSpec.model_validate(content["spec"])
    return Study(path, runs, content["digests"], spec, tuple(content["notes"]), frozenset(content["defined"]))


@dataclass(frozen=True)
class _Kind:
    """All rows of a kind: its columns, and where those of each run are."""

    columns: dict[str, Column | Text]
    rows: dict[str, slice]


def _columns(opened: zipfile.ZipFile) -> dict[str, _Kind]:
    found = {}
    for kind, name in FRAMES.items():
        with opened.open(f"frames/{name}.parquet") as file:
            frame = pd.read_parquet(file)
        columns = {name: _column(frame[name]) for name in KINDS[kind]}
        found[kind] = _Kind(columns, dict(_rows(_text(frame["run"]))))
    return found


def _column(column: pd.Series) -> Column | Text:
    return _text(column) if column.name in TEXT else column.to_numpy()


def _text(column: pd.Series) -> Text:
    values = pd.Categorical(column)
    return Text(values.codes.astype(np.int32), [str(name) for name in values.categories])


def _rows(runs: Text) -> Iterator[tuple[str, slice]]:
    ends = [
        *(np.flatnonzero(np.diff(runs.codes)) + 1).tolist(),
        *([len(runs.codes)] if len(runs.codes) else []),
    ]
    begin = 0
    for end in ends:
        yield runs.names[runs.codes[begin]], slice(begin, end)
        begin = end


def _run_data(facts: Mapping[str, Any], kinds: Mapping[str, _Kind], run: str | None) -> RunData:
    known = {
        name: float("nan") if value is None and name in NUMBERS else value for name, value in facts.items()
    }
    nothing = slice(0, 0)
    where = {kind: found.rows.get(run or "", nothing) for kind, found in kinds.items()}
    columns: dict[str, Mapping[str, Column | Text]] = {
        kind: {name: _part(column, where[kind]) for name, column in found.columns.items()}
        for kind, found in kinds.items()
    }
    return RunData(known, {kind: rows.stop - rows.start for kind, rows in where.items()}, columns)


def _part(column: Column | Text, rows: slice) -> Column | Text:
    return Text(column.codes[rows], column.names) if isinstance(column, Text) else column[rows]
