"""Paired effects, against scipy's paired t test and by hand."""

import json
from itertools import product

import numpy as np
import pytest
from comparison.comparison_data import UPDATES, experiment, freezing, of_numbers
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from deadtokens.comparison.bootstrap import bootstrap_interval
from deadtokens.comparison.effects import EFFECT, INTERACTION, MAIN, Design, differences
from deadtokens.comparison.intervals import t_interval
from deadtokens.comparison.outcomes import compare
from deadtokens.comparison.tables import NO_INTERVAL, effects_table, outcomes_table

SEEDS = range(5)
BEFORE = [0.9, 0.8, 0.95, 0.7, 0.85]
AFTER = [0.1, 0.05, 0.3, 0.0, 0.12]


def two_regimes(before=BEFORE, after=AFTER):
    return of_numbers(
        {("pure-bf16", seed): value for seed, value in enumerate(before)}
        | {("fp32", seed): value for seed, value in enumerate(after)}
    )


def primary(comparison):
    return comparison.sel(outcome=comparison.attrs["primary"])


def test_an_effect_is_the_mean_of_the_differences_within_seeds(tmp_path):
    found = primary(compare(experiment(tmp_path, two_regimes()))).squeeze("contrast")
    paired = stats.ttest_rel(AFTER, BEFORE).confidence_interval(0.95)
    assert found.difference.values == pytest.approx(np.subtract(AFTER, BEFORE))
    assert float(found["mean"]) == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))
    assert (float(found.low), float(found.high)) == pytest.approx(tuple(paired), rel=1e-12)
    assert int(found.pairs) == 5
    assert found.kind == "effect"
    assert (str(found.changed_to.values), str(found.changed_from.values)) == ("fp32", "pure-bf16")


def test_another_pairing_gives_another_interval_of_the_same_mean(tmp_path):
    shuffled = [AFTER[place] for place in (3, 4, 0, 2, 1)]
    found = [
        primary(compare(experiment(folder, two_regimes(after=after)))).squeeze("contrast")
        for after, folder in ((AFTER, tmp_path / "a"), (shuffled, tmp_path / "b"))
        if folder.mkdir() is None
    ]
    right, wrong = (float(one.high - one.low) for one in found)
    assert float(found[0]["mean"]) == pytest.approx(float(found[1]["mean"]))
    assert wrong > 1.2 * right
    assert tuple(stats.ttest_rel(shuffled, BEFORE).confidence_interval(0.95)) == pytest.approx(
        (float(found[1].low), float(found[1].high))
    )


def test_one_seed_gives_the_difference_and_no_interval(tmp_path):
    comparison = compare(experiment(tmp_path, two_regimes(BEFORE[:1], AFTER[:1])))
    found = primary(comparison).squeeze("contrast")
    assert float(found["mean"]) == pytest.approx(AFTER[0] - BEFORE[0])
    assert int(found.pairs) == 1
    for name in ("low", "high", "bootstrap_low", "bootstrap_high"):
        assert np.isnan(comparison[name]).all()
        assert "one seed gives no interval" in comparison[name].attrs["long_name"]
    assert comparison.attrs["inference"] == NO_INTERVAL
    notes = effects_table(comparison).set_index("outcome").note
    assert notes["frozen"] == NO_INTERVAL
    assert notes["loss"] == ""


def test_a_seed_without_its_pair_is_left_out(tmp_path):
    runs = two_regimes()
    del runs[-1]
    found = primary(compare(experiment(tmp_path, runs))).squeeze("contrast")
    assert int(found.pairs) == 4
    assert np.isnan(found.difference.values[4])
    paired = stats.ttest_rel(AFTER[:4], BEFORE[:4]).confidence_interval(0.95)
    assert (float(found.low), float(found.high)) == pytest.approx(tuple(paired))


samples = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=2, max_size=8)


