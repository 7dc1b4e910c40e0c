"""What `wm doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of `wm doctor`; `needed` if nothing can be relied on without it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True
