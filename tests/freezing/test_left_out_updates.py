"""Freezing, drift and scalars of records that leave updates out, on planted trajectories."""

import numpy as np
import pytest
import torch
from planted import census

from deadtokens.comparison.measures import OUTCOMES, measure_one
from deadtokens.drift.drift import measure_drift
from deadtokens.freezing.freezing import measure_freezing
from deadtokens.run import layout
from deadtokens.seal import seal
from deadtokens.trajectory.scalars import collect_scalars
from deadtokens.trajectory.writer import write_segment

TOKENS, WIDTH, LAST = 12, 4, 40
EVERY = {
    "each": list(range(1, LAST + 1)),
    "fifth": list(range(5, LAST + 1, 5)),
    "dense early": [*range(1, 11), *range(14, LAST + 1, 4), LAST],
}
EVERY["dense early"] = sorted(set(EVERY["dense early"]))
STOPS = np.arange(TOKENS) * 3  # the last update that moves each token; the first never moves
ULP = np.float32(2**-7)


def moving(update: int) -> np.ndarray:
    """Return W after an update: every token one ulp a component further until it stops."""
    steps = np.minimum(update, STOPS)[:, None] * ULP
    return np.broadcast_to(1 + steps, (TOKENS, WIDTH)).astype(np.float32)


def written(folder, updates, W_at, boundaries=(2, 5)):
    """Write the states 0 and `updates` of a run as segments."""
    contents = layout.Contents(["W"], (), ["lr", "h_mean"])
    states, ends = [0, *updates], [*boundaries, len(updates)]
    about = {"run": "planted", "status": "complete", "recorded": "{}", "every": "5"}
    for index, (first, end) in enumerate(zip([0, *boundaries], ends, strict=True)):
        path = folder / layout.segment_name(index)
        inside = states[first], states[first] + end - first, WIDTH, contents
        with write_segment(path, *inside, census(TOKENS), about) as writer:
            writer.state({"W": torch.from_numpy(W_at(states[first]))})
            for update in states[first + 1 : end + 1]:
                writer.update({"lr": 0.5 / update, "h_mean": torch.ones(WIDTH)}, update)
                writer.state({"W": torch.from_numpy(W_at(update))})
        seal(path)
    return folder


def seen_at(updates, change):
    """Return the first recorded update at which a change can be seen, 0 for none."""
    return np.array([next((u for u in updates if u >= one), 0) if one else 0 for one in change])


@pytest.mark.parametrize("updates", EVERY.values(), ids=EVERY)
def test_the_last_change_is_the_recorded_update_that_first_shows_it(tmp_path, updates):
    freezing = measure_freezing(written(tmp_path, updates, moving))
    assert freezing["update"].values.tolist() == updates
    expected = seen_at(updates, STOPS)
    assert freezing.last_change.values.tolist() == expected.tolist()
    assert (freezing.last_change >= STOPS).all()
    assert freezing.longest_still.sel(grid="recorded").values.tolist() == (LAST - expected).tolist()
    assert not freezing.thaws.any()
    assert not freezing.censored.any()
    assert freezing.attrs["updates"] == LAST
    dead = np.arange(TOKENS) % 3 == 0
    frozen = freezing.frozen_fraction.sel(population="dead").values
    assert frozen.tolist() == [np.mean(expected[dead] < number) for number in updates]


@pytest.mark.parametrize("updates", EVERY.values(), ids=EVERY)
def test_outcomes_are_of_updates_whichever_are_recorded(tmp_path, updates):
    folder = written(tmp_path, updates, moving)
    freezing, scalars = measure_freezing(folder), collect_scalars(folder)
    spans, of_dead = np.diff([0, *updates]), freezing.sel(population="dead", grid="recorded")
    outcome = lambda name: measure_one(OUTCOMES[name], freezing)[0]  # noqa: E731
    frozen = freezing.frozen_fraction.sel(population="dead").values
    assert outcome("half_frozen") == updates[np.flatnonzero(frozen >= 0.5)[0]] > STOPS[3]
    still = np.repeat(1 - of_dead.moved_fraction.values, spans)
    assert outcome("still_over_run") == pytest.approx(still.mean())
    assert 0.5 < outcome("still_over_run") < outcome("still") == 1
    assert ("updates_since" in scalars) == (max(spans) > 1)


