import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from models.regions import image_region

fractions = st.floats(0, 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), fractions, fractions, st.integers(0, 2**31 - 1))
def test_regions_are_contiguous_and_nested_and_of_their_size(height, width, left, right, seed):
    small, large = (image_region(height, width, f, seed) for f in sorted((left, right)))
    assert small.shape == (height, width)
    assert small.sum() == round(min(left, right) * height * width)
    assert ((small == 0) | (small == 1)).all()
    assert (small <= large).all()
    _, parts = ndimage.label(large.numpy())
    assert parts == (large.sum() > 0)


def test_the_seed_decides_the_place():
    regions = [image_region(32, 32, 0.1, seed) for seed in (0, 0, 1)]
    assert torch.equal(regions[0], regions[1])
    assert not torch.equal(regions[0], regions[2])
    mean = torch.stack([image_region(8, 8, 0.1, seed) for seed in range(300)]).mean(0)
    assert (mean > 0).all()
