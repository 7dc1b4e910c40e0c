"""The fields of a run as a study may name them: their dotted names, types, and what a value must be."""

from __future__ import annotations

import difflib
import functools
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from harness.config import Category, RunConfig
from harness.config.fields import category_of, walk
from harness.config.run import AXES
from harness.registry import suggest
from studies.language.names import check_name
from studies.language.problems import Mark, Problems
from studies.language.scalars import trap

_CONFIG = ConfigDict(strict=True, allow_inf_nan=False)
ORDINARY = {"reward_from": "state", "reward_gradient": "shared", "image_fraction": 1.0, "size": "paper"}
"""The values that a model's axes take where nothing else is said (`RunConfig` fills them in)."""


@dataclass(frozen=True)
class FieldSpec:
    """A leaf field of RunConfig, or an entry of one of its mappings (``model.widths.hidden``).

    Attributes:
        name: the dotted name.
        info: how it was declared.
        type: its type.
        choices: the values of an enumeration, empty if it is none.
    """

    name: str
    info: FieldInfo
    type: Any
    choices: tuple[str, ...] = ()

    @property
    def category(self) -> Category:
        return category_of(self.info)

    @property
    def doc(self) -> str:
        return self.info.description or ""

    @property
    def accepts_text(self) -> bool:
        """Whether some text is a value of it."""
        return self.type is Any or any(
            part is str or get_origin(part) is Literal for part in parts_of(self.type)
        )

    @property
    def takes_lists(self) -> bool:
        """Whether a list is one value of it."""
        return self.type is Any

    @property
    def is_mapping(self) -> bool:
        return get_origin(self.type) is dict

    @property
    def default(self) -> Any:
        """What it is where nobody says anything."""
        return self.info.get_default(call_default_factory=True)

    @functools.cached_property
    def adapter(self) -> TypeAdapter[Any]:
        annotated: Any = Annotated[self.type, self.name, *self.info.metadata]
        return TypeAdapter(annotated, config=_CONFIG)

    def check(self, value: Any) -> Any:
        """The value, as RunConfig holds it.

        Raises:
            ValueError: it is none of this field's; says what would be.
        """
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(self._explain(value, error)) from None

    def _explain(self, value: Any, error: ValidationError) -> str:
        detail = error.errors()[0]
        context = detail.get("ctx", {})
        if self.choices:
            near = suggest(value, self.choices) if isinstance(value, str) else ""
            return f"must be {listed(self.choices)}, not {shown(value)}{near}"
        bounds = {
            "greater_than_equal": ("ge", "at least"),
            "greater_than": ("gt", "more than"),
            "less_than_equal": ("le", "at most"),
            "less_than": ("lt", "less than"),
        }
        if detail["type"] in bounds:
            key, words = bounds[detail["type"]]
            return f"must be {words} {context[key]:g}, not {shown(value)}"
        if detail["type"] == "string_pattern_mismatch":
            return f"{shown(value)} is not one of its forms: {self.doc}"
        inner = "".join(f" (in {part})" for part in detail["loc"][:1] if isinstance(value, dict))
        hint = trap(value, boolean=bool in parts_of(self.type)) if isinstance(value, str) else ""
        if isinstance(value, float) and value.is_integer() and int in parts_of(self.type):
            hint = f" (write {int(value)})"
        return f"must be {self._expected()}, not {shown(value)}{inner}{hint}"

    def _expected(self) -> str:
        words: dict[Any, str] = {
            int: "a whole number",
            float: "a number",
            bool: "true or false",
            str: "a text",
            type(None): "null",
        }
        return " or ".join(words.get(part, "a mapping") for part in parts_of(self.type))


def parts_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    return get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else (annotation,)


def listed(names: tuple[str, ...] | list[str]) -> str:
    """`a, b or c`."""
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def shown(value: Any) -> str:
    """A value in the words of a message."""
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the text {value[:80]!r}"
    kinds: dict[Any, str] = {list: "a list", dict: "a mapping"}
    return kinds.get(type(value), str(value)[:80])


@functools.cache
def table() -> dict[str, FieldSpec]:
    """Every leaf field by dotted name, in the order of declaration; not `design`, which the study names."""
    return {name: spec_of(name, info) for name, info in walk(RunConfig) if name != "design"}


@functools.cache
def sections() -> frozenset[str]:
    """The names that hold fields: ``train``, ``planner`` and so on."""
    inner = ((name, info.annotation) for name, info in RunConfig.model_fields.items())
    return frozenset(name for name, kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel))


def spec_of(name: str, info: FieldInfo) -> FieldSpec:
    """The field that a model declares."""
    literals = [part for part in parts_of(info.annotation) if get_origin(part) is Literal]
    choices = tuple(str(value) for part in literals for value in get_args(part))
    return FieldSpec(name, info, info.annotation, choices)


@functools.cache
def find(name: str) -> FieldSpec | None:
    """The field of a dotted name, or None if there is no such field."""
    if name in table():
        return table()[name]
    parent, _, entry = name.rpartition(".")
    owner = table().get(parent)
    if owner is not None and owner.is_mapping and entry:
        # `Any` and `int` carry no bounds of their own; the owner's metadata would be about the mapping.
        info = FieldInfo(annotation=get_args(owner.type)[1], description=owner.doc, default=None)
        info.json_schema_extra = owner.info.json_schema_extra
        return FieldSpec(name, info, info.annotation)
    return None


def unknown(name: str) -> str:
    """The message about a name that is no field."""
    known = [*table(), *sections()]
    last = name.rpartition(".")[2]
    same = [field for field in known if field.rpartition(".")[2] == last]
    near = f" (did you mean {same[0]}?)" if same else suggest(name, known)
    if not near:
        tails = {field.rpartition(".")[2]: field for field in reversed(known)}
        close = difflib.get_close_matches(last, tails, n=1, cutoff=0.7)
        near = f" (did you mean {tails[close[0]]}?)" if close else ""
    return f"unknown field {name}{near}"


def check_value(spec: FieldSpec, value: Any, mark: Mark, path: str, problems: Problems) -> Any:
    """The value as RunConfig holds it; problems of its type and of the names in it are noted (then: None)."""
    try:
        checked = spec.check(value)
        check_name(spec.name, checked)
    except ValueError as error:
        problems.add(mark, path, str(error))
        return None
    return checked


def default_of(name: str) -> Any:
    """A field's value in a configuration that does not mention it; None for an entry of a mapping."""
    spec = find(name)
    return ORDINARY[name] if name in AXES and name in ORDINARY else spec.default if spec else None