@pytest.mark.parametrize("updates", EVERY.values(), ids=EVERY)
def test_stretches_and_onsets_are_in_updates(tmp_path, updates):
    def pausing(update):
        """Return W of tokens that stand still from 10 to 30, and move before and behind."""
        steps = min(update, 10) + max(0, update - 30)
        return np.full((TOKENS, WIDTH), 1 + steps * ULP, np.float32)

    freezing = measure_freezing(written(tmp_path, updates, pausing))
    still_from = next(u for u in updates if u >= 10)
    still_to = max(u for u in updates if u <= 30)
    assert set(freezing.longest_broken.sel(grid="recorded").values.tolist()) == {
        still_to - still_from
    }
    assert set(freezing.thaws.sel(grid="recorded").values.tolist()) == {1}
    assert freezing.censored.all()
    stillness = freezing.sel(definition="global stillness")
    assert float(stillness.onset) == next(u for u in updates if u > still_from)
    assert int(stillness.onset_duration) == still_to - still_from
    assert freezing.forecast_update.values.tolist() == [
        next(u for u in updates if u >= LAST // 4),
        next(u for u in updates if u >= LAST // 2),
    ]


@pytest.mark.parametrize("updates", EVERY.values(), ids=EVERY)
def test_a_file_says_how_many_updates_stand_behind_each(tmp_path, updates):
    freezing = measure_freezing(written(tmp_path, updates, moving))
    drift = measure_drift(tmp_path)
    spans = np.diff([0, *updates]).tolist()
    for found in (freezing, drift):
        assert ("updates_since" in found) == (max(spans) > 1)
        if "updates_since" in found:
            assert found["updates_since"].values.tolist() == spans
    radius = freezing.radius.values
    velocity = np.diff(radius) / spans[1:]
    assert freezing.radius_velocity.values[1:] == pytest.approx(velocity, abs=1e-6)
    uneven = np.diff(spans, prepend=spans[0]) != 0
    assert np.isnan(freezing.centroid_acceleration.sel(population="dead").values[uneven]).all()


@pytest.mark.parametrize("updates", EVERY.values(), ids=EVERY)
def test_drift_and_scalars_have_the_true_numbers(tmp_path, updates):
    folder = written(tmp_path, updates, moving)
    drift = measure_drift(folder)
    dead = np.arange(TOKENS) % 3 == 0
    assert drift["state"].values.tolist() == [0, *updates]
    expected = [moving(state)[dead].astype(float).mean(0) for state in [0, *updates]]
    assert drift.centroid.sel(population="dead").values == pytest.approx(np.array(expected))
    assert set(drift["marked"].values.tolist()) <= {0, *updates}
    assert drift["marked"].values[-1] == LAST
    scalars = collect_scalars(folder)
    assert scalars["update"].values.tolist() == updates
    assert scalars.lr.values.tolist() == [0.5 / update for update in updates]
    assert np.isfinite(drift.lag.values).all()
    if updates == EVERY["fifth"]:
        assert drift.lag.values.tolist() == [5, 10]
        assert drift.hidden_cosine.values == pytest.approx([1, 1])
    if updates == EVERY["dense early"]:
        assert not drift.sizes["lag"]
        assert np.isnan(drift.end_arrival)


def test_each_update_and_every_fifth_tell_the_same_story(tmp_path):
    each = measure_drift(written(tmp_path / "each", EVERY["each"], moving))
    fifth = measure_drift(written(tmp_path / "fifth", EVERY["fifth"], moving))
    same = each.sel(state=fifth["state"])
    for name in ("centroid", "radius", "path_length", "efficiency", "eigenvalue"):
        assert np.allclose(same[name], fifth[name], equal_nan=True, atol=1e-7), name
