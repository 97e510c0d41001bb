import numpy as np
import pytest
from figures.figure_data import flow, shown_texts
from matplotlib.patches import FancyArrowPatch

from deadtokens.errors import UserError
from deadtokens.figures import gradient_flow as figure
from deadtokens.figures.flowchart import THINNEST, WIDEST


@pytest.fixture
def run():
    return flow(precision="fp32")


def widths(axes):
    """Return the widths of the chart's arrows, in the order in which they were drawn."""
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    return [arrow.get_arrowstyle().tail_width for arrow in arrows]


def numbers(rows, quantity):
    rows = rows[rows["quantity"] == quantity]
    return {(row.block, row.name, row.state): row.value for row in rows.itertuples(index=False)}


def test_numbers_are_those_of_the_file(run):
    table = figure.RECIPE.table([run])
    norms, cosines = numbers(table, "norm"), numbers(table, "cosine")
    assert norms[0, "h", 500] == run.output_norm.sel(state=500, output="h")
    assert norms[1, "x1 by MLP", 500] == run.norm.sel(state=500, block=1, stream="x1 by MLP")
    assert cosines[2, "attention", 500] == run.cosine.sel(state=500, block=2, branch="attention")
    assert len(norms) == 2 + 2 * 5
    assert len(cosines) == 4
    shares = numbers(table, "share")
    assert len(shares) == 5 * 2
    assert shares[0, "residual path", 0] == run.share.sel(state=0, path="residual path")
    assert shares[2, "attention", 500] == run.share.sel(state=500, path="attention 2")
    assert shares[1, "MLP", 0] == run.share.sel(state=0, path="MLP 1")


def test_arrows_are_as_wide_as_their_streams(run):
    run.norm[...] = 0.5
    run["output_norm"][...] = 0.25
    run.norm.loc[500, 1, "x0"] = 1.0
    run.norm.loc[500, 2, "x1 by MLP"] = 0.1
    run.norm.loc[500, 1, "x1 by MLP"] = 1e-9
    drawn = np.array(widths(figure.RECIPE.draw(figure.RECIPE.table([run])).axes[0])) / WIDEST
    head, block2, block1, last = drawn[:2], drawn[2:8], drawn[8:14], drawn[14]
    assert head.tolist() == [0.25, 0.25]
    assert block2.tolist() == pytest.approx([0.5, 0.5, 0.1, 0.5, 0.5, 0.5])  # on, copy, back
    assert block1.tolist() == pytest.approx([0.5, 0.5, THINNEST / WIDEST, 0.5, 0.5, 0.5])
    assert last == 1


def test_the_stream_stops_beside_an_mlp_that_no_path_leads_around():
    run = flow(mlp_residual=False)
    run.norm[...] = 0.5
    run.norm.loc[500, :, "x1 by MLP"] = 0.25
    run.cosine.loc[:, :, "MLP"] = np.nan
    run["output_norm"][...] = 0.5
    table = figure.RECIPE.table([run])
    assert {name for _, name, _ in numbers(table, "cosine")} == {"attention"}
    drawn = figure.RECIPE.draw(table)
    block2 = np.array(widths(drawn.axes[0])[2:8]) / WIDEST
    assert block2.tolist() == pytest.approx([0.5, 1, 0.5, 1, 1, 1])  # below it, copy, back; on, ...
    texts = shown_texts(drawn)
    assert "no way past" in texts
    assert "nan" not in texts


def test_numbers_stand_beside_the_arrows(run):
    run.norm.loc[500, 2, "x1 by MLP"] = 0.0123456
    run.cosine.loc[500, 1, "attention"] = -0.25
    texts = shown_texts(figure.RECIPE.draw(figure.RECIPE.table([run])))
    assert "0.0123" in texts
    assert "cosine −0.25" in texts
    assert "LN1, attention of block 2" in texts
    assert {"last through MLP 1", "residual path only", "fp32, state 500"} <= set(texts)


def test_shares_are_lines_over_the_states(run):
    lines = figure.RECIPE.draw(figure.RECIPE.table([run])).axes[1].lines
    drawn = sorted(tuple(line.get_ydata()) for line in lines[1:])  # the first is the zero line
    assert drawn == sorted(map(tuple, run.share.values.T))
    assert all(list(line.get_xdata()) == [0, 500] for line in lines[1:])


def test_one_run_of_each_setting_and_three_settings_are_drawn():
    runs = [
        flow(run=f"{precision} {seed}", precision=precision, seed=seed)
        for precision in ("fp32", "mixed", "bf16-weights", "pure-bf16")
        for seed in (1, 0)
    ]
    table = figure.RECIPE.table(runs)
    assert table["run"].unique().tolist() == ["pure-bf16 0", "bf16-weights 0", "mixed 0"]
    assert len(figure.RECIPE.draw(table).axes) == 6


def test_models_of_different_depth_share_a_figure():
    table = figure.RECIPE.table([flow(1, run="a", layers=1), flow(3, run="b", layers=3)])
    shallow, deep = (axes for axes in figure.RECIPE.draw(table).axes if not axes.axison)
    assert (len(widths(shallow)), len(widths(deep))) == (3 + 6, 3 + 18)


def test_a_diverged_run_is_drawn_and_said_so(run):
    broken = run.assign_attrs(status="diverged", diverged_at=501)
    for name in ("norm", "output_norm", "cosine", "share"):
        broken[name].loc[500] = np.nan
    broken["norm"].loc[500, 1, "x0"] = np.inf
    table = figure.RECIPE.table([broken])
    texts = shown_texts(figure.RECIPE.draw(table))
    assert "fp32, state 500, diverged" in texts
    assert set(widths(figure.RECIPE.draw(table).axes[0])) == {THINNEST}


def test_a_file_of_another_kind_is_told(tmp_path):
    flow().drop_vars("cosine").to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(UserError, match=r"a\.nc has no variable cosine"):
        figure.RECIPE.open([tmp_path / "a.nc"])
