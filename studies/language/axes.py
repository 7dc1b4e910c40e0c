"""Reads mappings of fields: fragments (one value a field), axes (lists of values) and conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.registry import suggest
from studies.language.document import Node, join
from studies.language.fields import FieldSpec, check_value, find, listed, sections, unknown
from studies.language.names import AGENTS, is_glob, known_tasks, matching, suggest_task
from studies.language.problems import Mark, Problems
from studies.language.reference import known_designs
from studies.language.study import MAX_RUNS, Axis, Fields, Known, Located, Where, range_length
from studies.language.tasksets import task_sets

_RANGE = re.compile(r"range\(\s*(-?[0-9]{1,40})\s*(?:,\s*(-?[0-9]{1,40})\s*)?\)")
_DESIGN_HINT = "a design is chosen by a grid or an include, not here"

_COMMAS = {f"resources.{name}" for name in ("partition", "nodelist", "exclude")}
"""Fields that name several things with commas between them."""

Entry = tuple[str, Node, Mark, str]
"""A dotted name, its value, where the key stands, and the path."""


def flatten(node: Node, path: str, problems: Problems, prefix: str = "") -> Iterator[Entry]:
    """The leaf fields of a mapping, nested or dotted; wrong names are noted.

    `design` is passed through; whoever does not take it says so.
    """
    assert isinstance(node.value, dict)
    for key, inner in node.value.items():
        name, where = join(prefix, key), join(path, key)
        spec = find(name)
        if name in sections():
            if isinstance(inner.value, dict):
                yield from flatten(inner, where, problems, name)
            elif inner.value is not None:
                problems.add(
                    inner.mark, where, f"must be a mapping of the fields of {name}, not {inner.describe()}"
                )
        elif spec is not None and spec.is_mapping and isinstance(inner.value, dict):
            yield from ((join(name, k), v, inner.keys[k], join(where, k)) for k, v in inner.value.items())
        elif spec is None and name != "design":
            problems.add(node.keys[key], where, unknown(name))
        else:
            yield name, inner, node.keys[key], where


def unique(entries: Iterator[Entry], problems: Problems) -> Iterator[Entry]:
    """Refuses a field that is written twice: nested and dotted."""
    seen: dict[str, Mark] = {}
    for name, node, mark, path in entries:
        if name in seen:
            problems.add(mark, path, f"{name} is written twice; the first is in line {seen[name].line}")
            continue
        seen[name] = mark
        yield name, node, mark, path


def read_fields(node: Node | None, path: str, problems: Problems, prefix: str = "") -> Fields:
    """A fragment: one value a field. With a prefix, the fields of that section."""
    fields: Fields = {}
    if node is None or node.value is None or not is_mapping(node, path, problems):
        return fields
    for name, inner, mark, where in unique(flatten(node, path, problems, prefix), problems):
        if name == "design":
            problems.add(mark, where, _DESIGN_HINT)
            continue
        spec = find(name)
        if spec is None:
            problems.add(mark, where, unknown(name))
            continue
        if isinstance(inner.value, list) and not spec.takes_lists:
            problems.add(inner.mark, where, _not_a_list(name, inner))
            continue
        before = len(problems.found)
        value = check_value(spec, inner.plain(), inner.mark, where, problems)
        if len(problems.found) == before:
            fields[name] = Located(value, inner.mark, where)
    return fields


def _not_a_list(name: str, node: Node) -> str:
    """Why a list is refused, and how several are written where a scheduler takes several."""
    if name not in _COMMAS:
        return "must be one value, not a list: lists stand in the grid"
    assert isinstance(node.value, list)
    together = ",".join(str(item.plain()) for item in node.value)
    return f'must be one text: write several with commas, "{together}"'


def read_axes(node: Node, path: str, known: Known, problems: Problems) -> list[Axis]:
    """The axes of a grid: each field with a value, a list of values, or a range.

    Args:
        node: a mapping.
        path: where it is, for messages.
        known: the designs written in this study, which globs over designs reach.
        problems: receives what is wrong.
    """
    axes = []
    for name, inner, mark, where in unique(flatten(node, path, problems), problems):
        if name != "design" and find(name) is None:
            problems.add(mark, where, unknown(name))
            continue
        several = isinstance(inner.value, list)
        items = inner.value if isinstance(inner.value, list) else [inner]
        if not items:
            problems.add(inner.mark, where, "no values: the grid would be empty")
        axis = Axis(name, [], mark, where)
        for index, item in enumerate(items):
            axis.values.extend(
                _values(name, item, f"{where}[{index}]" if several else where, known, problems)
            )
        if name in {"design", "task"}:
            _drop_repeats(axis)
        if axis.values:
            axes.append(axis)
    return axes


def read_where(node: Node, path: str, known: Known, problems: Problems) -> Where:
    """A condition: any field with a value, a list of values, or (for texts) globs."""
    where = Where({}, node.mark, path)
    if not is_mapping(node, path, problems):
        return where
    before = len(problems.found)
    for name, inner, mark, place in unique(flatten(node, path, problems), problems):
        spec = find(name)
        if spec is None and name != "design":
            problems.add(mark, place, unknown(name))
            continue
        several = isinstance(inner.value, list)
        items = inner.value if isinstance(inner.value, list) else [inner]
        for index, item in enumerate(items):
            item_path = f"{place}[{index}]" if several else place
            values = _condition(name, spec, item, item_path, known, problems)
            where.fields.setdefault(name, []).extend(values)
    if not where.fields and len(problems.found) == before:
        problems.add(node.mark, path, "names no field: it would select every run")
    return where


def is_mapping(node: Node, path: str, problems: Problems) -> bool:
    """Whether a node is a mapping; noted if it is not."""
    if isinstance(node.value, dict):
        return True
    problems.add(node.mark, path, f"must be a mapping of fields, not {node.describe()}")
    return False


def as_range(value: object) -> range | None:
    """The numbers that ``range(n)`` or ``range(a, b)`` stands for."""
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    first, second = match.groups()
    return range(int(first)) if second is None else range(int(first), int(second))


def _drop_repeats(axis: Axis) -> None:
    """Names that several globs reach stand once."""
    seen: set[object] = set()
    kept = []
    for value in axis.values:
        if not isinstance(value, Located) or value.value not in seen:
            kept.append(value)
        if isinstance(value, Located):
            seen.add(value.value)
    axis.values[:] = kept


def _values(
    name: str, node: Node, path: str, known: Known, problems: Problems
) -> list[Located | tuple[range, Mark, str]]:
    """The values that one item of an axis stands for."""
    if name == "design":
        return list(_designs(node, path, known, problems))
    spec = find(name)
    assert spec is not None
    value = node.plain()
    if name == "task" and isinstance(value, str) and is_glob(value):
        found = matching(value, known_tasks())
        if not found:
            problems.add(node.mark, path, f"{value!r} matches no task (`wm list tasks` shows what there is)")
        return [Located(task, node.mark, path) for task in found]
    if name == "task" and isinstance(value, str) and value in task_sets():
        return [Located(task, node.mark, path) for task in task_sets()[value].tasks]
    numbers = None if spec.accepts_text else as_range(value)
    before = len(problems.found)
    if numbers is None:
        checked = check_value(spec, value, node.mark, path, problems)
        return [Located(checked, node.mark, path)] if len(problems.found) == before else []
    length = range_length(numbers)
    if length == 0:
        problems.add(node.mark, path, f"{value} holds no numbers: the grid would be empty")
    elif length <= MAX_RUNS:  # a longer one is refused for its length
        for end in {numbers.start, numbers.stop - 1}:
            check_value(spec, end, node.mark, path, problems)
    return [(numbers, node.mark, path)] if len(problems.found) == before else []


def _open_name(value: str) -> bool:
    """Whether a condition names something that no list holds: a class of the user's own, an id of Gymnasium's."""
    return ":" in value or value.startswith("gym/")


def _designs(node: Node, path: str, known: Known, problems: Problems) -> Iterator[Located]:
    """The designs that a name or a glob stands for."""
    text, names = node.value, known.designs
    if not isinstance(text, str):
        problems.add(node.mark, path, f"must be the name of a design or a glob, not {node.describe()}")
    elif is_glob(text):
        found = matching(text, names)
        if not found and known.complete:
            have = f"written are {listed(names[:8])}" if names else "none is written"
            reach = (
                "; the known names are reached by name, not by globs"
                if matching(text, known_designs())
                else ""
            )
            problems.add(node.mark, path, f"{text!r} matches no design of this study ({have}{reach})")
        yield from (Located(name, node.mark, path, glob=True) for name in found)
    elif text in names or text in known_designs():
        yield Located(text, node.mark, path)
    elif text in AGENTS:
        problems.add(
            node.mark, path, f"{text!r} is an agent, not a design: include: [{{agent: {text}, ...}}]"
        )
    elif known.complete:
        problems.add(
            node.mark, path, f"unknown design {text[:80]!r}{suggest(text, [*names, *known_designs()])}"
        )


def _condition(
    name: str, spec: FieldSpec | None, node: Node, path: str, known: Known, problems: Problems
) -> list[Located]:
    """One value of a condition. Globs over names must match one that exists; other texts must be values."""
    value = node.plain()
    if spec is None or name == "task":
        names = [*known.designs, *known_designs(), *AGENTS] if spec is None else known_tasks()
        kind = "design" if spec is None else "task"
        if not isinstance(value, str):
            problems.add(node.mark, path, f"must be the name of a {kind} or a glob, not {node.describe()}")
        elif spec is not None and value in task_sets():
            return [Located(task, node.mark, path) for task in task_sets()[value].tasks]
        elif not (matching(value, names) or _open_name(value)) and (known.complete or spec is not None):
            what = "matches no" if is_glob(value) else "is no"
            near = suggest(value, names) if spec is None else suggest_task(value)
            problems.add(node.mark, path, f"{value[:80]!r} {what} {kind}{near}")
        return [Located(value, node.mark, path)]
    if isinstance(value, str) and spec.accepts_text and is_glob(value):
        if spec.choices and not matching(value, spec.choices):
            problems.add(node.mark, path, f"{value[:80]!r} matches none of {listed(spec.choices)}")
        return [Located(value, node.mark, path)]
    numbers = None if spec.accepts_text else as_range(value)
    if numbers is not None:
        return [Located(numbers, node.mark, path)]
    before = len(problems.found)
    checked = check_value(spec, value, node.mark, path, problems)
    return [Located(checked, node.mark, path)] if len(problems.found) == before else []
