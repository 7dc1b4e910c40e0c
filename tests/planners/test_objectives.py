import pytest
import torch

from planners import objectives


def test_undiscounted_is_the_sum():
    assert objectives.reward(torch.tensor([1.0, -2.0, 4.0]), None, 1.0) == 3


def test_a_discount_discounts():
    assert objectives.reward(torch.tensor([1.0, 2.0, 4.0]), None, 0.5) == pytest.approx(1 + 1 + 1)


def test_rewards_after_the_end_do_not_count():
    rewards = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    continues = torch.tensor([[1.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
    torch.testing.assert_close(objectives.reward(rewards, continues, 1.0), torch.tensor([2.0, 1.75]))
