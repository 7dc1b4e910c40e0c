"""What the command line adds to a study: ``field=value`` overrides."""

from __future__ import annotations

from collections.abc import Sequence

from studies.language.axes import read_fields
from studies.language.document import Node, parse_yaml
from studies.language.problems import Mark, Problem, Problems
from studies.language.study import Fields

_HERE = Mark("command line")


def read_overrides(overrides: Sequence[str], problems: Problems) -> Fields:
    """The fields that ``field=value`` texts set, each once; values are YAML."""
    fields: Fields = {}
    for text in overrides:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            problems.add(_HERE, "", f"{text[:80]!r} is not field=value")
        elif name == "design":
            problems.add(_HERE, name, "a design is not overridden: select runs with --only design=...")
        else:
            given = _read(name, value, problems)
            for twice in given.keys() & fields.keys():
                problems.add(_HERE, twice, "given twice")
            fields.update(given)
    return fields


def _read(name: str, value: str, problems: Problems) -> Fields:
    inner = Problems()
    node = parse_yaml(value, "command line", inner) if value else Node(None, _HERE)
    fields = read_fields(Node({name: node}, _HERE, {name: _HERE}), "", inner) if node is not None else {}
    # Line and column mean nothing on the command line.
    problems.found.extend(Problem(_HERE, found.path or name, found.message) for found in inner.found)
    return {key: type(located)(located.value, _HERE, located.path) for key, located in fields.items()}
