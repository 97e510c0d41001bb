"""The figures of the drift: path, scree, directions, dependence, bulk."""

import numpy as np
import pandas as pd
import pytest
from figures.drift_data import drift, ended, exploded, without_dead
from figures.figure_data import shown_texts
from matplotlib.patches import Ellipse

from deadtokens.drift import tokens
from deadtokens.figures import bulk, dependence, directions, endpoint, path, scree, style

MODULES = (path, scree, directions, dependence, bulk, endpoint)


@pytest.mark.parametrize("module", MODULES)
def test_a_run_without_dead_tokens_is_said_to_have_none(module):
    figure = module.RECIPE.draw(module.RECIPE.table([without_dead(precision="fp32")]))
    assert any("no dead tokens" in text or "no motion" in text for text in shown_texts(figure))


def test_long_names_of_columns_stand_in_the_legend():
    runs = [drift(run=str(lr), precision="fp32", learning_rate_of_all_rows=lr) for lr in (1, 2)]
    texts = shown_texts(directions.RECIPE.draw(directions.RECIPE.table(runs)))
    assert {"1", "2", "1: learning rate of all rows 1", "2: learning rate of all rows 2"} <= set(
        texts
    )


@pytest.mark.parametrize("module", MODULES)
def test_runs_with_little_to_show_can_be_drawn(module):
    runs = [
        *(drift(run=f"{updates}", updates=updates, note=updates) for updates in (1, 2)),
        drift(run="still", moving=False, note="still"),
        exploded().assign_attrs(run="exploded", spec='{"note": "exploded"}'),
        ended(drift(run="ended", note="ended"), 9),
    ]
    assert shown_texts(module.RECIPE.draw(module.RECIPE.table(runs)))
    assert shown_texts(module.RECIPE.draw(module.RECIPE.table(runs[2:3])))


def test_the_path_is_that_of_the_file():
    data = drift(precision="fp32")
    table = path.RECIPE.table([data])
    centroid = table[table["series"] == path.CENTROID]
    expected = data["path"].sel(population="dead").values
    assert centroid["state"].tolist() == list(range(9))
    assert (centroid[["x", "y"]].to_numpy() == expected).all()
    assert table["efficiency"].unique() == pytest.approx(data["efficiency"].values[-1, 0])
    cloud = table[table["series"] == path.CLOUD]
    assert cloud["state"].tolist() == data["marked"].values.tolist()
    assert cloud["xx"].tolist() == data["ellipse"].values[:, 0, 0, 0].tolist()


def test_ellipses_have_the_clouds_axes_and_place():
    row = {"x": 1.0, "y": 2.0, "xx": 5.0, "xy": 4.0, "yy": 5.0, "state": 3}
    ellipse = path._ellipse(row, path.LogNorm(1, 10))
    assert ellipse.center == (1, 2)
    assert (ellipse.width, ellipse.height) == pytest.approx((12, 4))  # 4 roots of 9 and of 1
    assert ellipse.angle % 180 == pytest.approx(45)


def test_every_marked_state_has_its_ellipse():
    data = drift(precision="fp32")
    axes = path.RECIPE.draw(path.RECIPE.table([data])).axes[0]
    assert sum(isinstance(patch, Ellipse) for patch in axes.patches) == data.sizes["marked"]


def test_shares_bands_and_null_are_those_of_the_file():
    data = drift(precision="fp32")
    table = scree.RECIPE.table([data])
    rows = table[(table["source"] == "net displacement") & (table["centring"] == "raw")]
    chosen = data.sel(source="net displacement", centring="raw")
    assert rows["component"].tolist() == [1, 2, 3, 4]
    assert rows["share"].tolist() == chosen.share.values.tolist()
    assert rows[["low", "high"]].to_numpy().tolist() == chosen.share_band.values.tolist()
    assert rows["null_high"].tolist() == chosen.null_share.values[:, 2].tolist()
    assert "net displacements, raw more than chance: 1 leading component" in shown_texts(
        scree.RECIPE.draw(table)
    )


