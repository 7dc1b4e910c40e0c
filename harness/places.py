"""Where in the user's own code an exception arose, in one line. Imports nothing of ours."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from types import FrameType


def where_in(error: BaseException, own: Iterable[str]) -> str:
    """An exception in one line: type, message, and the innermost place in the user's own packages.

    Args:
        error: as caught.
        own: import paths of the user's components, `package.module:Name`.
    """
    first = next(iter(str(error).strip().splitlines()), "")
    words = f"{type(error).__name__}: {first}" if first else type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{words} ({error.filename}:{error.lineno})"
    place = place_in(error, own)
    return f"{words} ({place})" if place else words


def place_in(error: BaseException, own: Iterable[str]) -> str:
    """`/path/my_models/flow.py:41, in predict`: the innermost frame of the user's own packages, or nothing."""
    packages = {path.partition(":")[0].partition(".")[0] for path in own}
    places = [
        f"{frame.f_code.co_filename}:{line}, in {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _package(frame) in packages
    ]
    return places[-1] if places else ""


def _package(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""
