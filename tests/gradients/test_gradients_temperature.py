"""The temperature of a prediction: against numpy, planted scales, and what it claims to be."""

import numpy as np
import pytest
import torch

from deadtokens.gradients.temperature import temperature

EVERY = torch.ones(30, dtype=torch.bool)
LIVE = torch.arange(30) < 20


@pytest.fixture
def logits():
    """Logits whose positions differ in scale and mean."""
    generator = np.random.default_rng(6)
    scales = np.geomspace(0.1, 10, 7)[:, None]
    return torch.from_numpy(scales * generator.normal(size=(7, 30)) + scales)


def of_numpy(logits):
    return np.exp(np.mean(np.log(1 / np.std(logits.double().numpy(), axis=1))))


def test_temperature_is_that_of_numpy(logits):
    assert temperature(logits, EVERY) == pytest.approx(of_numpy(logits), rel=1e-12)
    assert temperature(logits, LIVE) == pytest.approx(of_numpy(logits[:, :20]), rel=1e-12)
    rounded = logits.bfloat16()
    assert temperature(rounded, EVERY) == pytest.approx(of_numpy(rounded), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 0.5, 3.0, 1e8])
def test_scaled_logits_have_the_temperature_divided(scale, logits):
    expected = temperature(logits, EVERY) / scale
    assert temperature(scale * logits, EVERY) == pytest.approx(expected)


def test_standardised_logits_at_this_temperature_are_the_prediction(logits):
    for one in logits:
        standardised = (one - one.mean()) / one.std(correction=0)
        again = torch.softmax(standardised / temperature(one[None], EVERY), 0)
        torch.testing.assert_close(again, torch.softmax(one, 0))


def test_a_planted_spread_is_found():
    plus_and_minus = torch.tensor([[4.0, -4.0] * 15, [9.0, 8.0] * 15])
    assert temperature(plus_and_minus, EVERY) == pytest.approx((1 / 4 * 1 / 0.5) ** 0.5)


def test_dead_tokens_that_sink_together_cool_all_but_not_the_live(logits):
    sunk = logits.clone()
    sunk[:, 20:] -= 100
    assert temperature(sunk, EVERY) < temperature(logits, EVERY) / 10
    assert temperature(sunk, LIVE) == temperature(logits, LIVE)


def test_uniform_predictions_are_infinitely_hot():
    assert temperature(torch.full((3, 30), 2.0), EVERY) == float("inf")


def test_slices_of_positions_give_the_same(logits, monkeypatch):
    whole = temperature(logits, LIVE)
    monkeypatch.setattr("deadtokens.gradients.temperature.SLICE", 2)
    assert temperature(logits, LIVE) == pytest.approx(whole, rel=1e-14)
