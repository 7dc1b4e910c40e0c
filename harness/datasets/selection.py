"""Which episodes a dataset takes: a quota per design and return range, spread over runs, and a held-out part.

The choice depends on the seed and on what identifies an episode (run, kind, index), not on the order in which runs
are found: the same runs give the same dataset. An episode's place in the order of its run is a hash of these, so a
larger quota keeps what a smaller one took.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

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
        heldout: the part of the episodes that is held out, 0 to 1.
        seed: of the choice.
    """

    episodes: int | None = None
    ranges: tuple[Range, ...] = (EVERYTHING,)
    heldout: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Cell:
    """What was asked of a design in a return range (None: all there are), was there, and is taken."""

    design: str
    range: Range
    wanted: int | None
    found: int
    taken: int

    @property
    def short(self) -> bool:
        """Whether less is taken than was asked for, or nothing was there."""
        return self.taken < (self.wanted or 1)


class Choice(NamedTuple):
    """Chosen episodes in their order in the dataset, the part of each, and what came of each quota."""

    episodes: list[Found]
    parts: list[PartName]
    cells: list[Cell]


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

    Within a design and a range the runs take turns, each giving its episodes in an order that the seed decides.
    The held-out part is drawn likewise from what was taken, as evenly over designs and ranges as whole episodes
    allow; where the fraction is neither 0 nor 1, both parts get at least one of two or more episodes.

    Args:
        found: all there are, each once.
        designs: that have a quota, also those of which nothing was found.
        quota: the rest.
    """
    cells: list[Cell] = []
    groups: list[list[Found]] = []
    for design in designs:
        for bounds in quota.ranges:
            inside = [
                one
                for one in found
                if one.origin.design == design and bounds.low <= one.total_return < bounds.high
            ]
            taken = _in_turns(inside, quota.seed)[: quota.episodes]
            cells.append(Cell(design, bounds, quota.episodes, len(inside), len(taken)))
            groups.append(taken)
    heldout = held_out([[one.key for one in group] for group in groups], quota.heldout, quota.seed)
    chosen = sorted((one for group in groups for one in group), key=_order)
    return Choice(chosen, ["heldout" if one.key in heldout else "train" for one in chosen], cells)


def _in_turns(found: Sequence[Found], seed: int) -> list[Found]:
    """One episode of each run, then a second of each, and so on."""
    by_run: defaultdict[str, list[Found]] = defaultdict(list)
    for one in found:
        by_run[one.origin.id[-12:]].append(one)
    runs = sorted(by_run, key=lambda run: _draw(seed, "run", run))
    queues = [sorted(by_run[run], key=lambda one: _draw(seed, "episode", one.key)) for run in runs]
    return [one for turn in zip_longest(*queues) for one in turn if one is not None]


def held_out(groups: Sequence[Sequence[str]], fraction: float, seed: int) -> set[str]:
    """The keys that are held out: that fraction of all, as evenly over the groups as whole episodes allow."""
    shares = [fraction * len(group) for group in groups]
    total = sum(map(len, groups))
    wanted = math.floor(fraction * total + 0.5)
    if 0 < fraction < 1:
        wanted = min(max(wanted, 1), total - 1)
    counts = [math.floor(share) for share in shares]
    # Largest remainders; ties go by a draw, so that no design is always the one that gives.
    order = sorted(range(len(groups)), key=lambda i: (counts[i] - shares[i], _draw(seed, "cell", str(i))))
    for index in order[: max(0, wanted - sum(counts))]:
        counts[index] += 1
    return {
        key
        for group, count in zip(groups, counts, strict=True)
        for key in sorted(group, key=lambda key: _draw(seed, "heldout", key))[:count]
    }


def _order(one: Found) -> tuple[str, int, str, str, int]:
    """Of a dataset: the episodes of a file follow one another."""
    return (one.origin.design, one.origin.config.seed, one.origin.id, one.kind, one.index)


def _draw(seed: int, purpose: str, key: str) -> bytes:
    """A place in a random order that depends on these alone."""
    return hashlib.sha256(f"{seed} {purpose} {key}".encode()).digest()


def _bound(value: float) -> str:
    return "" if math.isinf(value) else f"{value:g}"