@given(samples)
def test_the_interval_of_equal_and_of_unequal_differences(values):
    low, high = t_interval(np.array(values))
    reach = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    assert (low + high) / 2 == pytest.approx(np.mean(values), abs=1e-9)
    assert high - low == pytest.approx(2 * reach, abs=1e-9)


def test_the_bootstrap_draws_the_seeds_and_the_same_every_time():
    values = np.array([0.0, 1.0])
    assert bootstrap_interval(values) == bootstrap_interval(values) == (0.0, 1.0)
    many = np.random.default_rng(1).normal(3, 2, 400)
    assert bootstrap_interval(many) == pytest.approx(t_interval(many), abs=0.02)
    assert np.isnan(bootstrap_interval(values[:1])).all()


def by(kind, found):
    return [contrast for contrast in found if contrast.kind == kind]


def grid(*values):
    return [(one, other) for one in values[0] for other in values[1]]


def test_main_effects_and_interaction_of_a_planted_square(tmp_path):
    cells = {("0.001", "0.0"): 1.0, ("0.0003", "0.0"): 4.0, ("0.001", "0.1"): 3.0,
             ("0.0003", "0.1"): 11.0}  # fmt: skip
    noise = [0.0, 0.5, -1.0]
    runs = [
        (
            {
                "run": f"{lr} {decay} {seed}",
                "lr": float(lr),
                "weight_decay": float(decay),
                "seed": seed,
            },
            {"freezing.nc": freezing([value + off + seed] * UPDATES)},
        )
        for seed, off in enumerate(noise)
        for (lr, decay), value in cells.items()
    ]
    found = primary(compare(experiment(tmp_path, runs)))
    table = {
        (kind, key): place
        for place, (kind, key) in enumerate(
            zip(found.kind.values, found.changed_key.values, strict=True)
        )
        if kind != EFFECT
    }
    mean = found["mean"].values
    assert mean[table[MAIN, "lr"]] == pytest.approx((3 + 8) / 2)
    assert mean[table[MAIN, "weight_decay"]] == pytest.approx((2 + 7) / 2)
    assert mean[table[INTERACTION, "lr x weight_decay"]] == pytest.approx(11 - 3 - 4 + 1)
    assert found.difference.values[table[INTERACTION, "lr x weight_decay"]] == pytest.approx(
        [5.0] * 3
    )
    assert found.kind.values.tolist().count(EFFECT) == 4


def test_an_additive_square_has_no_interaction():
    settings = grid(("a", "b"), ("x", "y"))
    values = np.array([[1.0], [3.0], [5.0], [7.0]])
    (contrast,) = by(INTERACTION, Design(["one", "other"], settings).contrasts())
    assert differences(contrast, settings, [(0, 0)] * 4, values).tolist() == [[0.0]]


def test_settings_that_change_nothing_have_effects_of_zero():
    """As float64 numbers, a third of each added and taken away again leaves up to 1e-16."""
    settings, outcomes = grid("abc", "xy"), np.array([[0.1], [0.7], [0.983]])
    values = outcomes[["abc".index(one) for one, _ in settings]]
    for contrast in Design(["one", "other"], settings).contrasts():
        if "one" not in contrast.changed_key:
            assert differences(contrast, settings, [(0, 0)] * 6, values).tolist() == [[0.0]]


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_contrast_with_an_outcome_that_is_no_number_is_none(lost):
    settings = grid("abc", "xy")
    values = np.array([[1.0, 2.0]] * 5 + [[lost, 2.0]])
    (main,) = (
        one
        for one in by(MAIN, Design(["one", "other"], settings).contrasts())
        if one.changed_key == "other"
    )
    ((first, second),) = differences(main, settings, [(0, 0)] * 6, values)
    assert not np.isfinite(first)
    assert second == 0


def of_draws(values):
    """Return runs whose primary outcome is given by precision and the seeds of both kinds."""
    return [
        (
            {"run": f"{key}", "precision": key[0], "seed": key[1], "batch_seed": key[2]},
            {"freezing.nc": freezing([number] * UPDATES)},
        )
        for key, number in values.items()
    ]


