"""Single steps on numbers small enough to check by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.backprop import layers


def numbers(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_error_of_one_position():
    """The true token is pulled up, each other one pushed down by its probability."""
    z = numbers([math.log(1), math.log(2), math.log(5)])
    torch.testing.assert_close(
        layers.error(z, torch.tensor([1])), numbers([1 / 8, 2 / 8 - 1, 5 / 8])
    )


def test_error_is_a_mean_over_positions():
    z = normal(4, 6)
    targets = torch.tensor([0, 5, 2, 2])
    whole = layers.error(z, targets)
    each = torch.cat([layers.error(z[[n]], targets[[n]]) for n in range(4)])
    torch.testing.assert_close(whole, each / 4)


def test_the_unembedding_as_derived_by_hand():
    """dL/dW = g h^T, dL/db = g, dL/dh = W^T g, for one position."""
    W, h = numbers([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]), numbers([10.0, -1.0])
    g = numbers([0.5, -1.0, 0.25])
    g_h, g_W, g_b = layers.affine_backward(g, h, W)
    assert g_W.tolist() == [[5.0, -0.5], [-10.0, 1.0], [2.5, -0.25]]
    assert g_b.tolist() == g[0].tolist()
    assert g_h.tolist() == [[0.5 - 3 + 1.25, 1 - 4 + 1.5]]


def test_relu_mutes_backward_what_it_muted_forward():
    u = numbers([-2.0, 0.0, 3.0])
    assert layers.activate(u, "relu").tolist() == [[0.0, 0.0, 3.0]]
    assert layers.activate_backward(numbers([7.0, 7.0, 7.0]), u, "relu").tolist() == [[0, 0, 7]]


def test_gelu_at_zero_and_one():
    u = numbers([0.0, 1.0])
    half, one = layers.activate_backward(torch.ones_like(u), u, "gelu")[0].tolist()
    assert half == 0.5
    assert one == pytest.approx(0.8413447460685429 + 0.24197072451914337, rel=1e-14)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_activations_are_the_library_s(activation):
    u = normal(50)
    expected = {"relu": F.relu, "gelu": F.gelu}[activation](u)
    torch.testing.assert_close(layers.activate(u, activation), expected, rtol=1e-13, atol=1e-15)


@given(width=st.integers(2, 12), seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 1, 1e3]))
def test_layer_norm_does_not_see_shift_and_scale(width, seed, scale):
    """So its gradient has no component along the ones and (epsilon apart) none along x - mean."""
    x, g = normal(3, width, seed=seed) * scale, normal(3, width, seed=seed + 1)
    g_x, g_gain, g_shift = layers.layer_norm_backward(g, x, torch.ones(width).double())
    n, s = layers.standardise(x)
    rounding = 1e-11 * g.norm(dim=1) * math.sqrt(width) / s[:, 0]
    assert (g_x.sum(1).abs() <= rounding).all()
    left = layers.EPSILON / s.square()[:, 0] * (n * g).sum(1) / s[:, 0]
    assert (((g_x * n).sum(1) - left).abs() <= rounding).all()
    torch.testing.assert_close(g_gain, (g * n).sum(0))
    torch.testing.assert_close(g_shift, g.sum(0))


def test_layer_norm_of_two_components():
    """x = (1, -1) has deviation 1: n = x, and no direction is left that LN sees."""
    x, g = numbers([1.0, -1.0]), numbers([3.0, 1.0])
    g_x, _, _ = layers.layer_norm_backward(g, x, torch.ones(2).double())
    assert g_x.abs().max() < 2 * layers.EPSILON


def test_softmax_survives_large_logits():
    p = layers.softmax(numbers([1000.0, 0.0, -1000.0]))
    assert p.tolist() == [[1.0, 0.0, 0.0]]
    assert layers.cross_entropy(numbers([1000.0, 0.0]), torch.tensor([1])) == 1000


def test_softmax_backward_of_two():
    p = numbers([0.25, 0.75])
    assert layers.softmax_backward(numbers([1.0, 0.0]), p).tolist() == [[0.1875, -0.1875]]


def test_no_query_sees_a_later_key():
    scores = layers.attention_scores(normal(1, 2, 4, 3), normal(1, 2, 4, 3, seed=1))
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    assert (scores[..., later] == -math.inf).all()
    assert torch.isfinite(scores[..., ~later]).all()


def test_heads_are_split_and_merged():
    x = normal(2, 3, 8)
    split = layers.split_heads(x, 4)
    assert split.shape == (2, 4, 3, 2)
    assert torch.equal(split[1, 2, 0], x[1, 0, 4:6])
    assert torch.equal(layers.merge_heads(split), x)


def test_rows_are_summed_where_they_were_read():
    g = numbers([1.0, 2.0], [10.0, 20.0], [100.0, 200.0])[None]
    rows = layers.sum_rows(g, torch.tensor([[3, 0, 3]]), 5)
    assert rows.tolist() == [[10, 20], [0, 0], [0, 0], [101, 202], [0, 0]]
