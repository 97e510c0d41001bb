"""Variants of model and vocabulary through real Snakemake: every analysis and figure of each."""

import json

import numpy as np
import pytest
import xarray as xr
from house import OF_OTHER_SHAPES, TINY, build_house
from PIL import Image

from deadtokens.study.figures import FIGURES
from deadtokens.trajectory.reader import open_run

RESERVED = 12
VARIANTS = {
    "untied, relu": {"tied": False, "activation": "relu"},
    "no path around the MLPs": {"mlp_residual": False, "bfloat16_start": True},
    "constant spread": {"logit_spread": "constant"},
}
CONFIG = TINY | {
    "vocabularies": {
        "small": TINY["vocabularies"]["small"] | {"unused": RESERVED},
    },
    "defaults": TINY["defaults"] | {"layers": 2, "record": {"segment": 3}},
    "experiments": {
        "regimes": {"vary": {"precision": ["pure-bf16"]}, "figures": []},
        "variants": {"runs": list(VARIANTS.values())},
    },
}


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """Return a house in which the workflow has run on the variants."""
    house = build_house(tmp_path_factory.mktemp("varied") / "house")
    answer = house.snakemake(config=CONFIG)
    assert answer.returncode == 0, answer.stdout
    return house


def folder_of(house, variant):
    (run,) = (
        name
        for name, spec in house.study(CONFIG).runs.items()
        if VARIANTS[variant].items() <= dict(spec).items()
    )
    return house.work / "results" / "runs" / run


def derived(house, variant, name):
    return xr.load_dataset(folder_of(house, variant) / "steps-6" / name, engine="h5netcdf")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_check_of_a_variant_holds(variant, varied):
    audit = json.loads((folder_of(varied, variant) / "steps-6" / "audit.json").read_text())
    assert audit["identical"] and audit["controls_detected"]
    flow = derived(varied, variant, "backprop.nc")
    assert (flow.largest_error < 1e-10).all()
    assert flow.share.sum("path").values == pytest.approx(np.ones(3))
    gradients = derived(varied, variant, "gradients.nc")
    assert (gradients.deviation <= gradients.tolerance).all()
    assert (gradients.grad_differing[:-1] == 0).all()
    attribution = derived(varied, variant, "attribution.nc")
    assert np.isfinite(attribution.cumulated_share.sel(population="dead")[-1]).all()
    assert derived(varied, variant, "drift.nc").path_length.sel(population="dead")[-1] > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_recorded_entropy_is_that_of_the_probes(variant, varied):
    entropy = derived(varied, variant, "scalars.nc").entropy
    gradients = derived(varied, variant, "gradients.nc")
    assert gradients.probe.values.tolist() == [1, 2, 3, 4, 6, 7]
    assert entropy.sel(update=gradients.probe[:-1].values).values == pytest.approx(
        gradients.entropy[:-1].values, rel=1e-5
    )
    assert (derived(varied, variant, "sharpening.nc").entropy == entropy).all()


def test_nothing_goes_past_an_mlp_without_a_path_around_it(varied):
    flow = derived(varied, "no path around the MLPs", "backprop.nc")
    shares = flow.share.sel(path=["residual path", "MLP 2", "attention 2"])
    assert (shares == 0).all()
    assert flow.cosine.sel(branch="MLP").isnull().all()
    assert derived(varied, "constant spread", "backprop.nc").cosine.notnull().all()


def test_a_constant_temperature_is_one_to_the_end(varied):
    constant, free = (
        derived(varied, variant, "gradients.nc").temperature.values
        for variant in ("constant spread", "no path around the MLPs")
    )
    assert constant == pytest.approx(np.full(6, 1 / (0.02 * 8**0.5)), rel=1e-4)
    assert np.ptp(free) > 0.01 * free[0]


def test_reserved_rows_are_dead_in_the_census_and_in_the_runs(varied):
    (census,) = (varied.work / "results" / "vocabularies").glob("*/census.nc")
    why_dead = xr.load_dataset(census, engine="h5netcdf").why_dead
    assert why_dead[-RESERVED:].values.tolist() == ["reserved row"] * RESERVED
    assert "reserved row" not in why_dead[:-RESERVED].values
    run = open_run(folder_of(varied, "untied, relu") / "trajectory")
    assert run.dead[-RESERVED:].values.all()
    moved = (run.W.values[1:] != run.W.values[:-1]).any(axis=(0, 2))
    assert moved[-RESERVED:].all()  # as all dead tokens, by their probability


def test_every_figure_of_the_variants_is_drawn(varied):
    folder = varied.work / "results" / "figures" / "variants"
    drawn = {path.stem for path in folder.glob("*.png")}
    assert drawn == {*FIGURES} - {*OF_OTHER_SHAPES}
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert np.ptp(np.asarray(image.convert("L"))) > 100, path.stem
    outcomes = varied.work / "results" / "experiments" / "variants" / "outcomes.nc"
    change = xr.load_dataset(outcomes, engine="h5netcdf").value.sel(outcome="entropy_change")
    assert change.sizes["run"] == 3 and (change > 0).all()
