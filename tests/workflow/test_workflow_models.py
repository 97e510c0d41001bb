"""Models, of others and of its own runs, examined by the workflow."""

import copy
import json
import os

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import xarray as xr
from house import NO_CLAIMS, TINY, build_house
from smoke import HOLE, TOKENS, WIDTH, write_model

from deadtokens.study.figures import OF_CENSUSES
from deadtokens.study.needed import read_from_records

SEGMENT = "trajectory/segment-000.nc"
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
        (
            {"source": "minilm"},
            "models.planted: needs `source`, `path`, `experiment` or `recorded`",
        ),
        ({"embedding": "--of"}, "models.planted.embedding: must be the name of a tensor"),
    ],
)
def test_what_is_wrong_is_named_before_any_job(house, fields, sentence):
    (house.work / "results").mkdir(exist_ok=True)
    answer = house.snakemake("--dry-run", config=configuration(**fields))
    assert answer.returncode != 0
    assert sentence in answer.stdout
    assert "Traceback" not in answer.stdout


def of_a_run(**run) -> dict:
    config = configuration()
    config["models"]["ours"] = {"experiment": "regimes", "run": run}
    config["defaults"]["record"] = {"segment": 3, "tensors": ["grad"]}  # W is replayed
    return config


def test_a_run_is_examined_as_it_is_at_the_end_and_beside_the_others(house):
    config = of_a_run(precision="fp32")
    files = ["results/models/ours/W/census.nc", "results/models/matrix_cloud.png"]
    answer = house.snakemake("--", *files, config=config)
    assert answer.returncode == 0, answer.stdout
    found, run = xr.load_dataset(house.work / files[0]), house.run("fp32", config)
    checkpoint = safetensors.numpy.load_file(run / "checkpoints" / "checkpoint-001.safetensors")
    W = checkpoint["embedding.weight/weight"].astype(np.float64)
    assert found["norm"].values == pytest.approx(np.linalg.norm(W, axis=1), rel=1e-6)
    assert found.attrs["matrix"] == "W after update 6" and found.attrs["model"] == "ours"
    assert found.attrs["known_tokens"] == xr.load_dataset(run / SEGMENT)["dead"].sum()
    drawn = pd.read_csv((house.work / files[1]).with_suffix(".csv"))
    assert set(drawn["model"]) == {"planted", "ours"}
    assert house.would_run("--", *files, config=config) == {}
    # Another label of the same run is another file, and nothing is trained for it.
    config["models"]["again"] = config["models"]["ours"]
    jobs = house.would_run("--", "results/models/again/W/census.nc", config=config)
    assert jobs == {"examine_matrix": 1}


def test_the_paper_is_built_again_when_a_census_is_another_and_only_then(house):
    config = of_a_run(precision="fp32")
    config["experiments"]["regimes"]["figures"] = ["loss"]  # fewer, not to wait for all
    paper, model = "results/paper/paper.pdf", house.work / "a model's folder" / "model.safetensors"
    data = (house.work / paper).with_suffix(".json")

    def built() -> dict:
        answer = house.snakemake("--", paper, config=config)
        assert answer.returncode == 0, answer.stdout
        matrices = json.loads(data.read_text(encoding="utf-8"))["models"]["matrices"]
        return {(one["name"], one["source"].split("/")[2]): one for one in matrices}

    said = built()
    assert set(said) == {("planted", "embedding"), ("planted", "unembedding"), ("ours", "W")}
    for (name, matrix), one in said.items():
        census = xr.load_dataset(house.work / f"results/models/{name}/{matrix}/census.nc")
        assert one["known"] == str(int(census["known"].sum()))
        assert one["whose"] == ("run" if name == "ours" else "others")
    assert said["planted", "embedding"]["cluster"] == "5 on 2"
    assert house.would_run("--", paper, config=config) == {}
    # The file is newer, and has the same bits: it is examined again, and found to be the same.
    first = data.read_bytes()
    data.write_bytes(first + b"\n")
    model.touch()
    assert built() == said and data.read_bytes() == first + b"\n"
    with model.open("r+b") as file:
        file.seek(-2 * TOKENS * WIDTH, os.SEEK_END)
        file.write(np.full(3 * WIDTH, 0x3E80, "<u2").tobytes())
    assert house.would_run("--", paper, config=config)["build_paper"] == 1
    again = built()
    assert again["ours", "W"] == said["ours", "W"]
    assert data.read_bytes()[-2:] != b"\n\n"
    changed = [key for key in said if again[key]["alike"] != said[key]["alike"]]
    assert len(changed) == 1


def test_a_study_without_models_reads_no_census_for_its_paper(house):
    words = ("--forceall", "--", "results/paper/paper.pdf")
    jobs = house.would_run(*words, config=configuration())
    assert (jobs["examine_matrix"], jobs["draw_clouds"], jobs["build_paper"]) == (2, 1, 1)
    without = house.would_run(*words, config=copy.deepcopy(TINY) | NO_CLAIMS)
    assert without["build_paper"] == 1 and not {"examine_matrix", "draw_clouds"} & set(without)
    one = house.would_run(*words, config=configuration(matrices=["embedding"]))
    assert one["draw_matrix_cloud"] == 1 and "draw_clouds" not in one


def test_what_is_released_waits_for_its_census(house):
    config = of_a_run(precision="fp32") | {"keep": "derived"}
    study = house.study(config)
    (run,) = (name for name in study.runs if "fp32" in name)
    assert "models/ours/W/census.nc" in read_from_records(study)[run]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"experiment": "regime"}, "'regime' is not an entry of `experiments`; did you mean"),
        ({"recorded": "mine"}, "models.ours.recorded: 'mine' is not an entry of `recorded`"),
        ({"experiment": "regimes"}, "models.ours.run: 2 runs of regimes have these settings"),
        ({"experiment": "regimes", "run": {"lr": 3}}, "no runs of regimes have these settings"),
        ({"experiment": "regimes", "tokenizer": "a"}, "`tokenizer` is of models in files"),
        ({"source": "minilm", "run": {"lr": 3}}, "`run` is of an `experiment`"),
    ],
)
def test_an_entry_names_one_run(house, entry, sentence):
    config = configuration()
    config["models"] = {"ours": entry}
    answer = house.snakemake("--dry-run", config=config)
    assert answer.returncode != 0 and sentence in answer.stdout, answer.stdout
    assert "Traceback" not in answer.stdout


def test_a_run_is_asked_for_its_indicators(house):
    (run,) = (name for name in house.study().runs if "fp32" in name)
    file = f"results/runs/{run}/steps-6/indicators.nc"
    answer = house.snakemake("--", file)
    assert answer.returncode == 0, answer.stdout
    found = xr.load_dataset(house.work / file)
    assert found["state"].values.tolist() == list(range(7))
    assert found.attrs["run"] == run and found.attrs["dead_tokens"] > 2
