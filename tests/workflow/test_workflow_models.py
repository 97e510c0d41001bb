"""Models, of others and of its own runs, examined by the workflow."""

import contextlib
import copy
import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import xarray as xr
import yaml
from house import NO_CLAIMS, OF_THE_STUDY, TINY, House, build_house
from smoke import HOLE, TOKENS, WIDTH, write_model

from deadtokens.cli import call
from deadtokens.study.figures import OF_CENSUSES
from deadtokens.study.needed import read_from_records

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


def test_the_time_limit_follows_from_the_size_of_the_files(house):
    """10 billion weights, of which 100,000 x 2,500 are read: 22.4 s, 8 times as much, 5 min."""
    with (house.work / "large.gguf").open("wb") as file:
        file.truncate(20_000_000_000)
    config = configuration()
    config["models"]["large"] = {"path": "large.gguf"}
    files = [FILES[0], "results/models/large/embedding/census.nc"]
    words = "--dry-run", "--forceall", "--quiet", "host", "--", *files
    announced = house.snakemake(*words, config=config).stdout
    (house.work / "large.gguf").unlink()
    limits = re.findall(r"model=(\w+), matrix.*?\bruntime=(\d+)", announced, re.DOTALL)
    assert dict(limits) == {"planted": "6", "large": "8"}


@pytest.fixture(scope="module")
def archived(house, tmp_path_factory):
    """Return a folder with a whole study of one run, which is examined, and a model; its archive.

    Of the run nothing but its segments gives the census, and they are released.
    """
    whole = house.copy(tmp_path_factory.mktemp("archived") / "house")
    config = configuration()
    config["experiments"]["regimes"] = {"vary": {"precision": ["fp32"]}, "figures": ["loss"]}
    config["models"]["ours"] = {"experiment": "regimes"}
    answer = whole.snakemake(config=config | {"keep": "derived"})
    assert answer.returncode == 0, answer.stdout
    with contextlib.chdir(whole.work):
        call("archive", ["tiny.yaml", "--output", "study.zip"])
    return whole


@pytest.fixture
def restored(archived, tmp_path):
    """Return a folder in which it was restored, far from the model, and its configuration."""
    there = House(archived.code, tmp_path / "there")
    call("restore", [str(archived.work / "study.zip"), "--directory", str(there.work)])
    for text in ("tale.txt", "words.txt"):
        shutil.copy(archived.work / text, there.work)
    return there, yaml.safe_load((there.work / "study.yaml").read_text())


DRAWN = OF_THE_STUDY | {"draw_loss": 1}


def test_of_an_archived_model_nothing_is_made_anew(restored):
    there, config = restored
    assert not list(there.work.rglob("model.safetensors"))
    assert there.would_run(config=config) == DRAWN
    answer = there.snakemake(config=config)
    assert answer.returncode == 0, answer.stdout
    assert there.would_run(config=config) == {}


def test_figures_of_an_archived_model_are_drawn_anew(restored, archived):
    there, config = restored
    folders = [place.work / "results/models/planted/unembedding" for place in (archived, there)]
    (folders[1] / "matrix_holes.png").unlink()
    (folders[1] / "matrix_holes.csv").unlink()
    assert there.would_run(config=config) == DRAWN | {"draw_matrix_holes": 1}
    there.snakemake("--", "results/models/planted/unembedding/matrix_holes.png", config=config)
    one, other = ((folder / "matrix_holes.csv").read_bytes() for folder in folders)
    assert one == other


def test_an_archived_model_that_is_to_be_read_is_missed_in_a_sentence(restored, archived):
    there, config = restored
    census = there.work / FILES[1]
    census.unlink()
    census.with_name("matrix_roc.png").unlink()
    answer = there.snakemake("--dry-run", config=config)
    assert answer.returncode == 1
    (sentence,) = re.findall("What is to be made reads the model.*", answer.stdout)
    assert sentence == (
        "What is to be made reads the model planted, which is not here; name its file or folder "
        "as models.planted.path, instead of results/models/planted."
    )
    assert "Traceback" not in answer.stdout
    config["models"]["planted"]["path"] = str(archived.work / "a model's folder")
    assert there.would_run("--", FILES[1], config=config) == {"examine_matrix": 1}


def test_a_pinned_model_is_downloaded_again_only_to_be_read(restored):
    there, config = restored
    config["models"]["pinned"] = {"source": "smollm2"}
    folders = [there.work / f"results/models/{name}/embedding" for name in ("planted", "pinned")]
    shutil.copytree(*folders)
    assert there.would_run(config=config) == DRAWN
    shutil.rmtree(folders[1])
    file = "results/models/pinned/embedding/census.nc"
    jobs = there.would_run("--", file, config=config)
    assert jobs == {"fetch_weights": 1, "examine_matrix": 1}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"path": "nowhere"}, "models.planted.path: 'nowhere' is neither a file nor a folder"),
        ({"path": "results"}, "models.planted.path: 'results' has no file of a model"),
        ({"tokenizer": "nothing.json"}, "models.planted.tokenizer: 'nothing.json' is no file"),
        ({"path": "x" * 300}, "xxx: the system refuses it (File name too long)"),
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
    segments = [xr.load_dataset(run / "trajectory" / f"segment-00{n}.nc") for n in (0, 1)]
    sampled = sum(one["sampled"].values for one in segments)
    expected = np.where(sampled > 0, "ordinary", "never sampled")
    expected[segments[0]["dead"].values] = "dead"
    assert found["kind"].values.tolist() == expected.tolist()
    assert set(expected) == {"ordinary", "never sampled", "dead"}
    assert found.attrs["known_tokens"] == (expected == "dead").sum()
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
    with contextlib.chdir(house.work):
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
