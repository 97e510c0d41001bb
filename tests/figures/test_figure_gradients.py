"""The figures of the gradient's anatomy: numbers drawn, runs of every end, readable texts."""

import numpy as np
import pytest
import xarray as xr
from figures.figure_data import diverged, misplaced_texts, shown_texts
from figures.gradient_data import gradients, start

from deadtokens.figures import (
    firststep,
    initial_softmax,
    pathways,
    prediction,
    second_moment,
    style,
)

OVER_RUNS = {
    "firststep": firststep,
    "pathways": pathways,
    "second_moment": second_moment,
    "prediction": prediction,
}


def drawn(module, *datasets):
    return module.RECIPE.draw(module.RECIPE.table(datasets))


def test_riddle_sets_the_prediction_beside_the_measurement():
    table = initial_softmax.table([start()])
    tied = table[table["tying"] == "tied"].set_index("embedding_std")
    assert tied["dead_probability"].tolist() == [1e-3, 1e-12]
    assert tied["predicted_gradient_low"].tolist() == [2e-3, 2e-14]
    assert tied["predicted_gradient_high"].tolist() == [8e-3, 1.6e-11]
    assert (table["uniform_gradient"] == 2e-3).all()
    left, right = initial_softmax.draw(table).axes
    assert left.get_yscale() == right.get_yscale() == left.get_xscale() == "log"
    markers = [line for line in left.lines if line.get_linestyle() == "None"]
    assert [line.get_ydata().tolist() for line in markers] == [
        [1e-3, 1e-12],
        [1e-3, 1e-16],
        [1e-3, 2e-3],
        [1e-3, 5e-4],
    ]
    lines = [line for line in left.lines if line.get_linestyle() != "None"]
    assert [line.get_ydata().tolist() for line in lines[:2]] == [[1e-3, 1e-13], [1e-3, 2e-16]]


def test_the_legend_says_what_the_right_band_spans():
    texts = shown_texts(drawn(initial_softmax, start()))
    assert {"tied: p, 95 % of seeds", "untied: p, 95 % of seeds"} <= {*texts}
    assert "band at the right: from p |mean h| to p √D" in texts


def test_riddle_without_dead_tokens_says_so():
    nothing = start(dead_probability=np.nan, typical_dead_probability=np.nan, dead_gradient=np.nan)
    figure = drawn(initial_softmax, nothing)
    assert "no dead tokens" in shown_texts(figure)


def test_firststep_draws_medians_on_the_curve_and_zeros_in_the_strip():
    table = firststep.RECIPE.table([gradients()])
    intended = table[(table["series"] == firststep.INTENDED) & (table["population"] == "dead")]
    assert intended["gradient"].tolist() == [1e-9, 1e-3]
    assert intended["update"].tolist() == pytest.approx([1 / 11, 1], rel=1e-4)
    assert (intended["components"] == 7).all()
    curve = table[table["series"] == firststep.CURVE]
    assert (curve["gradient"].min(), curve["gradient"].max()) == pytest.approx((1e-12, 1e-1))
    assert curve["update"].to_numpy() == pytest.approx(
        1 / (1 + 1e-8 / curve["gradient"].to_numpy())
    )
    figure = firststep.RECIPE.draw(table)
    assert "exactly 0" in shown_texts(figure)
    heights = np.concatenate([line.get_ydata() for line in figure.axes[0].lines])
    assert (heights > figure.axes[0].get_ylim()[0]).all()


def test_recorded_pathways_are_lines_and_replace_the_probes():
    norm = np.tile([[0.0, 1e-3], [4e-3, 5e-3]], (6, 1, 1)) * np.arange(1, 7)[:, None, None]
    recorded = gradients().assign(
        pathway_norm=(("update", "population", "side"), norm),
        pathway_sum=(("update", "side"), np.tile([0.2, 1e-7], (6, 1))),
    )
    table = pathways.RECIPE.table([recorded])
    sides = table[table["series"].isin([pathways.INPUT, pathways.OUTPUT])]
    assert set(sides["source"]) == {"recorded"}
    live = sides[(sides["population"] == "live") & (sides["series"] == pathways.INPUT)]
    assert live["value"].tolist() == pytest.approx(4e-3 * np.arange(1, 7))
    assert live["update"].tolist() == [1, 2, 3, 4, 5, 6]
    axes = pathways.RECIPE.draw(table).axes[0]
    assert not [line for line in axes.lines if line.get_marker() in pathways.MARKERS.values()]


def test_pathways_leave_out_what_is_exactly_zero():
    table = pathways.RECIPE.table([gradients()])
    dead = table[table["population"] == "dead"]
    assert set(dead["series"]) == {pathways.WHOLE, pathways.OUTPUT}
    live = table[(table["population"] == "live") & (table["series"] == pathways.INPUT)]
    assert live["update"].tolist() == [1, 2, 5, 7]
    assert live["value"].tolist() == [4e-3] * 4
    sums = table[table["quantity"] == pathways.SUM].groupby("series")["value"].max()
    assert sums.to_dict() == pytest.approx({pathways.WHOLE: 0.1, pathways.OUTPUT: 1e-7})


def with_never_sampled(data):
    """Return a run's gradients with tokens that were never sampled, whose norms are the dead's."""
    third = data.sel(population=["dead"]).assign_coords(population=["never sampled"])
    by_population = [name for name in data if "population" in data[name].dims]
    joined = xr.concat([data[by_population], third[by_population]], "population")
    more = data.drop_dims("population").assign(never_sampled=("token", [True, *[False] * 4]))
    return more.merge(joined)


