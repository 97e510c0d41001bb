import numpy as np
from figures.figure_data import freezing_in_depth, shown_texts

from deadtokens.figures import forecast
from deadtokens.freezing.lasting import SETTLED, UNSETTLED


def of_three(**settings):
    """Return a run of eight dead tokens: of two settled ones one moved again, five later."""
    data = freezing_in_depth(dead=[True] * 8 + [False], **settings)
    data["forecast_tokens"].loc[{"cut": 0.5, "grid": "recorded"}] = [2, 0, 6]
    data["forecast_moved"].loc[{"cut": 0.5, "grid": "recorded"}] = [1, 0, 3]
    data["forecast_shift_quantile"].loc[{"cut": 0.5, "judgement": SETTLED, "quantile": 0.5}] = 5
    return data


def test_fractions_are_of_the_dead_and_of_those_so_judged():
    table = forecast.RECIPE.table([of_three(precision="fp32")])
    rows = table[table["cut"] == 0.5].set_index("judgement")
    assert rows["tokens"].tolist() == [2, 0, 6]
    assert rows["judged"].tolist() == [0.25, 0, 0.75]
    assert rows.loc[SETTLED, ["moved", "later"]].tolist() == [0.5, 5]
    assert np.isnan(rows.loc[UNSETTLED, "moved"])  # nobody was so judged
    assert rows["update"].unique() == [15]


def test_a_mark_stands_where_the_table_says():
    table = forecast.RECIPE.table([of_three(precision="fp32")])
    figure = forecast.RECIPE.draw(table)
    moved = figure.axes[4]
    (marks,) = (line for line in moved.lines if line.get_marker() == "o")
    assert marks.get_xdata()[0] == 0.5
    assert marks.get_ydata().tolist() == [0, 1, 2]
    assert "judged after half of the record: update 15" in shown_texts(figure)


def test_a_run_without_dead_tokens_is_said_to_have_none():
    table = forecast.RECIPE.table([freezing_in_depth(dead=[False])])
    assert "no dead tokens" in shown_texts(forecast.RECIPE.draw(table))
