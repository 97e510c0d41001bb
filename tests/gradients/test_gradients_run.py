"""Whole runs through the command: values from the record, probes, refusals, ends of all kinds."""

import numpy as np
import pytest
import xarray as xr
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import LIVE, VOCABULARY, tiny_spec, tiny_stream, train_run

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.gradients.gradients import measure_anatomy
from deadtokens.gradients.states import read_weights
from deadtokens.seal import seal
from deadtokens.text.read import digest
from deadtokens.trajectory.reader import open_run


def train(folder, segments=3, **fields):
    """Train segments of 4 updates; return the files that the analysis takes."""
    return train_run(folder, segments, **{"lr": 1e-2, "precision": "fp32"} | fields)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    files = train(tmp_path_factory.mktemp("run"))
    return files, open_run(files[0]).load(), measure_anatomy(*files)


FIELDS = {
    "pure-bf16": {"precision": "pure-bf16"},
    "bf16-stochastic": {"precision": "bf16-stochastic"},
    "mixed, untied": {"precision": "mixed", "tied": False},
    "no path around the MLPs": {"mlp_residual": False},
    "constant spread": {"logit_spread": "constant", "precision": "pure-bf16"},
    "clipped, with warmup and decay": {"clip": 0.05, "warmup": 5, "weight_decay": 0.1},
}


@pytest.mark.parametrize("case", FIELDS)
def test_probes_reproduce_the_record_and_every_formula_holds(case, tmp_path):
    found = measure_anatomy(*train(tmp_path, **FIELDS[case]))
    assert found.probe.values.tolist() == [1, 2, 3, 5, 6, 9, 11, 13]
    assert (found.grad_differing[:-1] == 0).all()
    assert (found.W_differing == 0).all()
    assert np.isnan(found.grad_differing[-1])  # the run has no update 13
    assert (found.deviation <= found.tolerance).all()
    assert (found.side_norm.sel(population="dead", side="input") == 0).all()
    assert (found.side_norm.sel(population="live") > 0).all()
    assert (found.output_sum < 0.02).all()
    untied = "tied" in FIELDS[case]
    assert (found.sum_ratio.max() < 0.02) == untied


def test_numbers_of_the_run_are_those_of_plain_numpy(recorded):
    _, run, found = recorded
    grad, h, p = run.grad.values.astype(float), run.h_mean.values, run.probability.values
    dead = np.arange(VOCABULARY) >= LIVE
    norms = np.linalg.norm(grad, axis=2)
    cosine = np.einsum("utc,uc->ut", grad, h) / norms / np.linalg.norm(h, axis=1)[:, None]
    median = found.cosine.sel(quantile=0.5)
    assert median.values == pytest.approx(np.median(cosine[:, dead], axis=1), rel=1e-6)
    ratio = norms / p / np.linalg.norm(h, axis=1)[:, None]
    assert found.norm_ratio.sel(quantile=0.05).values == pytest.approx(
        np.quantile(ratio[:, dead], 0.05, axis=1), rel=1e-5
    )
    total = np.linalg.norm(grad.sum(axis=1), axis=1) / norms.sum(axis=1)
    assert found.sum_ratio.values == pytest.approx(total, rel=1e-6)
    rms = np.sqrt((norms[:, dead] ** 2).mean(axis=1))
    assert found.gradient_norm.sel(population="dead").values == pytest.approx(rms, rel=1e-6)
    assert found.probability.sel(population="live").values == pytest.approx(
        p[:, ~dead].mean(axis=1), rel=1e-6
    )
    assert found.mean_entropy.values == pytest.approx(-(p * np.log(p)).sum(axis=1), rel=1e-5)
    assert found.positive_share.values == pytest.approx((grad[:, dead] > 0).mean(axis=(1, 2)))


def test_the_start_has_the_temperature_of_its_weights(recorded):
    """W is drawn with 0.02, and the hidden state of 8 components has the norm sqrt(8)."""
    *_, found = recorded
    first = found.sel(probe=1)
    assert float(first.temperature) == pytest.approx(1 / (0.02 * 8**0.5), rel=0.3)
    assert found.temperature[-1] < 0.8 * found.temperature[0]
    assert (found.temperature != found.live_temperature).all()


def test_second_moments_are_held_against_frequencies(recorded):
    _, run, found = recorded
    t = np.arange(1, 13)
    v = run.exp_avg_sq.values[1:].astype(float).mean(axis=2) / (1 - 0.999**t)[:, None]
    count = run["count"].values
    assert found.frequency.values == pytest.approx(count / count.sum())
    for step in (0, 5, 11):
        slope = np.polyfit(count / count.sum(), v[step], 1)[0]
        assert found.frequency_slope[step].item() == pytest.approx(slope, rel=1e-4)
        r2 = np.corrcoef(count, v[step])[0, 1] ** 2
        assert found.frequency_r2[step].item() == pytest.approx(r2, rel=1e-4)
    assert found.second_moment.values == pytest.approx(v[-1], rel=1e-5)


