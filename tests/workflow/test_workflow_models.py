"""Other people's models, examined by the workflow."""

import copy
import os

import pandas as pd
import pytest
import xarray as xr
from house import NO_CLAIMS, TINY, build_house
from smoke import HOLE, write_model

from deadtokens.study.figures import OF_CENSUSES

MATRICES = ["embedding", "unembedding"]
FILES = [f"results/models/planted/{matrix}/census.nc" for matrix in MATRICES]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    house = build_house(tmp_path_factory.mktemp("house"))
    (house.work / "a model's folder").mkdir()
    write_model(house.work / "a model's folder")
    return house


def configuration(**fields) -> dict:
    entry = {"path": "a model's folder", "matrices": MATRICES} | fields
    return copy.deepcopy(TINY) | NO_CLAIMS | {"models": {"planted": entry}}


def test_every_matrix_of_a_model_is_examined_once(house):
    answer = house.snakemake("--", *FILES, config=configuration())
    assert answer.returncode == 0, answer.stdout
    for file, first in zip(FILES, (HOLE[0], 399 - HOLE[-1]), strict=True):
        found = xr.load_dataset(house.work / file)
        assert found["hole_tokens"].values.tolist() == [5]
        assert int(found["hole_first"][0]) == first
        suspects = (house.work / file).with_name("suspects.csv").read_text(encoding="utf-8")
        assert suspects.count("\n") == 1 + found.attrs["suspects"]
    assert house.would_run("--", *FILES, config=configuration()) == {}


def test_they_belong_to_the_study(house):
    jobs = house.would_run("--forceall", config=configuration())
    assert jobs["examine_matrix"] == jobs["draw_matrix_norms"] == jobs["draw_matrix_roc"] == 2
    assert "examine_matrix" not in house.would_run("--forceall")


def test_its_figures_are_drawn_with_their_numbers(house):
    files = [f"results/models/planted/embedding/{figure}.png" for figure in OF_CENSUSES]
    answer = house.snakemake("--", *files, config=configuration())
    assert answer.returncode == 0, answer.stdout
    for file in files:
        path = house.work / file
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    holes = pd.read_csv((house.work / files[2]).with_suffix(".csv"))
    assert holes["tokens"].tolist() == [5]


def test_another_model_in_its_place_is_examined_again(house):
    test_every_matrix_of_a_model_is_examined_once(house)
    with (house.work / "a model's folder" / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x3e")
    assert house.would_run("--", *FILES, config=configuration()) == {"examine_matrix": 2}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"path": "nowhere"}, "models.planted.path: 'nowhere' is neither a file nor a folder"),
        ({"path": "results"}, "models.planted.path: 'results' has no file of a model"),
        ({"tokenizer": "nothing.json"}, "models.planted.tokenizer: 'nothing.json' is no file"),
        ({"path": "-x"}, "models.planted.path: must be a path, which does not begin with '-'"),
        ({"matrices": []}, "models.planted.matrices"),
        ({"source": "minilm"}, "models.planted: needs `source` or `path`, and not both"),
        ({"embedding": "--of"}, "models.planted.embedding: must be the name of a tensor"),
    ],
)
def test_what_is_wrong_is_named_before_any_job(house, fields, sentence):
    (house.work / "results").mkdir(exist_ok=True)
    answer = house.snakemake("--dry-run", config=configuration(**fields))
    assert answer.returncode != 0
    assert sentence in answer.stdout
    assert "Traceback" not in answer.stdout
