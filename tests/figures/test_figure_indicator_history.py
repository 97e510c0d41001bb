import numpy as np
import pytest
from figures.figure_data import shown_texts
from figures.matrix_data import history

from deadtokens.figures import indicator_history
from deadtokens.figures.indicator_history import BEFORE, RECIPE
from deadtokens.figures.style import REGIMES
from deadtokens.matrices.history import VARIABLES
from deadtokens.matrices.indicators import INDICATORS, SEEN

STATES = [0, 1, 10, 100]
AREA = [0.5, 0.6, 0.96, 1.0]


def one(**fields):
    return history(AREA, STATES, **{"seen_from": 10, "precision": "fp32"} | fields)


def test_the_table_by_hand():
    table = RECIPE.table([one()])
    norm = table[table["indicator"] == "norm"]
    assert norm["update"].tolist() == STATES
    assert norm["area"].tolist() == AREA
    assert norm["area_low"].tolist() == pytest.approx([0.45, 0.54, 0.864, 0.9])
    assert norm["area_high"].tolist() == pytest.approx([0.55, 0.66, 1, 1])
    assert table.drop_duplicates("indicator")["seen_from"].tolist() == [10, -1, -1, -1, -1, -1]
    assert list(dict.fromkeys(table["indicator"])) == list(INDICATORS)


def lines(axes):
    return [line for line in axes.lines if line.get_color() == REGIMES["fp32"].color]


def test_state_0_stands_apart_and_the_line_of_seeing_is_drawn():
    figure = RECIPE.draw(RECIPE.table([one()]))
    first = figure.axes[0]
    assert [line.get_xdata().tolist() for line in lines(first)] == [[BEFORE], STATES[1:]]
    assert [line.get_ydata().tolist() for line in lines(first)] == [AREA[:1], AREA[1:]]
    assert [SEEN, SEEN] in [list(line.get_ydata()) for line in first.lines]
    last = figure.axes[-1]
    ticks = dict(zip(last.get_xticks(), last.get_xticklabels(), strict=True))
    assert {place: label.get_text() for place, label in ticks.items()} == {
        BEFORE: "0",
        1: "1",
        10: "10",
        100: "100",
    }


def test_state_0_stands_further_apart_on_a_long_axis():
    figure = RECIPE.draw(RECIPE.table([history(AREA, [0, 1, 10, 10**6], precision="fp32")]))
    assert lines(figure.axes[0])[0].get_xdata()[0] == pytest.approx(10**-0.6)
    assert figure.axes[-1].get_xticks()[0] == pytest.approx(10**-0.6)


def test_state_0_stands_nearer_on_a_short_axis():
    figure = RECIPE.draw(RECIPE.table([history(AREA, [0, 1, 2, 3], precision="fp32")]))
    low, high = np.log(figure.axes[0].get_xlim())
    place = np.log(lines(figure.axes[0])[0].get_xdata()[0])
    assert place == pytest.approx(-np.log(3) / 4)
    assert 1.5 * -place < 0.3 * (high - low)  # its strip takes no third of the panel


def test_titles_say_from_when_on_they_are_seen():
    figure = RECIPE.draw(RECIPE.table([one()]))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "norm of the row\nseen from update 10 on"
    assert titles[1] == "distance to the mean row\nnot seen at the end"


def test_of_several_runs_the_range_is_said():
    runs = [one(run=f"r{seed}", seed=seed, seen_from=at) for seed, at in enumerate((10, 100, -1))]
    figure = RECIPE.draw(RECIPE.table(runs))
    title = figure.axes[0].get_title(loc="left")
    assert title == "norm of the row\nseen from update 10–100 on,\nin 2 of 3 runs"


def test_a_state_without_an_area_is_a_gap():
    table = RECIPE.table([history([np.nan, 0.5, np.nan, 1], STATES, precision="fp32")])
    first = RECIPE.draw(table).axes[0]
    np.testing.assert_array_equal(lines(first)[1].get_ydata(), [0.5, np.nan, 1])


BAND = "95 % interval, at each single state"


def test_areas_without_an_interval_are_lines_without_a_band():
    """Of two or three dead tokens one is asked alone."""
    data = one()
    data["area_low"][:] = data["area_high"][:] = np.nan
    figure = RECIPE.draw(RECIPE.table([data]))
    assert [line.get_ydata().tolist() for line in lines(figure.axes[0])] == [AREA[:1], AREA[1:]]
    assert BAND not in shown_texts(figure)
    assert BAND in shown_texts(RECIPE.draw(RECIPE.table([data, one(run="b", seed=1)])))


def test_a_record_that_begins_later_has_no_strip():
    figure = RECIPE.draw(RECIPE.table([history(AREA[1:], STATES[1:], precision="fp32")]))
    assert figure.axes[0].get_xlim()[0] > BEFORE
    assert "0" not in shown_texts(figure)


def test_a_diverged_run_says_so():
    data = one().assign_attrs(status="diverged", diverged_at=101)
    table = RECIPE.table([data])
    ended = table[table["series"] == "diverged"]
    assert ended["update"].tolist() == [100] * len(INDICATORS)
    assert "fp32: diverged at update 101" in shown_texts(RECIPE.draw(table))


def test_a_run_that_diverged_without_another_area_is_marked_at_state_0():
    data = history([0.6, np.nan], [0, 1], precision="fp32")
    table = RECIPE.table([data.assign_attrs(status="diverged", diverged_at=2)])
    first = RECIPE.draw(table).axes[0]
    (cross,) = [line for line in first.lines if line.get_marker() == "x"]
    assert cross.get_xdata().tolist() == lines(first)[0].get_xdata().tolist() == [2**-0.25]
    assert cross.get_ydata().tolist() == [0.6]


def test_a_run_of_too_few_dead_tokens_is_left_out_and_alone_it_says_so():
    nobody = history([np.nan] * 4, STATES, "nobody", precision="mixed")
    assert RECIPE.table([one(), nobody])["run"].unique().tolist() == ["a"]
    figure = RECIPE.draw(RECIPE.table([nobody]))
    assert shown_texts(figure) == ["fewer than two dead tokens, or no live ones"]


def test_its_variables_are_those_of_the_file():
    assert {*indicator_history.NEEDED} - {"indicator"} <= VARIABLES.keys()
