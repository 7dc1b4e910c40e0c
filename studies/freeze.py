"""Freezing: what was dispatched is written into the study's directory, and earlier versions are kept.

RUNS/<study>/study.yaml         the file as dispatched, its overrides included
RUNS/<study>/plan.jsonl         one line per run
RUNS/<study>/history/           N-study.yaml, N-plan.jsonl: earlier versions; versions.jsonl: when, from where, and the
                                section `report` as it was then, by which a later change is known
"""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from analysis.claims.spec import ReportSpec
from analysis.claims.stamp import VERSIONS, day, differences, first_data
from analysis.study import read_study, report_spec
from harness.errors import UserError
from harness.rundir import read_jsonl, write_atomically
from studies.language import Study, StudyError, parse_study
from studies.language.study import plain_fields
from studies.plan import Plan, plan_line
from studies.store import StudyDir

_KEPT = re.compile(r"([0-9]+)-(?:study\.yaml|plan\.jsonl)")


def freeze(plan: Plan, *, adopt: bool = False) -> StudyDir:
    """Writes study.yaml and plan.jsonl, and moves an earlier version to the history.

    Does nothing if they are there and equal, or if the plan was read from disk.

    Returns:
        The study's directory, ready to be dispatched.

    Raises:
        UserError: the study of this name came from another file, and `adopt` is not set.
    """
    if plan.study is not None:
        _freeze(plan, plan.study, adopt=adopt)
    return StudyDir(plan.home.path)


def _freeze(plan: Plan, study: Study, *, adopt: bool) -> None:
    home = plan.home
    text = dispatched_text(study).encode()
    lines = "".join(json.dumps(plan_line(run), separators=(",", ":")) + "\n" for run in plan.runs).encode()
    before = _read(home.study_file), _read(home.plan_file)
    report = _report(study)
    same = before == (text, lines)
    if same and _last(home).get("report", report) == report:
        return
    if not adopt:
        refuse_other_file(plan)
    try:
        home.history.mkdir(parents=True, exist_ok=True)
        home.runs.mkdir(exist_ok=True)
        _keep(home, before)  # equal ones too: of each line of the record its files
        if not same:
            write_atomically(home.plan_file, lines)
            write_atomically(home.study_file, text)
        with (home.history / VERSIONS).open("a") as file:
            file.write(json.dumps(_version(study, len(plan.runs))) + "\n")
    except OSError as error:
        raise UserError(f"{home.path} cannot be written: {error.strerror or error}") from error


def refuse_other_file(plan: Plan) -> None:
    """Refuses a file that is not the one from which the study of its name was dispatched.

    The same file, edited, is the same study; so is a copy with the same text.

    Raises:
        UserError: with both files.
    """
    assert plan.study is not None
    old = dispatched_from(plan.home)
    path = str(Path(plan.study.source).absolute())
    if old is None or old == path or _read(plan.home.study_file) == dispatched_text(plan.study).encode():
        return
    raise UserError(
        f"{plan.study.source}: the study {plan.name} under {plan.home.root} was dispatched from another file, {old}. "
        f"Choose another name, or take the study over with --adopt"
    )


def report_changes(plan: Plan) -> str:
    """What the file says otherwise in `report` than what was dispatched, in one line; empty if nothing, or no file."""
    if plan.study is None:
        return ""
    last = _last(plan.home).get("report")
    old = ReportSpec.model_validate(last) if last else report_spec(plan.home.study_file)
    told = differences(old, ReportSpec.model_validate(plan.study.report)) if old else []
    if not told:
        return ""
    data = None
    with suppress(UserError):  # a damaged plan, which is about to be replaced
        data = first_data(read_study(plan.home.path))
    stamped = f", after the first data of {day(data)}: the claims will say so" if data is not None else ""
    return f"`report` changes: {'; '.join(told)}{stamped}"


def dispatched_from(home: StudyDir) -> str | None:
    """The file from which a study was last dispatched, or None if it never was."""
    last = _last(home)
    return str(last["source"]) if last else None


def _last(home: StudyDir) -> dict[str, Any]:
    """The line of the last version; empty if the study was never dispatched."""
    versions = list(read_jsonl(home.history / VERSIONS))
    return versions[-1] if versions else {}


def dispatched_text(study: Study) -> str:
    """The study file with the command line's overrides written into it."""
    if not study.given:
        return study.text
    fields = plain_fields(study.overrides)
    block = f"overrides: {json.dumps(fields)}"
    head = f"# Dispatched with: {' '.join(study.given)}\n"
    appended = f"{head}{study.text.rstrip()}\n\n{block}\n"
    if _means(appended, study, fields):
        return appended
    data = _plain(study.text) | {"overrides": fields}
    return head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _means(text: str, study: Study, fields: dict[str, Any]) -> bool:
    """Whether a text is a study with these overrides."""
    try:
        return plain_fields(parse_study(text, study.source).overrides) == fields
    except StudyError:
        return False


def _plain(text: str) -> dict[str, Any]:
    from studies.language.document import parse_yaml
    from studies.language.problems import Problems

    node = parse_yaml(text, "", Problems())
    assert node is not None
    found: dict[str, Any] = node.plain()
    return found


def _keep(home: StudyDir, before: tuple[bytes | None, bytes | None]) -> None:
    """Copies what is about to be replaced into the history."""
    kept = (_KEPT.fullmatch(path.name) for path in home.history.iterdir())  # archived runs are here too
    taken = [int(match[1]) for match in kept if match]
    number = max(taken, default=0) + 1
    for file, content in zip((home.study_file, home.plan_file), before, strict=True):
        if content is not None:
            write_atomically(home.history / f"{number:04d}-{file.name}", content)


def _version(study: Study, runs: int) -> dict[str, Any]:
    source = str(Path(study.source).absolute())
    line = {"time": time.time(), "source": source, "overrides": list(study.given), "runs": runs}
    return line | {"report": _report(study)}


def _report(study: Study) -> dict[str, Any]:
    """The section `report`, its defaults written out: they may be others in a later version of this code."""
    return ReportSpec.model_validate(study.report).model_dump(mode="json")


def _read(path: Path) -> bytes | None:
    """The content as it is: a damaged file is replaced like any other."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
