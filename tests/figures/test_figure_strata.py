import numpy as np
from figures.figure_data import diverged, freezing_in_depth, shown_texts

from deadtokens.figures import phases, strata


def drawn_image(axes):
    """Return the phases drawn, (tokens, stretches), and the edges of the stretches."""
    (mesh,) = axes.collections
    edges = mesh.get_coordinates()[0, :, 0]
    return mesh.get_array(), edges


def test_stretches_are_those_of_the_file():
    table = strata.RECIPE.table([freezing_in_depth(updates=8, precision="fp32")])
    assert table[["row", "token", "update", "phase"]].values.tolist() == [
        [0, 0, 1, "early"],
        [0, 0, 3, "midlife"],
        [0, 0, 5, "late"],
        [0, 0, 7, "frozen"],
        [1, 1, 1, "early"],
        [1, 1, 3, "midlife"],
        [1, 1, 5, "late"],
    ]
    assert (table["last"] == 8).all()


def test_the_picture_is_the_file_in_other_words():
    figure = strata.RECIPE.draw(strata.RECIPE.table([freezing_in_depth(updates=8)]))
    image, edges = drawn_image(figure.axes[0])
    assert image.tolist() == [[0, 1, 2, 3], [0, 1, 2, 2]]
    assert edges.tolist() == [1, 3, 5, 7, 9]
    assert figure.axes[0].get_xscale() == "log"


def test_random_phases_are_drawn_as_they_are():
    generator = np.random.default_rng(2)
    run = freezing_in_depth(updates=40)
    phases = generator.integers(0, 4, (2, 40)).astype(np.uint8)
    run["strata"] = (("row", "column"), phases)
    image, edges = drawn_image(strata.RECIPE.draw(strata.RECIPE.table([run])).axes[0])
    at = np.searchsorted(edges, np.arange(1, 41), "right") - 1
    assert (image[:, at] == phases).all()


def test_the_panel_says_how_many_of_the_dead_are_shown():
    run = freezing_in_depth(dead=[True] * 1011 + [False], precision="fp32")
    texts = shown_texts(strata.RECIPE.draw(strata.RECIPE.table([run])))
    assert any("2 of 1,011 dead tokens" in text for text in texts)


def test_the_legend_says_on_which_grid_a_token_is_frozen():
    runs = [freezing_in_depth(precision="fp32")]
    texts = set(shown_texts(strata.RECIPE.draw(strata.RECIPE.table(runs))))
    assert "frozen: no bit of the bfloat16 changed" in texts
    assert set(phases.MEANING.values()) <= texts & set(
        shown_texts(phases.RECIPE.draw(phases.RECIPE.table(runs)))
    )


def test_runs_without_dead_tokens_or_updates():
    runs = [
        freezing_in_depth(run="a", precision="fp32", dead=[False]),
        diverged(freezing_in_depth(run="b", precision="mixed"), at=1),
        diverged(freezing_in_depth(run="c", precision="pure-bf16"), at=9),
    ]
    texts = shown_texts(strata.RECIPE.draw(strata.RECIPE.table(runs)))
    assert sum("no dead tokens, or no update" in text for text in texts) == 2
