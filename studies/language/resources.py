"""Reads a `resources` block, of a study or of a user's profile: a default, and rules with `where`."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.registry import suggest
from studies.language.axes import is_mapping, read_fields, read_where
from studies.language.document import Node
from studies.language.problems import Problems
from studies.language.study import Fields, Known, ResourceRule


@dataclass(slots=True)
class ResourceBlock:
    """What the block grants; the names of the fields begin with `resources.`."""

    default: Fields = field(default_factory=dict)
    rules: list[ResourceRule] = field(default_factory=list)


def read_resources(node: Node | None, known: Known, problems: Problems) -> ResourceBlock:
    """The default and the rules of a `resources` block.

    Args:
        node: the block, which may be missing.
        known: the designs that a rule's `where` may name.
        problems: receives what is wrong.
    """
    block = ResourceBlock()
    if node is None or not is_mapping(node, "resources", problems):
        return block
    assert isinstance(node.value, dict)
    for key, inner in node.value.items():
        path = f"resources.{key}"
        if key == "default":
            block.default = read_grants(inner, path, problems)
        elif key == "rules":
            items = inner.value if isinstance(inner.value, list) else [inner]
            rules = (
                _rule(item, f"{path}[{index}]", known, problems)
                for index, item in enumerate(items)
                if item.value is not None
            )
            block.rules = [rule for rule in rules if rule is not None]
        else:
            message = f"unknown key{suggest(key, ['default', 'rules'])}; there are default and rules"
            problems.add(node.keys[key], path, message)
    return block


def read_grants(node: Node, path: str, problems: Problems) -> Fields:
    """Fields of the section `resources`, written without that prefix."""
    if node.value is None or not is_mapping(node, path, problems):
        return {}
    return read_fields(node, path, problems, prefix="resources")


def _rule(node: Node, path: str, known: Known, problems: Problems) -> ResourceRule | None:
    if not is_mapping(node, path, problems):
        return None
    assert isinstance(node.value, dict)
    if "where" not in node.value:
        if "where" not in node.keys:
            problems.add(node.mark, path, "has no where: put what holds for every run under default")
        return None
    where = read_where(node.value["where"], f"{path}.where", known, problems)
    rest = {key: inner for key, inner in node.value.items() if key != "where"}
    if not rest:
        problems.add(node.mark, path, "grants nothing: name hours, memory_gb, gpus, cpus or runs_per_gpu")
    return ResourceRule(where, read_grants(Node(rest, node.mark, node.keys), path, problems))
