"""What a plain YAML scalar means: the core schema of YAML 1.2, strictly.

PyYAML follows YAML 1.1, where ``1e-4`` is a text, ``off`` and ``no`` are booleans, ``12:30:00`` is the number
45000, ``010`` is 8 and ``2020-01-01`` is a date. Here ``1e-4`` is a number, the others are texts, and ``010``
is refused.
"""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 30


def resolve(text: str) -> Scalar:
    """The value of a plain scalar.

    Raises:
        ValueError: the text looks like a number but is ambiguous or not finite; says what to write.
    """
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _LEADING_ZERO.fullmatch(text):
        plain = text.lstrip("+-").lstrip("0") or "0"
        raise ValueError(
            f"{text} is octal in YAML 1.1 and decimal in 1.2: write {plain}, or quote it to mean the text"
        )
    if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits")
        return int(text, 0)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not finite: write a number that is")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text} is not finite: write a number that is")
        return value
    return text


def trap(text: str, *, boolean: bool) -> str:
    """A hint for a text that stands where a number or a boolean belongs; empty if there is none to give."""
    if boolean:
        meant = {"on": "true", "yes": "true", "y": "true", "off": "false", "no": "false", "n": "false"}.get(
            text.lower()
        )
        return f" (write {meant})" if meant else ""
    if text.startswith("range(") and not text.endswith(")"):
        return " (inside [] and {} a comma ends a value: quote the range)"
    if re.fullmatch(r"[-+]?[0-9][0-9_]*", text):
        return f" (write {text.replace('_', '')})" if "_" in text else " (remove the quotes)"
    if re.fullmatch(r"[0-9]+(:[0-9]+)+", text):
        return " (a time is no number here)"
    if _FLOAT.fullmatch(text):
        return " (remove the quotes)"
    return ""
