"""The onset of freezing: planted stretches of stillness."""

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
        ("..#....###", 3, 1, False, 2, 3, None),  # three updates are not for good
        (".......###", 8, 3, True, 1, 3, None),
        ("..#" + "." + 9 * "#", 3, 1, False, 2, 9, None),
        ("..#" + "." + 10 * "#", 3, 1, False, 2, 10, 5),
        (10 * "#", 1, 10, True, 1, 10, 1),
    ],
)
def test_stretches(when, first, duration, ongoing, stretches, longest, lasting):
    onset = onset_of(held(when), np.arange(1, len(when) + 1))
    assert (onset.first, onset.duration, onset.ongoing) == (first, duration, ongoing)
    assert (onset.stretches, onset.longest) == (stretches, longest)
    assert onset.lasting == lasting if lasting else np.isnan(onset.lasting)


@pytest.mark.parametrize("updates", [10, 0])
def test_what_never_held_has_no_onset(updates):
    onset = onset_of(np.zeros(updates, bool), UPDATES[:updates])
    assert np.isnan([onset.first, onset.lasting]).all()
    assert (onset.duration, onset.ongoing, onset.stretches) == (0, False, 0)


def onsets(frozen, velocity, last_motion):
    updates = np.arange(1, len(frozen) + 1)
    found = conditions(updates, np.array(frozen), np.array(velocity), np.array(last_motion))
    return {name: onset_of(condition, updates) for name, condition in found.items()}


SLOW = "radius velocity below 1% of its peak for good"


def test_all_definitions_on_one_planted_run():
    # Four tokens move for the last time at 2, 4, 4 and 8; one stands alone in moving at 8.
    frozen = [0, 0, 0.25, 0.25, 1, 1, 1, 0.75] + 10 * [1]
    velocity = [0, -5, 3, 0.04, 2, 0.04, -0.04, 0.06] + 10 * [0]
    found = onsets(frozen, velocity, [2, 4, 4, 8])
    assert list(found) == [
        "more than 90% frozen",
        SLOW,
        "global stillness",
        "last motion of 50%",
        "last motion of 90%",
        "last motion of 99%",
        "last motion of 100%",
    ]
    mostly, slow, still, half, *most = found.values()
    assert (mostly.first, mostly.duration, mostly.ongoing, mostly.lasting) == (5, 3, False, 9)
    assert (slow.first, slow.duration, slow.stretches, slow.lasting) == (9, 10, 1, 9)
    assert (still.first, still.longest, still.stretches) == (5, 10, 2)
    assert half.first == 4
    assert {one.first for one in most} == {8}
    assert {one.ongoing for one in most} == {True}


def test_no_two_definitions_are_one_condition():
    """A run of a thousand tokens, of which each level stops at an update of its own."""
    moving = np.arange(1000, 0, -1) / 1000
    frozen = np.concatenate([1 - moving[::20], np.ones(50)])
    frozen[:5] = 1  # and moves again
    velocity = np.concatenate([[9], np.full(30, 1), np.zeros(69)])
    last_motion = 1 + np.arange(1000) // 20
    last_motion[-5:] = 60
    found = conditions(np.arange(1, 101), frozen, velocity, last_motion)
    assert len({condition.tobytes() for condition in found.values()}) == len(found)


def test_exactly_nine_tenths_are_not_more():
    assert np.isnan(onsets([0.9] * 10, [0] * 10, [5])["more than 90% frozen"].first)


def test_a_rest_before_the_peak_is_no_onset():
    found = onsets([0] * 10, [0, 0, 1, 9, 1, 1, 1, 1, 1, 1], [10])
    assert np.isnan(found[SLOW].first)


@pytest.mark.parametrize("period", [7, 50, 400])
def test_a_radius_that_swings_is_not_slow_where_its_velocity_turns(period):
    """However slowly it turns: long after the peak it is below one per cent for many updates."""
    updates = np.arange(1000)
    velocity = np.cos(2 * np.pi * updates / period) * np.where(updates < 9, 1, 0.02)
    assert (np.abs(velocity) < 0.01).sum() > 10
    found = onsets(np.zeros(1000), velocity, [1000])[SLOW]
    assert np.isnan(found.first)


def test_a_radius_that_stops_swinging_is_slow_from_there_on():
    velocity = np.cos(np.arange(60.0)) * np.where(np.arange(60) < 40, 1, 1e-3)
    found = onsets(np.zeros(60), velocity, [60])[SLOW]
    assert (found.first, found.lasting, found.stretches) == (41, 41, 1)


@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_a_velocity_that_is_not_finite_is_not_slow(end):
    assert np.isnan(onsets(np.zeros(30), [1] + 28 * [0] + [end], [30])[SLOW].first)


@pytest.mark.parametrize(("updates", "onset"), [(14, np.nan), (15, 5)])
def test_a_last_motion_counts_once_the_record_goes_on_long_enough(updates, onset):
    found = onsets([0] * 5 + [1] * (updates - 5), [1] * updates, [5, 2])
    assert found["last motion of 100%"].first == pytest.approx(onset, nan_ok=True)


def test_a_run_that_ends_in_motion_has_no_permanent_stillness():
    found = onsets([0] * 9 + 10 * [0.5], [1] * 19, [9, 19])
    assert np.isnan(found["last motion of 100%"].first)
    assert found["last motion of 50%"].first == 9


def test_without_dead_tokens_nothing_begins():
    found = onsets([np.nan] * 10, [np.nan] * 10, [])
    assert all(np.isnan(onset.first) for onset in found.values())
