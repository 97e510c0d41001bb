"""The figure of clouds: planted ones of numbers that are known, and matrices without any."""

import numpy as np
import pytest
from figures.figure_data import misplaced_texts, shown_texts
from figures.matrix_data import CLOUD, NEAR, TOKENS, WIDTH, clouded

from deadtokens.figures import matrix_cloud
from deadtokens.figures.matrices import KNOWN, OTHER


@pytest.fixture(scope="module")
def table():
    return matrix_cloud.table([clouded(), clouded("$\\frac{ =cmd()", format="bfloat16")])


def panel(table, name, model="theirs"):
    return table[(table["panel"] == name) & (table["model"] == model)]


def test_the_plane_has_the_cloud_and_who_is_as_near(table):
    rows = panel(table, "plane")
    assert rows["population"].value_counts().to_dict() == {KNOWN: CLOUD, OTHER: NEAR}
    # The others were put at the centroid, but for what rounding to bfloat16 takes.
    assert rows.loc[rows["population"] == OTHER, ["x", "y"]].abs().max().max() < 0.005
    assert rows.loc[rows["population"] == KNOWN, "x"].std() > 0.008


def test_distances_are_counted_over_the_radius(table):
    rows = panel(table, "distance")
    assert rows.groupby("population")["count"].sum().to_dict() == {
        KNOWN: CLOUD,
        OTHER: TOKENS - CLOUD,
    }
    assert rows.groupby("population")["share"].sum().tolist() == pytest.approx([1, 1])
    of_cloud = rows[(rows["population"] == KNOWN) & (rows["count"] > 0)]
    assert 0.3 < of_cloud["lower"].min() < 1 < of_cloud["upper"].max() < 2
    assert (rows["shell_of_others"] == NEAR).all()


def test_centroids_and_units_are_those_of_the_file(table):
    data, rows = clouded(), panel(table, "centroids")
    assert rows["y"].tolist() == data["cloud_centroid"].values.tolist()
    assert rows["x"].tolist() == data["other_centroid"].values.tolist()
    fine, coarse = (panel(table, "units", model) for model in ("theirs", "$\\frac{ =cmd()"))
    assert fine["count"].sum() == coarse["count"].sum() == WIDTH
    median = [rows.loc[rows["count"] > 0, "lower"].median() for rows in (fine, coarse)]
    assert np.log2(median[0] / median[1]) == pytest.approx(16, abs=1.5)


def test_each_matrix_has_a_line_of_panels_that_says_whose_it_is(table):
    figure = matrix_cloud.draw(table)
    texts = " ".join(shown_texts(figure))
    for model in ("theirs", "$\\frac{ =cmd()"):
        assert f"{model}: <script>, " in texts
    assert f"cloud: the {CLOUD} rows known to be unused" in texts.replace("\n", " ")
    assert texts.count(f"{NEAR} others no farther") == 2
    assert len(figure.axes) == 8
    assert misplaced_texts(figure) == []


def test_a_name_of_many_lines_has_its_room(table):
    long = table.assign(matrix=table["matrix"].where(table["model"] != "theirs", 900 * "#"))
    figure = matrix_cloud.draw(long)
    assert "".join(shown_texts(figure)).replace("\n", "").count("#") == 900
    assert misplaced_texts(figure) == []
    (panel, *_), (other, *_) = (place.axes for place in figure.subfigs)
    heights = [one.get_window_extent().height for one in (panel, other)]
    assert heights[0] >= heights[1]


def test_a_cloud_on_one_vector_is_drawn():
    table = matrix_cloud.table([clouded(deviation=0)])
    assert panel(table, "units")["count"].sum() == 0
    figure = matrix_cloud.draw(table)
    assert f"0 in {WIDTH} components" in shown_texts(figure)
    assert misplaced_texts(figure) == []


def test_where_no_matrix_has_a_cloud_the_figure_says_so():
    table = matrix_cloud.table([clouded(cloud=0, deviation=1)])
    assert table.empty and list(table.columns) == list(matrix_cloud.TYPES)
    assert shown_texts(matrix_cloud.draw(table)) == [matrix_cloud.NOTHING]


def test_a_matrix_without_a_cloud_leaves_the_others_in_place():
    table = matrix_cloud.table([clouded("nothing", cloud=0, deviation=1), clouded()])
    assert table["model"].unique().tolist() == ["theirs"]


def test_of_many_rows_some_are_drawn_evenly(monkeypatch):
    monkeypatch.setattr(matrix_cloud, "MOST", 20)
    rows = panel(matrix_cloud.table([clouded()]), "plane")
    assert (rows["population"] == KNOWN).sum() == 20
    assert (panel(matrix_cloud.table([clouded()]), "distance")["count"].sum()) == TOKENS
