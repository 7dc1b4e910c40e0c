"""A YAML file as nodes that know where they stand. Nothing in the file is executed, nothing in it can hurt:
aliases are counted before they are followed, sizes and depths are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from studies.language.problems import Mark, Problems
from studies.language.scalars import Scalar, resolve

MAX_BYTES = 2_000_000
MAX_NODES = 200_000
_PLAIN = "plain"  # the tag of a scalar without quotes and without a tag of its own
_TAG = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    f"{_TAG}int": (int,),
    f"{_TAG}float": (float, int),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}


@dataclass(slots=True, eq=False)
class Node:
    """A value of the file: a scalar, a list of nodes, or a mapping of names to nodes.

    Attributes:
        value: the scalar, the list or the mapping.
        mark: where it starts.
        keys: of a mapping, where each key stands.
        size: nodes in it, aliases followed.
    """

    value: Scalar | list[Node] | dict[str, Node]
    mark: Mark
    keys: dict[str, Mark] = field(default_factory=dict)
    size: int = 1

    def plain(self) -> Any:
        """The value as ordinary Python data."""
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return self.value

    def describe(self) -> str:
        """The value in the words of an error message."""
        if isinstance(self.value, list):
            return "a list"
        if isinstance(self.value, dict):
            return "a mapping"
        if self.value is None:
            return "nothing (null)"
        if isinstance(self.value, bool):
            return f"the boolean {str(self.value).lower()}"
        if isinstance(self.value, str):
            return f"the text {self.value[:80]!r}"
        return f"the number {self.value}"


class _Loader(yaml.SafeLoader):
    """Composes nodes; leaves the meaning of plain scalars to `scalars.resolve`."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ARG002
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else f"{_TAG}str"
        return f"{_TAG}seq" if kind is yaml.SequenceNode else f"{_TAG}map"


def read_text(path: Path) -> str:
    """The text of a study file.

    Raises:
        StudyError: there is no such file, or it is no text.
    """
    problems, mark, data = Problems(), Mark(str(path)), b""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        problems.add(mark, "", f"cannot be read: {error.strerror or error}")
    except ValueError as error:
        problems.add(mark, "", f"is no file name: {error}")
    if len(data) > MAX_BYTES:
        problems.add(mark, "", f"larger than {MAX_BYTES // 1_000_000} MB: not a study")
    elif b"\0" in data:
        problems.add(mark, "", "a binary file, not a study in YAML")
    problems.raise_any()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(Mark(str(path), line, 1), "", "not UTF-8 text")
    problems.raise_any()
    raise AssertionError


