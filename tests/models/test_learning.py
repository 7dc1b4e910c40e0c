"""Every design can learn: a few clips by heart, rewards that only actions tell, frames that move."""

import pytest
import torch

from models.types import SequenceBatch
from tests.models.designs import (
    ACTIONS,
    CONTEXT,
    DESIGNS,
    SIDE,
    draw,
    loss_of,
    make_model,
    name_of,
    observed,
)

CLIPS, COLUMNS = 8, 6


def moving_bars(seed=0):
    """A bright bar whose column is a position that actions move; the reward is the position."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.zeros(CLIPS, COLUMNS, dtype=torch.bool)
    first[:, 0] = True
    action = (2 * torch.rand(CLIPS, COLUMNS, ACTIONS, generator=generator) - 1) * ~first[..., None]
    start = 0.5 * torch.rand(CLIPS, 1, generator=generator) + 0.25
    position = (start + 0.2 * action[..., 0].cumsum(1)).clamp(0, 1)
    columns = torch.arange(SIDE)
    bar = (columns - position[..., None] * (SIDE - 1)).abs() < 2
    image = (200 * bar + 20).to(torch.uint8)[:, :, None, None, :].expand(-1, -1, 3, SIDE, -1)
    ones = torch.ones(CLIPS, COLUMNS)
    return SequenceBatch(image.contiguous(), action, position * ~first, first, torch.zeros_like(first), ones)


@pytest.mark.parametrize("design", DESIGNS, ids=name_of)
def test_a_few_clips_are_learnt_and_forecast_open_loop(design):
    model, batch = make_model(design), moving_bars()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for update in range(250):
        optimizer.zero_grad()
        loss_of(model, batch, noise_seed=update).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
    with torch.no_grad():
        state = observed(model, batch, CONTEXT)
        steps = COLUMNS - CONTEXT
        noise = draw(model.draws("predict", (CLIPS,), steps))
        forecast = model.predict(state, batch.action[:, CONTEXT:], noise, decode=True)
    truth = batch.reward[:, CONTEXT:]
    repeat = (truth - batch.reward[:, CONTEXT - 1 : CONTEXT]).square().mean()
    assert (forecast.reward - truth).square().mean() < 0.3 * repeat
    if forecast.image is not None:
        frames = batch.image[:, CONTEXT:] / 255
        still = (batch.image[:, CONTEXT - 1 : CONTEXT] / 255 - frames).square().mean()
        assert (forecast.image - frames).square().mean() < 0.5 * still
