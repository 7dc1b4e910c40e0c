"""One colour and one marker per design, the same in every figure and table; safe for the colour-blind.

The colours start from Okabe and Ito (2008), changed so that any two of the eight stay apart under protanopia,
deuteranopia and tritanopia (a test simulates them); markers differ as well, so that no figure needs colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Look:
    """How a design is drawn."""

    colour: str
    marker: str
    line: str = "-"


LOOKS = {
    "images-latent-stochastic": Look("#0072B2", "o"),
    "images-latent-deterministic": Look("#56B4E9", "^"),
    "images-pixel-stochastic": Look("#00614A", "s"),
    "images-pixel-deterministic": Look("#6FBF8B", "D"),
    "rewards-latent-stochastic": Look("#C24A00", "v"),
    "rewards-latent-deterministic": Look("#EFA60C", "P"),
    "rewards-pixel-stochastic": Look("#7A1F5C", "X"),
    "rewards-pixel-deterministic": Look("#E58FC0", "h"),
}
"""The eight corners: cool colours predict images, warm ones rewards only."""
REFERENCE = Look("#757575", ".", "--")
"""The random agent and the baselines: a grey that stays apart from all eight as well."""
ORACLE = Look(REFERENCE.colour, "*", ":")
"""The oracle, a baseline as well: the same grey, dotted."""
_SPREAD = (0, 4, 2, 5, 6, 1, 3, 7)  # order in which names of a study's own take colours
_LINES = ("-", "--", "-.", ":")


def looks(designs: Sequence[str], corners: Mapping[str, str] | None = None) -> dict[str, Look]:
    """The look of each design: its own for the eight corners, else the next that is free, in the order given.

    With more designs than colours, forms of one corner share its colour, and differ in marker and line.

    Args:
        designs: names.
        corners: the corner of each design, `images-latent-stochastic`; a design without one takes what is free.
    """
    chosen = {name: LOOKS[name] for name in designs if name in LOOKS}
    for (
        name
    ) in designs:  # the first form of a corner that is named after it, as `images-latent-stochastic (online)`
        look = LOOKS.get(name.partition(" (")[0])
        if look is not None and look not in chosen.values():
            chosen[name] = look
    of_corner = corners if corners and len(designs) > len(LOOKS) else {}
    for name in designs:
        look = LOOKS.get(of_corner.get(name, ""))
        if name not in chosen and look is not None:
            taken = set(chosen.values())
            chosen[name] = next((each for each in _forms(look) if each not in taken), look)
    others = [name for name in designs if name not in chosen]
    free = [look for look in _all_looks() if look not in chosen.values()]
    chosen |= {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: chosen[name] for name in designs} | {"random": REFERENCE, "oracle": ORACLE}


def corners(runs: pd.DataFrame) -> dict[str, str]:
    """The corner of the factorial that each design is a form of, from the rows of its runs with the three axes."""
    models = runs[runs["agent"] == "model"].drop_duplicates("design")
    axes = (
        models[["predict", "space", "dynamics"]].astype(object).fillna("").astype(str).agg("-".join, axis=1)
    )
    return dict(zip(models["design"].astype(str), axes, strict=True)) if len(models) else {}


MOST_NAMED = 16
"""Designs that a legend names one by one."""


def named(looks: Mapping[str, Look]) -> dict[str, Look]:
    """What a legend shows of designs: each of them, or of many the corners, with how many designs have its colour."""
    of_colour = {look.colour: name for name, look in LOOKS.items()}
    if len(looks) <= MOST_NAMED or not all(look.colour in of_colour for look in looks.values()):
        return dict(looks)
    groups: dict[str, int] = {}
    for look in looks.values():
        groups[of_colour[look.colour]] = groups.get(of_colour[look.colour], 0) + 1
    return {
        f"{name}, {count} forms" if count > 1 else name: LOOKS[name]
        for name, count in sorted(groups.items(), key=lambda item: list(LOOKS).index(item[0]))
    }


def _forms(look: Look) -> list[Look]:
    """A look, then its colour with the other markers and lines."""
    markers = [each.marker for each in LOOKS.values()]
    first = markers.index(look.marker)
    return [
        Look(look.colour, markers[(first + 3 * turn + 5 * i) % len(markers)], line)
        for turn in range(len(markers))
        for i, line in enumerate(_LINES)
    ]


def _all_looks() -> list[Look]:
    """The eight looks, then the eight colours again with other markers and lines, 64 in all."""
    base = [list(LOOKS.values())[i] for i in _SPREAD]
    count = len(base)
    return [
        Look(look.colour, base[(i + 3 * turn) % count].marker, _LINES[turn % len(_LINES)])
        for turn in range(count)
        for i, look in enumerate(base)
    ]