def test_of_one_seed_of_the_weights_the_batch_seed_is_the_unit(tmp_path):
    values = {(name, 4, batch): 0.0 for name in ("pure-bf16", "fp32") for batch in (0, None, 9)}
    values |= {("fp32", 4, 0): 0.125, ("fp32", 4, None): 0.25, ("fp32", 4, 9): 0.75}
    found = compare(experiment(tmp_path, of_draws(values)))
    assert found.key.values.tolist() == ["precision"]
    assert found.pair.values.tolist() == [0, 4, 9]  # without one of its own it is the seed
    assert found.seed.values.tolist() == [0, 4, 9] * 2
    frozen = found.sel(outcome="frozen")
    assert frozen.difference.values.tolist() == [[0.125, 0.25, 0.75]]
    assert np.isfinite(frozen.low.item()) and frozen.pairs.item() == 3
    assert found.attrs["unit"] == "batch_seed"
    assert found.attrs["inference"].startswith("3 batch seeds, the unit of every mean and interval")
    assert "one seed of the weights" in found.attrs["inference"]
    assert found.label.values[1] == "pure-bf16, batch seed 4"
    assert found.group.values.tolist() == ["pure-bf16"] * 3 + ["fp32"] * 3
    assert "batch seed 9" in effects_table(found) and "batch_seed" in outcomes_table(found)


def test_batch_seeds_alone_are_no_effect_but_have_a_spread(tmp_path):
    values = {("fp32", 0, batch): number for batch, number in enumerate([0.25, 0.5, 0.75])}
    found = compare(experiment(tmp_path, of_draws(values)))
    assert found.sizes["contrast"] == found.sizes["key"] == 0
    spread = found.sel(outcome="frozen", level="fp32")
    assert spread.setting_runs == 3
    assert spread.setting_mean == 0.5
    assert spread.setting_deviation == 0.25


def test_one_run_has_no_spread(tmp_path):
    found = compare(experiment(tmp_path, of_draws({("fp32", 0, None): 0.5})))
    spread = found.sel(outcome="frozen", level="fp32")
    assert (spread.setting_runs, spread.setting_mean) == (1, 0.5)
    assert np.isnan(spread.setting_deviation)
    assert found.attrs["inference"] == NO_INTERVAL


def test_crossed_seeds_count_once_for_each_seed_of_the_weights(tmp_path):
    draws = [(seed, batch) for seed in (1, 2) for batch in (10, 20, 30)]
    values = {("pure-bf16", *draw): 0.0 for draw in draws}
    values |= {("fp32", *draw): place / 16 for place, draw in enumerate(draws)}
    found = compare(experiment(tmp_path, of_draws(values)))
    frozen = found.sel(outcome="frozen")
    assert found.pair.values.tolist() == [1, 2]
    assert frozen.difference.values.tolist() == [[1 / 16, 4 / 16]]  # means over three batch seeds
    assert frozen.pairs.item() == 2
    assert "over whose batch seeds the effects are averaged" in found.attrs["inference"]
    assert found.label.values[0] == "pure-bf16, seed 1, batch seed 10"


CROSSED = {
    (name, seed, batch): place / 16
    for place, (name, seed, batch) in enumerate(product(("pure-bf16", "fp32"), (1, 2, 3), (10, 20)))
}  # whatever the seeds, 6 / 16 between the regimes


@pytest.mark.parametrize("lost", ["run", "outcome"])
@pytest.mark.parametrize("regime", ["pure-bf16", "fp32"])
def test_a_seed_that_lacks_one_batch_seed_is_left_out(tmp_path, regime, lost):
    runs = of_draws(CROSSED)
    ((place, (_, files)),) = [
        (place, (said, files))
        for place, (said, files) in enumerate(runs)
        if said["run"] == f"{(regime, 2, 20)}"
    ]
    if lost == "run":
        del runs[place]
    else:
        files["freezing.nc"]["frozen_fraction"][:] = np.nan
    found = compare(experiment(tmp_path, runs)).sel(outcome="frozen")
    assert found.pair.values.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found.difference, [[6 / 16, np.nan, 6 / 16]])
    assert found.pairs.item() == 2


