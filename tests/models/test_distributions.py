import torch
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as reference

from models.distributions import Gaussian, kl_divergence, masked_mean


def test_the_divergence_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(4, 5, 6, generator=generator) + 0.1 for _ in range(4)]
    left, right = Gaussian(*parts[:2]), Gaussian(*parts[2:])
    expected = reference(Independent(Normal(*left), 1), Independent(Normal(*right), 1))
    torch.testing.assert_close(kl_divergence(left, right), expected)
    assert kl_divergence(left, left).abs().max() < 1e-6


def test_samples_have_the_distributions_moments():
    noise = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0))
    sample = Gaussian(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])).sample(noise)
    torch.testing.assert_close(sample.mean(0), torch.tensor([1.0, -2.0]), atol=0.06, rtol=0)
    torch.testing.assert_close(sample.std(0), torch.tensor([0.5, 3.0]), atol=0, rtol=0.02)


def test_masked_means_count_what_the_mask_shows():
    values = torch.tensor([[1.0, 2.0], [4.0, 100.0]])
    assert masked_mean(values, torch.tensor([[1.0, 1.0], [1.0, 0.0]])) == 7 / 3
    assert masked_mean(values, torch.zeros(2, 2)) == 0
