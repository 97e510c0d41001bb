import numpy as np
import pytest
from figures.figure_data import diverged, scalars, shown_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.figures import loss, style
from deadtokens.figures.curves import EACH
from deadtokens.figures.runs import DIVERGED


def rows(table, series, run="a"):
    return table[(table["series"] == series) & (table["run"] == run)]


def line_of(figure, values):
    """Find the drawn line that has these heights."""
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in figure.axes[0].lines]
    return [line for line in lines if line.shape == np.shape(values) and np.allclose(line, values)]


def test_raw_and_smoothed_losses_by_hand():
    values = np.arange(200.0) ** 2  # window: 2 * (200 // 100) + 1 = 5
    table = loss.RECIPE.table([scalars(values, precision="fp32")])
    raw = rows(table, EACH)  # 200 updates in 100 bins of two
    assert raw["lowest"].tolist() == values[::2].tolist()
    assert raw["highest"].tolist() == values[1::2].tolist()
    assert raw["update"].tolist() == list(range(1, 201, 2))
    assert raw["last_update"].tolist() == list(range(2, 201, 2))
    smooth = rows(table, loss.SMOOTHED)
    assert smooth["loss"].tolist()[:4] == [0, 5 / 3, 30 / 5, 55 / 5]
    assert smooth["update"].iloc[-1] == 198  # the last update with a full window
    assert smooth["loss"].iloc[-1] == sum(n**2 for n in range(195, 200)) / 5
    assert smooth["averaged_over"].tolist()[:4] == [1, 3, 5, 5]


def test_a_long_run_shows_the_range_of_bins_and_a_short_one_each_update():
    values = 8 - np.arange(300.0) / 100
    figure = loss.RECIPE.draw(loss.RECIPE.table([scalars(values, precision="fp32")]))
    (band,) = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (np.float32(values[-1]), 8)
    assert "shaded: range of a bin's updates; line: the centred mean" in shown_texts(figure)
    short = loss.RECIPE.draw(loss.RECIPE.table([scalars(values[:100], precision="fp32")]))
    assert not short.axes[0].collections
    assert len(line_of(short, values[:100])) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10), st.floats(-5, 5), st.floats(-5, 5))
def test_moving_mean_leaves_straight_lines_alone(length, half, start, slope):
    line = start + slope * np.arange(length)
    means, widths = loss.moving_mean(line, 2 * half + 1)
    np.testing.assert_allclose(means, line[: len(means)], atol=1e-9)
    assert widths.max() <= 2 * half + 1
    assert len(means) == (length - half if length > 2 * half else length)


def test_a_mean_that_leans_would_fail_that_check():
    line = np.arange(9.0)
    assert not np.allclose(np.convolve(line, np.ones(3) / 3, mode="full")[:9], line)


def test_mean_of_seeds_ends_with_the_shortest():
    table = loss.RECIPE.table(
        [
            scalars([8, 6, 4], run="a", precision="fp32", seed=1),
            diverged(scalars([6, 2, 0], run="b", precision="fp32", seed=2), at=3),
        ]
    )
    mean = table[table["series"] == loss.MEAN]
    assert mean[["update", "loss"]].values.tolist() == [[1, 7.0], [2, 4.0]]
    assert mean["group"].unique().tolist() == ["fp32"]


def test_uniform_prediction_only_where_the_vocabulary_is_known():
    known = scalars([8, 7, 6]).assign_attrs(vocabulary_size=4096)
    table = loss.RECIPE.table([known])
    uniform = table[table["series"] == loss.UNIFORM]
    assert uniform["loss"].tolist() == [np.log(4096)] * 2
    assert uniform["update"].tolist() == [0, 3]
    assert "uniform prediction, ln 4,096" in shown_texts(loss.RECIPE.draw(table))
    unknown = loss.RECIPE.table([scalars([8, 7, 6])])
    assert (unknown["series"] != loss.UNIFORM).all()
    assert not any("uniform" in text for text in shown_texts(loss.RECIPE.draw(unknown)))


def test_what_is_drawn_is_what_the_table_says():
    table = loss.RECIPE.table([scalars([8, 7, 6, 5], precision="fp32")])
    figure = loss.RECIPE.draw(table)
    assert len(line_of(figure, [8, 7, 6, 5])) == 2  # raw, and its moving mean over one update
    changed = table.assign(loss=table["loss"] + 1)
    assert len(line_of(loss.RECIPE.draw(changed), [9, 8, 7, 6])) == 2
    assert not line_of(loss.RECIPE.draw(changed), [8, 7, 6, 5])


def test_a_regime_has_its_colour_and_dashes():
    runs = [scalars([8, 7], run=name, precision=name) for name in ("mixed", "pure-bf16")]
    axes = loss.RECIPE.draw(loss.RECIPE.table(runs)).axes[0]
    drawn = {line.get_color() for line in axes.lines}
    assert drawn == {style.REGIMES["mixed"].color, style.REGIMES["pure-bf16"].color}


def test_groups_of_one_regime_differ_in_colour_and_marker():
    runs = [scalars([8, 7], run=str(lr), precision="fp32", lr=lr) for lr in (0.1, 0.2, 0.3)]
    legend = loss.RECIPE.draw(loss.RECIPE.table(runs)).legends[0]
    samples = legend.get_lines()[:3]
    assert len({sample.get_color() for sample in samples}) == 3
    assert len({sample.get_marker() for sample in samples}) == 3


def test_a_diverged_run_is_marked_and_a_complete_one_is_not():
    bad = diverged(scalars([8, 7, 9, 60], run="b", precision="pure-bf16"), at=4)
    table = loss.RECIPE.table([scalars([8, 7, 6, 5], precision="fp32"), bad])
    (end,) = table[table["series"] == DIVERGED].to_dict("records")
    assert (end["update"], end["loss"], end["diverged_at"]) == (3, 9.0, 4)
    figure = loss.RECIPE.draw(table)
    texts = shown_texts(figure)
    assert "diverged at update 4" in texts
    assert "pure-bf16: diverged at update 4" in texts
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in crosses] == [(3, 9.0)]
    complete = shown_texts(loss.RECIPE.draw(loss.RECIPE.table([scalars([8, 7], precision="fp32")])))
    assert not any("diverged" in text for text in complete)


def test_losses_that_are_no_numbers_are_not_drawn():
    table = loss.RECIPE.table([diverged(scalars([8, 7, np.inf, np.nan, 1]), at=5)])
    assert rows(table, EACH)["update"].tolist() == [1, 2]
    assert np.isfinite(table["loss"]).all()


def test_a_run_that_diverged_at_once_is_still_named():
    table = loss.RECIPE.table([diverged(scalars([8], precision="fp32"), at=1)])
    assert "fp32: diverged at update 1" in shown_texts(loss.RECIPE.draw(table))


@pytest.mark.parametrize(("highest", "scale"), [(8.0, "linear"), (58.0, "log")])
def test_scale_is_logarithmic_only_if_one_run_would_flatten_the_rest(highest, scale):
    figure = loss.RECIPE.draw(loss.RECIPE.table([scalars([highest, 5, 4])]))
    assert figure.axes[0].get_yscale() == scale
