import numpy as np
import pandas as pd
import pytest
from figures.figure_data import diverged, freezing_in_depth, shown_texts
from matplotlib.colors import to_hex

from deadtokens.figures import phases, style
from deadtokens.figures.bins import bin_starts
from deadtokens.figures.stacks import mean_fractions


def test_every_update_is_in_one_bin():
    starts = bin_starts(1500)
    assert (starts[0], starts[-1]) == (1, 1500)
    assert starts[:20].tolist() == list(range(1, 21))
    assert (np.diff(starts) > 0).all()


def test_bins_are_means_over_their_updates():
    values = pd.DataFrame({"early": [1.0, 2.0, 4.0, 9.0]}, index=np.arange(1, 5))
    found = mean_fractions([values], np.array([1, 2, 4]), "phase")
    assert found["fraction"].tolist() == [1, 3, 9]
    assert found[["first_update", "last_update"]].values.tolist() == [[1, 1], [2, 3], [4, 4]]


def test_shares_are_those_of_the_file_and_sum_to_one():
    table = phases.RECIPE.table([freezing_in_depth(updates=400, precision="fp32")])
    sums = table.groupby(["population", "first"])["fraction"].sum()
    assert sums.to_numpy() == pytest.approx(1)
    dead = table[table["population"] == "dead"]
    assert dead[dead["first"] == 50].set_index("phase")["fraction"].to_dict() == {
        "early": 1,
        "midlife": 0,
        "late": 0,
        "frozen": 0,
    }
    late = dead[(dead["phase"] == "frozen") & (dead["first"] > 300)]
    assert (late["fraction"] == 1).all()
    assert late["last"].max() == 400


def test_areas_are_stacked_in_the_order_of_the_phases():
    figure = phases.RECIPE.draw(phases.RECIPE.table([freezing_in_depth(updates=8)]))
    areas = figure.axes[0].patches
    assert [to_hex(area.get_facecolor()) for area in areas] == list(style.PHASES.values())
    first, last = (area.get_path().get_extents() for area in (areas[0], areas[-1]))
    assert (first.y1, last.y1) == (1, 1)
    assert (last.x0, last.x1) == (1, 9)


def test_runs_without_dead_tokens_or_updates_and_diverged_ones():
    runs = [
        freezing_in_depth(run="a", precision="fp32", dead=[False, False]),
        diverged(freezing_in_depth(run="b", precision="mixed"), at=7),
        diverged(freezing_in_depth(run="c", precision="pure-bf16"), at=1),
    ]
    table = phases.RECIPE.table(runs)
    figure = phases.RECIPE.draw(table)
    texts = shown_texts(figure)
    assert "no dead tokens recorded" in texts
    assert "mixed: dead (n = 2), diverged at update 7" in texts
    assert "pure-bf16: live (n = 1), diverged at update 1" in texts
    assert pd.isna(table[table["run"] == "c"]["first"]).all()
