"""The last columns that a pixel design sees: a ring that is pushed, filled up at a reset, and cut from clips.

::

    column        t-2    t-1    t           K = 3 columns, oldest first; a new one pushes the oldest out
    frames        o      o      o           frames, or codes of them
    actions       (a)    a      a           those of the oldest column are kept but must not be used: a clip
    rewards       (r)    r      r           cut from the middle of an episode does not know them

    at a reset    o_0    o_0    o_0         the first frame, zero actions and rewards
    a step later  o_0    o_0    o_1         1 .. K - 1 columns are real until the ring is full
                  0      0      a_1

A training clip is K columns of context, then columns that the loss scores. Part of the training clips have a
context as it is in the first K - 1 columns of an episode, so that its first plans are made from something the network
has seen.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.types import Observation, SequenceBatch

RESET_PART = 1 / 8
"""Part of the training clips whose context is filled up as it is soon after a reset."""


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
    return begun_at(pushed, torch.where(obs.first, pushed.rewards.shape[1] - 1, -1))


def begun_at(context: ContextState, start: Tensor) -> ContextState:
    """The contexts as they are when the episode began at column `start`.

    Columns before it have its frame; up to and including it, actions and rewards are zero.

    Args:
        context: [B, K, ...].
        start: integers [B], below K; those below zero leave a context as it is.
    """
    frames = list(context.frames.unbind(1))
    begins = start.view(-1, *(1,) * (frames[0].dim() - 1))
    for column in reversed(range(len(frames) - 1)):
        frames[column] = torch.where(column < begins, frames[column + 1], frames[column])
    unknown = torch.arange(len(frames), device=start.device) <= start[:, None]
    return ContextState(
        torch.stack(frames, 1),
        context.actions.masked_fill(unknown[..., None], 0),
        context.rewards.masked_fill(unknown, 0),
    )


def context_of_clips(frames: Tensor, batch: SequenceBatch, reset: Tensor) -> ContextState:
    """The contexts of training clips; some as they are when 1 .. K - 1 columns of an episode were seen.

    Args:
        frames: [B, K, ...], of the clips' first K columns, or their codes.
        batch: the clips.
        reset: uniform draws [B]; those below RESET_PART are such contexts, and decide how many columns are real,
            each number with the same probability (one real column if K is 1).
    """
    seen = frames.shape[1]
    context = ContextState(frames, batch.action[:, :seen], batch.reward[:, :seen])
    missing = max(seen - 1, 1)
    real = 1 + (reset / RESET_PART * missing).floor().clamp(max=missing - 1).long()
    return begun_at(context, torch.where(reset < RESET_PART, seen - real, -1))


def scored_columns(batch: SequenceBatch, seen: int) -> Tensor:
    """Which columns after the first `seen` the loss scores, 1 or 0: [B, T - seen].

    Raises:
        ValueError: the clips have no column after the context.
    """
    if batch.mask.shape[1] <= seen:
        raise ValueError(f"clips of {batch.mask.shape[1]} columns leave none to forecast after {seen}")
    return batch.mask[:, seen:] * ~batch.first[:, seen:]
