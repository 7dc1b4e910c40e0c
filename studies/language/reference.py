"""The designs that every study knows without writing them: the eight corners, and those of studies/reference.yaml."""

from __future__ import annotations

import functools
from pathlib import Path

from studies.language.document import Node, parse_yaml, read_text
from studies.language.names import CANONICAL
from studies.language.problems import Problems

REFERENCE_FILE = Path(__file__).parents[1] / "reference.yaml"
"""Package data: the designs of google-research/world_models with their own budgets, weights and schedules."""
MEANING = ("predict", "space", "dynamics", "reward_from", "reward_gradient", "model.variant")
"""The fields that a known name stands for, as far as it sets them: a study may change the others, not these."""


@functools.cache
def reference_designs() -> dict[str, Node]:
    """The fragments of the reference's designs by name, as nodes of their file."""
    problems = Problems()
    root = parse_yaml(read_text(REFERENCE_FILE), REFERENCE_FILE.name, problems)
    problems.raise_any()
    assert root is not None
    assert isinstance(root.value, dict)
    designs = root.value["designs"].value
    assert isinstance(designs, dict)
    return designs


@functools.cache
def known_designs() -> tuple[str, ...]:
    """The names of all known designs."""
    return (*CANONICAL, *reference_designs())
