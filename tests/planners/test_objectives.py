import pytest
import torch

from planners import objectives


def test_undiscounted_is_the_sum():
    assert objectives.reward(torch.tensor([1.0, -2.0, 4.0]), None, 1.0) == 3
    assert objectives.undiscounted(torch.tensor([1.0, -2.0, 4.0]), torch.zeros(3), 0.5) == 3


def test_a_discount_discounts():
    assert objectives.reward(torch.tensor([1.0, 2.0, 4.0]), None, 0.5) == pytest.approx(1 + 1 + 1)


def test_rewards_after_the_end_do_not_count():
    rewards = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    continues = torch.tensor([[1.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
    torch.testing.assert_close(objectives.reward(rewards, continues, 1.0), torch.tensor([2.0, 1.75]))


def test_a_discount_and_an_end_multiply():
    rewards, continues = torch.ones(3), torch.full((3,), 0.5)
    assert objectives.reward(rewards, continues, 0.5) == pytest.approx(1 + 0.25 + 0.0625)


def test_a_long_product_of_continuations_is_float32():
    """In bfloat16 0.999 is 1: an end would never come nearer."""
    rewards, continues = torch.ones(500), torch.full((500,), 0.99).bfloat16()
    expected = (continues.float() ** torch.arange(500)).sum()
    torch.testing.assert_close(objectives.reward(rewards, continues, 1.0), expected)


def test_random_likes_all_plans_alike():
    assert objectives.indifferent(torch.randn(2, 5, 3), None, 0.9).tolist() == [[0.0] * 5] * 2


def test_the_names_of_a_configuration():
    assert set(objectives.OBJECTIVES) == {"reward", "undiscounted", "random"}
