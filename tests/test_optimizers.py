"""Runs of every optimizer, with and without a compensation, through all that is derived of them."""

import json

import numpy as np
import pytest
import xarray as xr
from house import OF_REGIMES
from tiny import tiny_spec, write_vocabulary

from deadtokens.cli import call
from deadtokens.study.figures import FIGURES, Scope
from deadtokens.training.segment import train_segment

SEGMENTS = 2
RUNS = {
    "adamw": {},
    "adamw, compensated": {"precision": "bf16-kahan"},
    "coupled-adam": {"optimizer": "coupled-adam"},
    "coupled-adam, compensated": {"optimizer": "coupled-adam", "precision": "bf16-kahan"},
    "sgd": {"optimizer": "sgd", "lr": 0.1, "precision": "fp32"},
    "sgd, compensated": {"optimizer": "sgd", "lr": 0.01, "precision": "bf16-kahan"},
    "sgd without momentum": {"optimizer": "sgd", "lr": 0.01, "beta1": 0.0},
}
PER_RUN = (
    *("scalars", "freezing", "sharpening", "drift", "indicators"),
    *("audit", "attribution", "stillness"),
)


def derive(folder, spec):
    """Train a run and make its derived files; return them by name."""
    name = spec.identity()
    trained, steps = folder / "runs" / name, SEGMENTS * spec.record.segment
    made = trained / f"steps-{steps}"
    for part in ("trajectory", "checkpoints"):
        (trained / part).mkdir(parents=True)
    segments = [trained / "trajectory" / f"segment-{k:03d}.nc" for k in range(SEGMENTS)]
    checkpoints = [
        trained / "checkpoints" / f"checkpoint-{k:03d}.safetensors" for k in range(SEGMENTS)
    ]
    stream, census = folder / "stream.nc", folder / "census.nc"
    for k, previous in enumerate([None, *checkpoints[:-1]]):
        train_segment(name, spec, k, stream, census, previous, segments[k], checkpoints[k])
    whole, saved = ([str(path) for path in paths] for paths in (segments, checkpoints))
    files = {
        command: made / f"{command}.{'json' if command == 'audit' else 'nc'}"
        for command in (*PER_RUN, "gradients", "backprop")
    }
    for command in PER_RUN:
        call(command, [*whole, "--output", str(files[command])])
    of_text = ["--stream", str(stream)]
    output = ["--output", str(files["gradients"])]
    call("gradients", [*whole, "--checkpoints", *saved, *of_text, *output])
    output = ["--output", str(files["backprop"]), "--csv", str(made / "backprop.csv")]
    call("backprop", [*saved, *of_text, *output])
    for command in ("storage", "tensors"):
        files[command] = folder / "benchmarks" / name / f"{command}.nc"
        call(command, [whole[0], "--updates", "3", "--output", str(files[command])])
    return files


@pytest.fixture(scope="module")
def derived(tmp_path_factory):
    """Return each run's derived files."""
    folder = tmp_path_factory.mktemp("results")
    write_vocabulary(folder)
    return {name: derive(folder, tiny_spec(**fields)) for name, fields in RUNS.items()}


@pytest.mark.parametrize("run", RUNS)
def test_no_bit_differs_on_replay(run, derived):
    audit = json.loads(derived[run]["audit"].read_text())
    assert audit["identical"]
    assert audit["updates"] == 8
    assert ("compensation" in audit["checksums"]) == ("compensated" in run)


@pytest.mark.parametrize("run", RUNS)
def test_every_choice_of_tensors_gives_the_same_bits(run, derived):
    costs = xr.open_dataset(derived[run]["tensors"])
    assert (costs.differing == 0).all()
    assert (costs.compared > 0).all()
    assert costs.gives.sel(result="attribution").values.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("run", RUNS)
def test_what_has_no_second_moment_says_so(run, derived):
    sharpening, stillness, gradients = (
        xr.open_dataset(derived[run][name]) for name in ("sharpening", "stillness", "gradients")
    )
    sgd = "sgd" in run
    assert ("sgd has no second moment" in sharpening.attrs["left_out"]) == sgd
    assert ("root_second_moment_median" not in sharpening) == sgd
    assert (sharpening.intended_median > 0).all()
    assert np.isnan(stillness.second_moment_ratio).all() == sgd
    assert np.isnan(gradients.regime_share.sel(population="dead")).all() == sgd
    assert np.isnan(gradients.second_moment).all() == sgd


@pytest.mark.parametrize("run", RUNS)
def test_the_first_update_is_intended_by_its_own_rule(run, derived):
    """SGD's is lr g; AdamW's is on its curve; Coupled Adam's is on none."""
    gradients = xr.open_dataset(derived[run]["gradients"]).sel(population="dead")
    spec = json.loads(gradients.attrs["spec"])
    optimizer = spec.get("optimizer", "adamw")
    assert np.isnan(gradients.curve_error) == (optimizer != "adamw")
    assert np.isnan(gradients.example_multiplier).all() == (optimizer == "coupled-adam")
    if optimizer == "sgd":
        assert gradients.example_multiplier.values == pytest.approx(gradients.example.values)
        filled = gradients.isel(bin=np.flatnonzero(gradients.first_count))
        median = filled.first_intended.sel(spread=0.5).values
        assert median == pytest.approx(filled.first_gradient.values, rel=0.5)


@pytest.mark.parametrize("figure", OF_REGIMES)
def test_every_figure_is_drawn(figure, derived, tmp_path):
    source = FIGURES[figure]
    name = source.file.partition(".")[0]
    files = [str(files[name]) for files in derived.values() if name in files]
    if source.scope is Scope.FIRST_BENCHMARK:
        files = files[-1:]
    if source.scope is Scope.EXPERIMENT:
        files = [str(outcomes(derived, tmp_path))]
    if not files:
        pytest.skip(f"{source.file} is not of a trained run")
    call("figure", [figure, *files, "--title=all", "--output", str(tmp_path / "figure.png")])
    assert (tmp_path / "figure.csv").stat().st_size > 0


def outcomes(derived, folder):
    """Make the outcomes of all runs; return the file."""
    names = ("scalars", "freezing", "drift", "stillness", "attribution")
    files = [str(files[name]) for files in derived.values() for name in names]
    output = folder / "outcomes.nc"
    tables = ["--csv", str(folder / "outcomes.csv"), "--effects", str(folder / "effects.csv")]
    call("outcomes", [*files, "--output", str(output), *tables])
    return output


def test_outcomes_have_numbers_of_every_run(derived, tmp_path):
    found = xr.open_dataset(outcomes(derived, tmp_path))
    assert {"optimizer", "precision", "beta1", "lr"} <= set(found.key.values.tolist())
    for outcome in ("frozen", "still", "loss", "path_length", "share_rounding"):
        assert np.isfinite(found.value.sel(outcome=outcome)).all(), outcome
    compensated = found.setting.sel(key="precision") == "bf16-kahan"
    of_cause = found.value.sel(outcome="cause_compensated").fillna(0)
    assert (of_cause.values[~compensated.values] == 0).all()
    assert of_cause.values[compensated.values].max() > 0
