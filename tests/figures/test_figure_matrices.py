"""Figures of an examined matrix: what is known, what is not, what has no number."""

import numpy as np
import pytest
from figures.figure_data import misplaced_texts, shown_texts
from figures.matrix_data import examined, random_matrix
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.errors import UserError
from deadtokens.figures import matrices, matrix_distances, matrix_holes, matrix_norms, matrix_roc
from deadtokens.figures.matrices import KNOWN, OTHER, REFERENCE, SUSPECT
from deadtokens.matrices.examination import VARIABLES
from deadtokens.matrices.indicators import INDICATORS
from deadtokens.statistics.roc import area_under_curve

NORM = [1, 1, 2, 3, 4, 5, 6, 7]
TO_MEAN = [9, 9, 9, 1, 1, 1, 1, 1]


def known(**fields):
    """Tokens 0 to 2 are known to be unused, 0 and 2 the reference; 7 is a suspect."""
    about = {"known": [0, 1, 2], "reference": [0, 2], "suspects": [1, 7]} | fields
    return examined({"norm": NORM, "to_mean": TO_MEAN}, **about)


def unknown(**fields):
    """Tokens 0 and 1 share their bits."""
    return examined({"norm": NORM, "to_mean": TO_MEAN, "cosine": NORM}, reference=[0, 1], **fields)


def counts(table, population, value="count"):
    rows = table[(table["population"] == population) & (table[value] > 0)]
    return {(round(row["lower"], 6), row[value]) for _, row in rows.iterrows()}


def test_words_and_variables_are_those_of_the_file():
    assert list(matrices.INDICATORS) == list(INDICATORS)
    needed = {"token_string", "known", "reference", "why", *matrices.AREA, *matrices.INDICATORS}
    assert needed <= VARIABLES.keys()


def test_norms_are_counted_by_kind():
    table = matrix_norms.table([known()])
    assert counts(table, KNOWN) == {(1.0, 1)}
    assert counts(table, REFERENCE) == {(1.0, 1), (1.96, 1)}
    assert counts(table, SUSPECT) == {(6.94, 1)}
    assert sum(count for _, count in counts(table, OTHER)) == 4
    of_kind = table.drop_duplicates("population").set_index("population")
    assert of_kind["tokens"].to_dict() == {OTHER: 4, KNOWN: 1, REFERENCE: 2, SUSPECT: 1}
    assert of_kind["median"].to_dict() == {OTHER: 4.5, KNOWN: 1, REFERENCE: 1.5, SUSPECT: 7}
    assert of_kind["others_below_median"].to_dict() == {
        OTHER: 0.5,
        KNOWN: 0,
        REFERENCE: 0,
        SUSPECT: 1,
    }


def test_norms_say_where_a_kind_stands_among_the_others():
    texts = shown_texts(matrix_norms.draw(matrix_norms.table([known()])))
    assert "suspect (n = 1): median 7, 100.0 % of the other rows are shorter" in texts
    assert "known unused (n = 1): median 1, 0.0 % of the other rows are shorter" in texts
    assert matrix_norms.OF_KNOWN in texts
    assert matrix_norms.OF_ALIKE not in texts


def test_norms_where_nothing_is_known():
    figure = matrix_norms.draw(matrix_norms.table([unknown()]))
    texts = shown_texts(figure)
    assert matrix_norms.OF_ALIKE in texts
    assert len(figure.axes) == 1 and not any(text.startswith(KNOWN) for text in texts)


def test_a_row_without_a_norm_is_counted_apart():
    table = matrix_norms.table([examined({"norm": [np.nan, 1, 2]}, suspects=[0])])
    of_kind = table.drop_duplicates("population").set_index("population")
    assert of_kind.loc[SUSPECT, ["tokens", "without_norm"]].tolist() == [1, 1]
    assert np.isnan(of_kind.loc[SUSPECT, "median"])
    assert table["count"].sum() == 2
    assert "suspect (n = 1, 1 without a norm)" in shown_texts(matrix_norms.draw(table))


def test_shares_of_the_known_and_of_all_others():
    table = matrix_distances.table([known()])
    norm, to_mean = (table[table["indicator"] == name] for name in ("norm", "to_mean"))
    assert counts(norm, KNOWN, "share") == {(1.0, 1.0)}
    assert [share for _, share in sorted(counts(norm, OTHER, "share"))] == [0.2] * 5
    assert counts(to_mean, OTHER, "share") == {(1.0, 1.0)}
    assert set(norm["area"]) == {1.0}  # the token 1 has a smaller norm than all others
    assert set(to_mean["area"]) == {0.0}
    assert set(norm.loc[norm["population"] == OTHER, "tokens"]) == {5}
    texts = shown_texts(matrix_distances.draw(table))
    assert "area 1.000 (no interval: one row alone)" in texts
    assert "known to be unused (n = 1)" in texts


def test_where_nothing_is_known_the_reference_is_not_asked_about_itself():
    table = matrix_distances.table([unknown()])
    areas = table.drop_duplicates("indicator").set_index("indicator")["area"]
    assert areas["norm"] == 1 and areas["to_mean"] == pytest.approx(1 / 12)  # a tie with one of 6
    assert np.isnan(areas["cosine"])
    figure = matrix_distances.draw(table)
    norm, to_mean, cosine = (axes.get_title(loc="left") for axes in figure.axes)
    assert norm == "area 1.000 (95 %: 0.342 to 1.000)" and to_mean.startswith("area 0.083 (95 %: 0")
    assert cosine == matrix_distances.OWN_REFERENCE
    assert "rows that share their bits (n = 2)" in shown_texts(figure)


