"""Kaplan-Meier estimates, by hand and by simulation."""

import numpy as np
import pytest

from deadtokens.freezing.survival import kaplan_meier

UPDATES = np.arange(1, 11)


def test_estimate_by_hand():
    times = np.array([2, 2, 5, 9, 10])
    censored = np.array([False, False, False, False, True])
    found = kaplan_meier(times, censored, UPDATES)
    assert found.fraction == pytest.approx([1, 0.6, 0.6, 0.6, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2])


def test_greenwoods_band_by_hand():
    times, censored = np.array([3] * 4 + [10] * 6), np.array([False] * 4 + [True] * 6)
    found = kaplan_meier(times, censored, UPDATES)
    # Exponential Greenwood: theta = z sqrt(d / (n (n - d))) / ln S, band S ** exp(+-theta).
    theta = 1.959964 * np.sqrt(4 / (10 * 6)) / np.log(0.6)
    assert found.low[5] == pytest.approx(0.6 ** np.exp(-theta), rel=1e-5)
    assert found.high[5] == pytest.approx(0.6 ** np.exp(theta), rel=1e-5)
    assert found.low[1] == found.high[1] == 1


def test_a_runs_end_is_not_taken_for_a_freeze():
    times = np.array([4, 10, 10, 7])
    moving = np.array([False, True, True, False])
    assert kaplan_meier(times, moving, UPDATES).fraction[-1] == 0.5
    # The control: without censoring all would seem to have frozen.
    assert kaplan_meier(times, np.zeros(4, bool), UPDATES).fraction[-1] == 0


def test_an_unsettled_token_counts_as_in_motion_to_the_end():
    found = kaplan_meier(np.array([4, 6]), np.array([True, False]), UPDATES)
    assert found.fraction.tolist() == [1.0] * 5 + [0.5] * 5


def test_when_all_have_frozen_the_band_ends_at_its_last_upper_end():
    found = kaplan_meier(np.array([2, 3, 4]), np.zeros(3, bool), UPDATES)
    assert found.fraction[3:].tolist() == [0] * 7
    assert (found.low[3:] == 0).all()
    assert (found.high[3:] == found.high[2]).all()
    assert 1 / 3 < found.high[2] < 1


@pytest.mark.parametrize("censored", [True, False])
def test_tokens_that_all_do_the_same(censored):
    found = kaplan_meier(np.full(3, 10), np.full(3, censored), UPDATES)
    assert found.fraction[:-1].tolist() == [1] * 9
    assert found.fraction[-1] == censored
    assert np.isfinite([found.low, found.high]).all()


def test_without_tokens_or_without_updates():
    nobody = kaplan_meier(np.zeros(0, int), np.zeros(0, bool), UPDATES)
    assert np.isnan(nobody.fraction).all()
    assert nobody.fraction.shape == UPDATES.shape
    never = kaplan_meier(np.zeros(3, int), np.ones(3, bool), UPDATES[:0])
    assert never.fraction.shape == never.low.shape == (0,)


def test_the_band_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    truth, hits = 0.5 ** (6 / 5), 0
    for _ in range(400):
        times = np.ceil(generator.exponential(5 / np.log(2), 60)).astype(int)
        found = kaplan_meier(np.minimum(times, 10), times > 10, UPDATES)
        hits += found.low[5] <= truth <= found.high[5]
    assert 0.91 <= hits / 400 <= 0.985
