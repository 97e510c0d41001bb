from itertools import pairwise

import numpy as np
import pytest
from figures.figure_data import diverged, shown_texts, stillness

from deadtokens.figures import causes
from deadtokens.stillness.causes import CAUSES

EVEN = [1 / len(CAUSES)] * len(CAUSES)
NONE = [np.nan] * len(CAUSES)


def only(cause):
    return [float(name == cause) for name in CAUSES]


def test_layers_are_those_of_the_analysis():
    assert list(causes.LAYERS) == [*CAUSES, "moved"]


def test_heights_are_parts_of_all_components_and_complete():
    data = stillness([0, 0.5, 1], [NONE, EVEN, only("second moment")], precision="fp32")
    table = causes.RECIPE.table([data])
    sums = table.groupby("first_update")["fraction"].sum()
    assert sums.tolist() == pytest.approx([1, 1, 1], abs=1e-12)
    wide = table.pivot(index="first_update", columns="cause", values="fraction")
    assert wide["moved"].tolist() == [1, 0.5, 0]
    assert wide["second moment"].tolist() == [0, 0.5 / len(CAUSES), 1]
    assert wide["no gradient"].tolist() == [0, 0.5 / len(CAUSES), 0]


def test_bins_are_averages_of_their_updates():
    rising = np.linspace(0, 1, 2000)
    data = stillness(rising, [only("no gradient")] * 2000)
    table = causes.RECIPE.table([data])
    rows = table[table["cause"] == "no gradient"]
    assert rows["first_update"].iloc[0] == 1
    assert rows["last_update"].iloc[-1] == 2000
    assert (rows["first_update"].to_numpy()[1:] == rows["last_update"].to_numpy()[:-1] + 1).all()
    for row in rows.itertuples():
        expected = rising[row.first_update - 1 : row.last_update].mean()
        assert row.fraction == pytest.approx(expected, rel=1e-12)
    lengths = (rows["last_update"] - rows["first_update"] + 1).to_numpy()
    assert lengths.max() < 0.15 * 2000


def test_areas_are_drawn_on_each_other_from_zero_to_one():
    data = stillness([0, 0.5], [NONE, only("either")])
    (axes,) = causes.RECIPE.draw(causes.RECIPE.table([data])).axes
    steps = [patch.get_data() for patch in axes.patches]
    assert [step.edges.tolist() for step in steps] == [[1, 2, 3]] * 9
    assert steps[0].baseline.tolist() == [0, 0]
    assert steps[-1].values.tolist() == [1, 1]
    for lower, upper in pairwise(steps):
        assert lower.values.tolist() == upper.baseline.tolist()
    either = steps[CAUSES.index("either")]
    assert (either.baseline.tolist(), either.values.tolist()) == ([0, 0], [0, 0.5])
    colors = [patch.get_facecolor() for patch in axes.patches]
    assert len(set(colors)) == 9


def test_a_panel_each_group_with_the_mean_of_its_runs():
    runs = [
        stillness([still], [only(cause)], run=f"{precision}{seed}", precision=precision, seed=seed)
        for precision, seed, still, cause in (
            ("fp32", 1, 0.0, "no gradient"),
            ("pure-bf16", 1, 0.5, "either"),
            ("pure-bf16", 2, 1.0, "no gradient"),
        )
    ]
    table = causes.RECIPE.table(runs)
    mean = table[table["group"] == "pure-bf16"].set_index("cause")["fraction"]
    assert mean[["either", "no gradient", "moved"]].tolist() == [0.25, 0.5, 0.25]
    figure = causes.RECIPE.draw(table)
    texts = shown_texts(figure)
    assert "pure-bf16 (mean of 2 runs) 75 % still, over all updates" in texts
    assert "fp32 0 % still, over all updates" in texts
    assert len(figure.axes) == 2


def test_a_mean_ends_where_its_first_run_ends():
    whole = stillness([0.5] * 40, [EVEN] * 40, run="a", precision="fp32", seed=1)
    short = diverged(stillness([0.5] * 40, [EVEN] * 40, run="b", precision="fp32", seed=2), at=31)
    table = causes.RECIPE.table([whole, short])
    assert table["last_update"].max() == 30
    assert (table["diverged_at"] == 31).all()
    (title,) = (text for text in shown_texts(causes.RECIPE.draw(table)) if "fp32" in text)
    assert title == "fp32 (mean of 2 runs): diverged at update 31 50 % still, over all updates"


@pytest.mark.parametrize(
    ("data", "title"),
    [
        (stillness([np.nan] * 3, [NONE] * 3, tokens=0, precision="fp32"), "fp32 no dead tokens"),
        (stillness([], [], precision="fp32"), "fp32 no update"),
    ],
)
def test_a_run_without_anything_to_draw_says_so(data, title):
    table = causes.RECIPE.table([data])
    assert len(table) == 1
    assert title in shown_texts(causes.RECIPE.draw(table))
    beside = stillness([0.5], [EVEN], run="b", precision="mixed")
    figure = causes.RECIPE.draw(causes.RECIPE.table([data, beside]))
    assert title in shown_texts(figure)
    assert [bool(axes.patches) for axes in figure.axes] == [True, False]


def test_what_holds_in_any_order_is_a_line_and_no_part():
    data = stillness([0, 0.5, 1], [NONE, EVEN, only("second moment")], precision="fp32")
    table = causes.RECIPE.table([data])
    held = table[table["held"].notna()]
    assert held["fraction"].isna().all() and set(held["cause"]) == set(causes.LINES)
    of_weights = held[held["cause"] == "weight"]["held"]
    assert of_weights.tolist() == [0, 0.25, 0.5]  # half of what stood still
    (axes,) = causes.RECIPE.draw(table).axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 0], [2, 0.25], [3, 0.5], [4, 0.5]]
    assert axes.lines[2].get_ydata().tolist() == [0, 0.375, 0.75, 0.75]


def test_lines_are_means_of_the_runs_of_a_panel():
    runs = [
        stillness([still], [EVEN], run=f"r{seed}", precision="fp32", seed=seed)
        for seed, still in ((1, 0.2), (2, 1.0))
    ]
    table = causes.RECIPE.table(runs)
    assert table.set_index("cause").loc["weight", "held"] == pytest.approx(0.3)
