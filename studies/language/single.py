"""One run's configuration without a study: from a file of its own, or for a model alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import UserError
from harness.registry import suggest
from studies.language.axes import is_mapping, read_fields
from studies.language.build import ImpossibleError, build_config, exploded
from studies.language.designs import known_design
from studies.language.document import Node, parse_yaml, read_text
from studies.language.names import check_name
from studies.language.overrides import read_overrides
from studies.language.problems import Problems, StudyError
from studies.language.reference import known_designs
from studies.language.study import Fields, plain_fields


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads one run's configuration: the fields that `base` of a study takes, and `design`, one of the known
    names (or any other label, if the axes are written).

    Raises:
        StudyError: with every problem of the file and the overrides.
    """
    problems = Problems()
    given = read_overrides(overrides, problems)
    root = parse_yaml(read_text(Path(path)), str(path), problems)
    if root is None or not is_mapping(root, "", problems):
        raise StudyError(problems.found)
    assert isinstance(root.value, dict)
    named = root.value.pop("design", None)
    written = read_fields(root, "", problems)
    label, known = _design(named, written, problems)
    problems.raise_any()
    fields = exploded(plain_fields(known)) | exploded(plain_fields(written)) | exploded(plain_fields(given))
    try:
        return build_config(fields, label)
    except ImpossibleError as error:
        place = next((written[name] for name in error.fields if name in written), None)
        problems.add(place.mark if place else root.mark, place.path if place else "", str(error))
    raise StudyError(problems.found)


def _design(node: Node | None, written: Fields, problems: Problems) -> tuple[str | None, Fields]:
    """The label of a design, and the fields that it sets if it is one of the known names."""
    if node is None or node.value is None:
        return None, {}
    if not isinstance(node.value, str):
        problems.add(node.mark, "design", f"must be the name of a design, not {node.describe()}")
        return None, {}
    design = known_design(node.value)
    if design is None and not {"predict", "space", "dynamics"} <= written.keys():
        hint = suggest(node.value, known_designs()) or f"; there are {', '.join(known_designs())}"
        problems.add(node.mark, "design", f"unknown design {node.value[:80]!r}{hint}")
    return node.value, design.fields if design else {}


def config_of_model(model: str, overrides: Sequence[str] = ()) -> RunConfig:
    """A run's configuration for a model alone, on toy/point-mass unless the overrides name another task.

    Args:
        model: `package.module:Name`, or a known design.
        overrides: ``field=value`` texts.

    Raises:
        StudyError: with every problem of the overrides.
        UserError: there is no such model, or it makes no run with them.
    """
    problems = Problems()
    given = exploded(plain_fields(read_overrides(overrides, problems)))
    problems.raise_any()
    fields: dict[str, Any] = {"task": "toy/point-mass"}
    try:
        if ":" in model:
            check_name("model.name", model)
            return build_config(fields | {"model.name": model} | given, None)
        design = known_design(model)
        if design is None:
            hint = suggest(model, known_designs()) or "; write package.module:Name, or a known design"
            raise UserError(f"unknown model {model[:80]!r}{hint}")
        return build_config(fields | exploded(plain_fields(design.fields)) | given, None)
    except ValueError as error:
        raise UserError(str(error)) from error
