"""The designs of a study: the known names, fragments, and what a factorial writes out."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator

from harness.registry import suggest
from studies.language.axes import is_mapping, read_axes, read_fields
from studies.language.document import Node
from studies.language.names import CANONICAL, check_design_name
from studies.language.problems import Mark, Problems
from studies.language.reference import MEANING, reference_designs
from studies.language.study import MAX_DESIGNS, Axis, Design, Fields, Known, Located

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@functools.cache
def known_design(name: str) -> Design | None:
    """One of the designs that are known without being written: a corner, or one of the reference."""
    axes = CANONICAL.get(name)
    if axes is not None:
        place = Mark("known designs")
        fields = {axis: Located(value, place, name) for axis, value in axes.items()}
        return Design(name, fields, place, name, written=False)
    node = reference_designs().get(name)
    if node is None:
        return None
    problems = Problems()
    fields = read_fields(node, f"designs.{name}", problems)
    problems.raise_any()
    return Design(name, fields, node.mark, name, written=False)


@functools.cache
def meaning(name: str) -> Fields:
    """What the name of a known design stands for, by field; nothing for another name."""
    known = known_design(name)
    return {field: known.fields[field] for field in MEANING if field in known.fields} if known else {}


def read_designs(fragments: Node | None, factorial: Node | None, problems: Problems) -> dict[str, Design]:
    """The designs that are written in a study, by name, in the order of the file."""
    designs: dict[str, Design] = {}
    for design in itertools.chain(_fragments(fragments, problems), _factorials(factorial, problems)):
        first = designs.setdefault(design.name, design)
        if first is not design:
            place = f"{first.path} (line {first.mark.line})"
            problems.add(design.mark, design.path, f"the design {design.name} is written already in {place}")
    return {name: _as_named(design, problems) for name, design in designs.items()}


def _fragments(node: Node | None, problems: Problems) -> Iterator[Design]:
    if node is None or not is_mapping(node, "designs", problems):
        return
    assert isinstance(node.value, dict)
    for name, inner in node.value.items():
        path, mark = f"designs.{name}", node.keys[name]
        try:
            check_design_name(name)
        except ValueError as error:
            problems.add(mark, path, str(error))
            continue
        yield Design(name, read_fields(inner, path, problems), mark, path)


def _factorials(node: Node | None, problems: Problems) -> Iterator[Design]:
    if node is None:
        return
    items = node.value if isinstance(node.value, list) else [node]
    for index, item in enumerate(items):
        path = f"factorial[{index}]" if isinstance(node.value, list) else "factorial"
        if is_mapping(item, path, problems):
            yield from _factorial(item, path, problems)


def _factorial(node: Node, path: str, problems: Problems) -> Iterator[Design]:
    assert isinstance(node.value, dict)
    for key in node.value:
        if key not in {"axes", "name"}:
            message = f"unknown key{suggest(key, ['axes', 'name'])}; there are axes and name"
            problems.add(node.keys[key], f"{path}.{key}", message)
    axes_node = node.value.get("axes")
    if axes_node is None or not axes_node.value or not isinstance(axes_node.value, dict):
        what = "missing" if axes_node is None else "must be a mapping of fields to lists of values"
        problems.add(node.mark if axes_node is None else axes_node.mark, f"{path}.axes", what)
        return
    before = len(problems.found)
    axes = read_axes(axes_node, f"{path}.axes", Known(), problems)
    for axis in axes:
        if axis.name in {"design", "task", "seed"}:
            problems.add(axis.mark, axis.path, f"{axis.name} is not part of a design: vary it in the grid")
    template = _template(node.value.get("name"), axes, path, problems)
    total = math.prod(axis.count for axis in axes)
    if total > MAX_DESIGNS:
        problems.add(node.mark, path, f"writes {total:,} designs out; at most {MAX_DESIGNS:,}")
    if len(problems.found) > before or template is None:
        return
    yield from _written_out(axes, template, node.mark, path, problems)


def _written_out(
    axes: list[Axis], template: str, mark: Mark, path: str, problems: Problems
) -> Iterator[Design]:
    seen: dict[str, Fields] = {}
    for values in itertools.product(*(axis.expand() for axis in axes)):
        fields = {axis.name: value for axis, value in zip(axes, values, strict=True)}
        name = _filled(template, fields)
        try:
            check_design_name(name)
        except ValueError as error:
            problems.add(mark, f"{path}.name", str(error))
            return
        if name in seen:
            missing = next(key for key in fields if fields[key].value != seen[name][key].value)
            problems.add(mark, f"{path}.name", f"names two designs {name}: add {{{missing}}}")
            return
        seen[name] = fields
        yield Design(name, fields, mark, path)


def _template(node: Node | None, axes: list[Axis], path: str, problems: Problems) -> str | None:
    """The name template; by default the values of the axes joined by hyphens."""
    names = [axis.name for axis in axes]
    if node is None or node.value is None:
        return "-".join(f"{{{name}}}" for name in names)
    if not isinstance(node.value, str):
        problems.add(node.mark, f"{path}.name", f"must be a text with {{axis}} in it, not {node.describe()}")
        return None
    wrong = [match.strip() for match in _PLACEHOLDER.findall(node.value) if match.strip() not in names]
    for name in wrong:
        message = (
            f"{{{name}}} is no axis of this factorial{suggest(name, names)}; there are {', '.join(names)}"
        )
        problems.add(node.mark, f"{path}.name", message)
    return None if wrong else node.value


def _filled(template: str, fields: Fields) -> str:
    return _PLACEHOLDER.sub(lambda match: _word(fields[match[1].strip()].value), template)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _as_named(design: Design, problems: Problems) -> Design:
    """A design of a known name has that name's fields; a fragment may change those that the name does not mean."""
    known = known_design(design.name)
    if known is None:
        return design
    for axis, located in meaning(design.name).items():
        written = design.fields.get(axis)
        if written is not None and written.value != located.value:
            message = f"the name {design.name} means {axis}: {located.value}; choose another name"
            problems.add(written.mark, written.path, message)
    return Design(design.name, {**known.fields, **design.fields}, design.mark, design.path)
