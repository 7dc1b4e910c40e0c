"""How two files of a report differ, in words: by cell, by number, by pixel."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

EQUAL = "other bytes, equal content"
MACRO = re.compile(r"^\\wm@set\{(.*)\}\{(.*)\}$", re.MULTILINE)
"""A number of numbers.tex: its key and its value."""
_EMBEDDED = re.compile(r"data:[a-z]+/[^\"')\s]+")
_KEYWORDS = re.compile(rb"/Keywords \(.*?\)\n?", re.DOTALL)
_FEW = 3  # cells or columns that a line names


def difference(old: Path, new: Path) -> list[str]:
    """What a later file of the same name says otherwise, a phrase each; of files whose bytes differ."""
    compare = _COMPARE.get(new.name) or _BY_SUFFIX.get(new.suffix)
    return list(compare(old, new)) or [EQUAL] if compare else ["other bytes"]


def some(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def _claims(old: Path, new: Path) -> Iterator[str]:
    before, after = (json.loads(file.read_text(encoding="utf-8")) for file in (old, new))
    yield from _changed(*(dict(_leaves(each.get("claims", each))) for each in (before, after)))


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
    yield from _changed(*(dict(MACRO.findall(file.read_text(encoding="utf-8"))) for file in (old, new)))


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
            yield f"other values in {some(names)}"


def _pixels(old: Path, new: Path) -> Iterator[str]:
    import numpy as np
    from matplotlib.image import imread

    before, after = imread(old), imread(new)
    if before.shape != after.shape:
        yield f"{before.shape[1]} x {before.shape[0]} pixels -> {after.shape[1]} x {after.shape[0]}"
    elif count := int(np.any(before != after, axis=-1).sum()):
        yield f"{count:,} of {after.shape[0] * after.shape[1]:,} pixels"


def _without_provenance(old: Path, new: Path) -> Iterator[str]:
    """Whether two PDFs differ in more than where they say that they come from."""
    before, after = (_KEYWORDS.sub(b"", file.read_bytes()) for file in (old, new))
    if before != after:
        yield "other bytes"


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
    ".pdf": _without_provenance,
    ".html": _words,
    ".md": _words,
    ".tex": _words,
    ".json": _claims,
}


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
