import numpy as np
from figures.figure_data import freezing, shown_texts

from deadtokens.figures import frozen, still


def test_components_are_counted_one_by_one():
    runs = [freezing([(0.0, 1.0), (0.5, 0.25)], precision="pure-bf16")]
    table = still.RECIPE.table(runs)
    dead = table[table["population"] == "dead"]
    assert dead["still_fraction"].tolist() == [0.5, 0.75]  # a moving token has half of them
    tokens = frozen.RECIPE.table(runs)
    assert tokens[tokens["population"] == "dead"]["frozen_fraction"].tolist() == [0, 0.5]
    figure = still.RECIPE.draw(table)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.5, 0.75]
    assert figure.axes[0].get_ylabel().startswith("fraction of components at rest")


def test_a_vocabulary_without_dead_tokens():
    table = still.RECIPE.table([freezing([(np.nan, 0.0)] * 2, dead=[False, False])])
    assert "no dead tokens recorded" in shown_texts(still.RECIPE.draw(table))
