"""What one run of the whole workflow gives, through real Snakemake, on a tiny configuration."""

import csv
import json
import re

import numpy as np
import pytest
import xarray as xr
from house import ANALYSED, COMPARED, DRAWN, OF_REGIMES, REPOSITORY

from deadtokens.seal import ENDING
from deadtokens.study.claims import OWN, read_claims
from deadtokens.study.inventory import files_of
from deadtokens.study.plan import parts_of
from deadtokens.trajectory.reader import open_run

README = REPOSITORY / "README.md"


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_runs_are_recorded(precision, finished):
    run = open_run(finished.run(precision) / "trajectory")
    assert dict(run.sizes) == {"state": 7, "update": 6, "token": 290, "component": 8}
    assert json.loads(run.attrs["spec"])["precision"] == precision
    weights = {"pure-bf16": "bfloat16", "fp32": "float32"}[precision]
    assert run.attrs["dtype_parameters"] == run.W.attrs["recorded_dtype"] == weights
    assert run.attrs["device"].startswith("cpu")
    assert 0 < int(run.dead.sum()) < 290
    assert run.token_string.dtype.kind in "OUT"
    moved = np.abs(np.diff(run.W.values, axis=0)).max()
    assert moved == pytest.approx(0.01, rel=0.05)  # Adam's first update moves by lr


