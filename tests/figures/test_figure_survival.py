import numpy as np
from figures.figure_data import diverged, freezing_in_depth, shown_texts

from deadtokens.figures import survival


def test_curves_and_bands_are_those_of_the_file():
    table = survival.RECIPE.table([freezing_in_depth(precision="fp32")])
    settled = table[table["criterion"] == "settled"]
    assert settled["surviving"].tolist() == [1.0] * 15 + [0.5] * 15
    assert settled["low"].tolist() == [0.9] * 15 + [0.45] * 15
    assert table[table["criterion"] == "last motion"]["surviving"].iloc[-1] == 0
    assert (table["tokens"] == 2).all()


def test_each_criterion_has_its_panel():
    figure = survival.RECIPE.draw(survival.RECIPE.table([freezing_in_depth()]))
    by_last_motion, settled = figure.axes
    assert by_last_motion.lines[0].get_ydata()[-1] == 0
    assert settled.lines[0].get_ydata()[-1] == 0.5
    band = settled.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.45, 1.0)


def test_runs_without_dead_tokens_are_left_out():
    alone = freezing_in_depth(run="live", precision="fp32", dead=[False])
    table = survival.RECIPE.table([alone])
    assert table.empty
    assert any("no dead tokens" in text for text in shown_texts(survival.RECIPE.draw(table)))
    both = survival.RECIPE.table([alone, freezing_in_depth(run="b", precision="mixed")])
    assert both["run"].unique().tolist() == ["b"]


def test_diverged_runs_are_marked():
    runs = [
        diverged(freezing_in_depth(run="a", precision="fp32"), at=7),
        diverged(freezing_in_depth(run="b", precision="mixed"), at=1),
        freezing_in_depth(run="c", precision="pure-bf16"),
    ]
    figure = survival.RECIPE.draw(survival.RECIPE.table(runs))
    for axes in figure.axes:
        (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
        assert (*cross.get_xdata(), *cross.get_ydata()) == (6, 1.0)
    assert "mixed: diverged at update 1" in shown_texts(figure)
    assert np.allclose(figure.axes[0].get_ylim(), figure.axes[1].get_ylim())
