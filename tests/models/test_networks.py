"""Networks against torch's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.networks import (
    GRU,
    LSTM,
    ConvDecoder,
    ConvEncoder,
    FirstTransposed,
    ValidEncoder,
    decoder_kernels,
    encoder_sides,
    scale_image,
)


def test_sides_and_kernels_are_planets():
    assert encoder_sides(64) == [31, 14, 6, 2]
    assert decoder_kernels(64) == [5, 5, 6, 6]
    assert encoder_sides(32) == [15, 6, 2]
    assert decoder_kernels(32) == [5, 6, 6]


@pytest.mark.parametrize("side", [*range(8, 41), 48, 64, 84, 96, 100])
def test_any_square_image_is_encoded_and_decoded(side):
    shape = (3, side, side)
    encoder, decoder = ConvEncoder(shape, 2), ConvDecoder(5, 6, 2, shape)
    assert encoder(torch.zeros(2, *shape)).shape == (2, encoder.features)
    assert decoder(torch.zeros(2, 5)).shape == (2, *shape)
    assert ValidEncoder(shape, [2, 3, 4], 7, 0.3)(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("shape", [(3, 7, 7), (3, 64, 32)])
def test_other_images_are_refused(shape):
    with pytest.raises(ValueError, match="square images of at least 8 x 8"):
        ConvEncoder(shape, 2)


def test_images_are_scaled_to_half_a_unit_about_zero():
    image = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    assert scale_image(image).flatten().tolist() == pytest.approx([-0.5, -0.3, 0.5])
    image = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(scale_image(image), image / 255 - 0.5)
    assert scale_image(image).is_contiguous(memory_format=torch.channels_last)


def test_the_first_transposed_convolution_is_a_matrix_product():
    layer = FirstTransposed(6, 4, 5)
    x = torch.randn(3, 6)
    weight = layer.weight.view(6, 5, 5, 4).permute(0, 3, 1, 2)
    expected = F.conv_transpose2d(x.view(3, 6, 1, 1), weight, layer.bias, stride=2)
    torch.testing.assert_close(layer(x), expected)
    assert layer(x).is_contiguous(memory_format=torch.channels_last)


def test_the_gru_is_torchs():
    ours, theirs = GRU(5, 7), nn.GRUCell(5, 7)
    with torch.no_grad():
        theirs.weight_ih.copy_(ours.input.weight)
        theirs.bias_ih.copy_(ours.input.bias)
        theirs.weight_hh.copy_(ours.hidden.weight)
        theirs.bias_hh.copy_(ours.hidden.bias)
    x, h = 3 * torch.randn(4, 5), torch.randn(4, 7)
    torch.testing.assert_close(ours(x, h), theirs(x, h))


def test_the_lstm_is_torchs():
    ours, theirs = LSTM(5, 7), nn.LSTM(5, 7, batch_first=True)
    rows = torch.cat(
        [torch.arange(14), torch.arange(21, 28), torch.arange(14, 21)]
    )  # its output gate is last
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.input.weight[rows])
        theirs.bias_ih_l0.copy_(ours.input.bias[rows])
        theirs.weight_hh_l0.copy_(ours.hidden.weight[rows])
        theirs.bias_hh_l0.zero_()
    x = torch.randn(4, 6, 5)
    torch.testing.assert_close(ours(x), theirs(x)[0])
    assert ours.input.bias[7:14].mean() > 0.5


def test_an_offset_is_part_of_the_lstms_input():
    layer, x, constant = LSTM(5, 7), torch.randn(4, 6, 3), torch.randn(4, 2)
    whole = layer(torch.cat([x, constant[:, None].expand(4, 6, 2)], -1))
    narrow = LSTM(3, 7)
    narrow.load_state_dict(
        {
            "input.weight": layer.input.weight[:, :3],
            "input.bias": layer.input.bias,
            "hidden.weight": layer.hidden.weight,
        }
    )
    torch.testing.assert_close(narrow(x, F.linear(constant, layer.input.weight[:, 3:])), whole)