def test_a_token_that_was_never_sampled_is_none_of_the_others():
    data = unknown()
    data["kind"][7] = "never sampled"
    table = matrix_distances.table([data])
    areas = table.drop_duplicates("indicator").set_index("indicator")["area"]
    assert areas["to_mean"] == pytest.approx(1 / 10)  # a tie with one of 5
    assert set(table.loc[table["population"] == OTHER, "tokens"]) == {5}


def test_an_indicator_without_a_value_is_drawn_empty():
    table = matrix_distances.table(
        [examined({"norm": NORM, "cosine": [np.nan] * 8}, known=[0, 1], reference=[0])]
    )
    cosine = table[table["indicator"] == "cosine"]
    assert cosine["count"].sum() == 0 and cosine["area"].isna().all()
    assert set(cosine.loc[cosine["population"] == OTHER, "without_value"]) == {6}
    texts = shown_texts(matrix_distances.draw(table))
    assert "no area" in texts
    assert "all others (n = 6, up to 6 without a value)" in texts


HOLES = [(5, 15, 4, 7), (2, 3, 3, 1)]


def test_holes_by_hand():
    data = known(holes=HOLES, strings=["", "", "$\\frac{", "", "", "<file_sep>"])
    table = matrix_holes.table([data])
    drawn = table[["first", "token_string", "tokens", "vectors", "largest"]]
    assert drawn.values.tolist() == [[5, "<file_sep>", 15, 4, 7], [2, "$\\frac{", 3, 3, 1]]
    figure = matrix_holes.draw(table)
    (axes,) = figure.axes
    assert {line.get_marker(): line.get_xdata().tolist() for line in axes.lines} == {
        "o": [15, 3],
        "D": [7, 1],
        "|": [4, 3],
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "<file_sep>  5",
        "$\\frac{  2",
    ]
    assert "2 clusters" in shown_texts(figure)


def test_the_largest_holes_are_drawn_and_all_are_counted():
    table = matrix_holes.table([random_matrix()])
    assert len(table) == matrix_holes.MOST and set(table["clusters"]) == {60}
    assert table["tokens"].is_monotonic_decreasing
    texts = shown_texts(matrix_holes.draw(table))
    assert "the largest 25 of 60 clusters; left out: near rows" in texts
    names = [matrix_holes.name_of(row) for row in table.to_dict("records")]
    assert max(map(len, names)) <= matrix_holes.LONGEST_NAME + 2 + len("180")
    assert "word6  6" in names


def test_a_long_string_is_cut():
    row = {"token_string": "x" * 128, "first": 1234}
    assert matrix_holes.name_of(row) == "x" * (matrix_holes.LONGEST_NAME - 1) + "…  1,234"


def test_a_matrix_without_holes():
    table = matrix_holes.table([known()])
    assert table.empty
    assert matrix_holes.NOTHING in shown_texts(matrix_holes.draw(table))


def test_corners_of_a_curve_by_hand():
    """Two unused before two others; a tie of one of each; then an unused one after another."""
    values = np.array([1, 2, 3, 3, 4, 5, 6])
    truth = np.array([True, True, True, False, False, False, True])
    corners = matrix_roc.curve(values, truth)
    assert corners["false_positive"].tolist() == pytest.approx([0, 0, 1 / 3, 1, 1])
    assert corners["true_positive"].tolist() == [0, 0.5, 0.75, 0.75, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=80))
def test_the_area_below_the_corners_is_the_area(tokens):
    values, truth = (np.array(column) for column in zip(*tokens, strict=True))
    corners = matrix_roc.curve(values, truth)
    area = area_under_curve(values.astype(float), truth).value
    if corners.empty:
        assert np.isnan(area)
        return
    x, y = corners["false_positive"], corners["true_positive"]
    assert np.trapezoid(y, x) == pytest.approx(area)
    assert (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()


def test_curves_are_of_the_known_that_are_no_reference():
    table = matrix_roc.table([known()])
    norm = table[table["indicator"] == "norm"]
    assert norm[["false_positive", "true_positive"]].values.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert set(norm["unused"]) == {1} and set(norm["others"]) == {5}
    to_mean = table[table["indicator"] == "to_mean"]
    assert to_mean["true_positive"].tolist() == [0, 0, 1]
    texts = shown_texts(matrix_roc.draw(table))
    assert "norm of the row: area 1.000 (no interval: one row alone)" in texts
    assert "1 known unused, 5 others" in texts


@pytest.mark.parametrize("data", [unknown(), known(known=[0], reference=[0])])
def test_without_a_truth_there_is_a_sentence(data):
    table = matrix_roc.table([data])
    assert table.empty
    figure = matrix_roc.draw(table)
    assert not figure.axes and matrix_roc.NOTHING.replace("\n", " ") in shown_texts(figure)


def test_an_indicator_without_a_value_has_no_curve():
    table = matrix_roc.table(
        [examined({"norm": NORM, "cosine": [np.nan] * 8}, known=[0, 1], reference=[0])]
    )
    assert set(table["indicator"]) == {"norm"}


@pytest.mark.parametrize("module", [matrix_norms, matrix_distances, matrix_holes, matrix_roc])
def test_one_matrix_is_drawn_and_named(module):
    with pytest.raises(UserError, match="2 files are given"):
        module.table([known(), known()])
    figure = module.draw(module.table([known(holes=HOLES)]))
    said = "$\\frac{ =cmd().gguf: <script>, q8_0, 8 rows of 8 components"
    assert said in shown_texts(figure)
    assert misplaced_texts(figure) == []
