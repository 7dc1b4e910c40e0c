"""Which episodes a dataset takes: a quota per design and return range, spread over runs; each episode once.

The choice depends on the seed and on where and what episodes are, not on the order in which runs are found: the same
runs give the same dataset. An episode's place in the order of its run is a hash of these, so a larger quota keeps
what a smaller one took.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from harness.datasets.holdout import part_by_key
from harness.datasets.parts import PartName
from harness.datasets.sources import Found
from harness.errors import UserError


class Range(NamedTuple):
    """Returns from `low` up to but not including `high`."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{_bound(self.low)}:{_bound(self.high)}"


EVERYTHING = Range(-math.inf, math.inf)


@dataclass(frozen=True)
class Quota:
    """How many episodes are taken.

    Attributes:
        episodes: per design and return range; None takes all.
        ranges: of returns; episodes outside all of them are left out.
        heldout: the probability that an episode is held out, 0 to 1; see `part_by_key`.
        seed: of the choice.
        heldout_seed: of what is held out.
    """

    episodes: int | None = None
    ranges: tuple[Range, ...] = (EVERYTHING,)
    heldout: float = 0.0
    seed: int = 0
    heldout_seed: int = 0


@dataclass(frozen=True)
class Cell:
    """What was asked of a design in a return range (None: all there are), was there, and is taken.

    Attributes:
        twins: episodes that are left out, and not counted in `found`, since another run (of this or another design)
            contributes the same ones.
    """

    design: str
    range: Range
    wanted: int | None
    found: int
    taken: int
    twins: int

    @property
    def short(self) -> bool:
        """Whether less is taken than was asked for, or nothing was there."""
        return self.taken < (self.wanted or 1)


class Choice(NamedTuple):
    """Chosen episodes in their order in the dataset, the part and the twins of each, and what came of each quota."""

    episodes: list[Found]
    parts: list[PartName]
    twins: list[list[Found]]
    cells: list[Cell]

    @property
    def left_out(self) -> int:
        """Twins that are left out."""
        return sum(cell.twins for cell in self.cells)


def parse_ranges(text: str) -> tuple[Range, ...]:
    """``0:100,100:500,500:`` as ranges; a bound that is left out is infinite.

    Raises:
        UserError: it is not written so, a range is empty, or two overlap.
    """
    ranges = []
    for part in text.split(","):
        low, colon, high = part.strip().partition(":")
        try:
            one = Range(float(low or "-inf"), float(high or "inf"))
        except ValueError:
            one = Range(math.nan, math.nan)
        if not colon or not one.low < one.high:
            raise UserError(
                f"--returns {text}: {part.strip()!r} is no range; write LO:HI with LO below HI, such as 0:100,100:"
            )
        ranges.append(one)
    for before, after in zip(sorted(ranges), sorted(ranges)[1:], strict=False):
        if after.low < before.high:
            raise UserError(f"--returns {text}: {before} and {after} overlap")
    return tuple(ranges)


def choose(found: Sequence[Found], designs: Sequence[str], quota: Quota) -> Choice:
    """Fills the quotas.

    Of episodes with one key a draw decides which is counted and taken, so that the designs that share a cold start
    share its episodes evenly. Then, within a design and a range, the runs take turns, each giving its episodes in an
    order that the seed decides.

    Args:
        found: all there are, each once.
        designs: that have a quota, also those of which nothing was found.
        quota: the rest.
    """
    groups = _twins([one for one in found if one.origin.design in designs], quota.seed)
    distinct = [members[0] for members in groups.values()]
    others = [one for members in groups.values() for one in members[1:]]
    cells: list[Cell] = []
    chosen: list[Found] = []
    for design in designs:
        for bounds in quota.ranges:
            inside = _inside(distinct, design, bounds)
            taken = _in_turns(inside, quota.seed)[: quota.episodes]
            twins = len(_inside(others, design, bounds))
            cells.append(Cell(design, bounds, quota.episodes, len(inside), len(taken), twins))
            chosen += taken
    chosen.sort(key=_order)
    parts = [part_by_key(one.key, quota.heldout, quota.heldout_seed) for one in chosen]
    return Choice(chosen, parts, [sorted(groups[one.key][1:], key=_order) for one in chosen], cells)


def _twins(found: Sequence[Found], seed: int) -> dict[str, list[Found]]:
    """The episodes of every key; the one that counts is first."""
    groups: defaultdict[str, list[Found]] = defaultdict(list)
    for one in found:
        groups[one.key].append(one)
    for members in groups.values():
        members.sort(key=lambda one: _draw(seed, "twin", f"{one.key} {one.place}"))
    return groups


def _inside(found: Sequence[Found], design: str, bounds: Range) -> list[Found]:
    return [
        one for one in found if one.origin.design == design and bounds.low <= one.total_return < bounds.high
    ]


def _in_turns(found: Sequence[Found], seed: int) -> list[Found]:
    """One episode of each run, then a second of each, and so on."""
    by_run: defaultdict[str, list[Found]] = defaultdict(list)
    for one in found:
        by_run[one.origin.id[-12:]].append(one)
    runs = sorted(by_run, key=lambda run: _draw(seed, "run", run))
    queues = [sorted(by_run[run], key=lambda one: _draw(seed, "episode", one.place)) for run in runs]
    return [one for turn in zip_longest(*queues) for one in turn if one is not None]


def _order(one: Found) -> tuple[str, int, str, str, int]:
    """Of a dataset: the episodes of a file follow one another."""
    return (one.origin.design, one.origin.config.seed, one.origin.id, one.kind, one.index)


def _draw(seed: int, purpose: str, key: str) -> bytes:
    """A place in a random order that depends on these alone."""
    return hashlib.sha256(f"{seed} {purpose} {key}".encode()).digest()


def _bound(value: float) -> str:
    return "" if math.isinf(value) else f"{value:g}"
