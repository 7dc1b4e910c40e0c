"""Designs in groups that a picture has room for, and names that fit: a figure of 30 lines shows nothing."""

from __future__ import annotations

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
KEY = ", ".join(f"{short} = {word}" for word, short in _SHORT.items())
"""What the abbreviations of `abbreviate` mean."""


@dataclass(frozen=True)
class Family:
    """Designs that predict the same in the same space.

    Attributes:
        name: `images, latent`; empty where all designs are one group.
        look: the look of its first corner.
    """

    name: str
    designs: tuple[str, ...]
    look: Look


def families(material: Material, designs: Sequence[str]) -> list[Family]:
    """The designs by what they predict and in which space; one group where they are few."""
    if len(designs) <= FEW:
        return [Family("", tuple(designs), material.looks[designs[0]])] if designs else []
    runs = material.results.runs
    first = runs[runs["agent"] == "model"].drop_duplicates("design").set_index("design")
    groups: dict[tuple[str, str], list[str]] = {}
    for design in designs:
        row = first.loc[design]
        groups.setdefault((str(row["predict"]), str(row["space"])), []).append(design)
    return [
        Family(", ".join(key), tuple(groups[key]), LOOKS["-".join((*key, "stochastic"))])
        if "-".join((*key, "stochastic")) in LOOKS
        else Family(", ".join(key), tuple(groups[key]), material.looks[groups[key][0]])
        for key in sorted(groups)
    ]


def family_of(groups: Iterable[Family]) -> dict[str, Family]:
    """The family of each design."""
    return {design: family for family in groups for design in family.designs}


def abbreviate(design: str) -> str:
    """`img-lat-stoch-window` for `images-latent-stochastic-window`."""
    name, bracket, rest = design.partition(" (")
    return "-".join(_SHORT.get(part, part) for part in name.split("-")) + bracket + rest


def fitted(design: str, width: float) -> str:
    """A design's name within a width in inches: as it is, abbreviated, or in several lines."""
    if inches(design) <= width:
        return design
    short = abbreviate(design)
    return short if inches(short) <= width else wrap(short, width)


def names_fitted(designs: Iterable[str], width: float) -> list[str]:
    """Names within a width: all of them abbreviated if one must be."""
    every = list(designs)
    if all(inches(design) <= width for design in every):
        return every
    return [wrap(abbreviate(design), width) for design in every]


def key_of(shown: Iterable[str], designs: Iterable[str]) -> str:
    """What the abbreviations mean, where some are shown; for captions."""
    unbroken = {name.replace("\n", "").replace(" ", "") for name in shown}
    return "" if all(design.replace(" ", "") in unbroken for design in designs) else f"{KEY}."


def present(material: Material, frame: pd.DataFrame) -> list[str]:
    """The designs of a frame, in the order of the plan."""
    there = set(frame["design"])
    return [design for design in material.results.designs if design in there]
