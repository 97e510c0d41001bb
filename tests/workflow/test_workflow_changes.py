"""What the workflow makes after a change: longer runs, damaged files, a run that diverges."""

import copy
import csv

import numpy as np
import xarray as xr
from house import ANALYSED, COMPARED, DRAWN, NO_CLAIMS, OF_THE_STUDY, TINY

from deadtokens.seal import ENDING
from deadtokens.trajectory.reader import open_run


def test_runs_of_two_lengths_are_two_of_a_figure(house):
    config = copy.deepcopy(TINY)
    config["experiments"] = {
        "lengths": {"vary": {"steps": [3, 6]}, "set": {"precision": "fp32"}, "seeds": [0]}
    }
    figure = "results/figures/lengths/frozen.png"
    assert house.would_run("--", figure, config=config) == {"measure_freezing": 1, "draw_frozen": 1}
    answer = house.snakemake("--", figure, config=config)
    assert answer.returncode == 0, answer.stdout
    with (house.work / figure).with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        longest = {}
        for row in csv.DictReader(file):
            longest[row["label"]] = max(longest.get(row["label"], 0), int(row["update"] or 0))
    assert longest == {"steps 3": 3, "steps 6": 6}


def test_more_steps_train_only_what_is_missing(house):
    longer = copy.deepcopy(TINY)
    longer["defaults"]["steps"] = 9
    not_by_steps = {"draw_census", "draw_storage", "draw_tensors", "draw_initial_softmax"}
    redrawn = {job: 1 for job in DRAWN if job not in not_by_steps}
    rerun = {"train_segment": 2, **COMPARED, **ANALYSED, **redrawn}
    assert house.would_run(config=longer) == rerun
    longer["experiments"]["regimes"]["figures"] = ["audit"]
    longer |= NO_CLAIMS
    trajectory = house.run("pure-bf16") / "trajectory"
    before = open_run(trajectory).load()
    answer = house.snakemake(config=longer)
    assert answer.returncode == 0, answer.stdout
    after = open_run(trajectory)
    assert after.sizes["update"] == 9
    assert (after.W.sel(state=slice(0, 6)).values == before.W.values).all()
    assert house.would_run(config=longer) == {}
    assert house.would_run() == {"draw_audit": 1, **OF_THE_STUDY}


def test_a_damaged_segment_stops_what_follows_and_is_made_anew(house):
    folder = house.run("fp32")
    segment, freezing = folder / "trajectory" / "segment-001.nc", folder / "steps-6" / "freezing.nc"
    target = str(freezing.relative_to(house.work))
    whole = bytearray(segment.read_bytes())
    before = xr.load_dataset(segment, engine="h5netcdf")
    freezing.unlink()
    whole[len(whole) // 2] ^= 1
    segment.write_bytes(whole)
    answer = house.snakemake("--", target)
    assert answer.returncode == 1
    assert "segment-001.nc: damaged, its bytes are not those that were sealed; remove it" in (
        answer.stdout
    )
    assert "Traceback" not in answer.stdout
    assert not freezing.exists()
    segment.unlink()
    answer = house.snakemake("--", target)
    assert answer.returncode == 0, answer.stdout
    after = xr.load_dataset(segment, engine="h5netcdf")
    assert (after.W.values.view(np.uint32) == before.W.values.view(np.uint32)).all()
    assert freezing.exists()


def test_a_diverging_run_is_a_result(house):
    """Every analysis of it is made; tests/figures draw diverged runs."""
    config = copy.deepcopy(TINY)
    config["experiments"] = {"wild": {"vary": {"lr": [1.0e30]}, "set": {"precision": "fp32"}}}
    whole = house.run("fp32") / "steps-6"
    derived = [path.name for path in whole.iterdir() if not path.name.endswith(ENDING)]
    run = f"results/runs/{house.run('fp32', config).name}/steps-6"
    figure = "results/figures/wild/loss.png"
    answer = house.snakemake("--", figure, *(f"{run}/{name}" for name in derived), config=config)
    assert answer.returncode == 0, answer.stdout
    assert "is not finite" in answer.stdout
    assert (house.work / figure).is_file()
    names = ("freezing", "drift", "indicators", "attribution", "stillness", "gradients")
    for name in (f"{name}.nc" for name in names):
        made = xr.open_dataset(house.work / run / name)
        assert made.attrs["status"] == "diverged"
        assert 0 < made.attrs["diverged_at"] <= 6
