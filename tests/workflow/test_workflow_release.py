"""Records that are released when everything is read from them (``keep: derived``)."""

import contextlib
import copy
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
import yaml
from house import NO_CLAIMS, OF_THE_STUDY, TINY, House, build_house

from deadtokens.cli import call

CONFIG = copy.deepcopy(TINY) | {"keep": "derived"} | NO_CLAIMS
CONFIG["experiments"] = {
    "regimes": {
        "vary": {"precision": ["pure-bf16", "fp32"]},
        "seeds": [0, 1],
        "figures": ["loss", "frozen"],
    }
}
ONE = copy.deepcopy(CONFIG)
ONE["experiments"]["regimes"] |= {"vary": {"precision": ["fp32"]}, "seeds": [0]}
AGAIN = ("--config", "train_again=true")
FREEZING = "workflow/deadtokens/freezing/freezing.py"
RETRAINED = {
    "train_segment": 8,
    "collect_scalars": 4,
    "measure_freezing": 4,
    "release_run": 4,
    "draw_loss": 1,
    "draw_frozen": 1,
    "build_paper": 1,
    "collect_jobs": 1,
}


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """Return a house that released its records, and what Snakemake said."""
    house = build_house(tmp_path_factory.mktemp("released") / "house")
    answer = house.snakemake("--quiet", "host", config=CONFIG)
    assert answer.returncode == 0, answer.stdout
    return House(house.code.parent / "code", house.work), answer.stdout


@pytest.fixture
def house(answer, tmp_path):
    return answer[0].copy(tmp_path / "copy")


def would_run(house, *arguments, **changes):
    return house.would_run(*arguments, config=CONFIG | changes)


def records(house):
    """Return the runs of which a segment or checkpoint is there."""
    files = house.work.glob("results/runs/*/*/*")
    return {
        path.parents[1].name for path in files if path.parent.name in ("trajectory", "checkpoints")
    }


def receipts(house):
    return {path.parent.name for path in house.work.glob("results/runs/*/released.json")}


def files(house):
    paths = house.work.glob("results/**/*")
    return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}


def edit(house, file=FREEZING):
    path = house.code / file
    path.write_text(path.read_text() + "\n\nUNUSED = 1\n")


def test_records_are_gone_and_nothing_is_to_be_done(answer):
    house, _ = answer
    assert records(house) == set()
    assert receipts(house) == set(house.study(CONFIG).runs)
    assert len(list(house.work.glob("results/runs/*/steps-6/freezing.nc"))) == 4
    assert would_run(house) == {}


EVENT = re.compile(r"rule (?P<rule>\w+):\n(?P<about>(?: {4}.*\n)+)|Finished jobid: (?P<ended>\d+)")


def most_at_once(printed):
    """Return how many runs had a record at once, by the order in which jobs began and ended."""
    releases, present, most = {}, set(), 0
    for event in EVENT.finditer(printed):
        if event["ended"]:
            present.discard(releases.get(event["ended"]))
        elif event["rule"] in ("train_segment", "release_run"):
            run = re.search(r"wildcards: run=([^,\n]+)", event["about"])[1]
            if event["rule"] == "release_run":
                releases[re.search(r"jobid: (\d+)", event["about"])[1]] = run
            else:
                present.add(run)
                most = max(most, len(present))
    assert not present
    return most


def test_there_are_never_more_records_at_once_than_jobs(answer):
    assert most_at_once(answer[1]) == 2


def test_what_reads_no_record_trains_nothing(house):
    edit(house, "workflow/deadtokens/figures/loss.py")
    wanted = CONFIG["experiments"]["regimes"]
    another = {"regimes": wanted, "another": wanted | {"title": "Other words"}}
    assert would_run(house) == {"draw_loss": 1}
    assert would_run(house, experiments=another) == {
        "draw_loss": 2,
        "draw_frozen": 1,
        **OF_THE_STUDY,
    }
    answer = house.snakemake(config=CONFIG)
    assert answer.returncode == 0, answer.stdout
    assert would_run(house) == {}
    assert records(house) == set()


def longer(config):
    return config | {"defaults": config["defaults"] | {"steps": 9}}


def another_analysis(config):
    wanted = config["experiments"]["regimes"] | {"figures": ["loss", "frozen", "path"]}
    return config | {"experiments": {"regimes": wanted}}