def test_the_legend_speaks_of_a_mean_only_where_one_is_drawn():
    runs = [drift(run=str(seed), precision="fp32", seed=seed) for seed in (1, 2, 3)]
    assert "fp32 (3 runs)" in shown_texts(scree.RECIPE.draw(scree.RECIPE.table(runs)))
    assert "fp32 (mean of 3 runs)" in shown_texts(bulk.RECIPE.draw(bulk.RECIPE.table(runs)))


def test_cosines_are_averaged_over_seeds_only():
    first, second = (
        drift(run=str(seed), thermal=seed, precision="fp32", seed=seed) for seed in (1, 2)
    )
    table = directions.RECIPE.table([first, second])
    figure = directions.RECIPE.draw(table)
    chosen = {"source": "net displacement", "centring": "raw", "leading": 1}
    expected = np.mean([one.cosine.sel(**chosen).values for one in (first, second)], axis=0)
    drawn = figure.axes[0].collections[0].get_array().filled(np.nan)
    assert drawn.shape[1] == 1
    assert drawn[:, 0] == pytest.approx(expected[np.isfinite(expected)])


def test_the_first_component_explains_most():
    table = directions.RECIPE.table([drift(precision="fp32")])
    rows = table[table["quantity"] == directions.EXPLAINED]
    for _, panel in rows.groupby(["source", "centring"]):
        own = panel.loc[panel["candidate"] == directions.OWN, "value"]
        assert (panel["value"] <= own.item() + 1e-9).all()


def test_cells_within_chance_are_grey():
    figure = directions.RECIPE.draw(directions.RECIPE.table([drift(precision="fp32")]))
    values = figure.axes[0].collections[0].get_array()[:, 0]
    by_chance = drift().attrs["chance_cosine"]
    for text in figure.axes[0].texts:
        row = int(text.get_position()[1])
        assert (text.get_color() == "#888888") == (abs(values[row]) <= by_chance)


@pytest.mark.parametrize(
    "value, text", [(-0.004, ".00"), (-0.5, "−.50"), (1.0, "1.00"), (-1.0, "−1.00")]
)
def test_numbers_in_cells(value, text):
    assert directions._written(value) == text


def test_every_property_and_likeness_has_its_row():
    rows = dependence.ROWS
    assert [*rows[dependence.NUMBER], *rows[dependence.CLASS]] == list(tokens.PROPERTIES)
    assert list(rows[dependence.PAIRS]) == list(tokens.LIKENESSES)
    assert list(dependence.RESPONSES) == list(tokens.RESPONSES)


def test_effects_and_their_intervals_are_those_of_the_file():
    data = drift(precision="fp32")
    table = dependence.RECIPE.table([data])
    for population, members in (("dead", 12), ("live", 24)):
        rows = table[(table["population"] == population) & (table["property"] == "initial norm")]
        assert rows["response"].tolist() == ["score", "residual"]
        chosen = data.sel(population=population, property="initial norm")
        assert rows["value"].tolist() == chosen.effect.values.tolist()
        assert rows[["low", "high"]].to_numpy().tolist() == chosen.effect_range.values.tolist()
        assert rows["beyond_chance"].tolist() == chosen.effect_beyond_chance.values.tolist()
        assert rows["tokens"].tolist() == rows["members"].tolist() == [members] * 2
    pairs = table[(table["kind"] == dependence.PAIRS) & (table["population"] == "dead")]
    near = data.sel(population="dead", likeness="initial position")
    assert pairs["property"].tolist() == ["near at the start"]
    assert pairs["value"].tolist() == [near.likeness_effect.item()]
    assert pairs[["low", "high"]].to_numpy().tolist() == [near.likeness_range.values.tolist()]
    assert "occurrences in the text" not in set(table["property"])  # the file does not have it


def test_places_at_the_end_stand_beside_those_at_the_start():
    data = drift(precision="fp32")
    rows = dependence.RECIPE.table([data]).query("kind == @dependence.PLACE")
    dead = rows[rows["population"] == "dead"].set_index("property")
    effect = data["place_effect"].sel(population="dead", number="initial cosine to h")
    found = dead.loc["initial cosine to h"]
    assert [found["at_start"], found["value"]] == effect.values.tolist()
    assert dead.loc["initial place along drift", "at_start"] == 1
    assert rows["beyond_chance"].isna().all()  # no tests


