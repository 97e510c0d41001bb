"""Fimbulwinter's onset: planted stretches of stillness."""

import numpy as np
import pytest

from deadtokens.freezing.onset import conditions, onset_of

UPDATES = np.arange(1, 11)


def held(text):
    return np.array([letter == "#" for letter in text])


@pytest.mark.parametrize(
    ("when", "first", "duration", "ongoing", "stretches", "longest", "lasting"),
    [
        ("..###.....", 3, 3, False, 1, 3, None),
        ("..#..####.", 3, 1, False, 2, 4, None),
        ("..#....###", 3, 1, False, 2, 3, 8),
        (".......###", 8, 3, True, 1, 3, 8),
        ("##########", 1, 10, True, 1, 10, 1),
    ],
)
def test_stretches(when, first, duration, ongoing, stretches, longest, lasting):
    onset = onset_of(held(when), UPDATES)
    assert (onset.first, onset.duration, onset.ongoing) == (first, duration, ongoing)
    assert (onset.stretches, onset.longest) == (stretches, longest)
    assert onset.lasting == lasting if lasting else np.isnan(onset.lasting)


@pytest.mark.parametrize("updates", [10, 0])
def test_what_never_held_has_no_onset(updates):
    onset = onset_of(np.zeros(updates, bool), UPDATES[:updates])
    assert np.isnan([onset.first, onset.lasting]).all()
    assert (onset.duration, onset.ongoing, onset.stretches) == (0, False, 0)


def onsets(frozen, velocity, last_motion):
    found = conditions(UPDATES, np.array(frozen), np.array(velocity), np.array(last_motion))
    return {name: onset_of(condition, UPDATES) for name, condition in found.items()}


def test_the_five_definitions_on_one_planted_run():
    # Four tokens move for the last time at 2, 4, 4 and 8; one stands alone in moving at 8.
    frozen = [0, 0, 0.25, 0.25, 1, 1, 1, 0.75, 1, 1]
    velocity = [0, -5, 3, 0.04, 2, 0.04, -0.04, 0.06, 0, 0]
    found = onsets(frozen, velocity, [2, 4, 4, 8])
    assert list(found) == [
        "more than 90% frozen",
        "radius velocity below 1% of its peak",
        "global stillness",
        "permanent stillness of all",
        "last motion of 50%",
        "last motion of 90%",
        "last motion of 99%",
        "last motion of 100%",
    ]
    mostly, slow, still, permanent, half, *most = found.values()
    assert (mostly.first, mostly.duration, mostly.ongoing, mostly.lasting) == (5, 3, False, 9)
    assert (slow.first, slow.duration, slow.stretches, slow.lasting) == (4, 1, 3, 9)
    assert (still.first, still.longest, still.stretches) == (5, 3, 2)
    assert (permanent.first, permanent.duration, permanent.ongoing) == (9, 2, True)
    assert half.first == 5
    assert {one.first for one in most} == {9}


def test_exactly_nine_tenths_are_not_more():
    assert np.isnan(onsets([0.9] * 10, [0] * 10, [5])["more than 90% frozen"].first)


def test_a_rest_before_the_peak_is_no_onset():
    found = onsets([0] * 10, [0, 0, 1, 9, 1, 1, 1, 1, 1, 1], [10])
    assert np.isnan(found["radius velocity below 1% of its peak"].first)


def test_a_run_that_ends_in_motion_has_no_permanent_stillness():
    found = onsets([0] * 9 + [0.5], [1] * 10, [9, 10])
    assert np.isnan(found["permanent stillness of all"].first)
    assert np.isnan(found["last motion of 100%"].first)
    assert found["last motion of 50%"].first == 10


def test_without_dead_tokens_nothing_begins():
    found = onsets([np.nan] * 10, [np.nan] * 10, [])
    assert all(np.isnan(onset.first) for onset in found.values())
