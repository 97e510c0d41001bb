"""A model examined as its user does it: a planted black hole, unused rows, hostile strings."""

import csv

import numpy as np
import pytest
import xarray as xr
from smoke import (
    HOLE,
    HOSTILE,
    TOKENS,
    UNUSED,
    planted,
    write_model,
    write_safetensors,
    write_vocabulary,
)

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.matrices import examination
from deadtokens.matrices.matrix import Array
from deadtokens.matrices.tokens import Tokens
from deadtokens.netcdf import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("a model's {folder}"))


def examine(folder, *options):
    output, table = folder / "census.nc", folder / "suspects.csv"
    call("examine", [str(folder), "--output", str(output), "--csv", str(table), *options])
    with table.open(encoding="utf-8", newline="") as file:
        return read(output), list(csv.DictReader(file))


@pytest.fixture(scope="module")
def examined(folder):
    return examine(folder)


def test_the_black_hole_is_found_with_its_vectors(examined):
    found, rows = examined
    assert found["hole_tokens"].values.tolist() == [5]
    hole = found.isel(hole=0)
    sizes = [int(hole[f"hole_{name}"]) for name in ("first", "vectors", "largest", "components")]
    assert sizes == [70, 2, 3, 1]
    assert hole["hole_extent"] == 1
    population = found["population"].values
    assert population[HOLE].tolist() == [3, 3, 3, 2, 2]
    assert np.delete(population, HOLE).max() == 1
    cluster = found["cluster"].sel(distance="L1", units=1).values
    assert (cluster[HOLE] == 70).all() and (np.delete(cluster, HOLE) != 70).all()
    assert [int(row["token"]) for row in rows[:5]] == sorted(
        HOLE, key=lambda token: float(found[BEST][token])
    )
    assert {row["hole"] for row in rows[:5]} == {"70"}
    assert all(row["why"].startswith("same bits, near") for row in rows[:5])


BEST = "cosine_without_first"


def test_unused_rows_are_told_by_half_of_them(examined):
    found, _ = examined
    assert found.attrs["known_tokens"] == 50 and found.attrs["reference_tokens"] == 25
    assert found["reference"].values.nonzero()[0].tolist() == UNUSED[::2].tolist()
    assert found["area"].sel(indicator="to_reference") == 1
    assert found["area"].sel(indicator="norm") == 1  # they are small here
    assert (found["kind"].values[UNUSED] == "reserved").all()
    untrained = np.flatnonzero(np.char.find(found["why"].values, "untrained") >= 0)
    assert len(untrained) == 8 and set(untrained) <= set(UNUSED)  # two of a hundred


def test_strings_are_harmless(examined):
    found, _ = examined
    strings = found["token_string"].values
    assert strings[101] == HOSTILE[101]
    assert all(text.isprintable() for text in strings)
    assert strings[103] == "\\u202eevil"


def test_the_other_matrix_of_an_untied_model(folder):
    found, _ = examine(folder, "--of", "unembedding")
    assert found.attrs["matrix"] == "lm_head.weight" and found.attrs["of"] == "unembedding"
    assert int(found["hole_first"][0]) == TOKENS - 1 - HOLE.max()


def test_where_nothing_is_known_shared_bits_are_the_reference(folder, tmp_path):
    names = tmp_path / "vocab.txt"
    names.write_text("".join(f"word{index}\n" for index in range(TOKENS)), encoding="utf-8")
    found, _ = examine(folder, "--tokenizer", str(names))
    assert found["reference"].values.nonzero()[0].tolist() == HOLE.tolist()
    assert found["area"].isnull().all()
    assert found["to_reference"].values.argsort()[:5].tolist() != []
    assert set(found["to_reference"].values.argsort()[:5]) == set(HOLE)


def test_rows_beyond_the_tokenizer_are_missing(folder, tmp_path):
    names = tmp_path / "vocab.txt"
    names.write_text("".join(f"word{index}\n" for index in range(390)), encoding="utf-8")
    found, _ = examine(folder, "--tokenizer", str(names))
    assert (found["kind"].values[390:] == "missing").all()
    assert found.attrs["known_tokens"] == 10


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--of", "unembedding", "--unembedding", "x"), "x"),
        (("--embedding", "no.such"), "no.such"),
        (("--tokenizer", "nothing.json"), "nothing.json"),
    ],
)
def test_what_is_not_there_is_named(folder, options, sentence):
    with pytest.raises(UserError, match=sentence):
        examine(folder, *options)


def test_a_model_without_a_vocabulary_needs_one(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", {"wte.weight": planted()})
    with pytest.raises(UserError, match="name one by --tokenizer"):
        examine(tmp_path)


def test_a_tied_model_has_one_matrix(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", {"wte.weight": planted()})
    write_vocabulary(tmp_path / "vocab.json")
    with pytest.raises(UserError, match="leave out --of unembedding"):
        examine(tmp_path, "--of", "unembedding")


def test_the_file_says_what_its_variables_are(examined):
    found, _ = examined
    for name, variable in found.variables.items():
        assert variable.attrs.get("long_name"), name
    assert isinstance(found, xr.Dataset)


@pytest.mark.parametrize("factor", [0.0, 1e-44, 1e30, 1e37, np.inf, np.nan])
@pytest.mark.parametrize("rows", ["dead", "others", "all"])
def test_a_matrix_of_a_diverged_run_is_examined_as_far_as_it_is_one(rows, factor):
    """And without a word on the way: the tests make errors of warnings."""
    W = np.random.default_rng(0).normal(0, 1, (90, 8)).astype(np.float32)
    dead = np.arange(90) < 30
    chosen = {"dead": dead, "others": ~dead, "all": np.full(90, True)}[rows]
    with np.errstate(over="ignore", invalid="ignore"):
        W[chosen] *= np.float32(factor)
    kinds = np.where(dead, "dead", "ordinary").tolist()
    tokens = Tokens([b""] * 90, ["word"] * 90, ["none"] * 90, kinds, ["unknown"] * 90)
    found = examination.examine(Array("W", 90, 8, "float32", W), tokens)
    assert found["known"].values.tolist() == dead.tolist()
    whole = np.isfinite(W).all(1)
    with np.errstate(over="ignore"):
        norms = np.linalg.norm(W[whole].astype(np.float64), axis=1)
    assert found["norm"].values[whole] == pytest.approx(norms, rel=1e-5)
    assert np.isnan(found["norm"].values[~whole]).all()
    if "cloud_tokens" in found:
        assert found["cloud_tokens"] == (whole & dead).sum()
    else:
        assert not (whole & dead).any() or not (whole & ~dead).any()
