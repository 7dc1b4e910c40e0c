"""Reads `report` of a study file: the final window, the rule for diverged runs, the thresholds of claims."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from analysis.claims.spec import CLAIMS, Claims, ReportSpec
from harness.registry import suggest
from studies.language.axes import is_mapping
from studies.language.document import Node
from studies.language.fields import parts_of, spec_of
from studies.language.problems import Problems


def read_report(node: Node | None, problems: Problems) -> dict[str, Any]:
    """`report` as it was written; every name and value in it is checked against `ReportSpec`.

    Args:
        node: the section, which may be missing.
        problems: receives what is wrong.
    """
    if node is None or not is_mapping(node, "report", problems):
        return {}
    before = len(problems.found)
    _check(node, ReportSpec, "report", problems)
    content: dict[str, Any] = node.plain()
    if len(problems.found) == before:
        ReportSpec.model_validate(content)  # what analysis will read
    return content


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that holds further fields; None for a single value."""
    kinds = [part for part in parts_of(info.annotation) if get_origin(part) is None]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _check(node: Node, model: type[BaseModel], path: str, problems: Problems) -> None:
    assert isinstance(node.value, dict)
    for key, inner in node.value.items():
        where = f"{path}.{key}"
        info = model.model_fields.get(key)
        if info is None:
            problems.add(node.keys[key], where, _unknown(key, model, path))
            continue
        section = section_of(info)
        if section is None:
            try:
                spec_of(key, info).check(inner.plain())
            except ValueError as error:
                problems.add(inner.mark, where, str(error))
        elif isinstance(inner.value, dict):
            _check(inner, section, where, problems)
        elif inner.value is not None:
            problems.add(inner.mark, where, f"{_section_words(key, section)}, not {inner.describe()}")


def _section_words(key: str, section: type[BaseModel]) -> str:
    """What a section must be, with an example."""
    if section is Claims:
        return "must be a mapping of claims, such as {H1: {level: 0.95}}"
    return f"must be a mapping of {_and(section.model_fields)} ({key}: {{}} takes the defaults)"


def _unknown(key: str, model: type[BaseModel], path: str) -> str:
    """The message about a name that the section does not have."""
    first = key.partition(".")[0]
    if model is Claims:
        if first in CLAIMS:
            return f"write it nested, {first}: {{{key.partition('.')[2]}: ...}}"
        upper = f" (did you mean {key.upper()}?)" if key.upper() in CLAIMS else suggest(key, CLAIMS)
        return f"no such claim{upper}; there are {CLAIMS[0]} to {CLAIMS[-1]}"
    if model is ReportSpec:
        if first in CLAIMS:
            return f"{first} is a claim: write it under report.claims"
        return f"unknown key{suggest(key, model.model_fields)}; there are {_and(model.model_fields)}"
    owners = [claim for claim in CLAIMS if key in _options(claim)]
    whose = f" ({key} is of {_and(owners)})" if owners else suggest(key, model.model_fields)
    return f"{path.rpartition('.')[2]} has no option {key}{whose}; it has {_and(model.model_fields)}"


def _options(claim: str) -> list[str]:
    section = section_of(Claims.model_fields[claim])
    return list(section.model_fields) if section else []


def _and(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
