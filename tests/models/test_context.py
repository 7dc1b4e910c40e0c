"""The ring of context columns, by numbers that can be counted on one's fingers."""

import pytest
import torch

from models.context import (
    RESET_PART,
    ContextState,
    begun_at,
    context_of_clips,
    empty_context,
    push,
    scored_columns,
)
from models.types import Observation
from tests.models.designs import column, make_batch


def observation(value, *, first):
    return Observation(
        image=torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        action=torch.full((2, 1), value),
        reward=torch.full((2,), 10 * value),
        first=torch.tensor(first),
    )


def test_a_new_column_takes_the_place_of_the_oldest():
    context = empty_context(torch.zeros(()), 2, 3, (1,), 1)
    for value in (1.0, 2.0, 3.0, 4.0):
        context = push(context, torch.full((2, 1), -value), observation(value, first=[False, False]))
    assert context.frames[..., 0].tolist() == [[-2, -3, -4]] * 2
    assert context.actions[..., 0].tolist() == [[2, 3, 4]] * 2
    assert context.rewards.tolist() == [[20, 30, 40]] * 2


def test_a_reset_fills_up_its_rows_alone():
    context = ContextState(torch.ones(2, 3, 2, 4), torch.ones(2, 3, 1), torch.ones(2, 3))
    context = push(context, torch.full((2, 2, 4), 7.0), observation(5.0, first=[True, False]))
    assert context.frames[:, :, 0, 0].tolist() == [[7, 7, 7], [1, 1, 7]]
    assert context.actions[..., 0].tolist() == [[0, 0, 0], [1, 1, 5]]
    assert context.rewards.tolist() == [[0, 0, 0], [1, 1, 50]]


def test_a_context_of_one_column_is_that_column():
    context = empty_context(torch.zeros(()), 2, 1, (), 1)
    context = push(context, torch.tensor([1.0, 2.0]), observation(3.0, first=[False, True]))
    assert [part.flatten().tolist() for part in context] == [[1, 2], [3, 0], [30, 0]]


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_clips_are_cut_to_what_observing_their_columns_leaves(columns):
    """From a reset 1 .. K - 1 columns ago, each as likely, by the draws below RESET_PART; else from no reset."""
    starts = [columns - real for real in range(1, max(columns, 2))]
    parts = [(index + place) / len(starts) for index in range(len(starts)) for place in (0, 0.5, 0.999)]
    reset = torch.tensor([*(RESET_PART * part for part in parts), RESET_PART, 0.5, 0.999])
    batch = make_batch(clips=len(reset))
    frames = batch.image[:, :columns].float().mean((2, 3, 4))
    found = context_of_clips(frames, batch, reset)
    for row, start in enumerate([start for start in starts for _ in range(3)] + [None] * 3):
        clip = type(batch)(*(part[row : row + 1] for part in batch))
        seen = empty_context(torch.zeros(()), 1, columns, (), 3)
        for t in range(columns):
            obs = column(clip, t)
            first = torch.full((1,), t == start)  # the first column of a clip cut in mid-episode is no reset
            known = (~first).float()
            obs = obs._replace(action=obs.action * known[:, None], reward=obs.reward * known, first=first)
            seen = push(seen, frames[row : row + 1, t], obs)
        for left, right in zip(found, seen, strict=True):
            torch.testing.assert_close(left[row : row + 1], right)


def test_a_context_begun_in_its_middle_repeats_its_first_frame():
    context = ContextState(torch.tensor([[1.0, 2, 3, 4]] * 3), torch.ones(3, 4, 1), torch.ones(3, 4))
    frames, actions, rewards = begun_at(context, torch.tensor([-1, 1, 3]))
    assert frames.tolist() == [[1, 2, 3, 4], [2, 2, 3, 4], [4, 4, 4, 4]]
    assert rewards.tolist() == actions[..., 0].tolist() == [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]


def test_columns_after_the_context_that_exist_are_scored():
    batch = make_batch(clips=2, columns=5)
    mask = batch.mask.clone()
    mask[1, 3:] = 0
    scored = scored_columns(batch._replace(mask=mask), 2)
    assert scored.tolist() == [[1, 1, 1], [1, 0, 0]]
    with pytest.raises(ValueError, match="clips of 5 columns leave none to forecast after 5"):
        scored_columns(batch, 5)
