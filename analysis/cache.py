"""What was read of finished runs, kept beside their study: a report on thousands of runs reads them once.

RUNS/<study>/report-cache/ holds one snapshot: a folder that is written aside and renamed, and may be deleted at any
time. A run is taken from it only while its files have the sizes and times that they had when it was read, and only by
the code that wrote it; what cannot be read or written there counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis import evaluated, frames, records
from analysis.frames import KINDS, TEXT, Column, RunData, Text, joined, read_run
from harness import rundir
from harness.rundir import RunDir

FOLDER = "report-cache"
FINISHED = frozenset({"done", "diverged", "failed"})
SETTLED = 2.0
"""Seconds that files must be old to be kept: of a change within the tick of the clock, times say nothing."""
_FILES = ("metrics.jsonl", "summary.npz", "state.json", "attempts.jsonl")
_CODE = (__file__, *(str(module.__file__) for module in (evaluated, frames, records, rundir)))
Signature = list[Any]
Progress = Callable[[int, int], None]


def read_runs(
    paths: Sequence[Path], progress: Progress | None = None, *, keep: bool = True
) -> dict[Path, RunData]:
    """What the files of each run hold.

    Args:
        paths: of run directories, RUNS/<study>/runs/<id>; they need not exist.
        progress: is told how many runs are read, of how many.
        keep: whether the caches of their studies are used, and brought up to date.
    """
    homes: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        homes[path.parent.parent].append(path)
    found: dict[Path, RunData] = {}

    def tell() -> None:
        if progress is not None:
            progress(len(found), len(paths))

    for home, mine in homes.items():
        snapshot = _open(home) if keep else None
        new: dict[str, tuple[Signature, RunData]] = {}
        for path in mine:
            signature = _signature(path)
            known = snapshot.run(path.name, signature) if snapshot is not None else None
            found[path] = data = known or read_run(RunDir(path))
            if known is None and data.facts["state"] in FINISHED and _settled(signature):
                new[path.name] = signature, data
            tell()
        if keep and new:
            _write(home, snapshot, new)
    return found


def _signature(path: Path) -> Signature:
    """Name, size and times of each file that a run is read from."""
    files = [*(path / name for name in _FILES)]
    with contextlib.suppress(OSError):
        files += sorted(file for file in (path / "eval").iterdir() if file.suffix == ".json")
    found: Signature = []
    for file in files:
        with contextlib.suppress(OSError):
            is_now = file.stat()
            found.append([file.name, is_now.st_size, is_now.st_mtime_ns, is_now.st_ctime_ns])
    return found


def _settled(signature: Signature) -> bool:
    newest = max((max(times) for _, _, *times in signature), default=0)
    return time.time() - newest / 1e9 > SETTLED


@cache
def _version() -> str:
    """Of the code that reads runs."""
    digest = hashlib.sha256()
    for file in _CODE:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]


@dataclass
class _Kept:
    """A run of a snapshot: where its rows begin, by kind."""

    signature: Signature
    facts: dict[str, Any]
    rows: dict[str, int]
    begin: dict[str, int]


class _Snapshot:
    """The runs that were kept, by the names of their directories."""

    def __init__(self, folder: Path) -> None:
        content = json.loads((folder / "runs.json").read_bytes())
        self._files = {
            kind: pq.ParquetFile(pa.OSFile(str(folder / f"{kind}.parquet")), page_checksum_verification=True)
            for kind in KINDS
        }  # open: another report may take the folder away
        self.names: dict[str, dict[str, list[str]]] = content["names"]
        self.runs: dict[str, _Kept] = {}
        self._table: tuple[str, dict[str, Column | Text]] = "", {}
        ends = dict.fromkeys(KINDS, 0)
        for name, (signature, facts, counts) in content["runs"].items():
            rows = dict(zip(KINDS, counts, strict=True))
            self.runs[name] = _Kept(signature, facts, rows, dict(ends))
            ends = {kind: ends[kind] + rows[kind] for kind in KINDS}
        for kind, end in ends.items():
            if self._files[kind].metadata.num_rows != end:
                raise ValueError(f"{kind} is not whole")

    def run(self, name: str, signature: Signature | None = None) -> RunData | None:
        """A run as it was read; None if its files have changed since."""
        kept = self.runs.get(name)
        if kept is None or signature not in (None, kept.signature):
            return None
        return RunData(kept.facts, kept.rows, _Columns(self, kept))

    def table(self, kind: str) -> dict[str, Column | Text]:
        """All columns of a kind; only the last one that was asked for stays in memory."""
        if self._table[0] != kind:
            read = self._files[kind].read(use_threads=False)
            self._table = (
                kind,
                {name: self._column(kind, name, read[name].to_numpy()) for name in KINDS[kind]},
            )
        return self._table[1]

    def _column(self, kind: str, name: str, values: Column) -> Column | Text:
        return Text(values, self.names[kind][name]) if name in TEXT else values


class _Columns(MutableMapping[str, Mapping[str, Column | Text]]):
    """The columns of one run of a snapshot, read when they are asked for."""

    def __init__(self, snapshot: _Snapshot, kept: _Kept) -> None:
        self._snapshot, self._kept = snapshot, kept

    def __getitem__(self, kind: str) -> dict[str, Column | Text]:
        rows = slice(self._kept.begin[kind], self._kept.begin[kind] + self._kept.rows[kind])
        found = self._snapshot.table(kind)
        return {name: _part(column, rows) for name, column in found.items()}

    def __delitem__(self, kind: str) -> None:
        """Nothing is held."""

    def __setitem__(self, kind: str, columns: Mapping[str, Column | Text]) -> None:
        raise TypeError("what is kept is not changed")

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


def _part(column: Column | Text, rows: slice) -> Column | Text:
    return Text(column.codes[rows], column.names) if isinstance(column, Text) else column[rows]


def _open(home: Path) -> _Snapshot | None:
    """The snapshot of a study; None where there is none of this code that is whole."""
    try:
        folder = next((home / FOLDER).glob(f"{_version()}-*"), None)
        if folder is None:
            return None
        snapshot = _Snapshot(folder)
        for kind in KINDS:
            snapshot.table(kind)  # so that damage is found here
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, pa.ArrowException):
        return None
    return snapshot


def _write(home: Path, old: _Snapshot | None, new: Mapping[str, tuple[Signature, RunData]]) -> None:
    """Puts the old snapshot and the new runs in place of the old snapshot, where the study can be written to."""
    runs: dict[str, tuple[Signature, RunData]] = {}
    for name, kept in old.runs.items() if old is not None else ():
        data = old.run(name) if old is not None and name not in new else None
        if data is not None and (home / "runs" / name).is_dir():
            runs[name] = kept.signature, data
    runs |= new
    folder = home / FOLDER / f"{_version()}-{uuid.uuid4().hex[:8]}"
    side = folder.with_name(f".{folder.name}.tmp")
    try:
        side.mkdir(parents=True)
        names = {
            kind: _write_kind(side / f"{kind}.parquet", kind, [data for _, data in runs.values()])
            for kind in KINDS
        }
        content = {
            name: [signature, data.facts, [data.rows[kind] for kind in KINDS]]
            for name, (signature, data) in runs.items()
        }
        (side / "runs.json").write_text(json.dumps({"names": names, "runs": content}), encoding="utf-8")
        side.rename(folder)
        for other in (home / FOLDER).iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    except (OSError, pa.ArrowException):
        shutil.rmtree(side, ignore_errors=True)


def _write_kind(file: Path, kind: str, runs: Sequence[RunData]) -> dict[str, list[str]]:
    """Writes the rows of a kind, text as codes; the names that these stand for, by field."""
    there = [run.columns[kind] for run in runs if run.rows[kind]]
    columns, names = {}, {}
    for name in KINDS[kind]:
        column = joined([each[name] for each in there], name)
        if isinstance(column, Text):
            names[name] = list(column.names)
            column = column.codes
        columns[name] = column
    coded = [name for name, column in columns.items() if column.dtype.kind == "i"]
    pq.write_table(pa.table(columns), file, compression="lz4", use_dictionary=coded, write_page_checksum=True)
    return names
