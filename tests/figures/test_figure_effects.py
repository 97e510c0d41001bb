"""The figure of effects: what is drawn where, and what is said where there is nothing to draw."""

import numpy as np
import pytest
from figures.figure_data import outcomes, shown_texts

from deadtokens.errors import UserError
from deadtokens.figures import effects

TWO_SEEDS = {("a", 0): 0.1, ("a", 1): 0.2, ("b", 0): 0.5, ("b", 1): 0.9}


def drawn(values):
    table = effects.RECIPE.table([outcomes(values)])
    return table, effects.RECIPE.draw(table)


def points(axes, marker):
    """Return the values drawn with a marker, and how far from the top."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return sorted(
        (float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)
    )


def test_every_seed_the_mean_and_its_interval_are_drawn():
    data = outcomes(TWO_SEEDS).sel(outcome="frozen").squeeze("contrast")
    _, figure = drawn(TWO_SEEDS)
    left, right = figure.axes[:2]
    assert [value for value, _ in points(left, "o")] == [0.1, 0.2, 0.5, 0.9]
    assert points(left, "o")[0][1] < points(left, "o")[2][1]  # a above b
    assert [value for value, _ in points(right, "o")] == pytest.approx([0.4, 0.7])
    ((mean, place),) = points(right, "D")
    assert mean == pytest.approx(0.55)
    assert place > points(right, "o")[0][1]
    (bar,) = right.collections[0].get_segments()
    assert bar[:, 0].tolist() == [float(data.low), float(data.high)]


def test_the_primary_outcome_comes_first():
    table, figure = drawn(TWO_SEEDS)
    shown = list(dict.fromkeys(table["outcome"]))
    assert shown == ["frozen", *effects.SECONDARY]
    titles = [text for text in shown_texts(figure) if text.partition(": ")[1]]
    assert [text.partition(": ")[0].replace(" ", "_") for text in titles] == shown


def test_runs_of_a_seed_are_joined_and_have_its_colour():
    _, figure = drawn(TWO_SEEDS)
    colors = [line.get_color() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert len(set(colors)) == 2
    joined = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "None"]
    assert [list(line) for line in joined] == [[0.1, 0.5], [0.2, 0.9]]


def test_one_seed_has_dots_no_interval_and_it_is_said():
    table, figure = drawn({("a", 3): 0.1, ("b", 3): 0.5})
    assert "seed 3 (one seed: no interval)" in shown_texts(figure)
    right = figure.axes[1]
    assert [value for value, _ in points(right, "o")] == [0.4]
    assert points(right, "D") == []
    means = table[table["series"] == "mean"]
    assert means["value"].tolist() == [0.4] * 6
    assert means[["low", "high"]].isna().all(axis=None)


def test_what_is_not_there_is_said():
    _, alone = drawn({("a", 0): np.nan})
    assert {"no run has a number", "no setting is changed alone"} <= {*shown_texts(alone)}
    _, without_pair = drawn({("a", 0): 0.1, ("b", 0): np.nan})
    assert "no pair of runs has a number" in shown_texts(without_pair)


def test_two_experiments_are_not_drawn_together():
    data = outcomes(TWO_SEEDS)
    with pytest.raises(UserError, match="2 files are given"):
        effects.RECIPE.table([data, data])
