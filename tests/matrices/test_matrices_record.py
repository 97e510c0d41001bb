"""The last W of a recorded training, examined as the matrix of a model is."""

import numpy as np
import pytest
import torch
import xarray as xr
from planted import census, write_run

from deadtokens.cli import call
from deadtokens.errors import UserError

TOKENS, WIDTH, UPDATES = 90, 8, 6
DEAD = census(TOKENS)["dead"].values


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose dead rows are near each other at its end alone, two of them on one vector."""
    generator = np.random.default_rng(0)
    W = np.repeat(generator.normal(0, 1, (1, TOKENS, WIDTH)), UPDATES + 1, axis=0)
    W[-1, DEAD] = 0.01 * W[-1, DEAD] + 0.5
    W[-1, np.flatnonzero(DEAD)[:2]] = 0.5
    tensors = {"W": torch.from_numpy(W.astype(np.float32))}
    tensors["grad"] = torch.zeros(UPDATES, TOKENS, WIDTH)
    folder = tmp_path_factory.mktemp("run") / "trajectory"
    folder.mkdir()
    write_run(folder, tensors, [0, 4, UPDATES], names=("W", "grad"))
    return folder


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
