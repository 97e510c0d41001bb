"""Statistics of recorded gradients: planted numbers, plain loops, hypothesis-free edges."""

import numpy as np
import pytest

from deadtokens.gradients.summaries import (
    alignment,
    row_norms,
    second_moments,
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


def aligned(grad, h, p):
    return alignment(grad, row_norms(grad), h, p)


def summed(grad):
    return sum_ratio(grad, row_norms(grad))


def test_alignment_is_that_of_a_plain_loop(planted):
    grad, h, p = planted
    cosine, ratio = aligned(grad, h, p)
    for token in range(5):
        for step in range(3):
            g, mean = grad[token, :, step].astype(float), h[:, step].astype(float)
            norm, h_norm = np.linalg.norm(g), np.linalg.norm(mean)
            assert cosine[token, step] == pytest.approx(g @ mean / (norm * h_norm))
            assert ratio[token, step] == pytest.approx(norm / (p[token, step] * h_norm))


def test_gradients_of_p_times_h_have_cosine_and_ratio_one(planted):
    _, h, p = planted
    cosine, ratio = aligned(p[:, None] * h[None], h, p)
    assert cosine == pytest.approx(np.ones((5, 3)), abs=1e-6)
    assert ratio == pytest.approx(np.ones((5, 3)), rel=1e-6)


def test_the_smallest_gradients_do_not_vanish(planted):
    grad, h, p = planted
    tiny = (grad * np.float32(1e-30)).astype(np.float32)
    assert row_norms(tiny) == pytest.approx(row_norms(grad) * 1e-30, rel=1e-6)
    assert aligned(tiny, h, p)[0] == pytest.approx(aligned(grad, h, p)[0], abs=1e-6)
    assert (np.square(tiny) == 0).all()  # the control: float32 loses them


def test_a_zero_gradient_has_no_direction(planted):
    grad, h, p = planted
    grad[2, :, 1] = 0
    cosine, ratio = aligned(grad, h, p)
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
    assert summed(cancelling) == pytest.approx(np.zeros(3), abs=1e-15)
    assert summed(np.repeat(grad[:1], 7, axis=0)) == pytest.approx(np.ones(3))
    assert np.isnan(summed(grad * 0)).all()


def of_roots(roots, members):
    """Return the shares of each population for roots of v, one component a token, at one update."""
    v = np.float32(roots)[:, None, None] ** 2
    return second_moments(v, np.ones(1, np.float32), members, 1e-8)[1][0]


def test_regimes_are_told_by_the_root_of_v_against_eps():
    roots = np.array([1e-6, 1.01e-7, 0.99e-7, 1e-8, 1.01e-9, 0.99e-9, 0.0])
    first = np.arange(7) < 3
    shares = of_roots(roots, np.stack([first, ~first, np.zeros(7, bool)]))
    assert shares[0] == pytest.approx(np.array([2, 1, 0]) / 3)
    assert shares[1] == pytest.approx(np.array([0, 2, 2]) / 4)
    assert np.isnan(shares[2]).all()


def test_second_moments_are_corrected_and_those_of_numpy():
    generator = np.random.default_rng(2)
    v = (10 ** generator.uniform(-22, -10, (23, 4, 3))).astype(np.float32)
    chosen, correction = generator.uniform(size=23) < 0.5, np.float32([0.001, 0.01, 0.5])
    means, shares = second_moments(v, correction, np.stack([chosen, ~chosen]), 1e-8)
    assert means == pytest.approx((v / correction).mean(axis=1), rel=1e-6)
    for place, own in enumerate((chosen, ~chosen)):
        roots = np.sqrt(v[own] / correction)
        assert shares[:, place, 0] == pytest.approx((roots >= 1e-7).mean(axis=(0, 1)))
        assert shares[:, place, 2] == pytest.approx((roots < 1e-9).mean(axis=(0, 1)))
    assert shares.sum(axis=2) == pytest.approx(np.ones((3, 2)))


def test_the_line_is_that_of_numpy():
    generator = np.random.default_rng(8)
    x, noise = generator.uniform(size=(2, 40))
    slope, intercept, r2 = straight_line(x, 3 * x + 2 + noise)
    assert (slope, intercept) == pytest.approx(tuple(np.polyfit(x, 3 * x + 2 + noise, 1)))
    assert r2 == pytest.approx(np.corrcoef(x, 3 * x + 2 + noise)[0, 1] ** 2)
    assert straight_line(x, 3 * x + 2) == pytest.approx((3, 2, 1))
    assert abs(straight_line(x, generator.normal(size=40))[2]) < 0.3
    assert np.isnan(straight_line(np.ones(5), np.arange(5.0))).all()
