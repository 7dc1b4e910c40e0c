"""The latent of a clip against torch.distributions, and its part in the loss of a batch."""

import math

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from models.latents import clip_kl, clip_posterior, per_column


def test_the_kl_of_a_clip_is_that_of_torch_distributions():
    posterior = clip_posterior(torch.randn(4, 16), 3 * torch.randn(4, 16))
    expected = reference_kl(Normal(posterior.mean, posterior.std), Normal(0, 1)).sum(1)
    torch.testing.assert_close(clip_kl(posterior), expected)


def test_a_posterior_equal_to_the_prior_costs_nothing():
    raw = torch.full((2, 3), math.log(math.expm1(5.0)))
    torch.testing.assert_close(clip_kl(clip_posterior(torch.zeros(2, 3), raw)), torch.zeros(2))


def test_the_log_variance_is_bounded_below_and_keeps_a_gradient():
    raw = torch.tensor([[-8.0, 0.0, 100.0]], requires_grad=True)
    log_variance = 2 * clip_posterior(torch.zeros(1, 3), raw).std.log()
    assert (log_variance >= -5).all()
    torch.testing.assert_close(log_variance[0, 2], torch.tensor(95.0))
    log_variance.sum().backward()
    assert (raw.grad > 1e-4).all()


def test_the_sum_over_a_batch_holds_each_clip_once():
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    kl = torch.tensor([6.0, 1.0, 100.0])
    assert per_column(kl, mask).item() == pytest.approx((6 + 1) / 4)
    assert per_column(kl, torch.zeros(3, 3)) == 0
