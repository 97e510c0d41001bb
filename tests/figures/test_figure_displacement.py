import numpy as np
import pandas as pd
import pytest
from figures.figure_data import QUANTILES, diverged, moving, shown_texts
from matplotlib.figure import Figure

from deadtokens.figures import displacement, style
from deadtokens.figures.axes import LogScaleWithZero


def median_line(axes, population):
    color = style.POPULATIONS[population].color
    (line,) = [line for line in axes.lines if line.get_color() == color]
    return np.asarray(line.get_ydata())


def test_quantiles_are_those_of_the_file():
    table = displacement.RECIPE.table([moving([1e-3, 0.0], [2e-3, 4e-3])])
    dead = table[table["population"] == "dead"]
    assert dead[dead["update"] == 1]["quantile"].tolist() == QUANTILES
    np.testing.assert_allclose(
        dead[dead["update"] == 1]["displacement"], [1e-4, 5e-4, 1e-3, 2e-3, 1e-2], rtol=1e-12
    )
    assert dead[dead["update"] == 2]["displacement"].tolist() == [0.0] * 5
    live = table[(table["population"] == "live") & (table["quantile"] == 0.5)]
    assert live["displacement"].tolist() == [2e-3, 4e-3]


def test_zeros_stay_in_sight():
    table = displacement.RECIPE.table([moving([1e-3, 0.0, 1e-4], [2e-3] * 3)])
    axes = displacement.RECIPE.draw(table).axes[0]
    heights = median_line(axes, "dead")
    bottom, top = axes.get_ylim()
    assert heights[[0, 2]].tolist() == [1e-3, 1e-4]
    assert bottom < heights[1] < 1e-5 < top  # 1e-5 is the lowest positive quantile
    labels = dict(
        zip(axes.get_yticks(), [t.get_text() for t in axes.get_yticklabels()], strict=True)
    )
    assert labels[heights[1]] == "0"
    assert labels[1e-3] == "10⁻³"
    assert "exactly 0" in shown_texts(axes.figure)


def test_on_an_ordinary_logarithmic_axis_zeros_vanish():
    axes = Figure().subplots()
    axes.plot([1, 2, 3], [1e-3, 0.0, 1e-4])
    axes.set_yscale("log")
    assert not axes.get_ylim()[0] <= axes.lines[0].get_ydata()[1]


def test_without_zeros_there_is_no_strip():
    figure = displacement.RECIPE.draw(
        displacement.RECIPE.table([moving([1e-3, 1e-4], [1e-2, 1e-2])])
    )
    assert "0" not in [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "exactly 0" not in shown_texts(figure)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([3e-5, 0.02], LogScaleWithZero(-5, -1, False)),
        ([0.0, 3e-5, 0.02], LogScaleWithZero(-5, -1, True)),
        ([1e-3], LogScaleWithZero(-3, -2, False)),
        ([0.0, 0.0], LogScaleWithZero(0, 1, True)),
        ([np.nan, np.inf, 5.0], LogScaleWithZero(0, 1, False)),
    ],
)
def test_scale_spans_all_positive_values(values, scale):
    assert LogScaleWithZero.spanning(pd.Series(values)) == scale


def test_only_zeros_are_moved():
    scale = LogScaleWithZero(-5, -1, True)
    assert scale.place(pd.Series([0.0, 1e-5, 0.5])).tolist() == [10**-5.5, 1e-5, 0.5]


def test_a_run_that_never_moves_can_be_drawn():
    axes = displacement.RECIPE.draw(displacement.RECIPE.table([moving([0.0] * 3, [0.0] * 3)])).axes[
        0
    ]
    bottom, top = axes.get_ylim()
    assert ((median_line(axes, "live") > bottom) & (median_line(axes, "live") < top)).all()


def test_bands_hold_the_quantiles():
    table = displacement.RECIPE.table([moving([1e-3] * 4, [1.0] * 4)])
    wide, narrow = displacement.RECIPE.draw(table).axes[0].collections[:2]
    spans = [band.get_paths()[0].vertices[:, 1] for band in (wide, narrow)]
    assert (spans[0].min(), spans[0].max()) == (1e-4, 1e-2)
    assert (spans[1].min(), spans[1].max()) == (5e-4, 2e-3)


def test_one_panel_a_run_named_by_what_varies():
    runs = [
        moving([1e-3] * 3, [1e-2] * 3, run=f"{name}{seed}", precision=name, seed=seed, width=64)
        for name in ("fp32", "pure-bf16")
        for seed in (1, 2)
    ]
    figure = displacement.RECIPE.draw(displacement.RECIPE.table(runs))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "pure-bf16, seed 1",
        "pure-bf16, seed 2",
        "fp32, seed 1",
        "fp32, seed 2",
    ]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_a_diverged_run_is_marked():
    table = displacement.RECIPE.table(
        [diverged(moving([1e-3] * 9, [1e-2] * 9, precision="fp32"), at=7)]
    )
    figure = displacement.RECIPE.draw(table)
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    ends = [(*line.get_xdata(), *line.get_ydata()) for line in crosses]
    assert ends == [(6, 1e-3), (6, 1e-2)]
    texts = shown_texts(figure)
    assert texts.count("diverged at update 7") == 1
    assert "fp32: diverged at update 7" in texts


def test_a_diverged_run_without_updates_and_a_single_update():
    empty = diverged(moving([1.0], [1.0], run="e", precision="mixed"), at=1)
    figure = displacement.RECIPE.draw(
        displacement.RECIPE.table([empty, moving([1e-3], [1e-2], precision="fp32")])
    )
    assert "mixed: diverged at update 1" in shown_texts(figure)
    assert figure.axes[1].lines[0].get_marker() == "."