def planted_effects():
    """Return one run's table in which every kind has a mark beyond chance and one within it."""
    kinds = [
        (dependence.NUMBER, "score", "initial norm", 0.5, 0.4, 0.6, True),
        (dependence.NUMBER, "score", "length in bytes", 0.1, 0.01, 0.19, False),  # one of many
        (dependence.CLASS, "score", "script", 0.2, 0.0, 0.1, True),
        (dependence.CLASS, "score", "cause of death", 0.0, 0.01, 0.1, False),
        (dependence.PAIRS, "", "near at the start", -0.3, -0.1, 0.1, True),
        (dependence.PAIRS, "", "similar spelling", 0.05, -0.1, 0.1, False),
    ]
    names = ("kind", "response", "property", "value", "low", "high", "beyond_chance")
    planted = pd.DataFrame(kinds, columns=names)
    run = {"group": "fp32", "regime": "fp32", "label": "fp32", "run": "a"}
    return planted.assign(**run, population="dead", members=20, tokens=20)


def test_marks_are_filled_where_the_file_says_beyond_chance():
    rows = planted_effects()
    figure = dependence.RECIPE.draw(rows)
    marks = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "o"]
    found = {line.get_xdata()[0]: line.get_markerfacecolor() != "white" for line in marks}
    assert found == dict(zip(rows["value"], rows["beyond_chance"], strict=True))
    intervals = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    drawn = {tuple(line.get_xdata()) for line in intervals}
    assert {(0.4, 0.6), (0.01, 0.19)} <= drawn
    assert shown_texts(figure).count("no live tokens recorded") == 3


def test_what_is_no_test_is_neither_filled_nor_open():
    figure = dependence.RECIPE.draw(dependence.RECIPE.table([drift(precision="fp32")]))
    marks = [line for axes in figure.axes for line in axes.lines]
    styles = {
        shape: {line.get_fillstyle() for line in marks if line.get_marker() == shape}
        for shape in ("o", "D")
    }
    assert styles == {"o": {"full"}, "D": {"left"}}
    texts = shown_texts(figure)
    assert {f"with the place at the {when}: not tested" for when in ("end", "start")} <= {*texts}


@pytest.mark.parametrize("module", [dependence, endpoint])
def test_not_defined_hides_what_is_beneath_it_and_no_axis(module):
    figure = module.RECIPE.draw(module.RECIPE.table([drift(precision="fp32")]))
    with style.look():
        figure.draw_without_rendering()
    said = [(axes, text) for axes in figure.axes for text in axes.texts]
    assert {text.get_text() for _, text in said} == {"not defined"}
    for axes, text in said:
        ground, lines = text.get_bbox_patch(), axes.get_lines()
        assert ground.get_facecolor() == (1, 1, 1, 1)
        assert text.get_zorder() > max(line.get_zorder() for line in lines)
        box, panel = ground.get_window_extent(), axes.bbox
        assert panel.y0 < box.y0 and box.y1 <= panel.y1
        assert panel.x0 < box.x0 and box.x1 <= panel.x1


def test_a_mark_stands_in_the_row_of_its_name():
    figure = dependence.RECIPE.draw(planted_effects())
    first = figure.axes[0]
    names = [label.get_text() for label in first.get_yticklabels()]
    for line in first.lines:
        if line.get_marker() == "o":
            row = names[round(line.get_ydata()[0])]
            assert row == {0.5: "initial norm", 0.1: "length in bytes"}[line.get_xdata()[0]]


def test_each_run_has_its_marks():
    seeds = [drift(run=str(seed), thermal=seed, precision="fp32", seed=seed) for seed in (1, 2, 3)]
    figure = dependence.RECIPE.draw(dependence.RECIPE.table(seeds))
    heights = [
        line.get_ydata()[0]
        for line in figure.axes[0].lines
        if line.get_marker() == "o" and round(line.get_ydata()[0]) == 4
    ]
    assert len(set(heights)) == 3
    assert "fp32 (3 runs)" in shown_texts(figure)