def test_derived_files_follow_from_the_record(finished):
    folder = finished.run("fp32")
    W = open_run(folder / "trajectory").W.values
    freezing = xr.open_dataset(folder / "steps-6" / "freezing.nc")
    still = (W[1:] == W[:-1]).all(axis=2)
    dead = freezing.dead.values
    assert (freezing.frozen_fraction.sel(population="dead") == still[:, dead].mean(axis=1)).all()
    live = ~dead & ~freezing.never_sampled.values
    norms = np.linalg.norm(np.diff(W, axis=0), axis=2)[:, live]
    median = freezing.displacement_quantile.sel(population="live", quantile=0.5)
    assert median.values == pytest.approx(np.median(norms, axis=1), rel=1e-5)
    scalars = xr.open_dataset(folder / "steps-6" / "scalars.nc")
    assert scalars.loss[0] == pytest.approx(np.log(290), abs=0.05)
    assert (scalars.lr == 0.01).all()


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_indicators_are_of_every_state_of_a_short_run(precision, finished):
    folder = finished.run(precision)
    run = open_run(folder / "trajectory")
    dead = run.dead.values.astype(bool)
    found = xr.open_dataset(folder / "steps-6" / "indicators.nc")
    assert found.attrs["run"] == folder.name
    assert found.state.values.tolist() == list(range(7))
    assert (found.dead == dead).all()
    assert found.attrs["reference_tokens"] == -(-dead.sum() // 2)
    norms = np.linalg.norm(run.W.values[:, dead], axis=2)[:, 1::2]
    expected = norms.mean(axis=1)
    assert found.dead_mean.sel(indicator="norm").values == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_both_pathways_of_every_update_sum_to_the_gradient(precision, finished):
    folder = finished.run(precision)
    run = open_run(folder / "trajectory")
    assert run.grad_input.shape == run.grad_output.shape == (6, 290, 8)
    assert (run.grad_input.values[:, run.dead.values.astype(bool)] == 0).all()
    gradients = xr.open_dataset(folder / "steps-6" / "gradients.nc")
    assert gradients.pathway_differing.values.tolist() == [0] * 6
    assert gradients.pathway_share.sum("side").values == pytest.approx(np.ones((6, 3)))


def test_the_plan_has_every_sealed_file_and_every_figure(finished):
    study, results = finished.study(), finished.work / "results"
    seals = [str(path.relative_to(results)) for path in results.rglob(f"*{ENDING}")]
    figures = [path for path in results.glob("figures/*/*") if path.suffix in {".png", ".gif"}]
    made = {seal.removesuffix(ENDING) for seal in seals}
    made |= {str(path.relative_to(results)) for path in figures}
    made -= {"claims/claims.json", "paper/paper.pdf"}  # of the whole study, and small
    assert {file.path for file in files_of(study, study.experiments)} == made
    assert [part.missing for part in parts_of(study, results).values()] == [[], []]


def test_the_readme_s_ways_to_open_a_run_give_what_is_in_it(finished, monkeypatch):
    monkeypatch.chdir(finished.work)
    run = finished.run("fp32")
    given = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for block in (one for one in blocks if "default_039c71be" in one):
        exec(block.replace("default_039c71be", run.name), given)
    segments = [
        xr.load_dataset(path, engine="h5netcdf") for path in sorted(run.glob("trajectory/*.nc"))
    ]
    W = [segments[0].W.values, *(segment.W.values[..., 1:] for segment in segments[1:])]
    assert (given["run"].W.values == np.moveaxis(np.concatenate(W, axis=2), 2, 0)).all()
    grad = np.concatenate([segment.grad.values for segment in segments], axis=2)
    assert (given["gradients"].grad.values == grad).all()
    assert given["gradients"]["update"].values.tolist() == [1, 2, 3, 4, 5, 6]
    assert given["gradients"].dead.dims == ("token",)
    given["gradients"].close()


def test_storage_is_measured_on_the_first_run(finished):
    folder = finished.work / "results" / "benchmarks"
    (measured,) = folder.iterdir()
    storage = xr.open_dataset(measured / "storage.nc")
    assert storage.attrs["run"] == measured.name == next(iter(finished.study().members)).run
    assert storage.attrs["updates"] == 3  # of the first segment
    assert (storage.raw_bytes == 290 * 8 * 2).all()
    assert (storage.stored_bytes > 0).all()


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_the_replay_finds_no_difference(precision, finished):
    path = finished.run(precision) / "steps-6" / "audit.json"
    audit = json.loads(path.read_text())
    assert audit["identical"]
    assert audit["controls_detected"]
    assert {tally["compared"] for tally in audit["tensors"].values()} == {6 * 290 * 8}


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_every_still_component_has_a_cause(precision, finished):
    folder = finished.run(precision)
    W = open_run(folder / "trajectory")
    stillness = xr.open_dataset(folder / "steps-6" / "stillness.nc")
    rows = W.W.values[:, W.dead.values.astype(bool)]
    still = (rows[1:] == rows[:-1]).sum(axis=(1, 2))
    assert stillness.still_components.values.tolist() == still.tolist()
    assert int(stillness.cause_total.sum()) == still.sum()


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_backpropagation_by_hand_agrees_with_autograd(precision, finished):
    run = finished.run(precision)
    flow = xr.open_dataset(run / "steps-6" / "backprop.nc")
    assert flow.attrs["run"] == run.name
    assert flow.state.values.tolist() == [0, 3, 6]
    assert (flow.largest_error < 1e-10).all()
    with (run / "steps-6" / "backprop.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["symbol"] for row in rows} >= {"W", "h", "x1", "W1", "b2", "bk", "x1 by MLP"}
    assert all(float(row["error"]) < 1e-10 for row in rows)


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_the_gradients_follow_from_the_formulas(precision, finished):
    folder = finished.run(precision)
    found = xr.open_dataset(folder / "steps-6" / "gradients.nc")
    assert found.probe.values.tolist() == [1, 2, 3, 4, 6, 7]
    assert (found.deviation <= found.tolerance).all()
    assert (found.grad_differing[:-1] == 0).all()
    start = xr.open_dataset(finished.run("pure-bf16") / "initial_softmax.nc")
    assert start.dead_probability.sel(embedding_std=0.02, tying="tied") == pytest.approx(
        1 / 290, rel=0.01
    )


def test_the_census_is_one_of_the_text(finished):
    (vocabulary,) = finished.study().vocabularies
    folder = finished.work / "results" / "vocabularies" / vocabulary
    census = xr.open_dataset(folder / "census.nc")
    stream = xr.open_dataset(folder / "stream.nc")
    assert int(census["count"].sum()) == stream.sizes["position"]
    reasons = dict(zip(*np.unique(census.why_dead, return_counts=True), strict=True))
    assert reasons["other script"] >= 3
    with (folder / "census.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["count"]) for row in rows] == census["count"].values.tolist()


def test_the_runs_are_compared_with_each_other(finished):
    folder = finished.work / "results" / "experiments" / "regimes"
    outcomes = xr.open_dataset(folder / "outcomes.nc")
    assert outcomes.setting.sel(key="precision").values.tolist() == ["pure-bf16", "fp32"]
    assert outcomes.attrs["inference"] == "one seed: no interval"
    assert not np.isnan(outcomes.value.sel(outcome=["frozen", "path_length", "loss"])).any()
    for run, precision in zip(outcomes.run.values, ("pure-bf16", "fp32"), strict=True):
        path = finished.run(precision) / "steps-6" / "freezing.nc"
        assert run == finished.run(precision).name
        frozen = xr.open_dataset(path).frozen_fraction.sel(population="dead")
        assert outcomes.value.sel(run=run, outcome="frozen") == frozen[-1]  # a tenth of six
    with (folder / "effects.csv").open(newline="", encoding="utf-8") as file:
        effects = {row["outcome"]: row for row in csv.DictReader(file)}
    loss = outcomes.value.sel(outcome="loss").values
    assert float(effects["loss"]["mean"]) == loss[1] - loss[0]
    assert effects["loss"]["low"] == ""
    assert effects["loss"]["note"] == "one seed: no interval"
    with (folder / "outcomes.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == outcomes.value.size


def test_the_claims_are_evaluated_against_the_files(finished):
    """Every claim on the experiment that there is finds its file, variable and labels."""
    with (finished.work / "results" / "claims" / "claims.csv").open(encoding="utf-8") as file:
        claims = {row["claim"]: row for row in csv.DictReader(file)}
    assert set(claims) == set(read_claims(OWN))
    of_regimes = [row for row in claims.values() if row["of"].startswith("regimes: ")]
    untested = {row["why"] for row in of_regimes if row["status"] == "not tested"}
    assert len(of_regimes) > 30
    assert all(re.search("no run with|seeds?, and|seed 0: ", why) for why in untested), untested
    assert "the experiment 'length' is not configured" in claims["freeze-lasts"]["why"]
    assert claims["replay-is-exact"]["status"] == "holds"
    frozen = xr.open_dataset(finished.run("fp32") / "steps-6" / "freezing.nc").frozen_fraction
    number = float(claims["fp32-does-not-freeze"]["number"])
    assert number == frozen.sel(population="dead")[-1]


def test_the_paper_is_built_from_what_the_study_found(finished):
    folder = finished.work / "results" / "paper"
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")
    paper = json.loads((folder / "paper.json").read_text(encoding="utf-8"))
    dead = int(
        xr.open_dataset(next(finished.work.glob("results/vocabularies/*/census.nc"))).dead.sum()
    )
    assert paper["numbers"]["dead"]["text"] == str(dead)
    assert paper["numbers"]["updates"]["text"] == "12"
    assert paper["numbers"]["differing"]["text"] == "0"
    assert sum(map(len, paper["figures"].values())) == 6
    assert paper["commit"] == "unknown"  # a copy, no checkout


def test_figures_are_drawn_and_named(finished, printed):
    for figure in OF_REGIMES:
        stem = finished.work / "results" / "figures" / "regimes" / figure
        assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert len(stem.with_suffix(".csv").read_text().splitlines()) > 3
        assert f"results/figures/regimes/{figure}.png" in printed


def test_the_cloud_is_animated(finished):
    film = finished.work / "results" / "figures" / "regimes" / "drift.gif"
    assert film.read_bytes().startswith(b"GIF8")


def test_training_says_how_it_goes(printed):
    assert "updates/s, loss" in printed
    assert "6/6" in printed


def test_every_job_leaves_its_time_and_memory(finished):
    logs = finished.work / "logs"
    measured = {path: measurement_beside(path) for path in logs.rglob("*.log")}
    assert {path.relative_to(logs).parts[0] for path in measured} >= {*ANALYSED, *COMPARED, *DRAWN}
    assert all(float(row["s"]) > 0 for row in measured.values())
    training = [row for path, row in measured.items() if "train_segment" in path.parts]
    assert len(training) == 4
    assert all(50 < float(row["max_rss"]) < 5000 for row in training)  # MB: torch, a tiny model


def measurement_beside(log):
    """Return what Snakemake measured of the job that wrote a log."""
    (row,) = csv.DictReader(log.with_suffix(".tsv").read_text().splitlines(), delimiter="\t")
    return row
