import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as reference

from models.distributions import Gaussian, kl_divergence, masked_mean, squared_error_of_mean
from models.types import LossWeights
from tests.models.designs import LATENT, loss_of, make_batch, make_model, name_of


def test_the_divergence_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(4, 5, 6, generator=generator) + 0.1 for _ in range(4)]
    left, right = Gaussian(*parts[:2]), Gaussian(*parts[2:])
    expected = reference(Independent(Normal(*left), 1), Independent(Normal(*right), 1))
    torch.testing.assert_close(kl_divergence(left, right), expected)
    assert kl_divergence(left, left).abs().max() < 1e-6


def test_the_divergences_gradients_are_those_of_torch():
    generator = torch.Generator().manual_seed(1)
    parts = [(torch.rand(7, 3, generator=generator) + 0.1).double().requires_grad_() for _ in range(4)]
    left, right = Gaussian(*parts[:2]), Gaussian(*parts[2:])
    expected = reference(Independent(Normal(*left), 1), Independent(Normal(*right), 1))
    for mine, theirs in zip(
        torch.autograd.grad(kl_divergence(left, right).sum(), parts),
        torch.autograd.grad(expected.sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_divergence_of_very_different_widths_is_that_of_torch(scale):
    left = Gaussian(torch.tensor([0.3, -2.0]), torch.tensor([scale, 1.0]))
    right = Gaussian(torch.tensor([0.0, 1.0]), torch.tensor([1.0, scale]))
    expected = reference(Independent(Normal(*left), 1), Independent(Normal(*right), 1))
    torch.testing.assert_close(kl_divergence(left, right), expected)


@pytest.mark.parametrize("design", [d for d in LATENT if d.dynamics == "stochastic"], ids=name_of)
def test_a_divergence_below_the_free_nats_has_no_gradient(design):
    """Of a loss that is its KL term alone: constant where nothing exceeds the free nats, and alive without them."""
    alone = LossWeights(image_scale=0.0, reward_scale=0.0, kl_scale=1.0, open_loop_weight=0.0)
    norms = []
    for free_nats in (1000.0, 0.0):
        model = make_model(design, weights=replace(alone, free_nats=free_nats))
        loss_of(model, make_batch()).total.backward()
        norms.append(sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None))
    assert norms[0] == 0
    assert norms[1] > 0


def test_samples_have_the_distributions_moments():
    noise = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0))
    sample = Gaussian(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])).sample(noise)
    torch.testing.assert_close(sample.mean(0), torch.tensor([1.0, -2.0]), atol=0.06, rtol=0)
    torch.testing.assert_close(sample.std(0), torch.tensor([0.5, 3.0]), atol=0, rtol=0.02)


def test_masked_means_count_what_the_mask_shows():
    values = torch.tensor([[1.0, 2.0], [4.0, 100.0]])
    assert masked_mean(values, torch.tensor([[1.0, 1.0], [1.0, 0.0]])) == 7 / 3
    assert masked_mean(values, torch.zeros(2, 2)) == 0


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_the_squared_error_of_a_mean_forecast_has_no_bias(samples):
    """The expectation over all draws of a discrete distribution, each with its probability, is (E[e])^2 exactly."""
    errors, weights = [-1.5, 0.25, 2.0], [0.5, 0.3, 0.2]
    expected = math.fsum(e * w for e, w in zip(errors, weights, strict=True)) ** 2
    total = math.fsum(
        math.prod(weights[i] for i in drawn)
        * squared_error_of_mean(torch.tensor([errors[i] for i in drawn], dtype=torch.float64)).item()
        for drawn in itertools.product(range(3), repeat=samples)
    )
    assert total == pytest.approx(expected, rel=1e-12)


def test_the_squared_error_of_one_forecast_is_its_own_and_of_two_their_product():
    errors = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    torch.testing.assert_close(squared_error_of_mean(errors[:1]), torch.tensor([1.0, 4.0]))
    torch.testing.assert_close(squared_error_of_mean(errors), torch.tensor([3.0, -1.0]))
