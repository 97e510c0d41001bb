"""What all figures of panels with lines share, on figures that only this file draws."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from figures.figure_data import diverged, scalars, shown_texts
from matplotlib.figure import Figure

from deadtokens.figures.axes import LogScaleWithZero
from deadtokens.figures.columns import DIVERGED_AT, NAMES, in_bins, texts
from deadtokens.figures.curves import EACH, curve, positive
from deadtokens.figures.panels import Panel, PanelFigure
from deadtokens.figures.runs import DIVERGED, experiment

HALVES = ("low", "high")


def rows(runs):
    for run in runs:
        for number, half in enumerate(HALVES):
            yield curve(run, np.array([1, 3]), "loss", run.data["loss"] + number, half=half)


def panels(table):
    return [Panel(table[table["half"] == half], half, f"of {half}") for half in HALVES]


EXAMPLE = PanelFigure(
    column="loss",
    types=NAMES | texts("series", "half") | in_bins("loss") | DIVERGED_AT,
    rows=rows,
    panels=panels,
    height=2,
)


def recipe(**changes):
    """Return what draws the example, or one that differs from it."""
    return replace(EXAMPLE, **changes).recipe("example", "An example", "scalars.nc", ["loss"])


def one_run(values, **spec):
    (run,) = experiment([scalars(values, **spec)])
    return run


def test_a_curve_has_the_median_and_range_of_its_bins():
    line = curve(
        one_run([8, 2, 5, 4, 9]), np.array([1, 3]), "loss", one_run([8, 2, 5, 4, 9]).data.loss
    )
    columns = ["update", "last_update", "lowest", "loss", "highest"]
    assert line[columns].to_numpy().tolist() == [[1, 2, 2, 5, 8], [3, 5, 4, 5, 9]]
    assert (line["series"] == EACH).all()


def test_probes_are_not_gathered():
    values = xr.DataArray([3.0, 1.0], coords={"probe": [1, 500]}, dims="probe")
    line = curve(one_run([8, 2]), np.array([1]), "value", values, of="probes")
    assert line[["update", "last_update", "value"]].to_numpy().tolist() == [
        [1, 1, 3],
        [500, 500, 1],
    ]
    assert (line["of"] == "probes").all()


def test_a_line_ends_at_its_last_number():
    (run,) = experiment([diverged(scalars([8, 2, 5, np.nan, np.nan]), at=5)])
    line = curve(run, np.arange(1, 6), "loss", run.data["loss"])
    end = line[line["series"] == DIVERGED]
    assert end[["update", "loss", "diverged_at"]].to_numpy().tolist() == [[3, 5, 5]]
    unmarked = curve(run, np.arange(1, 6), "loss", run.data["loss"], ends=False)
    assert DIVERGED not in set(unmarked["series"])


def test_what_a_logarithmic_axis_cannot_show():
    values = xr.DataArray([1.0, 0.0, -1.0, np.nan, np.inf, 2.0], coords={"update": range(6)})
    assert positive(values).values.tolist() == [1, 2]
    assert positive(values)["update"].values.tolist() == [0, 5]


def test_runs_are_averaged_only_where_asked():
    runs = [scalars([8, 6, 4], run=str(seed), precision="fp32", seed=seed) for seed in (1, 2)]
    runs[1]["loss"] += 2
    assert (recipe().table(runs)["run"] != "").all()
    table = recipe(averaged=("half",)).table(runs)
    means = table[table["run"] == ""]
    assert means[["half", "update", "loss"]].to_numpy().tolist() == [
        ["low", 1, 8],
        ["low", 3, 5],
        ["high", 1, 9],
        ["high", 3, 6],
    ]


@pytest.mark.parametrize(
    ("sharey", "labels"),
    [(True, ["of low", ""]), ("row", ["of low", ""]), ("col", ["of low", "of high"])],
)
def test_a_label_of_panels_with_one_axis_stands_once(sharey, labels):
    figure = recipe(sharey=sharey)
    drawn = figure.draw(figure.table([scalars([8, 7, 6])]))
    assert [axes.get_ylabel() for axes in drawn.axes] == labels
    assert [axes.get_title(loc="left") for axes in drawn.axes] == list(HALVES)
    assert [axes.get_xlabel() for axes in drawn.axes] == ["update (in bins of 2)"] * 2


def test_panels_below_each_other_have_one_label_of_updates():
    figure = recipe(columns=lambda number: 1)
    drawn = figure.draw(figure.table([scalars([8, 7, 6])]))
    assert [axes.get_xlabel() for axes in drawn.axes] == ["", "update (in bins of 2)"]


def test_where_a_run_diverged_stands_in_each_panel_and_once_in_the_legend():
    table = recipe().table([diverged(scalars([8, 7, 6, 5], precision="mixed"), at=4)])
    texts_shown = shown_texts(recipe().draw(table))
    assert texts_shown.count("diverged at update 4") == 2
    assert texts_shown.count("mixed: diverged at update 4") == 1


def test_a_table_without_rows_says_so():
    nobody = recipe(rows=lambda runs: [], nothing="nobody there")
    table = nobody.table([scalars([8, 7])])
    assert list(table.columns) == list(EXAMPLE.types)
    assert shown_texts(nobody.draw(table)) == ["nobody there"]


def ticks(scale: LogScaleWithZero, **options: int) -> dict[str, float]:
    axes = Figure().subplots()
    scale.apply(axes, **options)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(labels, np.log10(axes.get_yticks()), strict=True))


def test_ticks_keep_clear_of_the_zero_and_of_each_other():
    assert ticks(LogScaleWithZero(-3, 0, True)) == {
        "0": -3.5,
        "10⁻³": -3,
        "10⁻²": -2,
        "10⁻¹": -1,
        "10⁰": 0,
    }
    low_panel = ticks(LogScaleWithZero(-10, -3, True), most_ticks=4)
    assert low_panel == {"0": -10.5, "10⁻³": -3, "10⁻⁵": -5, "10⁻⁷": -7, "10⁻⁹": -9}
    assert "10⁻¹⁰" in ticks(LogScaleWithZero(-10, -4, False), most_ticks=3)


def test_a_scale_of_bins_holds_their_ranges_and_what_is_added():
    rows = pd.DataFrame({"lowest": [1e-4], "value": [1e-2], "highest": [0.5]})
    assert LogScaleWithZero.of_bins(rows, "value") == LogScaleWithZero(-4, 0, False)
    more = pd.Series([0.0, 40.0])
    assert LogScaleWithZero.of_bins(rows, "value", more) == LogScaleWithZero(-4, 2, True)
