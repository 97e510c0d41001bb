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
    marks = {
        y: (x, line.get_markerfacecolor() != "white")
        for line in moved.lines
        if line.get_marker() == "o"
        for x, y in zip(*line.get_data(), strict=True)
    }
    beyond, filled = marks.pop(1)  # nobody was so judged
    assert beyond > 1 and not filled
    assert marks == {0: (0.5, True), 2: (0.5, True)}
    assert "none" in [label.get_text() for label in moved.get_xticklabels()]
    texts = shown_texts(figure)
    assert "judged after half of the record: update 15" in texts
    assert "none: not defined, as no token was so judged or none moved again" in texts


def test_without_a_mark_that_is_not_defined_nothing_is_said_of_any():
    data = of_three(precision="fp32")
    data["forecast_tokens"][:], data["forecast_moved"][:] = 4, 2
    data["forecast_shift_quantile"][:] = 5
    texts = shown_texts(forecast.RECIPE.draw(forecast.RECIPE.table([data])))
    assert not any("none" in text for text in texts)


def test_a_run_without_dead_tokens_is_said_to_have_none():
    table = forecast.RECIPE.table([freezing_in_depth(dead=[False])])
    assert "no dead tokens" in shown_texts(forecast.RECIPE.draw(table))
