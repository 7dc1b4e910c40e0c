"""What a study changed in `report` after its first data, by the record that its directory keeps.

`history/versions.jsonl` has a line for each version that `wm` dispatched: time (unix seconds), and `report`, the
section as it was then (`studies.freeze`). Of a line without it, `history/NNNN-study.yaml` tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.claims.spec import CLAIMS, ReportSpec
from analysis.study import Study, report_spec
from harness.rundir import RunDir, read_jsonl

HISTORY = "history"
VERSIONS = "versions.jsonl"
_ARCHIVED = re.compile(r"(.+?)\.[0-9]{8}-[0-9]{6}(\.[0-9]+)?")
_SKEW = 300.0
"""Seconds by which the clocks of two machines may differ."""

Values = Mapping[str, object]
"""A section by dotted name: `final_window`, `diverged`, `H2` (True where it is declared), `H2.margin`."""


@dataclass(frozen=True)
class Version:
    """A section `report`, and from when on it held; `time` None: a change that no record dates."""

    time: float | None
    values: Values


def stamped(studies: Sequence[Study]) -> dict[str, list[str]]:
    """`changes` of all studies of a report; of several, each sentence begins with its study's name."""
    found: dict[str, list[str]] = {}
    for study in studies:
        for claim, sentences in changes(study).items():
            named = [f"{study.name}: {text}" for text in sentences] if len(studies) > 1 else sentences
            found.setdefault(claim, []).extend(named)
    return found


def changes(study: Study) -> dict[str, list[str]]:
    """What differs between `report` as it is and as it was when the first data appeared.

    Returns:
        Sentences by claim; by "" what touches all claims (the final window, the rule for diverged runs, the record
        itself). Empty where nothing differs, there are no data yet, or the study has never been dispatched.
    """
    data = first_data(study)
    try:
        versions = list(_versions(study.path))
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"": [f"{HISTORY}/{VERSIONS} cannot be read: whether `report` changed cannot be told"]}
    if data is None or not versions:
        return {}
    before = [version for version in versions if version.time is not None and version.time <= data]
    fixed = (before or versions)[-1 if before else 0]
    found: dict[str, list[str]] = {}
    if not before and fixed.time is not None and fixed.time > data + _SKEW:
        told = f"`report` is on record since {_when(fixed.time, data)}, after the first data of {day(data)}"
        found[""] = [told]
    versions.append(Version(None, values(study.spec)))
    for key, words in _differences(fixed.values, versions[-1].values):
        since = _since(versions, key)
        claim = key.partition(".")[0] if key.partition(".")[0] in CLAIMS else ""
        how = f"changed on {_when(since, data)}" if since is not None else "by hand in study.yaml"
        found.setdefault(claim, []).append(f"{words} ({how}, after the first data of {day(data)})")
    return found


def first_data(study: Study) -> float | None:
    """When the first of a study's own runs began, in unix seconds; None before that.

    Runs that are read in place from another study do not count; what `wm retry --fresh` put aside does.
    """
    own = {run.id: run for run in study.runs if run.reused_from is None}
    times = [_begun(run.path) for run in own.values()]
    for file in study.path.glob(f"{HISTORY}/*/attempts.jsonl"):
        archived = _ARCHIVED.fullmatch(file.parent.name)
        if archived and archived[1] in own:
            times.append(_begun(file.parent))
    return min((time for time in times if time is not None), default=None)


def _begun(path: Path) -> float | None:
    """The first attempt's start; of a run without its attempts, the time of its first file."""
    directory = RunDir(path)
    try:
        for record in read_jsonl(directory.attempts):
            if record.get("event") == "start":
                return float(record["time"])
        return directory.config_file.stat().st_mtime if directory.metrics.exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _versions(path: Path) -> Iterator[Version]:
    """What was dispatched, in order; a version of which nothing is known is left out."""
    lines = list(read_jsonl(path / HISTORY / VERSIONS))
    for number, line in enumerate(lines, 1):
        if "report" in line:
            spec: ReportSpec | None = ReportSpec.model_validate(line["report"])
        else:
            kept = path / HISTORY / f"{number:04d}-study.yaml"
            spec = report_spec(path / "study.yaml" if number == len(lines) else kept)
        if spec is not None:
            yield Version(float(line["time"]), values(spec))


def values(spec: ReportSpec) -> dict[str, object]:
    """A section by dotted name; a claim that is not declared has no key."""
    content: dict[str, Any] = spec.model_dump(mode="json")
    found = {name: value for name, value in content.items() if name != "claims"}
    for claim, options in content["claims"].items():
        found |= {claim: True} | {f"{claim}.{name}": value for name, value in options.items()}
    return found


def differences(old: ReportSpec, new: ReportSpec) -> list[str]:
    """What differs between two sections, a phrase each: `H2.margin 0.05 -> 0.1`."""
    return [words for _, words in _differences(values(old), values(new))]


def _differences(old: Values, new: Values) -> Iterator[tuple[str, str]]:
    """Names that differ, each with a phrase."""
    for key in [*new, *(key for key in old if key not in new)]:
        claim = key.partition(".")[0]
        if old.get(key) == new.get(key):
            continue
        if key in CLAIMS:
            options = ", ".join(
                f"{name[len(key) + 1 :]} {_text(value)}"
                for name, value in new.items()
                if name.startswith(f"{key}.")
            )
            yield key, f"{key} declared, {options}" if key in new else f"{key} no longer declared"
        elif claim not in CLAIMS or (claim in old and claim in new):
            yield key, f"{key} {_text(old.get(key))} -> {_text(new.get(key))}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _since(versions: Sequence[Version], key: str) -> float | None:
    """From when on a value was what it is in the last version; None if no record says."""
    since = versions[-1].time
    for version in reversed(versions):
        if version.values.get(key) != versions[-1].values.get(key):
            break
        since = version.time
    return since


def _when(time: float, other: float) -> str:
    """The day, and the time of day if another time is of the same day."""
    same = day(time) == day(other)
    return f"{day(time)} {datetime.fromtimestamp(time, UTC):%H:%M} UTC" if same else day(time)


def day(time: float) -> str:
    """The day of a time, in UTC."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}"
