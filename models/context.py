"""The last columns that a pixel design sees: a ring that is pushed, filled up at a reset, and cut from clips.

::

    column        t-2    t-1    t           K = 3 columns, oldest first; a new one pushes the oldest out
    frames        o      o      o           frames, or codes of them
    actions       (a)    a      a           those of the oldest column are kept but must not be used: a clip
    rewards       (r)    r      r           cut from the middle of an episode does not know them

    at a reset    o_0    o_0    o_0         the first frame, zero actions and rewards

A training clip is K columns of context, then columns that the loss scores. Part of the training clips have a
context as it is at a reset, so that the first plans of an episode are made from something the network has seen.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.types import Observation, SequenceBatch

RESET_PART = 1 / 8
"""Part of the training clips whose context is filled up as at a reset."""


class ContextState(NamedTuple):
    """The last K columns, oldest first. Leading dimensions ``..`` are [B] or [B, C]."""

    frames: Tensor  # [.., K, ...]: frames, or codes of them
    actions: Tensor  # f32[.., K, A]
    rewards: Tensor  # f32[.., K]


def empty_context(
    like: Tensor, batch: int, columns: int, frame: tuple[int, ...], action_dim: int
) -> ContextState:
    """Zeros of the dtype and on the device of `like`; `frame` is the shape of a frame or its code."""
    return ContextState(
        like.new_zeros(batch, columns, *frame),
        like.new_zeros(batch, columns, action_dim),
        like.new_zeros(batch, columns),
    )


def push(context: ContextState, frame: Tensor, obs: Observation) -> ContextState:
    """The context [B, K, ...] with a new column for its oldest; rows with `first` fill up.

    Args:
        context: what was seen so far.
        frame: [B, ...], the new frame or its code.
        obs: the new column, of which everything but the image is read.
    """
    pushed = ContextState(
        *(
            torch.cat([ring[:, 1:], new[:, None]], 1)
            for ring, new in zip(context, (frame, obs.action, obs.reward), strict=True)
        )
    )
    return as_after_reset(pushed, obs.first)


def as_after_reset(context: ContextState, rows: Tensor) -> ContextState:
    """The contexts of `rows` bool[B] as they are at a reset: the last frame alone, zero actions and rewards."""
    frames, actions, rewards = context
    return ContextState(
        torch.where(rows.view(-1, *(1,) * (frames.dim() - 1)), frames[:, -1:], frames),
        actions.masked_fill(rows[:, None, None], 0),
        rewards.masked_fill(rows[:, None], 0),
    )


def context_of_clips(frames: Tensor, batch: SequenceBatch, reset: Tensor) -> ContextState:
    """The contexts of training clips; some as at a reset.

    Args:
        frames: [B, K, ...], of the clips' first K columns, or their codes.
        batch: the clips.
        reset: uniform draws [B]; those below RESET_PART decide for a context as at a reset.
    """
    seen = frames.shape[1]
    context = ContextState(frames, batch.action[:, :seen], batch.reward[:, :seen])
    return as_after_reset(context, reset < RESET_PART)


def scored_columns(batch: SequenceBatch, seen: int) -> Tensor:
    """Which columns after the first `seen` the loss scores, 1 or 0: [B, T - seen].

    Raises:
        ValueError: the clips have no column after the context.
    """
    if batch.mask.shape[1] <= seen:
        raise ValueError(f"clips of {batch.mask.shape[1]} columns leave none to forecast after {seen}")
    return batch.mask[:, seen:] * ~batch.first[:, seen:]
