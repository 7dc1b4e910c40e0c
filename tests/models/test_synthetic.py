"""The synthetic worlds do what they say."""

import pytest
import torch

from tests.models.synthetic import (
    ACTIONS,
    BLOCK,
    FORK,
    SIDE,
    SPEED,
    WORLDS,
    episodes,
    fork,
    linear,
    linear_dynamics,
    sprite,
)

BRIGHT = 130


def centres(batch):
    """The centre (x, y) of what is drawn, by the red channel's weight above the background: [B, T, 2]."""
    weight = batch.image[:, :, 0].float() - 24
    pixels = torch.arange(SIDE) + 0.5
    total = weight.sum((-1, -2))
    return torch.stack([(weight.sum(-2) @ pixels) / total, (weight.sum(-1) @ pixels) / total], -1)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_clips_follow_the_timing_convention_and_the_seed(world):
    batch, again, other = world(4, 7, 3), world(4, 7, 3), world(4, 7, 4)
    assert batch.image.shape == (4, 7, 3, SIDE, SIDE)
    assert batch.action.shape == (4, 7, ACTIONS)
    assert all(torch.equal(left, right) for left, right in zip(batch, again, strict=True))
    assert not torch.equal(batch.action, other.action)
    assert not batch.action[:, 0].any()
    assert not batch.reward[:, 0].any()
    assert batch.first.sum(1).tolist() == [1] * 4
    assert batch.first[:, 0].all()
    assert [episode.columns for episode in episodes(batch)] == [7] * 4


def test_the_sprite_moves_by_its_action_between_walls():
    batch = sprite(64, 6, 0)
    position = centres(batch) - BLOCK / 2
    room = SIDE - BLOCK
    moved = position[:, :-1] + SPEED * batch.action[:, 1:]
    expected = room - (room - moved.abs()).abs()
    torch.testing.assert_close(position[:, 1:], expected, atol=0.03, rtol=0)
    assert ((moved < 0) | (moved > room)).any()
    reward = torch.sin(1.5 * (2 * position / room - 1)).sum(-1)
    torch.testing.assert_close(batch.reward[:, 1:], reward[:, 1:], atol=0.03, rtol=0)


def test_the_linear_system_is_two_damped_rotations_that_actions_push():
    """Two positions p and an action tell the next: p'' = 2 r cos(angle) p' - r^2 p - r sin(angle) b a'."""
    batch = linear(512, 8, 0)
    dynamics, control, _, weights = linear_dynamics()
    position = (centres(batch) - SIDE / 2) / 3.0
    inside = position.abs().amax((1, 2)) < 1.1
    assert inside.sum() >= 5
    position, action, reward = position[inside], batch.action[inside], batch.reward[inside]
    hidden = []
    for axis in range(2):
        (rc, rs), (push,) = dynamics[2 * axis, 2 * axis : 2 * axis + 2], control[2 * axis + 1, axis, None]
        p, forced = position[..., axis], rs * push * action[:, 1:-1, axis]
        expected = 2 * rc * p[:, 1:-1] - (rc**2 + rs**2) * p[:, :-2] + forced
        torch.testing.assert_close(p[:, 2:], expected, atol=0.06, rtol=0)
        hidden.append((p[:, 1:] - rc * p[:, :-1]) / rs)
    state = torch.stack([position[:, :-1, 0], hidden[0], position[:, :-1, 1], hidden[1]], -1)
    torch.testing.assert_close(reward[:, 1:-1], (state @ weights)[:, 1:], atol=0.08, rtol=0)


def test_the_fork_is_even_and_nothing_foretells_it():
    batch = fork(32, 6, 0)
    position = centres(batch)[..., 0] - SIDE / 2
    side = batch.reward[:, -1]
    assert side.sum() == 0
    assert side.abs().eq(1).all()
    assert not batch.reward[:, :FORK].any()
    before = batch.image[:, :FORK]
    assert torch.equal(before, before[:1].expand_as(before))
    assert torch.equal(position[:, -1].sign(), side)
    left, right = (batch.image[side == s][0, -1, 0] > BRIGHT for s in (-1, 1))
    assert not (left & right).any()
