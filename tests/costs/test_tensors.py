"""Which tensors are needed: sizes are those of the files, and a wrong value is counted."""

import json

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from tiny import VOCABULARY, tiny_census, tiny_spec, tiny_trainer

from deadtokens.cli import call
from deadtokens.costs import tensors
from deadtokens.errors import UserError
from deadtokens.run.spec import RunSpec, read_spec
from deadtokens.seal import seal
from deadtokens.training.segment import record_segment

ALL = ("W", "grad", "exp_avg", "exp_avg_sq")
STATES = ("W", "exp_avg", "exp_avg_sq")


def recorded(folder, names=ALL, updates=9, **fields):
    """Record a tiny run of one segment; return its path."""
    spec = tiny_spec(record={"segment": updates, "tensors": list(names)}, **fields)
    about = {"run": "tiny", "spec": spec.json_text(), "device": "cpu"}
    path = folder / "segment-000.nc"
    record_segment("tiny", tiny_trainer(**spec.model_dump()), 0, path, tiny_census(), about)
    seal(path)
    return path


@pytest.fixture(scope="module", params=["pure-bf16", "fp32"])
def segment(request, tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("run"), precision=request.param)


def test_every_choice_gives_the_same_bits(segment):
    measured = tensors.measure_tensors(segment, updates=7)
    values = VOCABULARY * 8
    assert measured.compared.values.tolist() == [8 * values, *[(3 * 8 + 7) * values] * 3]
    assert (measured.differing == 0).all()
    assert (measured.read_time > 0).all()
    assert measured.attrs["updates"] == 7
    item = {"pure-bf16": 2, "fp32": 4}[json.loads(measured.attrs["spec"])["precision"]]
    assert measured.raw_bytes == 4 * values * item


def test_every_step_of_a_record_of_several_chunks_is_compared_with_its_own(tmp_path):
    updates, values = 150, VOCABULARY * 8
    measured = tensors.measure_tensors(recorded(tmp_path, updates=updates), updates)
    of_all = ((3 * (updates + 1)) + updates) * values
    assert measured.compared.values.tolist() == [(updates + 1) * values, *[of_all] * 3]
    assert (measured.differing == 0).all()


def test_what_a_choice_gives_follows_from_what_is_readable():
    answers = {
        choice: "".join(
            "-y"[tensors.gives(tensors.recording(RunSpec(), names), result)]
            for result in tensors.RESULTS
        )
        for choice, names in tensors.CHOICES.items()
    }
    assert list(tensors.RESULTS) == ["freezing", "drift", "audit", "attribution", "causes"]
    assert answers == {"W": "yy---", "W, grad": "yyyyy", "grad": "yyyyy", "all four": "yyyyy"}


def test_bytes_are_those_of_the_files(segment, tmp_path):
    run = xr.open_dataset(segment)
    known = tensors.read_known(segment, tensors.open_run([segment]), 9)
    path = tmp_path / "segment-000.nc"
    spec = tensors.recording(read_spec(run.attrs["spec"]), ["grad"])
    tensors.write_choice(path, spec, known, dict(run.attrs))
    with h5py.File(path) as file:
        assert not set(STATES) & set(file)
        expected = file["grad"].id.get_storage_size()
        for name in STATES:
            expected += file[f"first_{name}"].id.get_storage_size()
            expected += file[f"checksum_{name}"].id.get_storage_size()
    measured = tensors.measure_tensors(segment)
    assert measured.stored_bytes.sel(choice="grad") * 9 == tensors.stored_bytes(path) == expected


@pytest.mark.parametrize("names", [["W"], ["W", "grad"]])
def test_a_wrong_value_is_counted(names, segment, tmp_path):
    known = tensors.read_known(segment, tensors.open_run([segment]), 9)
    path = tmp_path / "segment-000.nc"
    about = dict(xr.open_dataset(segment).attrs)
    tensors.write_choice(path, tensors.recording(read_spec(about["spec"]), names), known, about)
    assert tensors.read_back(path, known)[1] == 0
    other = known | {"W": known["W"].clone()}
    other["W"][4, 5, 6] += 1
    other["W"][9, 22, 7] = torch.nan
    assert tensors.read_back(path, other)[1] == 2


def test_a_run_of_gradients_alone_is_measured_alike(segment, tmp_path):
    precision = json.loads(xr.open_dataset(segment).attrs["spec"])["precision"]
    alone = tensors.measure_tensors(recorded(tmp_path, ["grad"], precision=precision))
    whole = tensors.measure_tensors(segment)
    for name in ("stored_bytes", "compared", "differing", "raw_bytes"):
        assert whole[name].identical(alone[name])


def test_a_run_of_W_alone_has_one_choice(tmp_path):
    measured = tensors.measure_tensors(recorded(tmp_path, ["W"]))
    assert np.isfinite(measured.stored_bytes).values.tolist() == [True, False, False, False]


def test_the_command_writes_a_labelled_file(segment, tmp_path, caplog):
    caplog.set_level("INFO")
    output = tmp_path / "tensors.nc"
    call("tensors", [str(segment), "--output", str(output)])
    measured = xr.load_dataset(output)
    assert dict(measured.sizes) == {"choice": 4, "result": 5}
    assert measured.gives.dtype == bool
    for name in measured.data_vars:
        assert measured[name].attrs["units"]
        assert measured[name].attrs["long_name"]
    assert "tensors tiny: an update takes W 0.00 MB" in caplog.text
    assert "; 0 of " in caplog.text
    with pytest.raises(UserError, match="--updates 0"):
        call("tensors", [str(segment), "--updates", "0", "--output", str(output)])


def test_a_run_that_diverged_at_once_has_no_numbers(tmp_path):
    segment = recorded(tmp_path, precision="fp32", lr=1e30)
    with h5py.File(segment) as file:
        updates = len(file["update"])
    assert updates < 9
    assert tensors.measure_tensors(segment).attrs["updates"] == updates
