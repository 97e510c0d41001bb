"""Statistics of recorded gradients: planted numbers, plain loops, hypothesis-free edges."""

import numpy as np
import pytest

from deadtokens.gradients.recorded import quantiles
from deadtokens.gradients.statistics import (
    alignment,
    entropy,
    regime_shares,
    row_norms,
    sign_shares,
    straight_line,
    sum_ratio,
)


@pytest.fixture
def planted():
    """Random gradients of 5 tokens, 4 components, 3 updates, with hidden states and p."""
    generator = np.random.default_rng(4)
    grad = generator.normal(size=(5, 4, 3)).astype(np.float32)
    h = generator.normal(size=(4, 3)).astype(np.float32)
    p = generator.uniform(0.1, 1, size=(5, 3)).astype(np.float32)
    return grad, h, p


def test_alignment_is_that_of_a_plain_loop(planted):
    grad, h, p = planted
    cosine, ratio = alignment(grad, h, p)
    for token in range(5):
        for step in range(3):
            g, mean = grad[token, :, step].astype(float), h[:, step].astype(float)
            norm, h_norm = np.linalg.norm(g), np.linalg.norm(mean)
            assert cosine[token, step] == pytest.approx(g @ mean / (norm * h_norm))
            assert ratio[token, step] == pytest.approx(norm / (p[token, step] * h_norm))


def test_gradients_of_p_times_h_have_cosine_and_ratio_one(planted):
    _, h, p = planted
    cosine, ratio = alignment(p[:, None] * h[None], h, p)
    assert cosine == pytest.approx(np.ones((5, 3)), abs=1e-6)
    assert ratio == pytest.approx(np.ones((5, 3)), rel=1e-6)


def test_the_smallest_gradients_do_not_vanish(planted):
    grad, h, p = planted
    tiny = (grad * np.float32(1e-30)).astype(np.float32)
    assert row_norms(tiny) == pytest.approx(row_norms(grad) * 1e-30, rel=1e-6)
    assert alignment(tiny, h, p)[0] == pytest.approx(alignment(grad, h, p)[0], abs=1e-6)
    assert (np.square(tiny) == 0).all()  # the control: float32 loses them


def test_a_zero_gradient_has_no_direction(planted):
    grad, h, p = planted
    grad[2, :, 1] = 0
    cosine, ratio = alignment(grad, h, p)
    assert np.isnan(cosine[2, 1]) and np.isnan(ratio[2, 1])
    assert np.isfinite(np.delete(cosine.ravel(), 7)).all()


def test_signs_are_counted():
    h = np.array([[1.0], [-1.0]])
    grad = np.array([[[2.0], [-3.0]], [[-1.0], [1.0]], [[0.0], [5.0]], [[1.0], [-0.0]]])
    positive, as_hidden = sign_shares(grad, h)
    assert positive.tolist() == [4 / 8]
    assert as_hidden.tolist() == [3 / 8]
    assert np.isnan(sign_shares(grad[:0], h)).all()


def test_rows_that_cancel_sum_to_zero(planted):
    grad, *_ = planted
    cancelling = np.concatenate([grad, -grad])
    assert sum_ratio(cancelling) == pytest.approx(np.zeros(3), abs=1e-15)
    assert sum_ratio(np.repeat(grad[:1], 7, axis=0)) == pytest.approx(np.ones(3))
    assert np.isnan(sum_ratio(grad * 0)).all()


def test_regimes_are_told_by_the_root_of_v_against_eps():
    roots = np.array([1e-6, 1.01e-7, 0.99e-7, 1e-8, 1.01e-9, 0.99e-9, 0.0])
    every = np.ones(7, bool)
    shares = regime_shares((roots**2)[:, None, None], every, 1e-8)
    assert shares[0] == pytest.approx(np.array([2, 3, 2]) / 7)
    first = regime_shares((roots**2)[:, None, None], np.arange(7) < 3, 1e-8)
    assert first[0] == pytest.approx(np.array([2, 1, 0]) / 3)
    assert np.isnan(regime_shares(np.zeros((7, 4, 2)), ~every, 1e-8)).all()


def test_regimes_of_chosen_tokens_are_numpys():
    generator = np.random.default_rng(2)
    v = 10 ** generator.uniform(-22, -10, (23, 4, 3))
    chosen = generator.uniform(size=23) < 0.5
    whole = regime_shares(v, chosen, 1e-8)
    roots = np.sqrt(v[chosen])
    assert whole[:, 0] == pytest.approx((roots >= 1e-7).mean(axis=(0, 1)))
    assert whole[:, 2] == pytest.approx((roots < 1e-9).mean(axis=(0, 1)))
    assert whole.sum(axis=1) == pytest.approx(np.ones(3))


def test_the_line_is_that_of_numpy():
    generator = np.random.default_rng(8)
    x, noise = generator.uniform(size=(2, 40))
    slope, intercept, r2 = straight_line(x, 3 * x + 2 + noise)
    assert (slope, intercept) == pytest.approx(tuple(np.polyfit(x, 3 * x + 2 + noise, 1)))
    assert r2 == pytest.approx(np.corrcoef(x, 3 * x + 2 + noise)[0, 1] ** 2)
    assert straight_line(x, 3 * x + 2) == pytest.approx((3, 2, 1))
    assert abs(straight_line(x, generator.normal(size=40))[2]) < 0.3
    assert np.isnan(straight_line(np.ones(5), np.arange(5.0))).all()


def test_entropy_of_uniform_and_of_certain_predictions():
    assert entropy(np.full((50, 2), 1 / 50)) == pytest.approx(np.full(2, np.log(50)))
    assert entropy(np.eye(4)) == pytest.approx(np.zeros(4))


def test_quantiles_leave_out_what_is_not_finite():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.inf], [2.0, np.nan]])
    found = quantiles(values)
    assert found[0] == pytest.approx([1.1, 1.5, 2.0, 2.5, 2.9])
    assert np.isnan(found[1]).all()
    assert np.isnan(quantiles(np.zeros((0, 3)))).all()
