import json

import numpy as np
import pandas as pd
import pytest
from figures.figure_data import diverged, scalars

from deadtokens.errors import UserError
from deadtokens.figures import curves, runs
from deadtokens.figures.inputs import as_called


def named(*specs):
    datasets = [scalars([1.0], run=f"r{place}", **spec) for place, spec in enumerate(specs)]
    return runs.experiment(datasets)


def labels(*specs):
    return [run.label for run in named(*specs)]


def test_only_what_varies_is_shown():
    assert labels(
        {"precision": "fp32", "lr": 0.001, "width": 64},
        {"precision": "fp32", "lr": 0.01, "width": 64},
    ) == ["lr 0.001", "lr 0.01"]


def test_regimes_go_by_their_name_in_their_fixed_order():
    assert labels(
        {"lr": 1, "precision": "fp32"},
        {"lr": 1, "precision": "mixed"},
        {"lr": 1, "precision": "pure-bf16"},
    ) == ["pure-bf16", "mixed", "fp32"]


def test_vocabularies_go_by_what_they_are_called():
    specs = [{"vocabulary": "bpe-1"}, {"vocabulary": "bpe-2"}]
    datasets = [scalars([1.0], run=f"r{place}", **spec) for place, spec in enumerate(specs)]
    called = as_called(datasets, {"bpe-2": "few = dead", "bpe-3": "other"})
    expected = ["vocabulary bpe-1", "vocabulary few = dead"]
    assert sorted(run.label for run in runs.experiment(called)) == expected
    assert "bpe-2" in datasets[1].attrs["spec"]  # the file's own is not touched


def test_a_single_run_goes_by_its_regime_or_its_name():
    assert labels({"precision": "fp32", "seed": 3}) == ["fp32"]
    assert labels({"width": 64}) == ["r0"]


def test_precision_comes_first_and_the_seed_last_and_not_in_the_group():
    first, second = named(
        {"seed": 1, "weight_decay": 0.1, "precision": "fp32"},
        {"seed": 2, "weight_decay": 0.0, "precision": "pure-bf16"},
    )
    assert first.label == "pure-bf16, weight decay 0.0, seed 2"
    assert second.label == "fp32, weight decay 0.1, seed 1"
    assert second.group == "fp32, weight decay 0.1"
    assert second.regime == "fp32"


def test_numbers_are_sorted_as_numbers():
    assert labels({"width": 128}, {"width": 64}, {"width": 1024}) == [
        "width 64",
        "width 128",
        "width 1024",
    ]


def test_close_numbers_stay_apart_and_absent_keys_are_said():
    assert labels({"lr": 0.1}, {"lr": 0.1 + 1e-16 * 2}, {}) == [
        "lr 0.1",
        "lr 0.10000000000000002",
        "lr not set",
    ] or set(labels({"lr": 0.1}, {"lr": 0.1000001}, {})) == {
        "lr 0.1",
        "lr 0.1000001",
        "lr not set",
    }


@pytest.mark.parametrize("text", ["$\\frac{", "=cmd()", "<script>alert(1)</script>", "_x", "a\nb"])
def test_hostile_settings_are_kept_letter_by_letter(text):
    assert labels({"corpus": "kjv"}, {"corpus": text})[0 if text < "kjv" else 1] == f"corpus {text}"


def test_runs_that_differ_in_the_batch_seed_share_a_group():
    one, other = (
        {"seed": seed, "batch_seed": batch, "precision": "fp32"}
        for seed, batch in ((4, None), (4, 9))
    )
    first, second = named(one, other)
    assert first.group == second.group == "fp32"
    assert {first.label, second.label} == {"fp32, batch seed 4", "fp32, batch seed 9"}
    crossed, _ = named(one, other | {"seed": 5})
    assert crossed.label == "fp32, seed 4, batch seed 4"


def test_runs_that_differ_in_the_seed_share_a_group():
    first, second = named({"seed": 1, "precision": "fp32"}, {"seed": 2, "precision": "fp32"})
    assert first.group == second.group == "fp32"
    assert (first.label, second.label) == ("fp32, seed 1", "fp32, seed 2")


def test_nested_settings_are_short_and_complete():
    specs = [
        {"precision": "fp32", "tied": True, "record": {"tensors": ["W"], "segment": 500}},
        {"precision": "fp32", "tied": False, "record": {"tensors": ["W", "grad"], "segment": 500}},
    ]
    assert labels(*specs) == ["tied false, tensors W + grad", "tied true, tensors W"]


def test_one_run_at_two_lengths_is_two_members():
    long, short = (scalars([1.0] * n, run="a", precision="fp32") for n in (6, 3))
    other = scalars([1.0] * 3, run="b", precision="mixed")
    found = runs.experiment([long, other, short])
    assert [run.label for run in found] == ["mixed, steps 3", "fp32, steps 3", "fp32, steps 6"]
    assert [run.identity for run in found] == ["b, steps 3", "a, steps 3", "a, steps 6"]
    assert [run.label for run in runs.experiment([long, short])] == ["steps 3", "steps 6"]


def test_a_length_is_named_only_where_a_run_has_several():
    pair = [scalars([1.0] * n, run=str(n), precision="fp32", lr=n) for n in (3, 6)]
    assert [run.label for run in runs.experiment(pair)] == ["lr 3", "lr 6"]
    assert [run.identity for run in runs.experiment(pair)] == ["3", "6"]