def test_dead_tokens_lie_on_those_that_were_never_sampled():
    figure = drawn(pathways, with_never_sampled(gradients()))
    by_color = {
        name: [line for line in figure.axes[0].lines if line.get_color() == stroke.color]
        for name, stroke in style.POPULATIONS.items()
    }
    dead, never = by_color["dead"], by_color["never sampled"]
    assert len(dead) == len(never) == 2  # the recorded line, and the probed marks
    for above, beneath in zip(dead, never, strict=True):
        assert (above.get_xydata() == beneath.get_xydata()).all()
        assert above.get_zorder() > beneath.get_zorder()
    assert dead[0].get_linewidth() < never[0].get_linewidth()
    assert dead[1].get_markersize() < never[1].get_markersize()


def test_second_moment_draws_dead_tokens_in_the_strip():
    table = second_moment.RECIPE.table([gradients(precision="fp32")])
    dead = table[table["population"] == "dead"]
    assert dead["frequency"].tolist() == [0, 0]
    line = table[table["series"] == second_moment.LINE]
    slope = np.diff(line["second_moment"]) / np.diff(line["frequency"])
    assert slope == pytest.approx(np.full(99, 2e-5))
    figure = second_moment.RECIPE.draw(table)
    (axes,) = figure.axes
    (points,) = [line for line in axes.lines if len(line.get_xdata()) == 2]
    assert (points.get_xdata() == 0.2 / second_moment.ZERO).all()
    assert axes.get_xlim()[0] < 0.2 / second_moment.ZERO
    labels = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    assert labels[0.2 / second_moment.ZERO].get_text() == "0"
    assert "fp32: R² 0.750 at update 6" in shown_texts(figure)


def test_sharpness_draws_recorded_lines_and_probed_points():
    table = prediction.RECIPE.table([gradients()])
    probed = table[table["of"] == prediction.OF_EACH]
    assert probed["value"].tolist() == [1.6, 1.5, 1.2, 1.0]
    uniform = table[table["series"] == prediction.UNIFORM].groupby("quantity")["value"].max()
    assert uniform.to_dict() == pytest.approx({"entropy": np.log(5), "probability": 0.2})
    dead = table[table["of"] == prediction.OF_DEAD]
    assert dead["value"].tolist() == pytest.approx(0.2 * np.exp(-np.arange(6) / 2))


def test_sharpness_draws_both_temperatures():
    table = prediction.RECIPE.table([gradients()])
    rows = table[table["quantity"] == prediction.TEMPERATURE].groupby("of")["value"].apply(list)
    assert rows[prediction.OF_ALL] == [6.0, 5.0, 2.0, 0.5]
    assert rows[prediction.OF_LIVE] == [6.1, 5.1, 2.2, 0.7]
    middle = prediction.RECIPE.draw(table).axes[1]
    lines = {line.get_linestyle(): line for line in middle.lines}
    assert lines["-"].get_ydata().tolist() == [6.0, 5.0, 2.0, 0.5]
    assert lines["None"].get_ydata().tolist() == [6.1, 5.1, 2.2, 0.7]


def test_an_infinite_temperature_is_not_drawn():
    data = gradients()
    data["temperature"][:] = np.inf
    table = prediction.RECIPE.table([data])
    assert prediction.OF_ALL not in set(table["of"])
    prediction.RECIPE.draw(table)


def test_sharpness_averages_seeds():
    runs = [gradients(run=f"r{seed}", precision="fp32", seed=seed) for seed in range(3)]
    table = prediction.RECIPE.table(runs)
    means = table[(table["run"] == "") & (table["of"] == prediction.OF_DEAD)]
    assert len(means) == 6
    assert "(mean of 3 runs)" in " ".join(shown_texts(prediction.RECIPE.draw(table)))


def without_updates():
    empty = diverged(gradients(run="e", precision="fp32"), at=1).isel(probe=slice(0, 0))
    for variable in ("first_gradient", "first_intended", "first_realised", "second_moment"):
        empty[variable] = empty[variable] * np.nan
    return empty


@pytest.mark.parametrize("name", OVER_RUNS)
def test_a_diverged_run_is_drawn_and_marked(name):
    cut = diverged(gradients(run="d", precision="mixed"), at=4)
    figure = drawn(OVER_RUNS[name], gradients(run="c", precision="fp32"), cut)
    texts = shown_texts(figure)
    if name in {"pathways", "prediction"}:
        assert "mixed: diverged at update 4" in texts
    assert not misplaced_texts(figure)


@pytest.mark.parametrize("name", OVER_RUNS)
def test_a_run_without_updates_does_not_stop_the_figure(name):
    drawn(OVER_RUNS[name], gradients(run="c", precision="mixed"), without_updates())
    shown_texts(drawn(OVER_RUNS[name], without_updates()))


@pytest.mark.parametrize("name", OVER_RUNS)
def test_a_run_without_dead_tokens_can_be_drawn(name):
    data = gradients(dead=0)
    for variable in ("first_gradient", "first_intended", "first_realised"):
        data[variable].loc[{"population": "dead"}] = np.nan
    figure = drawn(OVER_RUNS[name], data)
    assert not any("dead tokens:" in text for text in shown_texts(figure))


def test_the_cosine_to_the_gradient_stands_beside_that_of_the_sign_alone():
    table = firststep.RECIPE.table([gradients(precision="fp32")])
    intended = table[table["series"] == firststep.INTENDED]
    found = intended.groupby("population")["cosine"].first()
    assert found.to_dict() == {"dead": -0.75, "live": -0.5}
    text = "fp32 cos(ΔW, g): dead -0.75, live -0.50, by sign alone -0.80"
    assert text in shown_texts(firststep.RECIPE.draw(table))
