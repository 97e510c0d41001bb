"""The outcomes of one run, by planted files whose numbers can be worked out by hand."""

import re
from pathlib import Path

import numpy as np
import pytest
from comparison.comparison_data import DEAD, about, drift, freezing, planted, scalars, stillness

from deadtokens.comparison.measures import (
    CAUSES,
    FILES,
    OUTCOMES,
    PRIMARY,
    TERMS,
    first_reaching,
    largest_change,
    measure,
    over_all,
    over_last_tenth,
)
from deadtokens.study.figures import OUTCOME_SOURCES

DOCS = Path(__file__).parents[2] / "docs" / "outcomes.md"


def outcomes(files, **said):
    return {
        name: found
        for file, data in files.items()
        for name, found in measure(file, data.assign_attrs(about(**({"run": "a"} | said)))).items()
    }


EXPECTED = {
    "frozen": 0.5,
    "still": 0.75,  # half of the components of moving tokens move
    "still_over_run": (1 + 6.15 / 20) / 2,  # of frozen fractions that sum to 6.15 over 20 updates
    "last_motion": 6.0,  # of 4, 6, 8 and one that is censored: by then half had settled
    "settled": 3.0,
    "unsettled": 1.0,
    "half_frozen": 4.0,
    "most_frozen": 7.0,
    "thawed": 2.0,
    "thaws": 0.75,
    "forecast_frozen_moved": 3 / 8,
    "forecast_settled_moved": 1 / 2,
    "forecast_unsettled_moved": 2 / 6,
    "forecast_settled_shift": 4.5,
    "cause_no_gradient": 0.0,
    "cause_below_half_an_ulp": 0.6,
    "cause_compensated": 0.0,
    "cause_another_rounding": 0.0,
    "cause_first_moment": 0.0,
    "cause_second_moment": 0.3,
    "cause_either": 0.1,
    "cause_both_together": 0.0,
    "held_weight": 0.6,
    "held_first_moment": 0.2,
    "held_second_moment": 0.9,
    "held_both_moments": 1.0,
    "path_length": 7.0,
    "net_displacement": 5.0,
    "path_efficiency": 5 / 7,
    "walk_efficiency": 0.8,
    "radius_change": -1.5,
    "first_component": 0.75,
    "first_component_centred": 0.6,
    "common_share": 0.7,
    "end_arrival": 2.0,
    "end_reach": 0.4,
    "end_stay_explained": 2.01,
    "end_drift_cosine": 0.04,
    "end_drift_length": 1.04,
    "end_step_cosine": 0.06,
    "end_hidden_cosine": 0.08,
    "end_start_cosine": 0.1,
    "end_early_hidden_cosine": -0.2,
    "end_late_hidden_cosine": -0.3,
    "initial_h_end": -0.9,
    "initial_h_start": -0.5,
    "initial_h_way": -0.6,
    "share_momentum": 4 / 8,
    "share_gradient": 2 / 8,
    "share_decay": 1 / 8,
    "share_rounding": 1 / 8,
    "loss": 1.5,
    "entropy": 7.0,
    "entropy_change": 3.0,
    "diverged": 0.0,
}


def test_every_outcome_of_a_planted_run_is_the_one_worked_out_by_hand():
    found = outcomes(planted(frozen=0.5, loss=1.5))
    assert found == {name: (pytest.approx(value), "") for name, value in EXPECTED.items()}
    assert set(found) == set(OUTCOMES)


def test_the_primary_outcome_is_the_fraction_of_tokens_at_rest():
    assert PRIMARY == next(iter(OUTCOMES)) == "frozen"


@pytest.mark.parametrize(("updates", "counted"), [(1, 1), (9, 1), (10, 1), (11, 2), (20, 2)])
def test_the_last_tenth_is_rounded_up(updates, counted):
    values = np.zeros(updates)
    values[-counted:] = 1
    each = np.ones(updates, int)
    assert over_last_tenth(values, each) == 1
    values[-counted] = 0
    assert over_last_tenth(values, each) == (counted - 1) / counted


@pytest.mark.parametrize(
    ("spans", "whole", "last"),
    [([1, 1, 1], 3, 6), ([10, 5, 5], 2.25, 6), ([15, 4, 1], 0.9, 4.5), ([1, 1, 18], 5.55, 6)],
)
def test_a_value_weighs_as_many_updates_as_it_stands_for(spans, whole, last):
    values = np.array([0.0, 3, 6])
    assert over_all(values, np.array(spans)) == pytest.approx(whole)
    assert over_last_tenth(values, np.array(spans)) == last


@pytest.mark.parametrize("values", [[8, 8, 5, 7], [8, 9, 11], [8, 5], [5, 8, 5]])
def test_the_largest_change_is_from_the_start_whichever_way(values):
    assert largest_change(np.array(values, float)) == 3
    assert largest_change(np.array(values[:1], float)) == 0
    assert np.isnan(largest_change(np.zeros(0)))