@pytest.mark.parametrize(
    ("change", "trained"),
    [
        (lambda config: config, 8),
        (longer, 12),
        (another_analysis, 8),
        (lambda config: config | {"keep": "all"}, 8),
    ],
    ids=["an edited analysis", "more steps", "another analysis", "keep: all"],
)
def test_nothing_is_trained_again_unasked(change, trained, house):
    if change(CONFIG) is CONFIG:
        edit(house)
    config, before = change(CONFIG), files(house)
    for arguments in ([], ["--dry-run"]):
        answer = house.snakemake(*arguments, config=config)
        assert answer.returncode == 1
        (sentence,) = re.findall("What is to be made reads records.*", answer.stdout)
        assert "add --config train_again=true" in sentence
        assert all(run in sentence for run in house.study(CONFIG).runs)
        assert "Traceback" not in answer.stdout
    assert files(house) == before
    assert house.would_run(*AGAIN, config=config)["train_segment"] == trained


def test_runs_that_are_trained_again_give_the_same(house):
    (derived,) = house.run("fp32", ONE).glob("steps-6/freezing.nc")
    before = xr.load_dataset(derived, engine="h5netcdf")
    edit(house)
    assert would_run(house, *AGAIN) == RETRAINED
    assert would_run(house, "--rerun-triggers", "mtime") == {}  # what was derived is kept
    answer = house.snakemake(*AGAIN, config=ONE)
    assert answer.returncode == 0, answer.stdout
    after = xr.load_dataset(derived, engine="h5netcdf")
    for name, values in before.data_vars.items():
        assert np.array_equal(after[name].values, values.values, equal_nan=values.dtype.kind == "f")
    assert records(house) == set()
    assert house.would_run(config=ONE) == {}


def begin_anew(house):
    for folder in ("results/runs", "results/figures", ".snakemake"):
        shutil.rmtree(house.work / folder)


def test_a_record_stays_while_an_analysis_of_it_fails(house):
    begin_anew(house)
    main = "def main(options: Namespace) -> None:\n"
    house.edit(FREEZING, main, f"{main}    raise SystemExit('no')\n")
    assert house.snakemake(config=ONE).returncode == 1
    assert records(house) == {house.run("fp32", ONE).name}
    assert (house.run("fp32", ONE) / "steps-6" / "scalars.nc").exists()
    house.edit(FREEZING, f"{main}    raise SystemExit('no')\n", main)
    assert "train_segment" not in house.would_run(config=ONE)
    assert house.snakemake(config=ONE).returncode == 0
    assert records(house) == set()


def test_one_figure_asked_for_releases_nothing(house):
    begin_anew(house)
    answer = house.snakemake("--", "results/figures/regimes/loss.png", config=ONE)
    assert answer.returncode == 0, answer.stdout
    assert records(house) == {house.run("fp32", ONE).name}
    assert "train_segment" not in house.would_run(config=ONE)


def test_a_run_that_nothing_is_read_from_is_kept(house):
    bare = copy.deepcopy(ONE)
    bare["experiments"]["regimes"]["figures"] = []
    begin_anew(house)
    assert house.would_run(config=bare) == {"train_segment": 2}


def test_killed_midway_it_goes_on_and_trains_nothing_twice(house):
    begin_anew(house)
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", house.code / "Snakefile"]
    process = subprocess.Popen(
        [*map(str, command), "--cores", "1", "--configfile", "tiny.yaml"],
        cwd=house.work, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not receipts(house):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    house.snakemake("--unlock", config=CONFIG)
    done = receipts(house)
    assert 0 < len(done) < 4
    assert would_run(house)["train_segment"] <= 2 * (4 - len(done))
    answer = house.snakemake("--quiet", "host", config=CONFIG)
    assert answer.returncode == 0, answer.stdout
    trained = set(re.findall(r"rule train_segment:.*?run=([^,\n]+)", answer.stdout, re.DOTALL))
    assert not trained & done
    assert records(house) == set()
    assert would_run(house) == {}


def test_an_archived_study_is_drawn_anew_without_training(answer, tmp_path):
    house, _ = answer
    there = House(house.code, tmp_path / "there")
    files = [str(house.code / "config" / "config.yaml"), "tiny.yaml"]
    with contextlib.chdir(house.work):
        call("archive", [*files, "--output", str(tmp_path / "study.zip")])
    call("restore", [str(tmp_path / "study.zip"), "--directory", str(there.work)])
    for text in ("tale.txt", "words.txt"):
        shutil.copy(house.work / text, there.work)
    config = yaml.safe_load((there.work / "study.yaml").read_text())
    assert there.would_run(config=config) == {"draw_loss": 1, "draw_frozen": 1, **OF_THE_STUDY}
    answer = there.snakemake(config=config)
    assert answer.returncode == 0, answer.stdout
    drawn = sorted(path.name for path in (there.work / "results/figures/regimes").iterdir())
    assert drawn == [
        f"{name}.{kind}" for name in ("frozen", "loss") for kind in ("csv", "pdf", "png")
    ]
    for name in ("frozen.csv", "loss.csv"):
        one, other = (place.work / "results/figures/regimes" / name for place in (house, there))
        assert one.read_bytes() == other.read_bytes()
    assert there.would_run(config=config) == {}
