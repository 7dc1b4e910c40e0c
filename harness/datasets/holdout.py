"""What makes two episodes the same, and which episodes are held out.

Designs that share a seed play the same cold start, bit for bit, so an episode is known by its content, not by the run
that kept it. Whether it is held out depends on its content, a fraction and a seed, and on nothing else: with these
two the same, no dataset trains on what another one holds out, whatever runs, quotas or ranges they were made of; and
what a smaller fraction holds out, a larger one does too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.datasets.parts import PartName


def episode_key(
    task: str,
    action_repeat: int,
    action: npt.NDArray[Any],
    reward: npt.NDArray[Any],
    first_state: npt.NDArray[Any] | None = None,
) -> str:
    """What an episode has in common with its twins alone, as 64 hexadecimal digits; needs no frames.

    Actions and rewards tell long episodes apart. Short ones of few actions and rare rewards can agree in both and
    differ in where they started, so the state of the reset counts too, where states were kept. How large and by which
    renderer frames are drawn does not count, nor does a time limit: an episode that it does not cut is the same.

    Args:
        task: as configurations name it.
        action_repeat: resolved.
        action: f32[T, A] or i64[T].
        reward: f32[T].
        first_state: f64[D], of column 0.
    """
    digest = hashlib.sha256(f"{task} {action_repeat}\n".encode())
    for array in (action, reward) if first_state is None else (action, reward, first_state):
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def part_by_key(key: str, fraction: float, seed: int) -> PartName:
    """The part of an episode: `heldout` if the hash of its key and the seed is in the lowest `fraction` of all."""
    place = int.from_bytes(hashlib.sha256(f"{seed} heldout {key}".encode()).digest())
    # Exact: a float times a power of two. A fraction of 0 holds out nothing, 1 everything.
    return "heldout" if place < int(fraction * 2**256) else "train"


def one_sided(parts: Sequence[PartName], fraction: float) -> str:
    """That one part came out empty where two were asked for, and what to do; the empty string if not."""
    heldout = parts.count("heldout")
    if not 0 < fraction < 1 or 0 < heldout < len(parts):
        return ""
    what = "held out: nothing is left to train on" if heldout else "left for training: none is held out"
    return (
        f"with --heldout {fraction:g} all {len(parts)} episodes are {what}. An episode's content decides that, so "
        "that it is the same in every dataset; take more episodes, another --heldout, or another --heldout-seed (the "
        "same for all datasets that belong together)"
    )
