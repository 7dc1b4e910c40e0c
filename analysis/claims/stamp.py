"""What a study changed in `report` and in its plan after its first data, by the record that its directory keeps.

`history/versions.jsonl` has a line for each version that `wm` dispatched: time (unix seconds), and `report`, the
section as it was then (`studies.freeze`). Of a line without it, `history/NNNN-study.yaml` tells; of its plan,
`history/NNNN-plan.jsonl`.
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
from analysis.study import PlannedRun, Study, report_spec
from harness.rundir import PLAN, RunDir, read_jsonl

HISTORY = "history"
VERSIONS = "versions.jsonl"
_ARCHIVED = re.compile(r"(.+?)\.[0-9]{8}-[0-9]{6}(\.[0-9]+)?")
NO_RECORD = "no record of what was fixed before the data"
_HEX = 12
_SKEW = 300.0
"""Seconds by which the clocks of two machines may differ."""

Values = Mapping[str, object]
"""A section by dotted name: `final_window`, `diverged`, `H2` (True where it is declared), `H2.margin`."""


@dataclass(frozen=True)
class Version:
    """A section `report`, and from when on it held; `time` None: a change that no record dates.

    Attributes:
        number: of its line in the record, from 1.
    """

    time: float | None
    values: Values
    number: int = 0


def stamped(studies: Sequence[Study]) -> dict[str, list[str]]:
    """`changes` of all studies of a report; of several, each sentence begins with the studies that it is of."""
    of: dict[str, dict[str, list[str]]] = {}
    for study in studies:
        for claim, sentences in changes(study).items():
            for text in sentences:
                of.setdefault(claim, {}).setdefault(text, []).append(study.name)
    return {
        claim: [f"{', '.join(names)}: {text}" if len(studies) > 1 else text for text, names in told.items()]
        for claim, told in of.items()
    }


def disagreements(studies: Sequence[Study]) -> dict[str, list[str]]:
    """Where the studies of a report fix different things, and which of them counts: sentences as of `changes`."""
    found: dict[str, list[str]] = {}
    sections = [(study.name, values(study.spec)) for study in studies]
    for key in dict.fromkeys(key for _, section in sections for key in section):
        given = [(name, _text(section[key])) for name, section in sections if key in section]
        if len({value for _, value in given}) < 2:
            continue
        claim, _, option = key.partition(".")
        told = [f"{name} {value}" for name, value in given]
        if claim in CLAIMS:
            first = given[0][0]
            listed = ", ".join([given[0][1], *told[1:]])
            text = f"{first} declares {option} {listed}: that of {first} is used"
        else:
            text = f"{key} differs between studies, {', '.join(told)}: each holds for the runs of its study"
        found.setdefault(claim if claim in CLAIMS else "", []).append(text)
    return found


def changes(study: Study) -> dict[str, list[str]]:
    """What differs between `report` and the plan as they are and as they were when the first data appeared.

    Returns:
        Sentences by claim; by "" what touches all claims (the final window, the rule for diverged runs, the plan, the
        record itself). Empty where nothing differs, or there are no data yet.
    """
    data = first_data(study)
    try:
        versions = list(_versions(study.path))
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"": [f"{HISTORY}/{VERSIONS} cannot be read: whether `report` changed cannot be told"]}
    if data is None:
        return {}
    if not versions:
        return {"": [NO_RECORD]}
    before = [version for version in versions if version.time is not None and version.time <= data]
    fixed = (before or versions)[-1 if before else 0]
    found: dict[str, list[str]] = {}
    if not before and fixed.time is not None and fixed.time > data + _SKEW:
        told = f"`report` is on record since {_when(fixed.time, data)}, after the first data of {day(data)}"
        found[""] = [f"{told}{_borrowed(study, data)}"]
    if grown := _grown(study, fixed.number):
        found.setdefault("", []).append(f"the plan {grown} after the first data of {day(data)}")
    dispatched = versions[-1].time
    versions.append(Version(None, values(study.spec)))
    for key, words in _differences(fixed.values, versions[-1].values):
        since = _since(versions, key)
        claim = key.partition(".")[0] if key.partition(".")[0] in CLAIMS else ""
        if since is not None:
            how = f"dispatched on {_when(since, data)}, after the first data of {day(data)}"
        else:
            last = f" after the dispatch of {day(dispatched)}" if dispatched is not None else ""
            how = f"edited by hand in study.yaml{last}; the first data are of {day(data)}"
        found.setdefault(claim, []).append(f"{words} ({how})")
    return found


def first_data(study: Study) -> float | None:
    """When the first of a study's runs began, in unix seconds; None before that.

    Runs that are read in place from another study count by when they began there, as they were known before; but for
    those of agents that learn nothing, which any study borrows. So does what `wm retry --fresh` put aside.
    """
    own = {run.id: run for run in study.runs if run.reused_from is None}
    times = [_begun(run.path) for run in (*own.values(), *_reused(study))]
    for file in study.path.glob(f"{HISTORY}/*/attempts.jsonl"):
        archived = _ARCHIVED.fullmatch(file.parent.name)
        if archived and archived[1] in own:
            times.append(_begun(file.parent))
    return min((time for time in times if time is not None), default=None)


def _reused(study: Study) -> list[PlannedRun]:
    """The runs of models that are read in place from other studies."""
    return [
        run
        for run in study.runs
        if run.reused_from is not None and run.config.get("agent", "model") == "model"
    ]


def _borrowed(study: Study, data: float) -> str:
    """Whose data the first are, if they are not the study's own."""
    whose = [str(run.reused_from) for run in _reused(study) if _begun(run.path) == data]
    return f", which are reused from {whose[0]}" if whose else ""


def _grown(study: Study, number: int) -> str:
    """How the plan differs from that of a version: `grew from 30 to 100 runs (seeds 3 to 10)`; empty if it does not.

    Args:
        study: with its plan as it is.
        number: of the version.
    """
    old = _plan_of(study.path, number)
    if old is None:
        return ""
    now = {run.id[-_HEX:]: (run.design, run.task, run.seed) for run in study.runs}
    new = {cell for digits, cell in now.items() if digits not in old} - set(old.values())
    lost = {cell for digits, cell in old.items() if digits not in now} - set(now.values())
    if not new:
        return f"lost {len(lost)} of its {len(old)} runs" if lost else ""
    parts = []
    for i, noun in enumerate(("designs", "tasks", "seeds")):
        counts = [len({cell[i] for cell in plan.values()}) for plan in (old, now)]
        if counts[0] != counts[1]:
            parts.append(f"{noun} {counts[0]} to {counts[1]}")
    inside = f" ({', '.join(parts)})" if parts else ""
    dropped = f", and lost {len(lost)} of them," if lost else ""
    verb = "grew" if len(now) > len(old) else "changed"
    return f"{verb} from {len(old)} to {len(now)} runs{inside}{dropped}"


def _plan_of(path: Path, number: int) -> dict[str, tuple[str, str, int]] | None:
    """Design, task and seed by hex of a version's plan; None where it was not kept, or it is the last."""
    count = len(list(read_jsonl(path / HISTORY / VERSIONS)))
    kept = {int(file.name[:4]) for file in (path / HISTORY).glob("[0-9]*-plan.jsonl")}
    if not 0 < number < count or kept != set(range(1, count)):
        return None
    try:
        lines = list(read_jsonl(path / HISTORY / f"{number:04d}-{PLAN}"))
        return {line["hex"]: (line["design"], line["task"], line["seed"]) for line in lines}
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
            yield Version(float(line["time"]), values(spec), number)


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
