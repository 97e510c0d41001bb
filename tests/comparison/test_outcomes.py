"""The command: files of an experiment's runs in, one comparison out."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from comparison.comparison_data import UPDATES, about, experiment, freezing, planted, put, scalars

from deadtokens.cli import call
from deadtokens.comparison.measures import OUTCOMES
from deadtokens.comparison.members import read_experiment
from deadtokens.comparison.outcomes import compare
from deadtokens.errors import UserError
from deadtokens.models import short_digest

HOSTILE = ["$\\frac{", '=cmd("a")', "<script>,\n", "ก"]


def command(folder, *paths, words=()):
    out = folder / "out"
    call("outcomes", [*map(str, paths), *words, *(
        word for option, name in (("output", "outcomes.nc"), ("csv", "outcomes.csv"),
                                  ("effects", "effects.csv"))
        for word in (f"--{option}", str(out / name))
    )])  # fmt: skip
    read = {"keep_default_na": False, "na_values": {"value": [""]}}
    return (
        xr.load_dataset(out / "outcomes.nc", engine="h5netcdf"),
        pd.read_csv(out / "outcomes.csv", **read),
        pd.read_csv(out / "effects.csv"),
    )


def two_by_two(folder):
    return [
        path
        for number, (precision, seed) in enumerate(
            (precision, seed) for precision in ("pure-bf16", "fp32") for seed in (0, 7)
        )
        for path in put(
            folder,
            planted(frozen=number / 4),
            run=f"{precision}-{seed}",
            precision=precision,
            seed=seed,
        )
    ]


def test_files_and_tables_have_every_outcome_of_every_run(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    comparison, outcomes, effects = command(tmp_path, *two_by_two(runs))
    assert comparison.value.sel(outcome="frozen").values.tolist() == [0, 0.25, 0.5, 0.75]
    assert comparison.seed.values.tolist() == [0, 7, 0, 7]
    assert comparison.label.values.tolist()[::3] == ["pure-bf16, seed 0", "fp32, seed 7"]
    assert comparison.setting.sel(key="precision").values.tolist()[1:3] == ["pure-bf16", "fp32"]
    assert comparison.attrs["primary"] == "frozen"
    assert comparison.attrs["seeds"] == 2
    assert list(outcomes) == ["run", "seed", "precision", "outcome", "value", "unit", "reason"]
    assert len(outcomes) == 4 * len(OUTCOMES)
    assert outcomes.value.to_numpy() == pytest.approx(comparison.value.values.ravel(), nan_ok=True)
    row = outcomes[(outcomes.run == "fp32-7") & (outcomes.outcome == "frozen")].iloc[0]
    assert (row.seed, row.precision, row.value, row.unit) == (7, "fp32", 0.75, "1")
    effect = effects.set_index("outcome").loc["frozen"]
    assert (effect.pairs, effect["mean"], effect["seed 0"], effect["seed 7"]) == (2, 0.5, 0.5, 0.5)
    assert (effect.low, effect.high, effect.bootstrap_low, effect.bootstrap_high) == (0.5,) * 4
    assert set(effects.unit) == {"1", "weight", "nat", "update"}


# Fractions at rest: bfloat16 weights add 0.5, bfloat16 moments 0.125, both together 0.25 more.
CELLS = {"mixed": 0.0, "bf16-moments": 0.125, "mixed-bf16-weights": 0.5, "mixed-bf16": 0.875}


def of_cells(folder):
    return [
        path
        for seed, shift in ((0, 0.0), (1, 0.0625))
        for regime, frozen in CELLS.items()
        for path in put(
            folder,
            {"freezing.nc": freezing([frozen + shift] * UPDATES)},
            run=f"{regime}-{seed}",
            precision=regime,
            seed=seed,
        )
    ]


def test_a_factorial_of_regimes_has_main_effects_and_their_interaction(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    factors = ("--factors", "weights", "moments")
    comparison, outcomes, effects = command(tmp_path, *of_cells(runs), *factors)
    assert comparison.key.values.tolist() == ["weights", "moments"]
    assert list(outcomes)[:4] == ["run", "seed", "weights", "moments"]
    assert set(outcomes.weights) == set(outcomes.moments) == {"bfloat16", "float32"}
    assert comparison.group.values[1] == "weights float32, moments bfloat16"
    found = effects[effects.outcome == "frozen"].set_index(["kind", "changed_key"])["mean"]
    assert found["main effect"].to_dict() == {"weights": -0.625, "moments": -0.25}
    assert found["interaction"].to_dict() == {"weights x moments": 0.25}
    baselines = effects.set_index("changed_key").changed_from
    assert set(baselines[["weights", "moments"]]) == {"bfloat16"}


def test_without_factors_the_same_runs_are_told_apart_by_their_regime(tmp_path):
    """Negative control of the test above."""
    runs = tmp_path / "runs"
    runs.mkdir()
    comparison, _, effects = command(tmp_path, *of_cells(runs))
    assert comparison.key.values.tolist() == ["precision"]
    assert set(effects.kind) == {"effect"}


def test_factors_that_two_regimes_share_are_refused(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    with pytest.raises(UserError, match="mixed and mixed-bf16-weights both have moments float32"):
        command(tmp_path, *of_cells(runs), "--factors", "moments")


def test_a_folder_stands_for_its_files(tmp_path):
    runs = tmp_path / 'it\'s $HOME; a "run"'
    runs.mkdir()
    files = two_by_two(runs)
    for folder in {path.parent for path in files}:
        (folder / "audit.json").write_text("{}")  # none that outcomes are read from
    by_file, _, _ = command(tmp_path / "files", *files)
    by_folder, _, _ = command(tmp_path / "folders", *dict.fromkeys(one.parent for one in files))
    assert by_folder.identical(by_file)


def test_a_file_that_a_record_does_not_give_leaves_nan_and_the_reason(tmp_path):
    files = planted()
    del files["stillness.nc"]
    found = compare(experiment(tmp_path, [({"run": "a", "seed": 0}, files)]))
    absent = found.sel(outcome=[name for name in OUTCOMES if name.startswith("cause_")])
    assert np.isnan(absent.value).all()
    assert set(absent.reason.values.ravel()) == {"no stillness.nc of the run"}
    assert np.isfinite(found.value.sel(outcome="frozen")).all()
    assert found.sizes["contrast"] == 0


def in_its_folder(folder, files, lr, **said):
    """Write the files of a run that was asked for `UPDATES` updates where the workflow does."""
    spec = {"lr": lr, "seed": 0}
    run = f"lr-{lr}_{short_digest(spec)}"
    where = folder / run / f"steps-{UPDATES}"
    where.mkdir(parents=True)
    for name, data in files.items():
        data.assign_attrs(about(run, **spec, **said)).to_netcdf(where / name, engine="h5netcdf")
    return [where / name for name in files]


def test_a_diverged_run_stays_a_row(tmp_path):
    files = {"scalars.nc": scalars([2, 3, np.inf]), "freezing.nc": freezing([0.25, 0.5, 0.75])}
    paths = [
        *in_its_folder(tmp_path, planted(), 0.001),
        *in_its_folder(tmp_path, files, 9.0, updates=3, at=3),
    ]
    found = compare(read_experiment(paths))
    assert found.value.sel(outcome="diverged").values.tolist() == [0, 1]
    assert found.value.sel(outcome="frozen").values.tolist() == [1, 0.75]
    assert "diverged" in str(found.reason.sel(outcome="loss").values[1])
    assert found.key.values.tolist() == ["lr"]  # it was asked for as many updates
    assert found.difference.sel(outcome="frozen").values.ravel().tolist() == [-0.25]


def test_one_run_at_two_lengths_is_two_rows(tmp_path):
    short = {"freezing.nc": freezing([0.0] * 10)}
    long = {"freezing.nc": freezing([1.0] * UPDATES)}
    said = {"run": "a", "seed": 0}
    found = compare(experiment(tmp_path, [(said | {"updates": 10}, short), (said, long)]))
    assert found.run.values.tolist() == ["a, steps 10", "a, steps 20"]
    assert found.contrast.values.tolist() == ["steps 20 against 10"]
    assert found["mean"].sel(outcome="frozen").values.tolist() == [1.0]


def test_hostile_names_are_kept_letter_by_letter(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    paths = [
        path
        for name in HOSTILE
        for path in put(runs, planted(), run=name, note={"a/b": name}, seed=0)
    ]
    comparison, outcomes, effects = command(tmp_path, *paths)
    assert comparison.run.values.tolist() == HOSTILE
    assert comparison.key.values.tolist() == ["note.a/b"]
    assert comparison.setting.values.ravel().tolist() == HOSTILE
    assert list(dict.fromkeys(outcomes["note.a/b"])) == HOSTILE
    assert list(dict.fromkeys(effects.changed_to)) == HOSTILE[1:]


def test_nested_settings_and_missing_ones_are_told_apart(tmp_path):
    runs = [
        ({"run": "a", "seed": 0, "record": {"tensors": ["W", "grad"]}, "clip": None}, planted()),
        ({"run": "b", "seed": 0, "record": {"tensors": ["W"]}, "clip": 1.0}, planted()),
    ]
    found = compare(experiment(tmp_path, runs))
    assert found.group.values.tolist() == ["tensors W + grad, clip null", "tensors W, clip 1.0"]


def test_a_setting_that_a_spec_leaves_out_is_the_package_s_default(tmp_path):
    runs = [({"run": "a", "tied": False}, planted(0.25)), ({"run": "b"}, planted(1.0))]
    found = compare(experiment(tmp_path, runs))
    assert found.setting.values.ravel().tolist() == ["false", "true"]
    assert found.contrast.values.tolist() == ["tied false against true"]
    assert found["mean"].sel(outcome="frozen").values.tolist() == [-0.75]
    assert found.seed.values.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda paths: [*paths, paths[0]], "is given twice"),
        (lambda paths: [paths[0].rename(paths[0].with_name("other.nc"))], "outcomes are read from"),
        (lambda paths: [paths[0].with_name("freezing.nc").with_suffix(".no.nc")], "outcomes are"),
        (lambda paths: [paths[0].parent / "gone" / "drift.nc"], "does not exist"),
        (lambda paths: [paths[0].parents[1]], "has none of freezing.nc, stillness.nc"),
    ],
)
def test_a_mistake_is_one_sentence(damage, sentence, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    paths = damage(put(runs, planted(), run="a", seed=0))
    with pytest.raises(UserError, match=sentence):
        command(tmp_path, *paths)


def test_a_file_without_its_variables_or_its_run_is_refused(tmp_path):
    (path,) = put(tmp_path, {"drift.nc": scalars([1.0])}, run="a", seed=0)
    with pytest.raises(UserError, match=r"drift\.nc: has no .*; make it again"):
        command(tmp_path, path)
    bare = tmp_path / "freezing.nc"
    freezing([0.0]).to_netcdf(bare, engine="h5netcdf")
    with pytest.raises(UserError, match=re.escape("does not say its run, spec, status, updates")):
        command(tmp_path, bare)


def test_the_comparison_is_labelled_and_says_how_it_infers(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    comparison, _, _ = command(tmp_path, *two_by_two(runs))
    assert comparison.attrs["inference"].startswith("2 seeds")
    assert set(comparison.meaning.values) == {one.long_name for one in OUTCOMES.values()}
    assert comparison.attrs["primary"] in comparison.outcome.values


NAME = "few = $\\frac{ <dead>"


def two_vocabularies(folder):
    return [
        path
        for vocabulary, frozen in (("bpe-1", 0.5), ("bpe-2", 1.0))
        for path in put(
            folder, planted(frozen=frozen), run=f"r-{vocabulary}", vocabulary=vocabulary
        )
    ]


def test_vocabularies_go_by_what_they_are_called(tmp_path):
    (tmp_path / "runs").mkdir()
    words = ["--called=bpe-1=half", f"--called=bpe-2={NAME}", "--called=bpe-3=other"]
    found, outcomes, effects = command(tmp_path, *two_vocabularies(tmp_path / "runs"), words=words)
    assert found.group.values.tolist() == ["vocabulary half", f"vocabulary {NAME}"]
    assert outcomes["vocabulary"].unique().tolist() == ["half", NAME]
    assert effects["changed_to"].unique().tolist() == [NAME]


def test_without_a_name_a_vocabulary_keeps_its_identity(tmp_path):
    (tmp_path / "runs").mkdir()
    found, _, _ = command(tmp_path, *two_vocabularies(tmp_path / "runs"))
    assert found.group.values.tolist() == ["vocabulary bpe-1", "vocabulary bpe-2"]


@pytest.mark.parametrize("text", ["bpe-1", "=half", "bpe-1="])
def test_a_name_without_its_vocabulary_is_one_sentence(tmp_path, text):
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match="must be IDENTITY=NAME"):
        command(tmp_path, *two_vocabularies(tmp_path / "runs"), words=[f"--called={text}"])
