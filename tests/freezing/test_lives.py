"""Each token's life, against a plain walk through its phases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.freezing.lives import Lives

PHASES = st.lists(st.integers(0, 3), min_size=1, max_size=40)


def lived(phases, lengths):
    """Follow one token, the same on both grids, in pieces."""
    lives, phase = Lives.of(1), np.array(phases, np.uint8)
    start = 0
    for length in lengths:
        part = np.broadcast_to(phase[start : start + length], (2, 1, length)).copy()
        lives.follow(part, part == 2)
        start += length
    return lives


def plain(phases):
    """The same, update by update in plain Python."""
    still = longest_broken = thaws = last = 0
    for update, phase in enumerate(phases, start=1):
        if phase == 3:
            still += 1
            continue
        thaws += still > 0
        longest_broken = max(longest_broken, still)
        still, last = 0, update
    return {
        "last_motion": last,
        "thaws": thaws,
        "longest_broken": longest_broken,
        "final_still": still,
        "longest_still": max(longest_broken, still),
        "moving": still == 0,
        "unsettled": still < 10 or still <= longest_broken,
        "hops": phases.count(2),
        "last_jitter": max([t for t, p in enumerate(phases, 1) if p < 2], default=0),
    }


@given(PHASES, st.data())
def test_lives_are_those_of_a_plain_walk_however_the_run_is_cut(phases, data):
    cuts = data.draw(st.lists(st.integers(0, len(phases)), max_size=4).map(sorted))
    lengths = np.diff([0, *cuts, len(phases)])
    lives = lived(phases, lengths)
    for name, value in plain(phases).items():
        assert getattr(lives, name).tolist() == [[value], [value]], name
    for phase in range(4):
        last = max([t for t, p in enumerate(phases, 1) if p == phase], default=0)
        assert lives.last_in_phase[:, 0, phase].tolist() == [last, last]


STILL = [3] * 10  # long enough to be for good


@pytest.mark.parametrize(
    ("phases", "moving", "unsettled"),
    [
        ([0, 0, *STILL], False, False),  # froze, and had never stood before
        ([0, 0, *STILL[1:]], False, True),  # one update less: too short to tell
        ([0, 0, 3], False, True),
        ([0, 3, *STILL, 2, *STILL], False, True),  # stood longer before, and moved again
        ([0, *STILL, 2, 3, *STILL], False, False),  # stands longer than ever
        ([0, *STILL, 2, *STILL], False, True),  # as long as before: not longer
        ([*STILL, 0], True, True),
        (STILL, False, False),  # never moved
    ],
)
def test_who_counts_as_not_frozen(phases, moving, unsettled):
    lives = lived(phases, [len(phases)])
    assert (lives.moving[0, 0], lives.unsettled[0, 0]) == (moving, unsettled)


def test_grids_and_tokens_are_followed_apart():
    phase = np.array([[[0, 3, 3], [2, 3, 2]], [[0, 0, 0], [3, 3, 3]]], np.uint8)
    lives = Lives.of(2)
    lives.follow(phase, phase == 2)
    assert lives.last_motion.tolist() == [[1, 3], [3, 0]]
    assert lives.thaws.tolist() == [[0, 1], [0, 0]]
    assert lives.hops.tolist() == [[0, 2], [0, 0]]