def test_a_level_is_reached_at_the_update_that_has_it():
    fractions, updates = np.array([0.4, 0.5, 0.1, 0.9]), np.array([1, 10, 20, 30])
    assert first_reaching(0.5, fractions, updates) == 10
    assert np.isnan(first_reaching(0.95, fractions, updates))


@pytest.mark.parametrize(
    ("censored", "median"),
    [
        ([0, 0, 0, 0], 6),
        ([1, 0, 0, 0], 8),
        ([1, 1, 0, 0], 20),
        ([0, 0, 1, 1], 8),
        ([1, 1, 1, 0], np.nan),
    ],
)
def test_a_censored_last_motion_is_later_than_all_others(censored, median):
    data = freezing([0.0] * 20)  # last motions at 4, 8, 6 and 20
    data["unsettled"].loc[{"grid": "recorded"}] = [*map(bool, censored), True]
    value, reason = outcomes({"freezing.nc": data})["last_motion"]
    assert value == pytest.approx(median, nan_ok=True)
    assert (reason == "") == np.isfinite(median)


def test_a_forecast_of_nobody_has_a_reason():
    data = freezing([0.0] * 20)
    data["forecast_tokens"][:] = 0
    data["forecast_shift_quantile"][:] = np.nan
    found = outcomes({"freezing.nc": data})
    assert found["forecast_settled_moved"][1] == (
        "no dead token was so after a quarter of the updates"
    )
    assert found["forecast_settled_shift"][1].endswith("moved again")


def test_a_median_token_that_is_censored_has_a_reason():
    data = freezing([0.0] * 20)
    data["unsettled"][:] = True
    value, reason = outcomes({"freezing.nc": data})["last_motion"]
    assert np.isnan(value)
    assert reason.startswith("more than half of the dead tokens had not settled")


def test_without_dead_tokens_there_is_a_reason_and_no_number():
    files = planted() | {
        "freezing.nc": freezing([np.nan] * 20, dead=0 * DEAD == 1),
        "stillness.nc": stillness([0] * len(CAUSES)).isel(token=slice(0)),
    }
    for name in ("drift.nc", "attribution.nc"):
        files[name] = files[name].assign(dead=("token", 0 * DEAD == 1))
    found = outcomes(files)
    for name, (value, reason) in found.items():
        if OUTCOMES[name].file == "scalars.nc":
            assert np.isfinite(value)
        else:
            assert np.isnan(value) and reason == "no dead tokens", name


def test_what_never_happened_has_a_reason():
    files = {
        "freezing.nc": freezing([0.1] * 20),
        "stillness.nc": stillness([0] * len(CAUSES)),
        "drift.nc": drift(0.0).assign(efficiency=drift().efficiency * np.nan),
    }
    found = outcomes(files)
    assert found["half_frozen"][1] == found["most_frozen"][1] == "no update left so many frozen"
    assert {found[f"cause_{name.replace(' ', '_')}"][1] for name in CAUSES} == {
        "no component stood still"
    }
    assert found["path_efficiency"][1] == "the dead tokens' centroid did not move"
    assert found["path_length"] == found["net_displacement"] == (0.0, "")


def test_a_diverged_run_is_measured_as_far_as_it_went():
    files = {"scalars.nc": scalars([2.0, np.inf]), "freezing.nc": freezing([0.25, 0.5])}
    found = outcomes(files, updates=2, at=2)
    assert found["frozen"] == (0.5, "")
    assert found["diverged"] == (1.0, "")
    assert np.isnan(found["loss"][0])
    assert found["loss"][1] == "the loss was not finite; the run diverged"


def test_a_run_without_an_update_has_no_means():
    found = outcomes({"scalars.nc": scalars([]), "freezing.nc": freezing([])}, updates=0)
    for name in ("frozen", "entropy", "entropy_change"):
        assert np.isnan(found[name][0]) and found[name][1].startswith("no update was recorded")


def test_a_record_from_before_entropies_has_a_reason():
    found = outcomes({"scalars.nc": scalars([2.0, 1.0]).drop_vars("entropy")})
    assert found["loss"] == (1.0, "")
    for name in ("entropy", "entropy_change"):
        assert np.isnan(found[name][0]) and found[name][1].endswith("without its entropy")


def test_outcomes_are_read_from_the_files_that_the_workflow_gives():
    assert {source.file for source in OUTCOME_SOURCES} == set(FILES)


def test_each_cause_and_each_term_is_an_outcome():
    assert sum(name.startswith("cause_") for name in OUTCOMES) == len(CAUSES)
    assert {f"share_{name}" for name in TERMS} <= set(OUTCOMES)


def test_the_document_has_each_outcome_as_the_code_has_it():
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| `(.+)` \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [
        (name, outcome.long_name, outcome.unit, outcome.file) for name, outcome in OUTCOMES.items()
    ]
