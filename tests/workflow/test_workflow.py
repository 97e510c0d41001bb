"""The whole workflow, through real Snakemake, on a tiny configuration."""

import copy
import csv
import json
import os
import random
import re
import shutil
import time

import numpy as np
import pytest
import xarray as xr
from house import REPOSITORY, TINY, build_house

from deadtokens.figures.draw import FIGURES
from deadtokens.seal import ENDING, seal
from deadtokens.study.study import Study
from deadtokens.trajectory.reader import open_run

README = REPOSITORY / "README.md"
OF_FREEZING = ("frozen", "displacement", "phases", "survival", "ulps", "strata")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return a house in which the workflow has run once, from read-only code."""
    house = build_house(tmp_path_factory.mktemp("house"))
    for path in [house.code, *house.code.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    answer = house.snakemake()
    for path in [house.code, *house.code.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert answer.returncode == 0, answer.stdout
    house.answer = answer.stdout
    return house


@pytest.fixture
def house(finished, tmp_path):
    """Return a copy of the finished house, results with their times, that a test may change."""
    shutil.copytree(finished.code.parent, tmp_path / "copy", copy_function=shutil.copy2)
    return type(finished)(tmp_path / "copy" / "code", tmp_path / "copy" / "work")


@pytest.fixture(scope="module")
def study(finished):
    before = os.getcwd()
    os.chdir(finished.work)
    yield Study(TINY)
    os.chdir(before)


def run_folder(house, study, precision):
    (run,) = (name for name, spec in study.runs.items() if spec.precision == precision)
    return house.work / "results" / "runs" / run


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_runs_are_recorded(precision, finished, study):
    run = open_run(run_folder(finished, study, precision) / "trajectory")
    assert dict(run.sizes) == {"state": 7, "update": 6, "token": 290, "component": 8}
    assert json.loads(run.attrs["spec"])["precision"] == precision
    weights = {"pure-bf16": "bfloat16", "fp32": "float32"}[precision]
    assert run.attrs["dtype_parameters"] == run.W.attrs["recorded_dtype"] == weights
    assert run.attrs["device"].startswith("cpu")
    assert 0 < int(run.dead.sum()) < 290
    assert run.token_string.dtype.kind in "OUT"
    moved = np.abs(np.diff(run.W.values, axis=0)).max()
    assert moved == pytest.approx(0.01, rel=0.05)  # Adam's first update moves by lr


def test_derived_files_follow_from_the_record(finished, study):
    folder = run_folder(finished, study, "fp32")
    W = open_run(folder / "trajectory").W.values
    freezing = xr.open_dataset(folder / "steps-6" / "freezing.nc")
    still = (W[1:] == W[:-1]).all(axis=2)
    dead = freezing.dead.values
    assert (freezing.frozen_fraction.sel(population="dead") == still[:, dead].mean(axis=1)).all()
    live = ~dead & ~freezing.never_sampled.values
    norms = np.linalg.norm(np.diff(W, axis=0), axis=2)[:, live]
    median = freezing.displacement_quantile.sel(population="live", quantile=0.5)
    assert median.values == pytest.approx(np.median(norms, axis=1), rel=1e-5)
    scalars = xr.open_dataset(folder / "steps-6" / "scalars.nc")
    assert scalars.loss[0] == pytest.approx(np.log(290), abs=0.05)
    assert (scalars.lr == np.float32(0.01)).all()


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_both_pathways_of_every_update_sum_to_the_gradient(precision, finished, study):
    folder = run_folder(finished, study, precision)
    run = open_run(folder / "trajectory")
    assert run.grad_input.shape == run.grad_output.shape == (6, 290, 8)
    assert (run.grad_input.values[:, run.dead.values.astype(bool)] == 0).all()
    gradients = xr.open_dataset(folder / "steps-6" / "gradients.nc")
    assert gradients.pathway_differing.values.tolist() == [0] * 6
    assert gradients.pathway_share.sum("side").values == pytest.approx(np.ones((6, 3)))


def test_the_readme_s_ways_to_open_a_run_give_what_is_in_it(finished, study, monkeypatch):
    monkeypatch.chdir(finished.work)
    run = run_folder(finished, study, "fp32")
    given = {}
    for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
        exec(block.replace("default_039c71be", run.name), given)
    segments = [
        xr.load_dataset(path, engine="h5netcdf") for path in sorted(run.glob("trajectory/*.nc"))
    ]
    W = [segments[0].W.values, *(segment.W.values[..., 1:] for segment in segments[1:])]
    assert (given["run"].W.values == np.moveaxis(np.concatenate(W, axis=2), 2, 0)).all()
    grad = np.concatenate([segment.grad.values for segment in segments], axis=2)
    assert (given["gradients"].grad.values == grad).all()
    assert given["gradients"]["update"].values.tolist() == [1, 2, 3, 4, 5, 6]
    assert given["gradients"].dead.dims == ("token",)
    given["gradients"].close()


def test_storage_is_measured_on_the_first_run(finished, study):
    folder = finished.work / "results" / "benchmarks"
    (measured,) = folder.iterdir()
    storage = xr.open_dataset(measured / "storage.nc")
    assert storage.attrs["run"] == measured.name == next(iter(study.members)).run
    assert storage.attrs["updates"] == 3  # of the first segment
    assert (storage.raw_bytes == 290 * 8 * 2).all()
    assert (storage.stored_bytes > 0).all()


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_the_replay_finds_no_difference(precision, finished, study):
    path = run_folder(finished, study, precision) / "steps-6" / "audit.json"
    audit = json.loads(path.read_text())
    assert audit["identical"]
    assert audit["controls_detected"]
    assert {tally["compared"] for tally in audit["tensors"].values()} == {6 * 290 * 8}


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_every_still_component_has_a_cause(precision, finished, study):
    folder = run_folder(finished, study, precision)
    W = open_run(folder / "trajectory")
    stillness = xr.open_dataset(folder / "steps-6" / "stillness.nc")
    rows = W.W.values[:, W.dead.values.astype(bool)]
    still = (rows[1:] == rows[:-1]).sum(axis=(1, 2))
    assert stillness.still_components.values.tolist() == still.tolist()
    assert int(stillness.cause_total.sum()) == still.sum()


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_backpropagation_by_hand_agrees_with_autograd(precision, finished, study):
    run = run_folder(finished, study, precision)
    flow = xr.open_dataset(run / "steps-6" / "backprop.nc")
    assert flow.attrs["run"] == run.name
    assert flow.state.values.tolist() == [0, 3, 6]
    assert (flow.largest_error < 1e-10).all()
    with (run / "steps-6" / "backprop.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["symbol"] for row in rows} >= {"W", "h", "x1", "W1", "b2", "bk", "x1 by MLP"}
    assert all(float(row["error"]) < 1e-10 for row in rows)


@pytest.mark.parametrize("precision", ["pure-bf16", "fp32"])
def test_the_gradients_follow_from_the_formulas(precision, finished, study):
    folder = run_folder(finished, study, precision)
    found = xr.open_dataset(folder / "steps-6" / "gradients.nc")
    assert found.probe.values.tolist() == [1, 2, 3, 4, 6, 7]
    assert (found.deviation <= found.tolerance).all()
    assert (found.grad_differing[:-1] == 0).all()
    start = xr.open_dataset(run_folder(finished, study, "pure-bf16") / "initial.nc")
    assert start.dead_probability.sel(embedding_std=0.02, tying="tied") == pytest.approx(
        1 / 290, rel=0.01
    )


def test_the_census_is_one_of_the_text(finished, study):
    (vocabulary,) = study.vocabularies
    folder = finished.work / "results" / "vocabularies" / vocabulary
    census = xr.open_dataset(folder / "census.nc")
    stream = xr.open_dataset(folder / "stream.nc")
    assert int(census["count"].sum()) == stream.sizes["position"]
    reasons = dict(zip(*np.unique(census.why_dead, return_counts=True), strict=True))
    assert reasons["other script"] >= 3
    with (folder / "census.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["count"]) for row in rows] == census["count"].values.tolist()


def test_figures_are_drawn_and_named(finished):
    for figure in FIGURES:
        stem = finished.work / "results" / "figures" / "regimes" / figure
        assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert len(stem.with_suffix(".csv").read_text().splitlines()) > 3
        assert f"results/figures/regimes/{figure}.png" in finished.answer


def test_the_cloud_is_animated(finished):
    film = finished.work / "results" / "figures" / "regimes" / "drift.gif"
    assert film.read_bytes().startswith(b"GIF8")


def test_training_says_how_it_goes(finished):
    assert "updates/s, loss" in finished.answer
    assert "6/6" in finished.answer


def test_a_finished_house_has_nothing_to_do(finished):
    answer = finished.snakemake("--dry-run")
    assert "Nothing to be done" in answer.stdout


DRAWN = {f"draw_{figure}": 1 for figure in (*FIGURES, "animation")}
ANALYSED = {
    "collect_scalars": 2,
    "measure_freezing": 2,
    "measure_sharpening": 2,
    "measure_drift": 2,
    "audit_replay": 2,
    "measure_gradients": 2,
    "attribute_motion": 2,
    "explain_stillness": 2,
    "go_back_by_hand": 2,
}
# Of the first run alone, or of none.
NOT_BY_SEGMENTS_OF_THE_SECOND = {
    "draw_census", "draw_riddle", "draw_storage", "draw_tensors", "draw_animation",
}  # fmt: skip
# file, code that is replaced, its replacement, jobs that follow
EDITS = {
    "a figure": (
        "workflow/deadtokens/figures/frozen.py",
        "import ",
        None,
        {"draw_frozen": 1},
    ),
    "the freezing analysis": (
        "workflow/deadtokens/freezing/moves.py",
        "QUANTILES = (0.05,",
        "QUANTILES = (0.06,",
        {"measure_freezing": 2, **{f"draw_{figure}": 1 for figure in OF_FREEZING}},
    ),
    "the attribution's terms": (
        "workflow/deadtokens/accounting/terms.py",
        "displacement[i] = np.float64(after[i]) - before[i]",
        "displacement[i] = np.float64(after[i]) - 2 * before[i]",
        {"attribute_motion": 2, "draw_shares": 1, "draw_ages": 1},
    ),
    "the update rule, two imports deep": (
        "workflow/deadtokens/training/update.py",
        "W.mul_(1 - lr * hyper.weight_decay)",
        "W.mul_(1 - lr * hyper.weight_decay * 2)",
        {
            "train_segment": 4,
            **ANALYSED,
            "measure_storage": 1,
            "measure_tensors": 1,
            **{job: 1 for job in DRAWN if job not in {"draw_census", "draw_riddle"}},
        },
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_reruns_what_follows_from_it(what, house):
    file, old, new, expected = EDITS[what]
    if new is None:
        path = house.code / file
        path.write_text(path.read_text() + "\n\nUNUSED = 1\n")
    else:
        house.edit(file, old, new)
    assert house.would_run() == expected


def test_comments_and_docstrings_rerun_nothing(house):
    for path in (house.code / "workflow" / "deadtokens").rglob("*.py"):
        text = path.read_text()
        first, rest = text.split("\n", 1) if text else ("", "")
        path.write_text("# a comment\n" + first.replace('"""', '"""Other words. ', 1) + "\n" + rest)
    assert house.would_run() == {}


# Bytes: less than any file that a rule reads, more than its seal.
ALL_ARE_LARGE = ("--max-checksum-file-size", "200")


def files_of(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_the_limit_is_below_every_file_that_is_read(finished):
    """So that the tests below show what holds for files of any size."""
    seals = [path for path in files_of(finished.work / "results") if path.name.endswith(ENDING)]
    assert len(seals) > 20
    assert all(path.stat().st_size < 200 for path in seals)
    assert all(
        path.with_name(path.name.removesuffix(ENDING)).stat().st_size > 200 for path in seals
    )


def test_touching_anything_reruns_nothing(house):
    paths = [*files_of(house.code), *files_of(house.work)]
    random.Random(0).shuffle(paths)
    now = time.time() + 10
    for path in paths:
        os.utime(path, (now, now))
        now += 0.01
    assert house.would_run(*ALL_ARE_LARGE) == {}


def test_a_copy_elsewhere_with_new_times_reruns_nothing(finished, tmp_path):
    shutil.copytree(finished.code.parent, tmp_path / "elsewhere", copy_function=shutil.copy)
    house = type(finished)(tmp_path / "elsewhere" / "code", tmp_path / "elsewhere" / "work")
    assert house.would_run(*ALL_ARE_LARGE) == {}


RERUN_OF = {
    "checkpoints/checkpoint-000.safetensors": {
        "train_segment": 1,
        **dict.fromkeys(ANALYSED, 1),
        **{job: 1 for job in DRAWN if job not in NOT_BY_SEGMENTS_OF_THE_SECOND},
    },
    "trajectory/segment-001.nc": {
        **dict.fromkeys(ANALYSED.keys() - {"go_back_by_hand"}, 1),
        **{job: 1 for job in DRAWN if job not in {*NOT_BY_SEGMENTS_OF_THE_SECOND, "draw_flow"}},
    },
    "steps-6/freezing.nc": {f"draw_{figure}": 1 for figure in OF_FREEZING},
    "steps-6/audit.json": {"draw_audit": 1},
}


@pytest.mark.parametrize("file", RERUN_OF)
def test_what_follows_from_a_file_reruns_when_it_is_another(file, house, study):
    """Negative control of the two tests above."""
    path = run_folder(house, study, "fp32") / file
    path.write_bytes(path.read_bytes() + b" ")
    assert house.would_run(*ALL_ARE_LARGE) == {}  # damaged: whoever reads it will say so
    seal(path)
    assert house.would_run(*ALL_ARE_LARGE) == RERUN_OF[file]


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


def test_a_repeated_key_is_one_sentence(finished):
    (finished.work / "twice.yaml").write_text("defaults:\n  lr: 1\n  lr: 2\n")
    answer = finished.snakemake("--dry-run", "--configfile", "tiny.yaml", "twice.yaml")
    assert answer.returncode == 1
    assert "twice.yaml, line 3: the key 'lr' stands in this mapping a second time" in answer.stdout
    assert "Traceback" not in answer.stdout


def test_more_steps_train_only_what_is_missing(house, study):
    longer = copy.deepcopy(TINY)
    longer["defaults"]["steps"] = 9
    not_by_steps = {"draw_census", "draw_storage", "draw_tensors", "draw_riddle"}
    redrawn = {job: 1 for job in DRAWN if job not in not_by_steps}
    assert house.would_run(config=longer) == {"train_segment": 2, **ANALYSED, **redrawn}
    before = open_run(run_folder(house, study, "pure-bf16") / "trajectory").load()
    answer = house.snakemake(config=longer)
    assert answer.returncode == 0, answer.stdout
    after = open_run(run_folder(house, study, "pure-bf16") / "trajectory")
    assert after.sizes["update"] == 9
    assert (after.W.sel(state=slice(0, 6)).values == before.W.values).all()
    assert house.would_run(config=longer) == {}
    assert house.would_run() == redrawn


def test_a_renamed_experiment_trains_nothing(house):
    renamed = copy.deepcopy(TINY)
    renamed["experiments"] = {"other": TINY["experiments"]["regimes"], "regimes": None}
    renamed["experiments"].pop("regimes")
    renamed["vocabularies"] = {"little": TINY["vocabularies"]["small"]}
    renamed["defaults"] = TINY["defaults"] | {"vocabulary": "little"}
    jobs = house.would_run(config=renamed)
    assert "train_segment" not in jobs
    assert jobs["draw_loss"] >= 1


OF_GRADIENTS = (
    *("audit", "shares", "ages", "causes"),
    *("firststep", "pathways", "second_moment", "sharpness"),
)


@pytest.mark.parametrize(("recorded", "without"), [("grad", ()), ("W", OF_GRADIENTS)])
def test_figures_are_those_that_the_record_gives(recorded, without, finished):
    config = copy.deepcopy(TINY)
    config["defaults"]["record"] = {"segment": 3, "tensors": [recorded]}
    jobs = finished.would_run(config=config)
    assert {job for job in jobs if job.startswith("draw_")} == DRAWN.keys() - {
        f"draw_{figure}" for figure in (*without, "census")
    }


def test_only_what_an_experiment_names_is_drawn_and_measured(finished):
    config = copy.deepcopy(TINY)
    config["defaults"]["record"] = {"segment": 3, "tensors": ["W"]}
    config["experiments"]["regimes"]["figures"] = ["frozen", "animation"]
    assert finished.would_run(config=config) == {
        "train_segment": 4,
        "measure_freezing": 2,
        "measure_drift": 1,  # of the first run, which is animated
        "draw_frozen": 1,
        "draw_animation": 1,
    }
    config["experiments"]["regimes"]["figures"] = ["frozen", "shares"]
    answer = finished.snakemake("--dry-run", config=config)
    assert answer.returncode == 1
    assert "experiments.regimes.figures: 'shares' is drawn from the gradients" in answer.stdout
    assert "Traceback" not in answer.stdout


def test_a_missing_segment_is_made_again_from_the_checkpoint_before(house, study):
    folder = run_folder(house, study, "fp32")
    segment = folder / "trajectory" / "segment-001.nc"
    before = xr.load_dataset(segment, engine="h5netcdf")
    segment.unlink()
    answer = house.snakemake()
    assert answer.returncode == 0, answer.stdout
    after = xr.load_dataset(segment, engine="h5netcdf")
    assert (after.W.values.view(np.uint32) == before.W.values.view(np.uint32)).all()


def test_a_damaged_segment_stops_what_follows_and_is_made_anew(house, study):
    folder = run_folder(house, study, "fp32")
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
    config = copy.deepcopy(TINY)
    config["experiments"] = {"wild": {"vary": {"lr": [1.0e30]}, "set": {"precision": "fp32"}}}
    answer = house.snakemake(config=config)
    assert answer.returncode == 0, answer.stdout
    assert "is not finite" in answer.stdout
    figure = house.work / "results" / "figures" / "wild" / "loss.png"
    assert figure.is_file()


MISTAKES = {
    "heads: 3": ({"heads": 3}, "defaults.heads: 3 heads do not divide the width 8"),
    "a misspelt key": ({"precison": "fp32"}, "defaults.precison: unknown key; did you mean"),
    "an unknown regime": (
        {"precision": "fp8"},
        "defaults.precision: must be 'pure-bf16', 'bf16-weights', 'bf16-stochastic', 'mixed' or ",
    ),
    "a long context": ({"context": 10_000}, "defaults.context: 10000 tokens need a longer text"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_configuration_is_one_sentence(mistake, finished):
    change, sentence = MISTAKES[mistake]
    config = copy.deepcopy(TINY)
    config["defaults"] |= change
    answer = finished.snakemake("--dry-run", config=config)
    assert answer.returncode == 1
    assert sentence in answer.stdout
    assert "Traceback" not in answer.stdout


@pytest.mark.parametrize("arguments", [["--dag"], ["--rulegraph"]])
def test_graphs_are_drawn(arguments, finished):
    answer = finished.snakemake(*arguments)
    assert answer.returncode == 0
    assert "digraph" in answer.stdout


def test_the_report_holds_every_figure(finished, tmp_path):
    answer = finished.snakemake("--report", str(tmp_path / "report.html"))
    assert answer.returncode == 0, answer.stdout
    report = (tmp_path / "report.html").read_text()
    assert all(f"{figure}.png" in report for figure in FIGURES)


def slurm_jobs(house, device):
    """Return what the jobs of each rule would ask of Slurm, as a dry run prints it."""
    config = copy.deepcopy(TINY)
    config["defaults"]["device"] = device
    answer = house.snakemake(
        "--workflow-profile", str(house.code / "profiles" / "slurm"), "--executor", "local",
        "--dry-run", "--forceall", "--quiet", "host", config=config,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout
    jobs = re.split(r"\n *rule ", answer.stdout)[1:]  # those of a group are indented
    return {job.split(":")[0]: job for job in jobs}


@pytest.mark.parametrize(("device", "gpus"), [("cuda", 1), ("cpu", 0)])
def test_a_training_asks_slurm_for_what_it_uses(device, gpus, finished):
    jobs = slurm_jobs(finished, device)
    for resource in (f"gpu={gpus}", "mem_mb=16000", "runtime=6", "cpus_per_task=4"):
        assert resource in jobs["train_segment"]
    assert "gpu" not in jobs["measure_freezing"]
    assert "mem_mb=4000" in jobs["measure_freezing"]