def test_a_batch_seed_of_neither_side_is_not_lacked(tmp_path):
    """A third regime has batch seeds, and a seed of the weights, that the other two lack."""
    others = {("mixed", seed, batch): 0.0 for seed in (1, 2, 3, 4) for batch in (10, 20, 30)}
    found = compare(experiment(tmp_path, of_draws(CROSSED | others)))
    fp32 = found.sel(outcome="frozen").isel(contrast=found.changed_to.values == "fp32")
    assert found.pair.values.tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(fp32.difference, [[6 / 16] * 3 + [np.nan]])
    mixed = found.sel(outcome="frozen").isel(contrast=found.changed_to.values == "mixed")
    assert mixed.pairs.item() == 0  # the batch seed 30 is on one side alone


def test_runs_of_unlike_batches_are_no_pair(tmp_path):
    """The same seed of the weights, but what differs may be the order of the data."""
    values = {("pure-bf16", seed, None): 0.0 for seed in (0, 1)}
    values |= {("fp32", seed, 7): 0.5 for seed in (0, 1)}
    found = compare(experiment(tmp_path, of_draws(values)))
    assert found.sel(outcome="frozen").pairs.item() == 0


def test_weights_seeds_with_one_order_of_data_pair_by_seed(tmp_path):
    values = {("pure-bf16", seed, 7): 0.0 for seed in (0, 1)}
    values |= {("fp32", seed, 7): (seed + 1) / 4 for seed in (0, 1)}
    found = compare(experiment(tmp_path, of_draws(values)))
    assert found.attrs["unit"] == "seed"
    assert found.sel(outcome="frozen").difference.values.tolist() == [[0.25, 0.5]]


def test_an_effect_is_held_against_the_package_s_default():
    def baselines(values):
        found = Design(["beta2"], [(value,) for value in values]).contrasts()
        return {contrast.changed_from for contrast in found}, [one.changed_to for one in found]

    assert baselines(["0.9", "0.99", "0.999"]) == ({"0.999"}, ["0.9", "0.99"])
    assert baselines(["0.9", "0.99"]) == ({"0.9"}, ["0.99"])


def test_a_grid_with_a_hole_has_effects_alone():
    settings = grid(("a", "b"), ("x", "y"))[:-1]
    found = Design(["one", "other"], settings).contrasts()
    assert [contrast.label for contrast in found] == [
        "one b against a (other x)",
        "other y against x (one a)",
    ]


def test_where_two_settings_change_at_once_there_is_no_contrast():
    assert Design(["one", "other"], [("a", "x"), ("b", "y")]).contrasts() == []
    assert Design([], [()]).contrasts() == []


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from("12")),
             min_size=1, max_size=12)
)  # fmt: skip
def test_every_contrast_is_of_settings_that_are_there_and_its_weights_sum_to_zero(settings):
    for contrast in Design(["k", "l", "m"], settings).contrasts():
        assert set(contrast.weights) <= set(settings)
        assert sum(contrast.weights.values()) == pytest.approx(0)
        if contrast.kind == EFFECT:
            changed, baseline = contrast.weights
            assert sum(one != other for one, other in zip(changed, baseline, strict=True)) == 1


def test_three_levels_each_have_their_interaction():
    found = Design(["one", "other"], grid("abc", "xy")).contrasts()
    assert [one.changed_to for one in by(INTERACTION, found)] == ["b, y", "c, y"]
    (main,) = (one for one in by(MAIN, found) if one.changed_key == "other")
    assert json.dumps(sorted(main.weights.values())) == json.dumps([-1 / 3] * 3 + [1 / 3] * 3)
