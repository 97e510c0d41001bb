"""Judgements before the end of planted lives, and what became of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.freezing.forecast import Judgement, cuts, describe_forecasts, follow
from deadtokens.freezing.lasting import JUDGEMENTS, MOVING, SETTLED, UNSETTLED
from deadtokens.freezing.lives import Lives

QUANTILES = (0.0, 0.5, 1.0)
MOVE, STILL = 0, 3

# Forty updates; they are judged after ten and after twenty.
LIVES = {
    "stays settled": [MOVE] * 5 + [STILL] * 35,
    "settled at 20, moves at 31": [MOVE] * 5 + [STILL] * 25 + [MOVE] + [STILL] * 9,
    "unsettled at 20, stays": [MOVE] * 15 + [STILL] * 25,
    "unsettled at 20, moves at 21": [MOVE] * 15 + [STILL] * 5 + [MOVE] + [STILL] * 19,
    "moves always": [MOVE] * 40,
    "never moved": [STILL] * 40,
}


def forecasts(lives=LIVES, lengths=(40,), dead=None):
    """Return (tokens, moved, shifts) by cut and judgement, of tokens followed in pieces."""
    phases = np.array(list(lives.values()), np.uint8)
    found, start = Lives.of(len(phases)), 0
    judged = {0: Judgement.of(found)}
    for length in lengths:
        part = np.broadcast_to(phases[:, start : start + length], (2, len(phases), length)).copy()
        judged |= follow(found, part, part == 2, cuts(phases.shape[1]))
        start += length
    dead = np.ones(len(phases), bool) if dead is None else dead
    return describe_forecasts(judged, found, dead, QUANTILES)


def of(found, cut, judgement, grid=1):
    where = cut, JUDGEMENTS.index(judgement), grid
    return found["forecast_tokens"][where], found["forecast_moved"][where]


def test_who_was_judged_to_be_what_and_moved_again():
    found = forecasts()
    assert found["forecast_update"].tolist() == [10, 20]
    assert of(found, 0, SETTLED) == (1, 0)  # after ten updates only who never moved is settled
    assert of(found, 0, UNSETTLED) == (2, 1)
    assert of(found, 0, MOVING) == (3, 3)
    assert of(found, 1, SETTLED) == (3, 1)
    assert of(found, 1, UNSETTLED) == (2, 1)
    assert of(found, 1, MOVING) == (1, 1)


def test_by_how_much_the_last_motion_is_later():
    shift = forecasts()["forecast_shift_quantile"]
    settled, unsettled, moving = range(3)
    assert shift[1, settled, 1].tolist() == [26] * 3  # 31 instead of 5
    assert shift[1, unsettled, 1].tolist() == [6] * 3  # 21 instead of 15
    assert shift[1, moving, 1].tolist() == [20] * 3
    assert np.isnan(shift[0, settled]).all()
    assert shift[0, moving, 1].tolist() == [5, 11, 30]  # three that moved at ten


def test_live_tokens_are_left_out():
    found = forecasts(dead=np.array([True, False, True, False, False, False]))
    assert of(found, 1, SETTLED) == (1, 0)
    assert of(found, 1, UNSETTLED) == (1, 0)
    assert of(found, 1, MOVING) == (0, 0)


def test_nobody_who_stays_is_said_to_have_moved():
    """Negative control: where the record goes on as it was judged, no forecast fails."""
    found = forecasts({"a": [MOVE] * 5 + [STILL] * 35, "b": [MOVE] * 40})
    assert found["forecast_moved"][:, :2].sum() == 0


@given(
    st.integers(1, 40).flatmap(
        lambda length: st.lists(
            st.lists(st.integers(0, 3), min_size=length, max_size=length), min_size=1, max_size=4
        )
    ),
    st.data(),
)
def test_a_judgement_is_what_a_shorter_record_says(phases, data):
    updates = len(phases[0])
    ends = data.draw(st.lists(st.integers(0, updates), max_size=4).map(sorted))
    whole = forecasts(dict(enumerate(phases)), np.diff([0, *ends, updates]))
    for place, cut in enumerate(cuts(updates)):
        short, whole_lives = Lives.of(len(phases)), Lives.of(len(phases))
        for lives, length in ((short, cut), (whole_lives, updates)):
            part = np.array([phases, phases], np.uint8)[:, :, :length]
            lives.follow(part, part == 2)
        later = whole_lives.last_motion[1] > short.last_motion[1]
        kinds = {
            SETTLED: ~short.unsettled[1],
            UNSETTLED: short.unsettled[1] & ~short.moving[1],
            MOVING: short.moving[1],
        }
        for name, chosen in kinds.items():
            assert of(whole, place, name) == (chosen.sum(), (chosen & later).sum())


@pytest.mark.parametrize(
    ("updates", "expected"), [(0, [0, 0]), (1, [1, 1]), (3, [1, 2]), (6000, [1500, 3000])]
)
def test_a_quarter_and_a_half_are_rounded_up(updates, expected):
    assert cuts(updates) == expected


def test_a_record_without_updates_has_everyone_moving():
    found = forecasts({"a": [], "b": []}, lengths=())
    assert found["forecast_tokens"][:, :, 1].tolist() == [[0, 0, 2]] * 2
    assert found["forecast_moved"].sum() == 0
