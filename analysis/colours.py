"""One colour and one marker per design, the same in every figure and table; safe for the colour-blind.

The colours start from Okabe and Ito (2008), changed so that any two of the eight stay apart under protanopia,
deuteranopia and tritanopia (a test simulates them); markers differ as well, so that no figure needs colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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


def looks(designs: Sequence[str]) -> dict[str, Look]:
    """The look of each design: its own for the eight corners, else the next that is free, in the order given."""
    chosen = {name: LOOKS[name] for name in designs if name in LOOKS}
    others = [name for name in designs if name not in chosen]
    free = [look for look in _all_looks() if look not in chosen.values()]
    chosen |= {name: free[i % len(free)] for i, name in enumerate(others)}
    return chosen | {"random": REFERENCE, "oracle": ORACLE}


def _all_looks() -> list[Look]:
    """The eight looks, then the eight colours again with other markers and lines, 64 in all."""
    base = [list(LOOKS.values())[i] for i in _SPREAD]
    count = len(base)
    return [
        Look(look.colour, base[(i + 3 * turn) % count].marker, _LINES[turn % len(_LINES)])
        for turn in range(count)
        for i, look in enumerate(base)
    ]
