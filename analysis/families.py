"""Designs in groups that a picture has room for, and names that fit: a figure of 30 lines shows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.colours import LOOKS, Look
from analysis.material import Material
from analysis.style import inches, wrap

FEW = 6
"""Designs that one panel can show as lines of their own."""
_SHORT = {
    "images": "img",
    "rewards": "rew",
    "latent": "lat",
    "pixel": "pix",
    "stochastic": "stoch",
    "deterministic": "det",
}
_FIELDS = {
    "planner.horizon=": "h=",
    "proposals=": "n=",
    "image_fraction=": "f=",
    "image_scale=": "w=",
}
"""Names of fields in brackets."""
KEY = ", ".join(f"{short} = {word}" for word, short in _SHORT.items())
"""What the abbreviations of `abbreviate` mean."""


@dataclass(frozen=True)
class Family:
    """Designs that predict the same in the same space.

    Attributes:
        name: `images, latent`; `stochastic` where all are of one such kind; empty where all designs are one group.
        look: the look of its first corner.
    """

    name: str
    designs: tuple[str, ...]
    look: Look


def families(material: Material, designs: Sequence[str]) -> list[Family]:
    """The designs by what they predict and in which space, or also by their dynamics where that is the same for all;
    one group where they are few.
    """
    if len(designs) <= FEW:
        return [Family("", tuple(designs), material.looks[designs[0]])] if designs else []
    runs = material.results.runs
    first = runs[runs["agent"] == "model"].drop_duplicates("design").set_index("design")
    axes = first.loc[list(designs), ["predict", "space", "dynamics"]].astype(str)
    alike = len(axes[["predict", "space"]].drop_duplicates()) == 1
    kept = ["predict", "space", "dynamics"] if alike else ["predict", "space"]
    groups: dict[tuple[str, ...], list[str]] = {}
    for design, *values in axes[kept].itertuples(name=None):
        groups.setdefault(tuple(values), []).append(design)
    found = []
    for key in sorted(groups):
        corner = "-".join(key if alike else (*key, "stochastic"))
        look = LOOKS.get(corner) or material.looks[groups[key][0]]
        found.append(Family(key[-1] if alike else ", ".join(key), tuple(groups[key]), look))
    return found


def crowded(groups: Iterable[Family]) -> bool:
    """Whether some group has more designs than can have lines of their own."""
    return any(len(family.designs) > FEW for family in groups)


def family_of(groups: Iterable[Family]) -> dict[str, Family]:
    """The family of each design."""
    return {design: family for family in groups for design in family.designs}


def abbreviate(design: str) -> str:
    """`img-lat-stoch-window` for `images-latent-stochastic-window`, `img-lat-det (h=3)` for one at a horizon of 3."""
    for word, short in _FIELDS.items():
        design = design.replace(word, short)
    return re.sub(r"\b(" + "|".join(_SHORT) + r")\b(?=[-) ,]|$)", lambda found: _SHORT[found[0]], design)


def names_fitted(designs: Iterable[str], width: float) -> list[str]:
    """Names within a width in inches: as they are; of few designs in up to two lines; else all of them abbreviated."""
    every = list(designs)
    if len(every) <= FEW:
        wrapped = [wrap(design, width) for design in every]
        if all(inches(name) <= width and name.count("\n") < 2 for name in wrapped):
            return wrapped
    if all(inches(design) <= width for design in every):
        return every
    return [wrap(abbreviate(design), width) for design in every]


def key_of(shown: Iterable[str], designs: Iterable[str]) -> str:
    """What the abbreviations mean, where some are shown; for captions."""
    unbroken = "\n".join(name.replace("\n", " ") for name in shown)
    every = list(designs)
    words = KEY if any(re.search(rf"\b{short}\b", unbroken) for short in _SHORT.values()) else ""
    fields = [
        f"{short[:-1]} = {name[:-1].rpartition('.')[2]}"
        for name, short in _FIELDS.items()
        if any(name in design for design in every) and re.search(rf"[(,] ?{short}", unbroken)
    ]
    told = ", ".join([words, *fields] if words else fields)
    return f"{told}." if told else ""


def present(material: Material, frame: pd.DataFrame) -> list[str]:
    """The designs of a frame, in the order of the plan."""
    there = set(frame["design"])
    return [design for design in material.results.designs if design in there]
