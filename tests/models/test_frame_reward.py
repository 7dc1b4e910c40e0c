"""The reward net on frames: shapes, what it reads, and a reward it can learn."""

import pytest
import torch

from models.frame_reward import FrameReward


def net(side=16, **kwargs):
    torch.manual_seed(0)
    return FrameReward((3, side, side), 2, [8, 8], 16, [32], **kwargs)


@pytest.mark.parametrize("lead", [(5,), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize(("extras", "outputs"), [(0, 1), (3, 2)])
def test_shapes(lead, extras, outputs):
    model = net(extras=extras, outputs=outputs)
    code, action = torch.randn(*lead, 16), torch.randn(*lead, 2)
    more = torch.randn(*lead, extras) if extras else None
    out = model(code, code, action, more)
    assert out.shape == (*lead, outputs)
    assert model.encode(torch.rand(4, 3, 16, 16)).shape == (4, 16)


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_there_are_as_many_convolutions_as_the_image_takes(side):
    model = FrameReward((3, side, side), 1, [32, 32, 16, 8], 32, [16])
    assert model.encode(torch.rand(1, 3, side, side)).shape == (1, 32)
    assert len(model.encoder.layers) == {8: 1, 16: 2, 32: 3, 64: 4}[side]


def test_every_input_matters_and_the_frames_are_not_exchangeable():
    model = net(extras=1)
    parts = [torch.randn(1, 16), torch.randn(1, 16), torch.randn(1, 2), torch.randn(1, 1)]
    out = model(*parts)
    for index in range(4):
        other = [part + (i == index) for i, part in enumerate(parts)]
        assert not torch.allclose(model(*other), out)
    assert not torch.allclose(model(parts[1], parts[0], *parts[2:]), out)


def test_it_is_float32_under_autocast():
    model = net()
    with torch.autocast("cpu", torch.bfloat16):
        code = model.encode(torch.rand(2, 3, 16, 16))
        assert code.dtype == model(code, code, torch.zeros(2, 2)).dtype == torch.float32


def test_it_learns_how_far_a_bar_has_moved():
    """A reward that no single frame tells."""
    generator = torch.Generator().manual_seed(0)
    position = torch.rand(256, 2, generator=generator)
    bar = (torch.arange(16) - 15 * position[..., None]).abs() < 2
    frames = bar.float()[:, :, None, None, :].expand(-1, -1, 3, 16, -1) - 0.5
    reward = position[:, 1] - position[:, 0]
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        before, after = (model.encode(frames[:, i].contiguous()) for i in (0, 1))
        loss = (model(before, after, torch.zeros(256, 2)).squeeze(-1) - reward).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05 * reward.square().mean()
