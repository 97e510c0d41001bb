"""The last W of a recorded training, examined as the matrix of a model is."""

import numpy as np
import pytest
import torch
import xarray as xr
from planted import census, write_run

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.figures import matrix_distances, matrix_roc
from deadtokens.figures.matrices import OTHER
from deadtokens.matrices.cloud import others_within
from deadtokens.matrices.indicators import SEEN
from deadtokens.statistics.roc import area_under_curve

TOKENS, WIDTH, UPDATES = 90, 8, 6
DEAD = census(TOKENS)["dead"].values


def write(folder, gathered):
    """Write a run some of whose rows are near each other at its end alone, two on one vector."""
    generator = np.random.default_rng(0)
    W = np.repeat(generator.normal(0, 1, (1, TOKENS, WIDTH)), UPDATES + 1, axis=0)
    W[-1, gathered] = 0.01 * W[-1, gathered] + 0.5
    W[-1, np.flatnonzero(DEAD)[:2]] = 0.5
    tensors = {"W": torch.from_numpy(W.astype(np.float32))}
    tensors["grad"] = torch.zeros(UPDATES, TOKENS, WIDTH)
    folder.mkdir()
    write_run(folder, tensors, [0, 4, UPDATES], names=("W", "grad"))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose dead rows are near each other."""
    return write(tmp_path_factory.mktemp("run") / "trajectory", DEAD)


def examine(output, *words):
    call("examine", [*map(str, words), "--output", str(output / "census.nc")])
    return xr.load_dataset(output / "census.nc")


def test_the_dead_tokens_are_the_truth(run, tmp_path):
    found = examine(tmp_path, *sorted(run.glob("segment-*.nc")), "--name", "ours")
    assert found["known"].values.tolist() == DEAD.tolist()
    assert (found["kind"].values == np.where(DEAD, "dead", "ordinary")).all()
    assert found.attrs["model"] == "ours" and found.attrs["of"] == "W"
    assert found.attrs["matrix"] == f"W after update {UPDATES}"
    assert found["token_string"].values.tolist() == census(TOKENS)["token_string"].values.tolist()
    assert found["area"].sel(indicator="to_reference") == 1
    assert found["hole_tokens"].values.tolist() == [2]
    assert found["cloud_tokens"] == DEAD.sum() and found["shell_of_others"] == 0
    assert found["cloud_radius"] == pytest.approx(0.01 * np.sqrt(WIDTH), rel=0.15)


def test_tokens_that_were_never_sampled_are_others_and_no_counterexamples(tmp_path, monkeypatch):
    """No update has met them: they lie where the dead ones do, and tell nothing of an indicator."""
    unmet = np.isin(np.arange(TOKENS), (1, 2, 4, 5, 7, 8))
    known = census(TOKENS).assign(sampled=("token", (~DEAD & ~unmet).astype(int)))
    monkeypatch.setattr("planted.census", lambda _: known)
    found = examine(tmp_path, write(tmp_path / "trajectory", DEAD | unmet))
    assert (found["kind"].values == "never sampled").tolist() == unmet.tolist()
    assert found["known"].values.tolist() == DEAD.tolist()
    for name in ("to_reference", "cosine"):
        assert found["area"].sel(indicator=name) == 1
        asked = ~found["reference"].values
        as_others = area_under_curve(found[name].values[asked], DEAD[asked]).value
        assert as_others < SEEN  # the negative control: what they would make of it
    assert found["shell_of_others"] == others_within(found).sum() > 0
    assert unmet[others_within(found)].all()
    curves = matrix_roc.table([found])
    assert set(curves["others"]) == {TOKENS - DEAD.sum() - unmet.sum()}
    cosine = curves[curves["indicator"] == "cosine"]
    under = np.trapezoid(cosine["true_positive"], cosine["false_positive"])
    assert under == cosine["area"].iloc[0] == 1
    bins = matrix_distances.table([found]).drop_duplicates(["indicator", "population"])
    assert set(bins.loc[bins["population"] == OTHER, "tokens"]) == set(curves["others"])


def test_a_folder_is_enough_and_gives_the_same(run, tmp_path):
    one = examine(tmp_path, run)
    other = examine(tmp_path, *sorted(run.glob("segment-*.nc")))
    assert one.identical(other)
    assert one.attrs["model"] == run.parent.name


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--of", "embedding"], "leave out --of"),
        (["--tokenizer", "t.json", "--embedding", "x"], "leave out --tokenizer, --embedding"),
    ],
)
def test_what_is_of_models_in_files_is_refused(run, tmp_path, words, sentence):
    with pytest.raises(UserError, match=sentence):
        examine(tmp_path, run, *words)


def test_a_model_is_no_record(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 8)
    with pytest.raises(UserError, match="is no record of a training; leave out --of W"):
        examine(tmp_path, tmp_path / "model.safetensors", "--of", "W")
    with pytest.raises(UserError, match="one model is examined at a time"):
        examine(tmp_path, tmp_path / "model.safetensors", tmp_path / "other.safetensors")


def test_a_record_of_some_rows_is_refused(tmp_path):
    tensors = {"W": torch.zeros(3, TOKENS, WIDTH), "grad": torch.zeros(2, TOKENS, WIDTH)}
    write_run(tmp_path, tensors, [0, 2], names=("W", "grad"), vocabulary_size=str(TOKENS + 1))
    with pytest.raises(UserError, match="has 90 of 91 rows of W; record all of them"):
        examine(tmp_path, tmp_path)