def test_the_folder_says_how_far_a_run_that_diverged_was_to_go(tmp_path):
    paths = []
    for steps in (6, 9):
        paths.append(tmp_path / f"steps-{steps}" / "scalars.nc")
        paths[-1].parent.mkdir()
        diverged(scalars([1.0] * 4, precision="fp32"), at=4).to_netcdf(paths[-1], engine="h5netcdf")
    found = runs.experiment(runs.open_runs(paths, ["loss"]))
    assert [run.label for run in found] == ["steps 6", "steps 9"]
    with pytest.raises(UserError, match="run a is given twice"):
        runs.experiment(runs.open_runs([paths[0], paths[0]], ["loss"]))


@pytest.mark.parametrize(
    "attributes",
    [
        {"status": "lost"},
        {"status": 3},
        {"status": "diverged"},
        {"status": "diverged", "diverged_at": "soon"},
        {"run": 7},
        {"spec": 7},
    ],
)
def test_what_a_file_says_of_its_run_is_checked(attributes):
    with pytest.raises(UserError, match="again"):
        runs.experiment([scalars([1.0]).assign_attrs(attributes)])


def test_a_run_given_twice_is_refused():
    with pytest.raises(UserError, match="run a is given twice"):
        runs.experiment([scalars([1.0], run="a"), scalars([2.0], run="a")])


@pytest.mark.parametrize("spec", ["{", "[1]"])
def test_a_broken_spec_is_refused(spec):
    with pytest.raises(UserError, match="run a: the spec of its run a is no JSON object"):
        runs.experiment([scalars([1.0]).assign_attrs(spec=spec)])


def test_thinning_keeps_lines_drawable_and_their_ends():
    long = runs.experiment([scalars(np.ones(4001))])
    assert runs.thinning(long) == 3
    assert runs.thinning(runs.experiment([scalars(np.ones(2000))])) == 1
    updates = np.arange(1, 9)
    assert updates[runs.drawn(updates, 3)].tolist() == [1, 4, 7, 8]
    assert updates[runs.drawn(updates, 1)].tolist() == updates.tolist()
    assert runs.drawn(updates[:0], 3).tolist() == []


def test_mean_exists_only_where_all_runs_of_the_group_do():
    rows = pd.DataFrame(
        {
            "group": ["g", "g", "g", "alone"],
            "regime": "fp32",
            "run": ["a", "a", "b", "c"],
            "update": [1, 2, 1, 1],
            "loss": [2.0, 9.0, 4.0, 7.0],
        }
    )
    mean = curves.mean_over_runs(rows, ["update"], "loss")
    assert mean[["group", "run", "update", "loss"]].values.tolist() == [["g", "", 1, 3.0]]


def test_end_of_a_diverged_run():
    line = pd.DataFrame({"series": "each", "update": [1, 2], "loss": [8.0, 9.0]})
    (run,) = runs.experiment([diverged(scalars([8, 9, 10]), at=3)])
    assert curves.end_of(line, run).to_dict("records") == [
        {"series": "diverged", "update": 2, "loss": 9.0, "diverged_at": 3}
    ]


def test_end_of_a_run_that_never_took_a_step_has_no_value():
    (run,) = runs.experiment([diverged(scalars([8]), at=1)])
    line = pd.DataFrame({"update": [], "loss": []})
    (row,) = curves.end_of(line, run).to_dict("records")
    assert row["update"] == row["diverged_at"] == 1
    assert np.isnan(row["loss"])


def test_a_complete_run_has_no_end_row():
    (run,) = runs.experiment([scalars([8, 9])])
    assert curves.end_of(pd.DataFrame({"update": [1], "loss": [8.0]}), run).empty


def test_files_are_checked(tmp_path):
    good, bad = tmp_path / "good.nc", tmp_path / "bad.nc"
    scalars([1.0], seed=1).to_netcdf(good, engine="h5netcdf")
    bad.write_bytes(b"not a NetCDF file")
    assert json.loads(runs.open_runs([good], ["loss"])[0].attrs["spec"]) == {"seed": 1}
    with pytest.raises(UserError, match=r"good\.nc has no variable frozen_fraction"):
        runs.open_runs([good], ["frozen_fraction"])
    with pytest.raises(UserError, match=r"bad\.nc cannot be read as NetCDF"):
        runs.open_runs([bad], ["loss"])
    with pytest.raises(UserError, match=r"none\.nc does not exist"):
        runs.open_runs([tmp_path / "none.nc"], ["loss"])


@pytest.mark.parametrize("attribute", ["run", "spec", "status"])
def test_files_must_say_which_run_they_are_of(tmp_path, attribute):
    dataset = scalars([1.0])
    del dataset.attrs[attribute]
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(UserError, match=f"no attribute {attribute}"):
        runs.open_runs([tmp_path / "a.nc"], ["loss"])


def test_updates_without_their_numbers_are_refused(tmp_path):
    scalars([1.0, 2.0]).drop_vars("update").to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(UserError, match="no variable update"):
        runs.open_runs([tmp_path / "a.nc"], ["loss"])


def test_a_key_that_came_later_is_the_default_in_a_run_without_it():
    shown = labels({"lr": 1}, {"lr": 1, "bfloat16_start": True})
    assert shown == ["bfloat16 start false", "bfloat16 start true"]
