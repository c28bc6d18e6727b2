"""Transposed convolution against its definition: the adjoint of convolution.

Keras's extents: "same" gives extent * stride, "valid" extent * stride + max(kernel - stride, 0).
"""

from __future__ import annotations

import layerport as lp
import numpy as np
import pytest
from layerport.errors import LayerportError


def _expected(x, kernel, strides, dilations, padding):
    """Each input element adds its window to the result; then "same" cuts off the surplus."""
    batch, height, width, _ = x.shape
    kh, kw, filters, _ = kernel.shape
    reach = [(k - 1) * d + 1 for k, d in zip((kh, kw), dilations, strict=True)]
    full = np.zeros(
        (
            batch,
            (height - 1) * strides[0] + max(reach[0], strides[0]),
            (width - 1) * strides[1] + max(reach[1], strides[1]),
            filters,
        )
    )
    for i in range(height):
        for j in range(width):
            for a in range(kh):
                for b in range(kw):
                    row, column = (
                        i * strides[0] + a * dilations[0],
                        j * strides[1] + b * dilations[1],
                    )
                    full[:, row, column] += x[:, i, j] @ kernel[a, b].T.astype(np.float64)
    if padding == "valid":
        return full
    begins = [max(r - s, 0) // 2 for r, s in zip(reach, strides, strict=True)]
    return full[
        :,
        begins[0] : begins[0] + height * strides[0],
        begins[1] : begins[1] + width * strides[1],
    ]


CASES = [
    (kernel, strides, padding, 1)
    for kernel in ((3, 3), (2, 4), (1, 5))
    for strides in ((1, 1), (2, 2), (3, 2), (2, 5))
    for padding in ("valid", "same")
] + [((3, 2), (1, 1), padding, 2) for padding in ("valid", "same")]


@pytest.mark.parametrize(("kernel", "strides", "padding", "dilation"), CASES)
@pytest.mark.parametrize("unknown", [(), (1, 2)])
def test_conv2d_transpose(kernel, strides, padding, dilation, unknown, rng, symbolic):
    x = rng.standard_normal((2, 4, 5, 3)).astype(np.float32)
    layer = lp.Conv2DTranspose(
        4, kernel, strides, padding, dilation_rate=dilation, bias_initializer="random_normal"
    )
    layer(x)
    y = symbolic(layer, x, unknown)
    assert layer.kernel.shape == (*kernel, 4, 3)
    expected = _expected(x, layer.kernel, strides, layer.dilation_rate, padding) + layer.bias
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_channels_first_is_channels_last_transposed(rng):
    x = rng.standard_normal((2, 4, 5, 3)).astype(np.float32)
    last = lp.Conv2DTranspose(4, 3, 2, "same")
    first = lp.Conv2DTranspose(4, 3, 2, "same", data_format="channels_first")
    y, turned = last(x), np.moveaxis(x, -1, 1)
    first(turned)
    first.set_weights(last.get_weights())
    np.testing.assert_allclose(np.moveaxis(first(turned), 1, -1), y, atol=1e-6)


def test_output_padding_decides_the_extent(rng):
    # Keras: (extent - 1) * stride + kernel - 2 * pad + output_padding, pad 0 or kernel // 2.
    x = rng.standard_normal((1, 4, 5, 2)).astype(np.float32)
    assert lp.Conv2DTranspose(1, 3, 2, "valid", output_padding=0)(x).shape == (1, 9, 11, 1)
    assert lp.Conv2DTranspose(1, 3, 2, "valid", output_padding=1)(x).shape == (1, 10, 12, 1)
    assert lp.Conv2DTranspose(1, 3, 2, "same", output_padding=(0, 1))(x).shape == (1, 7, 10, 1)
    assert lp.Conv2DTranspose(1, 3, 2, "same", output_padding=1)(x).shape == (1, 8, 10, 1)


def test_conv1d_and_3d_transpose(rng):
    x = rng.standard_normal((2, 6, 3)).astype(np.float32)
    layer = lp.Conv1DTranspose(4, 3, 2, "same", use_bias=False)
    y = layer(x)
    image = layer.kernel[:, np.newaxis]
    expected = _expected(x[:, :, np.newaxis], image.transpose(0, 1, 2, 3), (2, 1), (1, 1), "same")
    np.testing.assert_allclose(y, expected[:, :, 0], atol=1e-5)
    assert lp.Conv3DTranspose(2, 2, 2)(np.ones((1, 2, 3, 4, 1))).shape == (1, 4, 6, 8, 2)


@pytest.mark.parametrize("extra", [-1, 2, (0, 2), (1,), "1"])
def test_output_padding_is_below_the_stride(extra):
    with pytest.raises(LayerportError, match="output_padding must be None, or integers"):
        lp.Conv2DTranspose(1, 3, 2, output_padding=extra)