def test_the_command_writes_a_file_that_explains_itself(recorded, tmp_path):
    (segments, checkpoints, stream), _, found = recorded
    words = [*map(str, segments), "--checkpoints", *map(str, checkpoints)]
    call("gradients", [*words, "--stream", str(stream), "--output", str(tmp_path / "gradients.nc")])
    written = xr.load_dataset(tmp_path / "gradients.nc", engine="h5netcdf")
    xr.testing.assert_equal(written, found)
    for name, variable in written.data_vars.items():
        assert variable.attrs["units"] and variable.attrs["long_name"], name
    assert written.attrs["run"] == "tiny"
    assert written.attrs["probed_on"].startswith("cpu")


@pytest.mark.parametrize(("name", "W_differing"), [("embedding", 1), ("blocks.0.expand", 0)])
def test_a_changed_weight_is_noticed(name, W_differing, recorded, tmp_path):
    (segments, checkpoints, stream), *_ = recorded
    path = tmp_path / "checkpoint.safetensors"
    tensors = load_file(checkpoints[1])
    tensors[f"{name}.weight/weight"][3, 2] += 0.1
    with safe_open(checkpoints[1], framework="pt") as file:
        save_file(tensors, path, file.metadata())
    seal(path)
    found = measure_anatomy(segments, [path], stream).sel(probe=9)
    assert found.W_differing == W_differing
    assert found.grad_differing > 50
    assert (found.deviation <= found.tolerance).all()  # the formulas hold for any weights


def test_a_diverged_run_has_probes_up_to_its_end(tmp_path):
    found = measure_anatomy(*train(tmp_path, lr=1e30))
    assert found.attrs["status"] == "diverged"
    updates = int(found.attrs["diverged_at"]) - 1
    assert found.sizes["update"] == updates
    assert found.probe.values.tolist() == list(range(1, updates + 1))
    assert np.isfinite(found.deviation).all()


def test_a_run_that_diverges_at_once_has_nothing_but_its_tokens(tmp_path):
    found = measure_anatomy(*train(tmp_path, embedding_std=1e30, segments=1))
    assert found.sizes["update"] == found.sizes["probe"] == 0
    assert int(found.first_count.sum()) == 0
    assert np.isnan(found.row_displacement).all()
    assert found.dead.sum() == VOCABULARY - LIVE


def test_without_dead_tokens_only_live_ones_have_numbers(tmp_path):
    found = measure_anatomy(*train(tmp_path, size=LIVE))
    assert np.isnan(found.cosine).all()
    assert np.isnan(found.gradient_norm.sel(population="dead")).all()
    assert found.tokens.values.tolist() == [0, LIVE, 0]
    assert np.isfinite(found.gradient_norm.sel(population="live")).all()
    assert (found.deviation <= found.tolerance).all()


def test_refusals_say_what_to_do(recorded, tmp_path):
    (segments, checkpoints, stream), *_ = recorded
    with pytest.raises(UserError, match=r"grad.* not recorded; its gradients need all"):
        measure_anatomy(*train(tmp_path, record={"tensors": ["W"], "segment": 4}))
    with pytest.raises(UserError, match="is the checkpoint of another run"):
        read_weights(checkpoints[0], tiny_spec(seed=5), digest(tiny_stream()))
    with pytest.raises(UserError, match="is the checkpoint of another run"):
        read_weights(checkpoints[0], tiny_spec(), "of another text")
    loose = tmp_path / "loose.safetensors"
    loose.write_bytes(checkpoints[0].read_bytes())
    with pytest.raises(UserError, match="not sealed"):
        read_weights(loose, tiny_spec(), "")
    loose.write_bytes(b"none")
    seal(loose)
    with pytest.raises(UserError, match="not a readable checkpoint"):
        read_weights(loose, tiny_spec(), "")
    reversed_text = xr.load_dataset(stream, engine="h5netcdf").isel(position=slice(None, None, -1))
    other = tmp_path / "other.nc"
    sha256 = digest(reversed_text.token.values)
    reversed_text.assign_attrs(stream_sha256=sha256).to_netcdf(other, engine="h5netcdf")
    with pytest.raises(UserError, match="is not the text that run tiny was trained on"):
        measure_anatomy(segments, checkpoints, other)