def parse_yaml(text: str, source: str, problems: Problems) -> Node | None:
    """The root of a YAML document, or None if it cannot be read; what is wrong goes to `problems`.

    Args:
        text: the document.
        source: the file's name, as messages give it.
        problems: receives syntax errors, duplicate keys, foreign tags and ambiguous scalars.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            problems.add(Mark(source, 1, 1), "", "the file is empty")
            return None
        node = _Converter(source, problems).convert(root, "")
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        mark = Mark(source, where.line + 1, where.column + 1) if where else Mark(source, 1, 1)
        problems.add(mark, "", _syntax(error))
        return None
    except RecursionError:
        problems.add(Mark(source, 1, 1), "", "nested too deeply")
        return None
    except (yaml.YAMLError, ValueError, OverflowError, LookupError, TypeError, AttributeError) as error:
        # PyYAML lets some of the latter through on malformed escapes and directives.
        problems.add(Mark(source, 1, 1), "", f"not YAML: {error}")
        return None
    if node is not None and node.size > MAX_NODES:
        problems.add(
            Mark(source, 1, 1), "", f"{_count(node.size)} values, aliases followed: more than {MAX_NODES:,}"
        )
        return None
    return node


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """What is wrong with the text, and for the commonest mistakes what to write."""
    what = error.problem or error.context or ""
    if "another document" in what:
        return "a second YAML document begins here: one study a file"
    alias = "alias" in f"{error.context} {what}"
    hint = ' (a text that starts with a star is quoted: "*")' if alias else ""
    if "\\t" in what:
        hint = " (a tab: use spaces)"
    return f"not YAML: {what}{hint}"


class _Converter:
    """Turns PyYAML's node graph into `Node`s: each node once, so aliases cost nothing."""

    def __init__(self, source: str, problems: Problems) -> None:
        self.source = source
        self.problems = problems
        self.done: dict[int, Node | None] = {}

    def convert(self, node: yaml.Node, path: str) -> Node | None:
        """The node, or None if it is wrong (the problem is noted)."""
        if id(node) in self.done:
            found = self.done[id(node)]
            if found is not None and found.size == 0:
                self._add(node, path, "an alias inside the very value it stands for")
                return None
            return found
        placeholder = Node(None, self._mark(node), size=0)  # size 0: under construction
        self.done[id(node)] = placeholder
        result = self._convert(node, path)
        self.done[id(node)] = result
        return result

    def _convert(self, node: yaml.Node, path: str) -> Node | None:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            items = [self.convert(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
            whole = [item for item in items if item is not None]
            return Node(whole, self._mark(node), size=1 + sum(item.size for item in whole))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        self._add(node, path, f"the tag {node.tag} means nothing here")
        return None

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Node | None:
        mark = self._mark(node)
        if node.tag == f"{_TAG}str":
            return Node(node.value, mark)
        if node.tag != _PLAIN and node.tag not in _TYPES:
            self._add(node, path, f"the tag {node.tag} means nothing here")
            return None
        try:
            value = resolve(node.value)
        except ValueError as error:
            self._add(node, path, str(error))
            return None
        if node.tag in _TYPES and type(value) not in _TYPES[node.tag]:
            self._add(node, path, f"{node.value!r} is not {node.tag.removeprefix(_TAG)}")
            return None
        return Node(value, mark)

    def _mapping(self, node: yaml.MappingNode, path: str) -> Node:
        result = Node({}, self._mark(node))
        merged: dict[str, tuple[Node, Mark]] = {}
        entries: dict[str, Node] = {}
        merges = 0
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.tag == _PLAIN:
                merges += 1
                if merges > 1:
                    self._add(key, path, "a second merge key (<<) in one mapping: write << : [*a, *b]")
                merged = {**dict(self._merged(value, path)), **merged}
                continue
            name = self._key(key, path)
            if name is None:
                continue
            if name in result.keys:
                self._add(
                    key, join(path, name), f"duplicate key; the first is in line {result.keys[name].line}"
                )
                continue
            result.keys[name] = self._mark(key)
            inner = self.convert(value, join(path, name))
            if inner is not None:
                entries[name] = inner
        for name, (inner, mark) in merged.items():
            if name not in result.keys:
                entries[name], result.keys[name] = inner, mark
        result.value = entries
        result.size = 1 + sum(inner.size for inner in entries.values())
        return result

    def _key(self, key: yaml.Node, path: str) -> str | None:
        if isinstance(key, yaml.ScalarNode) and key.tag in {_PLAIN, f"{_TAG}str"}:
            if key.tag == f"{_TAG}str" or key.value not in {"", "~", "null"}:
                return str(key.value)
            self._add(key, path, "a key without a name")
            return None
        self._add(key, path, "a key must be a name")
        return None

    def _merged(self, value: yaml.Node, path: str) -> Iterator[tuple[str, tuple[Node, Mark]]]:
        """The entries that a merge key brings in; of several mappings the first that has a key wins."""
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in reversed(sources):
            inner = self.convert(source, path)
            if inner is None:
                continue
            if not isinstance(inner.value, dict):
                self._add(source, path, "a merge key (<<) takes a mapping or a list of mappings")
                continue
            for name, node in inner.value.items():
                yield name, (node, inner.keys[name])

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def _add(self, node: yaml.Node, path: str, message: str) -> None:
        self.problems.add(self._mark(node), path, message)


def join(path: str, name: str) -> str:
    """The path of an entry of a mapping."""
    return f"{path}.{name}" if path else name


def _count(number: int) -> str:
    digits = int(number.bit_length() * 0.30103)
    return f"{number:,}" if digits < 15 else f"about 10^{digits}"
