import numpy as np
from figures.figure_data import diverged, sharpening, shown_texts

from deadtokens.figures import sharpening as figure_sharpening
from deadtokens.figures.sharpening import LIMIT, PANELS
from deadtokens.freezing.sharpening import VARIABLES


def drawn(runs):
    return figure_sharpening.RECIPE.draw(figure_sharpening.RECIPE.table(runs))


def red(axes):
    return [line for line in axes.lines if line.get_color() == LIMIT["color"]]


def test_values_and_limits_are_those_of_the_file():
    run = sharpening(precision="fp32")
    table = figure_sharpening.RECIPE.table([run])
    for name in PANELS:
        rows = table[table["quantity"] == name]
        np.testing.assert_array_equal(rows["value"], run[name])
    limits = table.groupby("quantity")["limit"].first().dropna()
    assert limits.to_dict() == {
        "gradient_decay": 5e-4,
        "root_second_moment_median": 1e-8,
        "intended_in_walls_median": 1.0,
    }


def test_one_panel_a_quantity_with_its_limit_in_sight():
    figure = drawn([sharpening()])
    panels = dict(zip(PANELS, figure.axes, strict=True))
    for name, limit in (("root_second_moment_median", 1e-8), ("intended_in_walls_median", 1.0)):
        (line,) = red(panels[name])
        assert set(line.get_ydata()) == {limit}
        bottom, top = panels[name].get_ylim()
        assert bottom < limit < top
    assert np.isnan(red(panels["gradient_median"])[0].get_ydata()).all()


def test_each_panel_says_its_unit_and_what_stands_for_many():
    for axes, name in zip(drawn([sharpening()]).axes, PANELS, strict=True):
        title, unit = axes.get_title("left"), VARIABLES[name][2]
        assert unit == "1" or f"({unit})" in title
        assert ("mean" if name == "displacement_mean" else "median") in title


def test_zeros_of_the_displacement_stay_in_sight():
    figure = drawn([sharpening()])
    heights = figure.axes[-1].lines[0].get_ydata()
    assert min(heights) > figure.axes[-1].get_ylim()[0]
    assert "exactly 0" in shown_texts(figure)


def test_what_was_not_recorded_is_said():
    without = [name for name in PANELS if "gradient" in name or "moment" in name]
    texts = shown_texts(drawn([sharpening(without=without)]))
    assert sum("nothing recorded" in text for text in texts) == len(without)
    one_of_two = drawn([sharpening(without=without, precision="fp32"), sharpening(run="b")])
    assert not any("nothing recorded" in text for text in shown_texts(one_of_two))


def test_runs_without_dead_tokens_or_updates_and_diverged_ones():
    dead = sharpening(run="a", precision="fp32")
    nobody = dead.drop_vars([name for name in PANELS if name != "probability_median"])
    nobody = nobody.assign(probability_median=nobody["probability_median"] * np.nan)
    assert len(figure_sharpening.RECIPE.table([nobody])) == 0
    drawn([nobody]).draw_without_rendering()
    runs = [
        diverged(sharpening(run="b", precision="mixed"), at=1),
        diverged(sharpening(run="c", precision="pure-bf16"), at=9),
    ]
    figure = drawn(runs)
    crosses = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "x"]
    assert {line.get_xdata()[0] for line in crosses} == {8}
    assert "mixed: diverged at update 1" in shown_texts(figure)
