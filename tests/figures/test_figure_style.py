"""One look for all figures, whatever text they carry and whatever the user's settings say."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from figures.figure_data import misplaced_texts, shown_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from deadtokens.figures import directions, matrices, matrix_distances, style, walls
from deadtokens.figures.axes import label_updates, power_of_ten
from deadtokens.study.figures import ANIMATION, FIGURES, OF_MATRICES


def example() -> style.Figure:
    with style.look():
        figure = style.blank(2)
        figure.subplots().plot([1, 2], [3, 4])
    return figure


def lightness(color: str) -> float:
    """CIE L* of an sRGB colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return 116 * luminance ** (1 / 3) - 16


OF_INDICATORS = {name: stroke for name, (_, stroke) in matrices.INDICATORS.items()}


@pytest.mark.parametrize("strokes", [style.REGIMES, style.POPULATIONS, OF_INDICATORS])
def test_strokes_differ_in_grey_and_without_colour(strokes):
    for first, second in combinations(strokes.values(), 2):
        assert abs(lightness(first.color) - lightness(second.color)) > 8
        assert first.dashes != second.dashes


def test_two_hues_of_one_lightness_would_fail_that_check():
    assert abs(lightness("#d04040") - lightness("#208a40")) < 8


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("$\\frac{", "$\\frac{"),
        ("=cmd()", "=cmd()"),
        ("<script>", "<script>"),
        ("a\nb\x07", "a\\nb\\x07"),
        ("ก", "\\u0e01"),
        ("\ud800", "\\ud800"),
        ("é 10⁻⁷", "é 10⁻⁷"),
    ],
)
def test_hostile_text_is_drawn_literally_or_escaped(text, drawn):
    assert style.as_drawn(text) == drawn


def test_long_text_is_wrapped_and_never_cut():
    assert style.as_drawn("aaa bbb ccc", 7) == "aaa bbb\nccc"
    assert style.as_drawn("tensors W + grad, bf16-weights", 24) == "tensors W + grad,\nbf16-weights"
    assert style.as_drawn("tied false, weight decay 0.1 (n = 2)", 20) == (
        "tied false,\nweight decay 0.1\n(n = 2)"
    )
    assert style.as_drawn("x" * 100, 10) == "\n".join(["x" * 10] * 10)


def test_the_figure_grows_by_what_long_titles_need():
    figure = style.blank(2)
    above, below = figure.subplots(2)
    style.set_titles(figure, {above: "1\n2\n3\n4", below: "1\n2"})
    assert figure.get_figheight() == 2 + 2 * style.LINE_HEIGHT


@settings(max_examples=6, deadline=None)
@given(st.text(max_size=60))
def test_any_title_can_be_drawn(title):
    figure = example()
    style.set_title(figure, title, title)
    with style.look():
        figure.draw_without_rendering()


@pytest.mark.parametrize("length", [1, 40])
def test_the_experiment_stands_small_between_title_and_panels(length):
    figure = example()
    panel = figure.axes[0].get_window_extent().height
    style.set_title(figure, "what is shown " * length, "whose runs " * length)
    assert misplaced_texts(figure) == []
    title, experiment = (
        next(text for text in figure.findobj(Text) if text.get_text().startswith(start))
        for start in ("what", "whose")
    )
    assert experiment.get_fontsize() < title.get_fontsize()
    assert experiment.get_window_extent().y1 < title.get_window_extent().y0
    (axes,) = figure.axes
    assert experiment.get_window_extent().y0 > axes.get_window_extent().y1
    assert axes.get_window_extent().height >= panel - 5


def test_title_is_not_parsed_as_mathematics():
    figure = example()
    style.set_title(figure, "$\\frac{ costs 5$")
    assert "$\\frac{ costs 5$" in shown_texts(figure)
    assert misplaced_texts(figure) == []


def test_the_same_title_parsed_as_mathematics_would_fail():
    figure = example()
    figure.suptitle("$\\frac{ costs 5$", parse_math=True)
    with pytest.raises(ValueError, match="frac"):
        figure.draw_without_rendering()


def test_overlapping_and_clipped_texts_are_found():
    figure = example()
    figure.text(0.5, 0.5, "one")
    figure.text(0.5, 0.5, "two")
    figure.text(0.99, 0.1, "far out")
    assert misplaced_texts(figure) == ["far out", "one / two"]


def test_the_users_matplotlibrc_does_not_matter(monkeypatch):
    before = example()
    monkeypatch.setitem(style.matplotlib.rcParams, "axes.facecolor", "pink")
    monkeypatch.setitem(style.matplotlib.rcParams, "lines.linewidth", 9)
    after = example()
    for figure in (before, after):
        (axes,) = figure.axes
        assert axes.get_facecolor() == (1, 1, 1, 1)
        assert axes.lines[0].get_linewidth() == 1.2


def test_axis_of_updates_says_what_is_left_out():
    def label(updates, **columns):
        axes = example().axes[0]
        label_updates(axes, pd.DataFrame({"update": updates, **columns}))
        return axes.get_xlabel()

    assert label([1, 2, 3, 4]) == "update"
    assert label([1]) == "update"
    assert label([1, 4, 7, 10, 12]) == "update (one in 3 drawn)"
    assert label([1, 4, 7], last_update=[3, 6, 7]) == "update (in bins of 3)"
    assert label([1, 2], last_update=[1, 2]) == "update"


def test_numbers_in_labels():
    assert power_of_ten(-12) == "10⁻¹²"
    assert style.number_of(pd.Series([1012, 1012])) == "1,012"
    assert style.number_of(pd.Series([2249, 1012])) == "1,012–2,249"


def test_no_figure_imports_seaborn_or_scipy_stats_but_those_that_need_it():
    """What a figure's process imports is most of its time; scipy.stats comes with seaborn."""
    own = ("directions", "walls", "matrix_distances")
    others = [name for name in (*FIGURES, ANIMATION, *OF_MATRICES) if name not in own]
    modules = ", ".join(f"deadtokens.figures.{name}" for name in others)
    code = (
        f"import sys, {modules}; print({{'seaborn', 'scipy.stats', 'torch'}} & sys.modules.keys())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
    assert "seaborn" in vars(directions)
    assert "seaborn" in vars(walls)
    assert "area_under_curve" in vars(matrix_distances)
