"""Recordings of other trainings in the workflow, beside runs of its own and alone."""

import copy
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from foreign_records import make_record
from house import NO_CLAIMS, TINY, House, build_house

from deadtokens.cli import call
from deadtokens.study.figures import OF_CENSUSES
from deadtokens.trajectory.reader import open_run

TITLE = 'My <b>"training" $\\frac{ #panic("x") ก'
MINE = "-$(mine) 'ก\""
CONFIG = copy.deepcopy(TINY) | NO_CLAIMS | {"keep": "derived"}
CONFIG["recorded"] = {
    "mine": {"path": f"my records/{MINE}", "title": TITLE},
    "theirs": {"path": "my records/theirs"},
}
CONFIG["models"] = {"its-end": {"recorded": "mine"}}
CENSUS = "results/models/its-end/W/census.nc"
CONFIG["experiments"] = {
    "regimes": {
        "vary": {"precision": ["fp32"]},
        "seeds": [0],
        "figures": ["frozen", "loss"],
        "recorded": ["mine", "theirs"],
    },
    "ours": {"recorded": ["mine"], "figures": ["path", "audit"]},
}
OF_MINE = {
    "measure_freezing_of_recording": 1,
    "measure_drift_of_recording": 1,
    "run_audit_of_recording": 1,
    "draw_frozen": 1,
    "draw_path": 1,
    "draw_audit": 1,
    "examine_matrix": 1,
    **{f"draw_{figure}": 1 for figure in OF_CENSUSES},
    "build_paper": 1,
    "collect_jobs": 1,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a house in which the workflow has analysed recordings, and what goes on with one."""
    house = build_house(tmp_path_factory.mktemp("recorded") / "house")
    go_on = make_record(house.work / "my records" / MINE, updates=8)
    make_record(house.work / "my records" / "theirs", optimizer="rmsprop")
    answer = house.snakemake(config=CONFIG)
    assert answer.returncode == 0, answer.stdout
    return house, go_on


@pytest.fixture
def house(built, tmp_path):
    """Return a copy of it that a test may change."""
    return built[0].copy(tmp_path / "copy")


def records(house: House) -> dict:
    paths = (house.work / "my records").rglob("*")
    return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}


def rows(house: House, figure: str) -> pd.DataFrame:
    return pd.read_csv(house.work / "results" / "figures" / f"{figure}.csv")


def test_derived_files_are_those_of_the_recording(built):
    house, _ = built
    folder = house.work / "results" / "recorded"
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.??*"))
    derived = ["mine/audit.json", "mine/drift.nc", "mine/freezing.nc", "theirs/freezing.nc"]
    assert found == sorted([*derived, *(f"{path}.seal.json" for path in derived)])
    run = open_run(house.work / "my records" / MINE)
    W = run["W"].values
    frozen = (W[1:] == W[:-1]).all(axis=2)[:, run["dead"].values].mean(axis=1)
    freezing = xr.load_dataset(folder / "mine" / "freezing.nc", engine="h5netcdf")
    assert np.array_equal(freezing["frozen_fraction"].sel(population="dead"), frozen)
    assert freezing.attrs["recorded"] == run.attrs["recorded"]
    audit = json.loads((folder / "mine" / "audit.json").read_text())
    assert audit["identical"]
    assert "single" in audit["reproduced_by"]


def test_its_last_matrix_is_examined(built):
    house, _ = built
    run, found = open_run(house.work / "my records" / MINE), xr.load_dataset(house.work / CENSUS)
    last = run["W"].isel(state=-1).values.astype(np.float64)
    assert found["norm"].values == pytest.approx(np.linalg.norm(last, axis=1), rel=1e-6)
    assert found["known"].values.tolist() == run["dead"].values.tolist()
    assert found["token_string"].values.tolist() == run["token_string"].values.tolist()
    assert found.attrs["matrix"] == "W after update 8"


def test_figures_show_them_beside_the_runs_and_alone(built):
    house, _ = built
    frozen = rows(house, "regimes/frozen")
    assert list(dict.fromkeys(frozen["label"])) == ["fp32", "mine", "theirs"]
    dead = frozen[(frozen["population"] == "dead") & (frozen["run"] == "recorded/mine")]
    assert len(dead) == 8
    assert set(rows(house, "ours/path")["run"]) == {"recorded/mine"}
    assert set(rows(house, "regimes/loss")["label"].dropna()) == {"fp32"}
    tried = rows(house, "ours/audit").set_index("check")["differing"]
    assert tried["by torch's single"] == 0
    assert tried["control: one flipped bit"] > 0
    assert not (house.work / "results" / "experiments").exists()


def test_the_paper_says_what_they_are(built):
    house, _ = built
    data = json.loads((house.work / "results" / "paper" / "paper.json").read_text())
    said = {one["name"]: one for one in data["recordings"]}
    assert {name: one["alone"] for name, one in said.items()} == {"regimes": False, "ours": True}
    (mine,) = said["ours"]["recordings"]
    assert mine["title"] == TITLE
    assert (mine["updates"], mine["rows"], mine["vocabulary_size"]) == ("8", "40", "40")
    assert mine["replayed"].startswith("all 5,760 recorded values are given back, bit for bit, by ")
    assert "RMSprop is no optimizer of torch" in said["regimes"]["recordings"][1]["unreplayed"]
    assert [figure["name"] for figure in data["figures"]["ours"]] == ["ours-path"]
    assert [row["name"] for row in data["experiments_of"]] == ["regimes"]


def test_an_untouched_recording_is_not_analysed_again_and_none_is_removed(house):
    before = records(house)
    assert house.would_run(config=CONFIG) == {}
    for path in before:
        path.touch()
    assert house.would_run(config=CONFIG) == {}
    assert not list(house.work.glob("results/runs/*/trajectory"))
    assert records(house).keys() == before.keys()


def test_one_that_grows_is_analysed_again_and_nothing_else(house, tmp_path):
    make_record(tmp_path / "longer", updates=12)
    grown = house.work / "my records" / MINE
    for path in (tmp_path / "longer").iterdir():
        if path.name.startswith("segment-002") or path.name == "recording.json":
            shutil.copy(path, grown / path.name)
    assert house.would_run(config=CONFIG) == OF_MINE


def test_an_archive_has_what_was_derived(house, monkeypatch):
    monkeypatch.chdir(house.work)
    call("archive", ["tiny.yaml", "--output", "study.zip"])
    call("restore", ["study.zip", "--directory", "elsewhere"])
    elsewhere = House(house.code, house.work / "elsewhere")
    for text in ("tale.txt", "words.txt"):
        shutil.copy(house.work / text, elsewhere.work)
    config = json.loads(json.dumps(CONFIG))
    config["recorded"]["mine"]["path"] = "results/recorded/mine"
    config["recorded"]["theirs"]["path"] = "results/recorded/theirs"
    config["claims"] = "results/claims/claims.yaml"
    jobs = elsewhere.would_run(config=config)
    figures = {"draw_frozen": 1, "draw_loss": 1, "draw_path": 1, "draw_audit": 1}
    assert jobs == figures | {"evaluate_claims": 1, "build_paper": 1, "collect_jobs": 1}
    (elsewhere.work / "results" / "recorded" / "mine" / "drift.nc").unlink()
    answer = elsewhere.snakemake("--dry-run", config=config)
    assert answer.returncode == 1
    (sentence,) = re.findall("What is to be made reads the recording.*", answer.stdout)
    assert "mine, of which no segment is here; name its folder as recorded.mine.path" in sentence
    assert "Traceback" not in answer.stdout
    answer = elsewhere.snakemake("--dry-run", "--force", "--", CENSUS, config=config)
    assert answer.returncode == 1
    assert (
        "What is to be made reads the model its-end, which is not here; name its file or folder as "
        "recorded.mine.path, instead of results/recorded/mine."
    ) in answer.stdout
