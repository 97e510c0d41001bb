"""Forecasts of planted ways whose end is known, and of ways whose end nobody could know."""

import numpy as np
import pytest

from deadtokens.drift.endpoint import (
    CLUES,
    FORECASTS,
    KEPT_UP,
    LAST,
    MEASURES,
    SIGN,
    SPANS,
    STAY,
    STEADY,
    WALK,
    Forecast,
    arrival,
    compare_end,
    describe_endpoint,
    early_updates,
)

UPDATES, WIDTH = 200, 6
LR = np.full(UPDATES, 1e-3)


def described(centroid, h_mean, lr=LR):
    """Return each measure by forecast and span, and the other numbers by name."""
    found = describe_endpoint(centroid, h_mean, lr)
    named = {
        f"{measure} {span}": dict(zip(FORECASTS, values, strict=True))
        for measure in MEASURES
        for span, values in zip(SPANS, found[f"end_forecast_{measure}"].T, strict=True)
    }
    return named | {"clue": dict(zip(CLUES, found["end_clue_cosine"], strict=True))} | found


def way(steps, start=0.0):
    """Return the positions that steps, (updates, components), lead to."""
    return start + np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0)])


def hidden(seed=0, noise=0.1):
    """Return mean hidden states that fluctuate about a constant one."""
    generator = np.random.default_rng(seed)
    mean = generator.choice([-1.0, 1.0], WIDTH) * generator.uniform(0.5, 2, WIDTH)
    return mean + noise * generator.normal(size=(UPDATES, WIDTH))


def test_full_steps_against_the_mean_hidden_state_are_foreseen():
    h = hidden()
    found = described(way(-1e-3 * np.sign(h[:1]).repeat(UPDATES, axis=0)), h)
    for name in (KEPT_UP, LAST, SIGN):
        for span in SPANS:
            assert found[f"cosine {span}"][name] == pytest.approx(1)
            assert found[f"length {span}"][name] == pytest.approx(1)
            assert found[f"explained {span}"][name] == pytest.approx(1)
    assert found["clue"]["mean hidden state, first tenth"] < -0.8
    assert found["end_reach"] == pytest.approx(1)
    assert found["end_arrival"] == pytest.approx(180, abs=1)  # nine tenths of the way


def test_adams_steady_state_is_foreseen_better_by_its_own_law():
    h = hidden(noise=2.0)
    law = -1e-3 * h.mean(axis=0) / np.sqrt(np.square(h).mean(axis=0))
    found = described(way(np.tile(law, (UPDATES, 1))), h)
    explained = found["explained rest of the way"]
    assert explained[STEADY] > 0.8 > explained[SIGN]


def test_a_learning_rate_that_falls_is_known_beforehand():
    lr = np.linspace(1e-3, 1e-4, UPDATES)
    h = hidden()
    found = described(way(-lr[:, None] * np.sign(h[:1])), h, lr)
    for name in (KEPT_UP, LAST, SIGN):
        assert found["length rest of the way"][name] == pytest.approx(1)
    assert found["end_reach"] == pytest.approx(1)


def test_an_end_that_does_not_follow_from_the_beginning_has_cosines_like_chance():
    """Negative control: the way turns into an independent direction after the first tenth."""
    generator = np.random.default_rng(5)
    cosines = []
    for seed in range(400):
        first, later = generator.normal(size=(2, WIDTH))
        steps = np.where(np.arange(UPDATES)[:, None] < UPDATES // 10, first, later)
        found = described(way(1e-3 * steps), hidden(seed))
        cosines.append([found["cosine rest of the way"][name] for name in FORECASTS[2:]])
    assert np.mean(cosines, axis=0) == pytest.approx(0, abs=0.08)
    # independent directions in D dimensions: the squared cosine is 1/D in the mean
    assert np.square(cosines).mean(axis=0) == pytest.approx(1 / WIDTH, abs=0.04)


def test_the_whole_way_flatters_a_forecast_since_it_has_the_early_part():
    steps = np.zeros((UPDATES, 2))
    steps[:20, 0], steps[20:, 1] = 1.0, 1 / 9
    found = described(way(steps), np.ones((UPDATES, 2)))
    assert found["cosine rest of the way"][KEPT_UP] == pytest.approx(0)
    assert found["cosine net displacement"][KEPT_UP] == pytest.approx(np.sqrt(0.5))
    assert found["explained net displacement"][STAY] == pytest.approx(0.5)
    assert found["explained rest of the way"][STAY] == 0


def test_a_random_walk_has_the_length_of_one_and_no_direction():
    generator = np.random.default_rng(2)
    ratios, explained = [], []
    for _ in range(500):
        found = described(way(generator.normal(size=(UPDATES, WIDTH))), hidden())
        ratios.append(found["length rest of the way"][WALK])
        explained.append(found["explained net displacement"][STAY])
    assert np.sqrt(np.mean(np.square(ratios))) == pytest.approx(1, abs=0.04)
    assert np.isnan(found["cosine rest of the way"][WALK])
    assert np.mean(explained) == pytest.approx(0.1, abs=0.05)  # its first tenth


def test_an_end_that_keeps_its_start_is_seen_in_the_clue():
    rising = np.tile([0, 0, 1e-5], (UPDATES, 1))
    found = described(way(rising, [3.0, 4, 0]), np.ones((UPDATES, 3)))
    assert found["clue"]["initial centroid"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("updates", "early"), [(0, 0), (1, 1), (10, 1), (11, 2), (1500, 150)])
def test_a_tenth_is_rounded_up(updates, early):
    assert early_updates(updates) == early


def test_arrival_counts_the_last_time_that_it_was_away():
    assert arrival(np.array([[0.0], [10], [0], [9.5], [10], [10]])) == 3
    assert arrival(np.array([[0.0], [10]])) == 1
    assert np.isnan(arrival(np.zeros((3, 2))))
    with np.errstate(invalid="ignore"):  # the end of a run that diverged
        assert np.isnan(arrival(np.array([[0.0], [np.inf]])))


def test_comparison_by_hand():
    found = compare_end(np.array([3.0, 4]), Forecast(np.array([5.0, 0]), 5.0))
    assert found == pytest.approx({"cosine": 0.6, "length": 1, "explained": 1 - 20 / 25})
    spread = compare_end(np.array([3.0, 4]), Forecast(np.zeros(2), 5.0))
    assert spread["explained"] == pytest.approx(-1) and spread["length"] == 1


def test_what_is_known_adds_to_the_mean_alone():
    together = Forecast(np.array([1.0, 0]), 2.0).after(np.array([2.0, 4]))
    assert together.mean.tolist() == [3, 4]
    assert together.length == pytest.approx(np.sqrt(25 + 3))


def test_forecasts_know_nothing_of_what_comes():
    h = hidden()
    path, other = way(h), way(h)
    other[21:] += 100 * np.arange(1, 181)[:, None]
    lengths = []
    for one in (path, other):
        ratio = described(one, h * np.where(np.arange(UPDATES) < 20, 1, one[-1, 0])[:, None])[
            "length rest of the way"
        ]
        rest = np.linalg.norm(one[-1] - one[20])
        lengths.append([rest / ratio[name] for name in FORECASTS[1:]])
    assert lengths[0] == pytest.approx(lengths[1])


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("updates", [0, 1])
def test_without_a_rest_nothing_is_said(updates):
    found = describe_endpoint(
        np.arange(updates + 1.0)[:, None], np.ones((updates, 1)), LR[:updates]
    )
    assert np.isnan(found["end_forecast_cosine"][:, 0]).all()
