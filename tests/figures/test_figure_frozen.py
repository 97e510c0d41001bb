import numpy as np
import pytest
import xarray as xr
from figures.figure_data import diverged, freezing, misplaced_texts, shown_texts

from deadtokens.figures import frozen


def test_fractions_are_those_of_the_file():
    pairs = [(0.0, 0.0), (0.5, 0.25), (1.0, 0.125)]
    table = frozen.RECIPE.table([freezing(pairs, precision="pure-bf16")])
    dead = table[table["population"] == "dead"]
    live = table[table["population"] == "live"]
    assert dead["frozen_fraction"].tolist() == [0.0, 0.5, 1.0]
    assert live["frozen_fraction"].tolist() == [0.0, 0.25, 0.125]
    assert dead["update"].tolist() == [1, 2, 3]
    assert dead["tokens"].tolist() == [2, 2, 2]
    assert live["tokens"].tolist() == [1, 1, 1]


def test_mean_over_seeds_by_hand():
    table = frozen.RECIPE.table(
        [
            freezing([(0.0, 0.0), (1.0, 0.0)], run="a", precision="fp32", seed=1),
            freezing([(0.5, 0.0), (0.0, 0.5)], run="b", precision="fp32", seed=2),
        ]
    )
    means = table[table["series"] == "mean of runs"]
    assert means[["population", "update", "frozen_fraction"]].values.tolist() == [
        ["dead", 1, 0.25],
        ["dead", 2, 0.5],
        ["live", 1, 0.0],
        ["live", 2, 0.25],
    ]
    texts = shown_texts(frozen.RECIPE.draw(table))
    assert "fp32 (mean of 2 runs)" in texts
    assert "thin: single runs" in texts


def test_panels_say_how_many_tokens_and_share_the_axis():
    figure = frozen.RECIPE.draw(
        frozen.RECIPE.table([freezing([(0.5, 0.1)] * 3, dead=[True] * 1012 + [False])])
    )
    dead, live = figure.axes
    assert dead.get_title(loc="left") == "dead tokens (n = 1,012)"
    assert live.get_title(loc="left") == "live tokens (n = 1)"
    assert dead.get_ylim() == live.get_ylim()


def test_lines_are_drawn_as_the_table_says():
    dead, live = frozen.RECIPE.draw(frozen.RECIPE.table([freezing([(0.5, 0.1), (0.25, 0.0)])])).axes
    assert dead.lines[0].get_ydata().tolist() == [0.5, 0.25]
    assert live.lines[0].get_ydata().tolist() == [0.1, 0.0]


def test_lines_that_lie_on_each_other_at_zero_are_named():
    still = [(0.0, 0.0)] * 3
    runs = [freezing(still, run=name, precision=name) for name in ("mixed", "fp32")]
    moved = freezing([(0.0, 0.0), (0.5, 0.0), (0.0, 0.0)], run="p", precision="pure-bf16")
    dead, live = frozen.RECIPE.draw(frozen.RECIPE.table([*runs, moved])).axes
    assert dead.get_title(loc="left").endswith("\n0 at every update: mixed; fp32")
    assert live.get_title(loc="left").endswith("\n0 at every update: all runs")


def test_a_vocabulary_without_dead_tokens():
    table = frozen.RECIPE.table([freezing([(np.nan, 0.0)] * 2, dead=[False, False])])
    assert table["population"].unique().tolist() == ["live"]
    assert "no dead tokens recorded" in shown_texts(frozen.RECIPE.draw(table))


def test_a_diverged_run_is_marked_in_both_panels():
    runs = [
        freezing([(0.0, 0.0)] * 9, run="a", precision="fp32"),
        diverged(freezing([(0.5, 0.0)] * 9, run="b", precision="mixed"), at=7),
    ]
    figure = frozen.RECIPE.draw(frozen.RECIPE.table(runs))
    for axes, height in zip(figure.axes, (0.5, 0.0), strict=True):
        (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
        assert (*cross.get_xdata(), *cross.get_ydata()) == (6, height)
        assert [text.get_text() for text in axes.texts] == ["diverged at\nupdate 7"]
    assert "mixed: diverged at update 7" in shown_texts(figure)


def test_of_many_updates_bins_are_drawn_with_their_range_and_median():
    flicker = np.tile([0.0, 1.0, 0.5], 1000)
    flicker[:60] = 0.25
    table = frozen.RECIPE.table([freezing(np.column_stack([flicker, 0 * flicker]))])
    dead = table[table["population"] == "dead"].reset_index(drop=True)
    assert dead["update"].tolist() == list(range(1, 3000, 30))
    assert dead["last_update"].tolist() == list(range(30, 3001, 30))
    shown = dead[["lowest", "frozen_fraction", "highest"]]
    assert shown.iloc[:2].to_numpy().tolist() == [[0.25] * 3] * 2
    assert (shown.iloc[2:] == [0.0, 0.5, 1.0]).all(axis=None)
    figure = frozen.RECIPE.draw(table)
    assert figure.axes[0].get_xlabel() == "update (in bins of 30)"
    (band,) = figure.axes[0].collections
    edge = band.get_paths()[0].vertices
    assert (edge[:, 1].min(), edge[:, 1].max()) == (0, 1)
    assert figure.axes[0].lines[0].get_ydata().tolist() == dead["frozen_fraction"].tolist()
    assert figure.axes[0].lines[0].get_xdata()[0] == 15.5  # the middle of the first bin
    assert "shaded: range of a bin's updates; line: their median" in shown_texts(figure)


def test_few_updates_are_drawn_one_by_one_without_bands():
    figure = frozen.RECIPE.draw(frozen.RECIPE.table([freezing([(0.0, 1.0), (1.0, 0.0)] * 50)]))
    assert figure.axes[0].get_xlabel() == "update"
    assert not figure.axes[0].collections
    assert not any("shaded" in text for text in shown_texts(figure))


def test_tokens_that_were_never_sampled_have_a_panel_of_their_own():
    data = freezing([(0.5, 0.1)] * 3, dead=[True, True, False, False])
    third = (
        data["frozen_fraction"].sel(population=["live"]).assign_coords(population=["never sampled"])
    )
    both = xr.concat([data["frozen_fraction"], third * 3], "population")
    data = data.drop_dims("population").assign(
        frozen_fraction=both, never_sampled=("token", [False, False, False, True])
    )
    figure = frozen.RECIPE.draw(frozen.RECIPE.table([data]))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "dead tokens (n = 2)",
        "live tokens (n = 1)",
        "never sampled tokens (n = 1)",
    ]
    assert figure.axes[2].lines[0].get_ydata() == pytest.approx([0.3] * 3)
    assert misplaced_texts(figure) == []


def test_hostile_settings_reach_the_legend():
    hostile = ["$\\frac{", "=cmd()", "<script>alert(1)</script>", "_hidden"]
    runs = [freezing([(0.5, 0.0)] * 3, run=text, precision="fp32", c=text) for text in hostile]
    table = frozen.RECIPE.table(runs)
    assert set(table["group"]) == {f"c {text}" for text in hostile}
    assert {f"c {text}" for text in hostile} <= set(shown_texts(frozen.RECIPE.draw(table)))
