"""The figures of an experiment's outcomes: what each draws of planted ones, and what it says."""

import numpy as np
import pandas as pd
import pytest
from figures.examples import MODULES, OF_OUTCOMES, VARIED
from figures.figure_data import compared, shown_texts, varied
from matplotlib.figure import Figure
from scipy import stats

from deadtokens.cli import call
from deadtokens.comparison.measures import PRIMARY
from deadtokens.errors import UserError
from deadtokens.figures import factorial, outcomes, remedies, seeds, sweep, walls
from deadtokens.figures.axes import ScaleWithNone
from deadtokens.run.precision import REGIMES
from deadtokens.stillness.causes import CAUSES

NEVER = "half of them never settled"


def drawn(module, data):
    """Return a figure and its table."""
    table = module.RECIPE.table([data])
    return module.RECIPE.draw(table), table


def of(table: pd.DataFrame, outcome: str, series: str = seeds.RUN) -> pd.DataFrame:
    return table[(table["outcome"] == outcome) & (table["series"] == series)]


def panel(figure, name: str):
    """Return the panel whose axis has a name."""
    (axes,) = (one for one in figure.axes if name in (one.get_xlabel(), one.get_ylabel()))
    return axes


def marked(axes, marker: str = "o", hollow: bool | None = None) -> list[tuple[float, float]]:
    """Return where marks are, those that are hollow or not alone if that is given."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    if hollow is not None:
        lines = [line for line in lines if (line.get_markerfacecolor() == "white") == hollow]
    return [(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)]


def joined(axes, bold: bool = False) -> list[list[float]]:
    """Return the heights of thin lines, or of bold ones."""
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    return [
        list(map(float, line.get_ydata())) for line in lines if (line.get_linewidth() > 1) == bold
    ]


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("name", OF_OUTCOMES)
def test_means_have_the_interval_of_student_s_t_and_one_seed_has_none(name, number):
    table = MODULES[name].RECIPE.table([varied(VARIED[name], number)])
    means = table[table["series"] == seeds.MEAN]
    assert set(means["seeds"]) == {number}
    assert means[["low", "high"]].isna().all(axis=None) == (number == 1)
    if name in ("effects", "remedies"):  # of differences: see the tests of effects, and below
        return
    by = [column for column in ("name", *factorial.NAMES, "group", "written") if column in table]
    runs = table[table["series"] == seeds.RUN].groupby(["outcome", *by])["value"]
    for names, mean in means.groupby(["outcome", *by]):
        values = runs.get_group(names).to_numpy()
        assert len(values) == number
        assert mean["value"].item() == pytest.approx(values.mean())
        if number > 1:
            found = stats.t.interval(0.95, number - 1, values.mean(), stats.sem(values))
            ends = mean["low"].item(), mean["high"].item()
            assert ends == pytest.approx(found)


@pytest.mark.parametrize("name", ["outcomes", "factorial", "sweep", "remedies", "walls"])
def test_one_seed_is_called_one_seed(name):
    figure, _ = drawn(MODULES[name], varied(VARIED[name], 1))
    if name != "walls":  # whose cells then have no interval
        assert "seed 0 (one seed: no interval)" in shown_texts(figure)
    assert not any("±" in text or "mean of the seeds" in text for text in shown_texts(figure))


@pytest.mark.parametrize("name", ["outcomes", "factorial", "sweep"])
def test_the_primary_outcome_comes_first_and_is_said_with_its_unit(name):
    figure, table = drawn(MODULES[name], varied(VARIED[name], 2))
    assert list(dict.fromkeys(table["outcome"])) == [PRIMARY, *seeds.SECONDARY]
    texts = " ".join(shown_texts(figure))
    for words in ("frozen", "path length [weight]", "loss [nat]"):
        assert words in texts


def two_settings(**of_the_second) -> object:
    """Return outcomes of two settings and two seeds; some of the last run are another."""
    runs = [(rate, seed, {"thaws": 10 * rate + seed}) for rate in (1.0, 2.0) for seed in (0, 1)]
    runs[-1][2].update(of_the_second)
    return compared([({"lr": rate, "seed": seed}, found) for rate, seed, found in runs])


def test_every_run_is_a_dot_in_the_row_of_its_setting():
    figure, table = drawn(outcomes, two_settings())
    assert of(table, "thaws")["value"].tolist() == [10, 11, 20, 21]
    assert of(table, "thaws", seeds.MEAN)["value"].tolist() == [10.5, 20.5]
    axes = panel(figure, "thaws")
    places = dict(marked(axes))
    assert sorted(places) == [10, 11, 20, 21]
    assert max(places[10], places[11]) < min(places[20], places[21])
    (low, first), (high, second) = sorted(marked(axes, "D"))
    assert (low, high) == (10.5, 20.5)
    assert places[11] < first < places[20] < places[21] < second


def test_a_run_without_a_number_is_named_and_its_setting_has_no_mean():
    figure, table = drawn(outcomes, two_settings(thaws=NEVER))
    assert of(table, "thaws")["reason"].tolist() == ["", "", "", NEVER]
    first, second = of(table, "thaws", seeds.MEAN)["value"]
    assert first == 10.5
    assert np.isnan(second)
    axes = panel(figure, "thaws")
    ((place, _),) = marked(axes, hollow=True)
    assert place > 20 + 1  # beyond all numbers
    assert f"none (thaws): {NEVER}; 1 run" in shown_texts(figure)
    assert [x for x, _ in marked(axes, "D")] == [10.5]
    assert "none" in [label.get_text() for label in axes.get_xticklabels()]


def test_an_axis_without_numbers_has_none():
    figure, _ = drawn(outcomes, varied({"lr": [1.0, 2.0]}, 2, thaws=NEVER))
    labels = [label.get_text() for label in panel(figure, "thaws").get_xticklabels()]
    assert labels == ["none"]


def test_a_diverged_run_is_a_cross():
    figure, table = drawn(outcomes, two_settings(diverged=1.0))
    assert of(table, "thaws")["diverged"].tolist() == [False, False, False, True]
    axes = panel(figure, "thaws")
    assert [x for x, _ in marked(axes, "x")] == [21]
    assert sorted(x for x, _ in marked(axes, "o")) == [10, 11, 20]
    assert "diverged, measured as far as it went" in shown_texts(figure)


def test_a_setting_that_lacks_a_seed_has_an_open_mean():
    runs = [({"lr": 1.0, "seed": seed}, {"thaws": seed}) for seed in range(3)]
    runs += [({"lr": 2.0, "seed": seed}, {"thaws": seed}) for seed in range(2)]
    figure, table = drawn(outcomes, compared(runs))
    assert of(table, "thaws", seeds.MEAN)["seeds"].tolist() == [3, 2]
    axes = panel(figure, "thaws")
    assert [x for x, _ in marked(axes, "D", hollow=True)] == [0.5]
    assert [x for x, _ in marked(axes, "D", hollow=False)] == [1.0]


SQUARE = {("a", "x"): 1.0, ("b", "x"): 2.0, ("a", "y"): 5.0, ("b", "y"): 9.0}


def squares(keys=("weights", "moments"), **others):
    return compared(
        [
            (dict(zip(keys, cell, strict=True)) | {"seed": seed} | others, {"thaws": value + seed})
            for cell, value in SQUARE.items()
            for seed in (0, 1)
        ]
    )


def test_a_square_has_a_line_for_each_value_of_the_second_key():
    figure, table = drawn(factorial, squares())
    assert set(table["along_key"]) == {"weights"}
    assert set(table["line_key"]) == {"moments"}
    assert set(table["panel_key"]) == {""}
    means = of(table, "thaws", seeds.MEAN).set_index(["along", "line"])["value"]
    assert means.to_dict() == {cell: value + 0.5 for cell, value in SQUARE.items()}
    axes = panel(figure, "thaws")
    assert sorted(joined(axes)) == [[1, 2], [2, 3], [5, 9], [6, 10]]
    assert joined(axes, bold=True) == [[1.5, 2.5], [5.5, 9.5]]
    assert [label.get_text() for label in panel(figure, "loss [nat]").get_xticklabels()] == [
        *("a", "b")
    ]
    assert {"moments x", "moments y"} <= set(shown_texts(figure))


def test_a_line_breaks_where_there_is_no_number():
    data = varied({"lr": [1.0, 2.0, 3.0], "beta1": [0.0, 0.5]}, 2)
    hole = {"run": data["run"].values[4], "outcome": "thaws"}  # of lr 2, beta1 0
    data["value"].loc[hole] = np.nan
    data["reason"].loc[hole] = NEVER
    figure, table = drawn(factorial, data)
    rows = of(table, "thaws", seeds.MEAN).set_index(["along", "line"])["value"]
    assert np.isnan(rows["2.0", "0.0"])
    assert rows.notna().sum() == 5
    axes = panel(figure, "thaws")
    assert sum(np.isnan(heights).any() for heights in joined(axes)) == 1
    assert len(marked(axes, "o", hollow=True)) == 1


def test_a_third_key_makes_panels_and_the_precision_is_it():
    keys = {"precision": ["pure-bf16", "fp32"], "lr": [1e-3, 3e-4], "weight_decay": [0.0, 0.1]}
    figure, table = drawn(factorial, varied(keys, 2))
    assert dict(zip(*(table[name] for name in ("panel_key", "along_key")), strict=True)) == {
        "precision": "lr"
    }
    assert set(table["panel"]) == {"pure-bf16", "fp32"}
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["pure-bf16", "fp32"]
    assert list(dict.fromkeys(table["along"])) == ["0.0003", "0.001"]
    assert len(figure.axes) == 2 * (1 + len(seeds.SECONDARY))


def test_lines_of_regimes_have_their_colours():
    figure, _ = drawn(factorial, varied({"precision": ["pure-bf16", "fp32"], "lr": [1, 2]}, 1))
    colors = {line.get_color() for line in figure.axes[0].lines}
    assert colors == {MODULES["loss"].style.REGIMES[name].color for name in ("pure-bf16", "fp32")}


def test_a_sweep_goes_by_the_number_that_the_run_uses():
    values = {"embedding_std": [None, 0.005, 1.0], "init_std": [0.02]}
    figure, table = drawn(sweep, varied(values, 2))
    rows = of(table, "loss", seeds.MEAN)
    assert rows["written"].tolist() == ["null", "0.005", "1.0"]
    assert rows["number"].tolist() == [0.02, 0.005, 1.0]
    axes = panel(figure, "loss [nat]")
    assert axes.get_xscale() == "log"
    assert sorted({x for x, _ in marked(axes)}) == [0.005, 0.02, 1.0]
    assert axes.get_xlabel() == "embedding std [weight]"
    heights = dict(zip(rows["number"], rows["value"], strict=True))
    assert joined(axes, bold=True) == [[heights[number] for number in sorted(heights)]]


BETAS = {"beta2": [0.95, 0.998, 0.9999]}


def test_beta2_goes_along_its_distance_from_1():
    figure, _ = drawn(sweep, varied(BETAS, 1))
    axes = panel(figure, "loss [nat]")
    assert [x for x, _ in marked(axes)] == pytest.approx([1e-4, 2e-3, 0.05])
    assert axes.xaxis_inverted()
    assert axes.get_xlabel() == "beta2 (axis: 1 − beta2, logarithmic)"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.95", "0.998", "0.9999"]


@pytest.mark.parametrize(
    ("regimes", "shaded"),
    [
        (["pure-bf16"], True),
        (["bf16-moments", "fp32"], True),
        (["bf16-weights", "fp32"], False),
        ([], False),
    ],
)
def test_the_border_stands_where_moments_are_in_bfloat16(regimes, shaded):
    keys = ({"precision": regimes} if regimes else {}) | BETAS
    figure, _ = drawn(sweep, varied(keys, 1))
    axes = figure.axes[0]
    ends = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    expected = [min(axes.get_xlim()), 2.0**-9, 2.0**-9, 2.0**-8] if shaded else []
    assert [end for span in sorted(ends) for end in span] == pytest.approx(expected)
    words = [text for text in shown_texts(figure) if "2⁻⁹" in text]
    assert len(words) == shaded
    if shaded:
        rounded = [name for name in regimes if REGIMES[name].moments == "bfloat16"]
        assert words[0].endswith(f"for every v, in bfloat16 ({', '.join(rounded)})")


def test_another_number_has_no_border():
    figure, _ = drawn(sweep, varied({"precision": ["pure-bf16"], "beta1": [0, 0.9, 0.998]}, 1))
    assert not figure.axes[0].patches


def test_values_with_0_are_evenly_spaced():
    figure, _ = drawn(sweep, varied({"weight_decay": [0.1, 0.0, 0.01]}, 1))
    axes = panel(figure, "loss [nat]")
    assert [x for x, _ in marked(axes)] == [0, 1, 2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.01", "0.1"]
    assert axes.get_xlabel() == "weight decay (evenly spaced)"


def of_regimes(losses: dict[str, tuple]):
    return compared(
        [
            ({"precision": name, "seed": seed}, {"frozen": 0.5, "loss": loss})
            for name, values in losses.items()
            for seed, loss in enumerate(values)
        ]
    )


LOSSES = {"mixed": (3.0, 4.0), "pure-bf16": (5.0, 8.0), "bf16-weights": (4.0, 6.0)}


@pytest.mark.parametrize("control", ["fp32", "mixed", ""])
def test_a_loss_is_held_against_the_control_of_its_seed(control):
    losses = {"fp32": (1.0, 3.0), **LOSSES}
    if control != "fp32":
        del losses["fp32"]
    if not control:
        losses["bf16-once"] = losses.pop("mixed")
    figure, table = drawn(remedies, of_regimes(losses))
    rows = of(table, "loss")
    baseline = losses.get(control, (0, 0))
    for regime, values in losses.items():
        expected = [value - one for value, one in zip(values, baseline, strict=True)]
        assert rows.loc[rows["regime"] == regime, "value"].tolist() == expected
    assert set(rows["control"]) == {control}
    label = figure.axes[1].get_ylabel()
    assert label == (f"loss [nat],\ndifference to {control}" if control else "loss [nat]")
    (mean,) = of(table, "loss", seeds.MEAN).query("regime == 'pure-bf16'")["value"]
    assert mean == np.mean(np.subtract(losses["pure-bf16"], baseline))


def test_regimes_stand_by_what_they_carry_and_are_named_at_their_marks():
    figure, table = drawn(remedies, of_regimes(LOSSES))
    assert list(dict.fromkeys(table["regime"])) == ["pure-bf16", "bf16-weights", "mixed"]
    assert list(dict.fromkeys(table["bytes"])) == [6, 10, 12]
    for axes in figure.axes:
        ticks = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
        assert {x: label.get_text() for x, label in ticks.items()} == {0: "6", 1: "10", 2: "12"}
        names = {text.get_text().replace("\n", ""): text.xy[0] for text in axes.texts}
        assert names == {"pure-bf16": 0, "bf16-weights": 1, "mixed": 2}


def test_without_its_control_a_run_has_no_difference_and_it_is_said():
    figure, table = drawn(remedies, of_regimes(LOSSES | {"mixed": (3.0, NEVER)}))
    rows = of(table, "loss").set_index(["regime", "seed"])
    assert rows.loc[("pure-bf16", 0), "value"] == 2
    assert np.isnan(rows.loc[("pure-bf16", 1), "value"])
    assert rows.loc[("pure-bf16", 1), "reason"] == "no loss of mixed with the seed"
    assert rows.loc[("mixed", 1), "reason"] == NEVER
    assert "none (loss): no loss of mixed with the seed; 2 runs" in shown_texts(figure)


def cells(figure) -> dict[tuple[str, int], str]:
    """Return what stands in the cells of the matrix by the head of the column and the row."""
    found = {}
    for axes in figure.axes:
        heads = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
        for text in axes.texts:
            x, y = text.get_position()
            found[heads[int(x)], int(y)] = text.get_text()
    return found


def test_a_cell_has_the_mean_and_the_reach_of_its_interval():
    runs = [
        (
            {"lr": rate, "seed": seed},
            {"frozen": 0.25 + seed / 2, "loss": rate + seed, "still_over_run": rate / 8, **causes},
        )
        for rate, causes in (
            (1.0, {"cause_either": 0.004}),
            (2.0, {"cause_either": NEVER}),
        )
        for seed in (0, 1)
    ]
    figure, table = drawn(walls, compared(runs))
    found = cells(figure)
    (reach,) = set(
        of(table, "frozen", seeds.MEAN)["high"] - of(table, "frozen", seeds.MEAN)["value"]
    )
    assert reach == pytest.approx(stats.t.ppf(0.975, 1) * 0.25)
    assert found["frozen", 0] == f"0.50\n± {reach:.2f}"
    assert found["loss [nat]", 1].startswith("2.50\n± ")
    assert found["either", 0] == "<0.01\n± 0.00"
    assert found["either", 1] == "none"
    assert found["no gradient", 0] == "0.00\n± 0.00"
    assert f"none: {NEVER}; 2 runs" in shown_texts(figure)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *((0.0, "0.00"), (1e-9, "<0.01"), (0.0049, "<0.01"), (0.0051, "0.01"), (0.5, "0.50")),
        *((0.9949, "0.99"), (0.9951, ">0.99"), (1 - 1e-9, ">0.99"), (1.0, "1.00"), (4.27, "4.27")),
    ],
)
def test_what_is_nearly_nothing_or_everything_is_not_called_it(value, written):
    figure, _ = drawn(walls, varied({"lr": [1.0, 2.0]}, 1, frozen=value))
    assert cells(figure)["frozen", 0] == written


def test_causes_of_hardly_any_stillness_are_grey():
    stills = {1.0: 0.0099, 2.0: 0.0101}
    runs = [
        ({"lr": rate, "seed": 0}, {"still_over_run": still, "cause_either": 1.0, "frozen": 1.0})
        for rate, still in stills.items()
    ]
    figure, _ = drawn(walls, compared(runs))
    causes, rest, _ = figure.axes
    colors = {(int(y), text): color for y, text, color in (
        (one.get_position()[1], one.get_text(), one.get_color()) for one in causes.texts
    )}  # fmt: skip
    assert colors[0, "1.00"] == walls.FAINT
    assert colors[1, "1.00"] == "white"
    assert {one.get_color() for one in rest.texts if one.get_text() == "1.00"} == {"white"}
    assert "grey: fractions of less than 1 % of the components" in shown_texts(figure)
    grounds = causes.collections[0].get_array().reshape(2, -1)
    assert grounds.mask.tolist() == [[True] * len(CAUSES), [False] * len(CAUSES)]


def test_every_seed_is_a_tick_of_its_cell():
    runs = [({"lr": rate, "seed": 0}, {"frozen": rate / 2, "loss": rate}) for rate in (1.0, 2.0)]
    figure, table = drawn(walls, compared(runs))
    assert cells(figure)["frozen", 0] == "0.50"
    assert len(of(table, "frozen")) == 2
    for outcome, parts in {"frozen": (0.5, 1.0), "loss [nat]": (0.0, 1.0)}.items():
        (axes,) = (
            one
            for one in figure.axes
            if outcome in [label.get_text() for label in one.get_xticklabels()]
        )
        ticks = [
            (x, int(y))
            for lines in axes.collections[1:]
            for (x, y), _ in lines.get_segments()
            if x < 1  # of the first column
        ]
        reach = walls.LAST - walls.FIRST
        assert ticks == [
            (pytest.approx(walls.FIRST + reach * part), row) for row, part in enumerate(parts)
        ]


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("factorial", "two or three keys over a full grid, each with at most 4 values"),
        ("sweep", "a number over 3 values or more while all else is equal"),
        ("remedies", "nothing but `precision`, over 3 values or more"),
        ("walls", "two settings or more"),
    ],
)
def test_outcomes_of_another_shape_are_refused_by_the_same_rule(name, needs, tmp_path):
    file = tmp_path / "outcomes.nc"
    varied({"seed": [0]}, 1).to_netcdf(file, engine="h5netcdf")
    with pytest.raises(UserError) as caught:
        call("figure", [name, str(file), "--output", str(tmp_path / "x.png")])
    assert str(caught.value) == f"{file}: this figure needs an experiment that varies {needs}"


def labels_of(scale):
    axes = Figure().subplots()
    scale.apply(axes, "x")
    return [label.get_text() for label in axes.get_xticklabels()]


def test_a_wide_strip_leaves_room_for_the_last_tick():
    values = pd.Series([0.5, np.nan])
    narrow, wide = (ScaleWithNone.spanning(values, shown=[0, 1], strip=w) for w in (0.14, 0.34))
    assert labels_of(narrow)[-2:] == ["0.5", "none"]
    assert labels_of(wide)[-2:] == ["1", "none"]


def test_what_is_shown_in_any_case_makes_no_scale_alone():
    nothing = ScaleWithNone.spanning(pd.Series([np.nan]), shown=[0])
    assert not nothing.has_numbers
    assert labels_of(nothing) == ["none"]
    assert labels_of(ScaleWithNone.spanning(pd.Series([np.nan, 2.0]), shown=[0]))[0] == "0"


def test_what_has_no_number_stands_beyond_those_that_have_one():
    values = pd.Series([1.0, np.nan, 3.0])
    scale = ScaleWithNone.spanning(values, pd.Series([0.0]), shown=[4.0])
    assert scale.has_none
    assert scale.low < 0 < 4 < scale.high < scale.place_of_none
    assert scale.place(values).tolist() == [1, scale.place_of_none, 3]
    assert not ScaleWithNone.spanning(values.dropna()).has_none
