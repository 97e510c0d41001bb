import numpy as np
import pytest
from figures.figure_data import attribution, diverged, shown_texts
from matplotlib.colors import to_hex

from deadtokens.figures import ages, bands, shares

HALF = [(0.0, 0.25, 0.75, 0.0)]


def rows(table, name):
    return table[table["part"] == shares.MOTION.parts[name][1]]


def test_ranges_grow_by_half_a_decade_and_end_with_the_run():
    assert bands.edges(1500) == [1, 3, 10, 32, 100, 316, 1000, 1501]
    assert bands.edges(1000) == [1, 3, 10, 32, 100, 316, 1000, 1001]
    assert bands.edges(999)[-2:] == [316, 1000]
    assert bands.edges(2) == [1, 3]
    assert bands.edges(1) == [1, 2]


def test_shares_of_a_range_weigh_the_updates_by_their_squared_displacement():
    table = shares.RECIPE.table([attribution([(0, 1, 0, 0), (0, 0, 1, 0)], [1.0, 2.0])])
    assert (table["first_update"] == 1).all()
    assert (table["last_update"] == 2).all()
    assert rows(table, "present")["share"].tolist() == [0.2]
    assert rows(table, "momentum")["share"].tolist() == [0.8]
    assert table["share"].sum() == pytest.approx(1)
    assert table["bar"].abs().sum() == pytest.approx(1)


def test_what_pulls_back_is_drawn_below_and_the_rest_is_the_displacement():
    data = attribution([(0, 1, 4, -4)], [1.0])
    table = shares.RECIPE.table([data])
    assert rows(table, "momentum")["share"].tolist() == [4]
    bars = table.set_index("part")["bar"]
    assert bars.tolist() == pytest.approx([4 / 9, 1 / 9, 0, -4 / 9])
    (axes,) = shares.RECIPE.draw(table).axes
    heights = sorted(patch.get_height() for patch in axes.patches)[:1]
    assert heights == pytest.approx([-4 / 9])
    assert axes.lines[-1].get_ydata() == pytest.approx([1 / 9, 1 / 9])
    assert "× 4.0" in [text.get_text() for text in axes.texts]


def test_the_strip_has_the_colour_of_the_leading_term():
    (axes,) = shares.RECIPE.draw(shares.RECIPE.table([attribution(HALF, [1.0])])).axes
    cell = [patch for patch in axes.patches if patch.get_y() == bands.STRIP[0]]
    assert [to_hex(patch.get_facecolor()) for patch in cell] == [shares.MOTION.parts["momentum"][0]]
    assert [text.get_text() for text in axes.texts] == ["75%"]


def test_a_range_at_rest_says_so():
    moving = [HALF[0]] * 2 + [(np.nan,) * 4] * 7
    table = shares.RECIPE.table([attribution(moving, [1.0] * 2 + [0.0] * 7)])
    assert rows(table, "momentum")["share"].tolist() == pytest.approx([0.75, np.nan], nan_ok=True)
    assert "at rest" in shown_texts(shares.RECIPE.draw(table))


def test_runs_of_several_seeds_are_summed_up():
    one = attribution([(0, 1, 0, 0)], [1.0], run="a", precision="fp32", seed=1)
    other = attribution([(0, 0, 1, 0)], [3.0], run="b", precision="fp32", seed=2)
    table = shares.RECIPE.table([one, other])
    assert rows(table, "momentum")["share"].tolist() == [0.9]
    assert table["runs"].unique().tolist() == [2]
    assert "fp32 (2 runs)" in shown_texts(shares.RECIPE.draw(table))


def test_shares_of_ages_are_of_what_the_gradients_ask_for():
    data = attribution(HALF * 2, [1.0, 1.0], ages=[(1, 1, 2, 0, -1)] * 2)
    table = ages.RECIPE.table([data]).set_index("part")
    assert table["share"].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 0, -1 / 3])
    assert table["bar"].tolist() == pytest.approx([0.2, 0.2, 0.4, 0, -0.2])


@pytest.mark.parametrize("figure", [shares, ages])
def test_runs_without_dead_tokens_or_updates_are_named(figure):
    runs = [
        attribution(HALF * 4, [1.0] * 4, run="a", precision="fp32", dead=0),
        diverged(attribution(HALF * 4, [1.0] * 4, run="b", precision="mixed"), at=1),
        diverged(attribution(HALF * 4, [1.0] * 4, run="c", precision="pure-bf16"), at=3),
    ]
    texts = shown_texts(figure.RECIPE.draw(figure.RECIPE.table(runs)))
    assert "fp32: no dead tokens" in texts
    assert "mixed: diverged at update 1" in texts
    assert "pure-bf16: diverged at update 3" in texts
    figure.RECIPE.draw(figure.RECIPE.table(runs[:1]))


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
def test_steady_shares_are_those_of_a_first_moment_of_equal_gradients(beta1):
    updates = np.array([1, 2, 5, 30, 200])
    ages_of = {"present": (0, 1), "1-9": (1, 10), "10-99": (10, 100), ">=100": (100, np.inf)}
    for update in updates:
        weights = (1 - beta1) * np.array([beta1**age for age in range(update)])
        for first, beyond in ages_of.values():
            expected = weights[first : None if np.isinf(beyond) else beyond].sum() / weights.sum()
            found = bands.steady_share(beta1, first, beyond, np.array([update]))
            assert found == pytest.approx(expected)
    momentum = bands.steady_share(beta1, 1, np.inf, updates)
    assert momentum[0] == 0  # the first update has no past
    assert momentum[-1] == pytest.approx(beta1)  # an identity, whatever the gradient


def test_the_share_of_a_steady_gradient_is_dotted_across_the_bar():
    data = attribution([(0, 0.2, 0.8, 0)] * 2, [1.0, 1.0], beta1=0.5)
    table = shares.RECIPE.table([data])
    expected = (0 + 0.5 * 0.5 / 0.75) / 2  # of updates 1 and 2, equally long
    assert rows(table, "momentum")["steady"].tolist() == pytest.approx([expected])
    assert rows(table, "present")["steady"].tolist() == pytest.approx([1 - expected])
    assert rows(table, "rounding")["steady"].tolist() == [0]
    (axes,) = shares.RECIPE.draw(table).axes
    dotted = [line.get_ydata() for line in axes.lines if line.get_color() == "white"]
    drawn = [heights for heights in dotted if np.isfinite(heights).all()]
    assert np.ravel(drawn) == pytest.approx([expected] * 2)