def test_bulk_and_thermal_are_those_of_the_file():
    data = drift(precision="fp32")
    table = bulk.RECIPE.table([data])
    for name in bulk.QUANTITIES:
        values = table.loc[table["quantity"] == name, "value"]
        assert values.tolist() == data[name].sel(population="dead").values.tolist()


def test_a_panel_s_axis_names_its_quantity():
    data = drift(precision="fp32")
    of_bulk, of_shares = (
        [axes.get_ylabel().replace("\n", " ") for axes in drawn.axes]
        for drawn in (module.RECIPE.draw(module.RECIPE.table([data])) for module in (bulk, scree))
    )
    assert of_bulk == [
        *["displacement by one update (L2 norm; 12 dead tokens)"] * 2,
        "bulk² / (bulk² + thermal²)",
        "mean cosine between two tokens' displacements",
    ]
    variance = "share of the variance"
    assert of_shares == [*["share of the mean square", variance] * 2, variance]


def test_coherence_of_few_movers_is_not_drawn():
    data = drift(precision="fp32")
    data["movers"][3:] = 9
    table = bulk.RECIPE.table([data])
    values = table.loc[table["quantity"] == "pairwise_cosine", "value"]
    assert values.isna().tolist() == [False] * 3 + [True] * 5


def test_a_diverged_run_is_marked():
    figure = bulk.RECIPE.draw(
        bulk.RECIPE.table([drift(precision="fp32"), ended(drift(run="b", precision="mixed"), 9)])
    )
    assert "mixed: diverged at update 9" in shown_texts(figure)


def test_the_endpoint_is_that_of_the_file():
    data = drift(precision="fp32")
    table = endpoint.RECIPE.table([data])
    rest = data.sel(span="rest of the way")
    for quantity in (endpoint.COSINE, endpoint.LENGTH):
        rows = table[table["quantity"] == quantity].set_index("of")["value"]
        expected = rest[f"end_forecast_{quantity}"].to_series().drop(endpoint.STAY).dropna()
        assert rows.to_dict() == expected.to_dict()
    clues = table[table["quantity"] == endpoint.CLUE]
    assert clues["value"].tolist() == data["end_clue_cosine"].values.tolist()
    assert table["by_chance"].unique() == [data.attrs["chance_cosine"]]


def test_a_forecast_stands_in_its_own_row():
    table = endpoint.RECIPE.table([drift(precision="fp32")])
    first = endpoint.RECIPE.draw(table).axes[0]
    names = [label.get_text() for label in first.get_yticklabels()]
    rows = table[table["quantity"] == endpoint.COSINE].set_index("of")["value"]
    (marks,) = (line for line in first.lines if line.get_marker() == "o")
    found = {names[round(y)]: x for x, y in zip(*marks.get_data(), strict=True)}
    assert found == rows.to_dict()


def test_the_path_is_held_against_random_walks():
    data = drift(precision="fp32")
    rows = scree.RECIPE.table([data]).query("source == @scree.PATH")
    assert rows["share"].tolist() == data["path_share"].values.tolist()
    assert rows["null_high"].tolist() == data["walk_share"].values[:, 2].tolist()
    assert rows["above_null"].unique() == [int(data["path_components_above_walk"])]
    (about,) = path.RECIPE.table([data])["walk_efficiency"].unique()
    assert about == data["walk_efficiency"].values[-1, 0, 0]
    (about,) = path.RECIPE.table([data])["walk_plane_share"].unique()
    assert about == data["walk_plane_share"].values[1] != data["walk_share"].values[:2, 1].sum()


def test_the_common_motion_is_marked_at_the_first_raw_component_alone():
    data = drift(precision="fp32")
    table = scree.RECIPE.table([data])
    marked = table[table["common"].notna()]
    assert marked["component"].tolist() == [1, 1]
    assert marked["source"].tolist() == ["net displacement", "centroid displacement"]
    assert marked["common"].tolist() == data["common_share"].values[:2].tolist()
    raw, centred = scree.RECIPE.draw(table).axes[:2]
    drawn = [line for line in raw.lines if line.get_marker() == "_"]
    assert drawn[0].get_ydata()[0] == marked["common"].iloc[0]
    assert all(
        np.isnan(line.get_ydata()).all() for line in centred.lines if line.get_marker() == "_"
    )
