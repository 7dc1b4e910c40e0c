import pytest
import torch

from planners.sampling import (
    categorical,
    coloured,
    correlated,
    covariance_root,
    filtered,
    one_hot,
    rooted,
    shifted,
)

LIKE = torch.zeros(1)


@pytest.mark.parametrize("horizon", [1, 2, 5, 12, 33])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_coloured_noise_has_unit_variance_and_its_spectrum(horizon, exponent):
    """Power at frequency f is that at the lowest one, times f^-exponent."""
    matrix = coloured(horizon, exponent, LIKE).double()
    covariance = matrix @ matrix.T
    torch.testing.assert_close(covariance.diagonal(), torch.ones(horizon).double(), atol=1e-5, rtol=0)
    power = torch.fft.rfft(covariance[0]).real
    frequency = torch.arange(len(power)).clamp(min=1).double()
    lowest = power[1] if len(power) > 1 else power[0]
    torch.testing.assert_close(power, lowest * frequency**-exponent, atol=1e-4, rtol=1e-4)


def test_colour_zero_leaves_noise_as_it_is():
    torch.testing.assert_close(coloured(12, 0.0, LIKE), torch.eye(12))


def test_a_filter_mixes_steps_and_nothing_else():
    noise = torch.randn(2, 3, 5, 4)
    matrix = torch.randn(5, 5)
    torch.testing.assert_close(filtered(noise, matrix), torch.einsum("ts,bcsa->bcta", matrix, noise))


def test_correlated_noise_is_its_recursion():
    u = torch.randn(6, 1)
    before = torch.zeros(1)
    for smooth, each in zip(filtered(u, correlated(6, 0.7, LIKE)), u, strict=True):
        before = 0.7 * each + (1 - 0.7) * before
        torch.testing.assert_close(smooth, before)
    torch.testing.assert_close(correlated(4, 1.0, LIKE), torch.eye(4))


@pytest.mark.parametrize("count", [1, 2, 30])
@pytest.mark.parametrize("dim", [1, 3, 21])
def test_a_root_of_the_covariance(count, dim):
    plans = torch.randn(2, count, 3, dim) @ torch.randn(dim, dim)
    weights = torch.rand(2, count)
    weights = weights / weights.sum(1, keepdim=True)
    mean = (weights[:, :, None, None] * plans).sum(1)
    away = plans - mean[:, None]
    expected = torch.einsum("bk,bkhi,bkhj->bhij", weights, away, away)
    std = expected.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
    root = covariance_root(plans, mean, weights, std)
    assert torch.equal(root, root.tril())
    torch.testing.assert_close(root @ root.mT, expected, atol=1e-3 * (1 + float(expected.max())), rtol=0)


def test_a_dimension_that_does_not_vary_is_independent():
    plans = torch.randn(1, 9, 1, 2) * torch.tensor([1.0, 0.0])
    weights = torch.full((1, 9), 1 / 9)
    mean = plans.mean(1)
    std = plans.std(1, correction=0).clamp(min=0.2)
    root = covariance_root(plans, mean, weights, std)
    torch.testing.assert_close(root[0, 0], torch.diag(std[0, 0]))


def test_noise_gets_the_covariance_of_its_root():
    root = torch.tensor([[1.0, 0.0], [0.8, 0.6]]).expand(1, 2, 2, 2)
    noise = rooted(root, torch.randn(1, 20000, 2, 2, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(
        noise[0, :, 1].T.cov(), torch.tensor([[1.0, 0.8], [0.8, 1.0]]), atol=0.03, rtol=0
    )


def test_shifting_drops_the_first_step():
    plan = torch.arange(6.0).reshape(1, 3, 2)
    assert shifted(plan).tolist() == [[[2, 3], [4, 5], [0, 0]]]
    assert shifted(plan[:, :1], 0.5).tolist() == [[[0.5, 0.5]]]


def test_choices_follow_their_probabilities():
    probabilities = torch.tensor([0.0, 0.25, 0.0, 0.75, 0.0])
    uniform = (torch.arange(1000) + 0.0) / 1000
    counts = categorical(probabilities, uniform).sum(0)
    assert counts.tolist() == [0, 250, 0, 750, 0]
    assert categorical(torch.ones(1), uniform).eq(1).all()
    assert torch.equal(one_hot(torch.tensor([2, 0]), 3, LIKE), torch.eye(3)[[2, 0]])
