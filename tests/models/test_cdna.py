"""CDNA against naive loops and a grouped convolution, and the recurrent cell against torch's."""

import pytest
import torch
from torch.nn import functional as F

from models.cdna import composite, normalised_kernels
from models.conv_lstm import CellState, ConvLSTM

N, M, SIDE = 2, 3, 6


def parts(size=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    frame, synthesised = torch.rand(2, N, 3, SIDE, SIDE, generator=generator)
    kernels = normalised_kernels(torch.randn(N, M * size * size, generator=generator), size)
    masks = torch.randn(N, M + 2, SIDE, SIDE, generator=generator).softmax(1)
    return frame, synthesised, kernels, masks


def grouped(frame, kernels):
    """The M transformed frames [N, M, 3, h, w] by one convolution with a group per frame and colour."""
    size = kernels.shape[-1]
    weight = kernels[:, None].expand(-1, 3, -1, -1, -1).reshape(N * 3 * M, 1, size, size)
    moved = F.conv2d(frame.view(1, N * 3, SIDE, SIDE), weight, padding=size // 2, groups=N * 3)
    return moved.view(N, 3, M, SIDE, SIDE).transpose(1, 2)


def looped(frame, kernels):
    """The same, pixel by pixel; black beyond the border."""
    size = kernels.shape[-1]
    out = torch.zeros(N, M, 3, SIDE, SIDE)
    for y in range(SIDE):
        for x in range(SIDE):
            for r in range(size):
                for c in range(size):
                    row, column = y + r - size // 2, x + c - size // 2
                    if 0 <= row < SIDE and 0 <= column < SIDE:
                        out[..., y, x] += kernels[:, :, None, r, c] * frame[:, None, :, row, column]
    return out


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("transform", [grouped, looped])
def test_compositing_once_equals_transforming_and_then_compositing(size, transform):
    frame, synthesised, kernels, masks = parts(size)
    expected = masks[:, :1] * frame + masks[:, 1:2] * synthesised
    expected = expected + (masks[:, 2:, None] * transform(frame, kernels)).sum(1)
    torch.testing.assert_close(composite(frame, synthesised, kernels, masks), expected)


def test_kernels_are_not_negative_and_sum_to_one():
    kernels = normalised_kernels(torch.randn(50, M * 25), 5)
    assert kernels.shape == (50, M, 5, 5)
    assert (kernels >= 0).all()
    torch.testing.assert_close(kernels.sum((-2, -1)), torch.ones(50, M))
    torch.testing.assert_close(normalised_kernels(-torch.ones(1, 25), 5), torch.full((1, 1, 5, 5), 1 / 25))


@pytest.mark.parametrize("size", [3, 5])
def test_an_identity_kernel_returns_the_frame(size):
    raw = -torch.ones(N, M, size * size)
    raw[..., size * size // 2] = 0.3
    frame, synthesised, _, masks = parts()
    masks = masks[:, 2:].softmax(1)
    masks = torch.cat([torch.zeros(N, 2, SIDE, SIDE), masks], 1)
    moved = composite(frame, synthesised, normalised_kernels(raw.flatten(1), size), masks)
    torch.testing.assert_close(moved, frame)


def test_a_kernel_off_its_centre_moves_the_frame():
    raw = -torch.ones(N, M, 3, 3)
    raw[:, :, 1, 0] = 1.0  # reads the pixel on the left: content moves right
    frame, synthesised, _, _ = parts()
    masks = torch.zeros(N, M + 2, SIDE, SIDE)
    masks[:, 2] = 1
    moved = composite(frame, synthesised, normalised_kernels(raw.flatten(1), 3), masks)
    torch.testing.assert_close(moved[..., 1:], frame[..., :-1])
    assert moved[..., 0].max() < 1e-6


@pytest.mark.parametrize("index", [0, 1])
def test_the_first_two_masks_are_of_the_last_frame_and_of_the_synthesised_image(index):
    frame, synthesised, kernels, _ = parts()
    masks = torch.zeros(N, M + 2, SIDE, SIDE)
    masks[:, index] = 1
    torch.testing.assert_close(
        composite(frame, synthesised, kernels, masks), (frame, synthesised)[index], rtol=0, atol=0
    )


def test_compositing_stays_in_float32_under_autocast():
    frame, synthesised, kernels, masks = parts()
    exact = composite(frame, synthesised, kernels, masks)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(composite(frame, synthesised, kernels, masks), exact)


def test_a_cell_of_kernel_one_is_torchs_lstm_at_every_pixel():
    torch.manual_seed(0)
    cell = ConvLSTM(3, 4, kernel=1)
    same = torch.nn.LSTMCell(3, 4)
    enter, forget, leave, new = cell.gates.weight[..., 0, 0].chunk(4)
    weight = torch.cat([enter, forget, new, leave])  # torch's order of the gates
    enter, forget, leave, new = cell.gates.bias.chunk(4)
    with torch.no_grad():
        same.weight_ih.copy_(weight[:, :3])
        same.weight_hh.copy_(weight[:, 3:])
        same.bias_ih.copy_(torch.cat([enter, forget, new, leave]))
        same.bias_hh.zero_()
    x, hidden, memory = torch.randn(2, 3, 5, 5), torch.randn(2, 4, 5, 5), torch.randn(2, 4, 5, 5)
    out = cell(x, CellState(hidden, memory))
    pixels = [part.permute(0, 2, 3, 1).flatten(0, 2) for part in (x, hidden, memory)]
    expected = same(pixels[0], (pixels[1], pixels[2]))
    for part, right in zip(out, expected, strict=True):
        torch.testing.assert_close(part.permute(0, 2, 3, 1).flatten(0, 2), right)


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_cell_keeps_the_size_of_its_map_and_remembers_at_first(kernel):
    cell = ConvLSTM(2, 3, kernel)
    out = cell(torch.rand(4, 2, 8, 8), CellState(torch.zeros(4, 3, 8, 8), torch.zeros(4, 3, 8, 8)))
    assert out.hidden.shape == out.memory.shape == (4, 3, 8, 8)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.gates.bias[3:6] = 1.0
    memory = torch.rand(4, 3, 8, 8)
    out = cell(torch.rand(4, 2, 8, 8), CellState(memory, memory))
    kept = torch.sigmoid(torch.tensor(1.0)) * memory
    torch.testing.assert_close(out.memory, kept)
    torch.testing.assert_close(out.hidden, 0.5 * kept.tanh())
