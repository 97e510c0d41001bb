"""Places that tokens keep, and places that have nothing to do with where they began."""

import numpy as np
import pytest
import xarray as xr

from deadtokens.drift.tokens import NUMBERS, PLACES, describe_tokens

TOKENS, WIDTH = 400, 6
H = np.array([1.0, 0, 0, 0, 0, 0])


def placed(first, last):
    """Return the correlations of the dead tokens' places by property and place."""
    members = np.stack([np.ones(TOKENS, bool), np.zeros(TOKENS, bool), np.zeros(TOKENS, bool)])
    found = describe_tokens(
        first.astype(np.float32),
        last.astype(np.float32),
        members,
        xr.Dataset(coords={"token": np.arange(TOKENS)}),
        H,
        np.random.default_rng(0),
    )
    table = dict(zip(NUMBERS, found["place_effect"][0], strict=True))
    return {name: dict(zip(PLACES, values, strict=True)) for name, values in table.items()}, found


def start():
    return np.random.default_rng(1).normal(size=(TOKENS, WIDTH))


def test_a_common_drift_leaves_the_baseline_where_it_was():
    """All go the same way: what correlates with the end is retained position, to the last bit."""
    first = start().round(1)  # so that a sum keeps the order of its terms
    found, whole = placed(first, first - 8 * H)
    cosine = found["initial cosine to h"]
    assert cosine["end"] == pytest.approx(cosine["start"], abs=1e-3)
    assert cosine["start"] < -0.8  # the drift is against h
    assert found["initial place along the drift"]["end"] == pytest.approx(1, abs=1e-3)
    assert not np.isfinite(whole["place_effect"][1:]).any()  # no live token


def test_where_tokens_end_need_not_be_where_they_began():
    """Negative control: all places are drawn anew, so the baseline is no explanation."""
    found, whole = placed(start(), np.random.default_rng(2).normal(size=(TOKENS, WIDTH)) - 8 * H)
    cosine = found["initial cosine to h"]
    assert cosine["start"] < -0.8
    assert abs(cosine["end"]) < 0.15
    low, high = whole["place_effect_range"][0, NUMBERS.index("initial cosine to h"), 1]
    assert low < cosine["end"] < high
    assert (low, high) != (0, 0)


def test_the_end_is_the_start_and_the_way():
    """A drift that is longer the less a start is along h: the end says more than the baseline."""
    first = start()
    cosine = first @ H / np.linalg.norm(first, axis=1)
    found, _ = placed(first, first - (8 - 3 * cosine)[:, None] * H)
    assert found["initial cosine to h"]["end"] < found["initial cosine to h"]["start"] - 0.01
