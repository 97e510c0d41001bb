import numpy as np
import pytest
from figures.figure_data import diverged, freezing_in_depth, shown_texts

from deadtokens.figures import style, ulps


def test_quantiles_are_those_of_the_file():
    run = freezing_in_depth(precision="fp32")
    run["ulp_distance_quantile"][:, :, 1:] = -1  # other norms
    run["ulp_distance_quantile"][:, :, :, 1] = -1  # the recorded grid
    table = ulps.RECIPE.table([run])
    dead = table[(table["population"] == "dead") & (table["quantile"] == 0.5)]
    largest = dead[dead["measure"] == ulps.LARGEST]["ulps"]
    np.testing.assert_allclose(largest, np.geomspace(1e4, 1e-2, 30), rtol=1e-12)
    steps = dead[dead["measure"] == ulps.STEPS]["ulps"]
    np.testing.assert_array_equal(steps, np.geomspace(1e4, 1e-2, 30).round())


def test_the_wall_is_half_an_ulp_and_stands_by_the_displacements_only():
    steps, largest = ulps.RECIPE.draw(ulps.RECIPE.table([freezing_in_depth()])).axes
    walls = [line for line in largest.lines if line.get_color() == ulps.RED["color"]]
    assert [set(line.get_ydata()) for line in walls] == [{0.5}]
    assert not [line for line in steps.lines if line.get_color() == ulps.RED["color"]]


def test_zeros_stay_in_sight():
    figure = ulps.RECIPE.draw(ulps.RECIPE.table([freezing_in_depth()]))
    steps = figure.axes[0]
    assert "exactly 0" in shown_texts(figure)
    assert steps.get_ylim()[0] <= 0.1
    color = style.POPULATIONS["dead"].color
    (median,) = [line for line in steps.lines if line.get_color() == color]
    assert np.min(median.get_ydata()) > steps.get_ylim()[0]


@pytest.mark.parametrize("at", [1, 12])
def test_diverged_runs(at):
    runs = [
        diverged(freezing_in_depth(run="a", precision="fp32"), at=at),
        freezing_in_depth(run="b", precision="mixed", dead=[False]),
    ]
    figure = ulps.RECIPE.draw(ulps.RECIPE.table(runs))
    assert f"fp32: diverged at update {at}" in shown_texts(figure)
