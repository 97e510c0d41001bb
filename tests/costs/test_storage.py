"""What recording costs: both writers keep every bit, and bytes are those of the files."""

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from planted import float_bits, planted, write_run
from tiny import bits

from deadtokens.cli import call
from deadtokens.costs import storage
from deadtokens.errors import UserError
from deadtokens.run import layout
from deadtokens.seal import seal
from deadtokens.trajectory.writer import write_segment

DTYPES = (torch.bfloat16, torch.float32)


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def recorded(request, tmp_path_factory):
    """Return a segment of nine updates, and what was recorded in it."""
    folder = tmp_path_factory.mktemp("run")
    tensors = planted(9, 40, 3, request.param)
    write_run(folder, tensors, [0, 9], spec="{}", device="cpu")
    return folder / "segment-000.nc", tensors


def after_updates(tensors, name, updates):
    begin = int(name in layout.STATE_TENSORS)
    return tensors[name][begin : begin + updates]


@pytest.mark.parametrize("name", layout.TENSORS)
def test_steps_are_read_in_their_own_format(name, recorded):
    segment, tensors = recorded
    steps = storage.read_steps(segment, name, 7)
    expected = after_updates(tensors, name, 7)
    assert steps.dtype == expected.dtype
    assert (float_bits(steps) == float_bits(expected)).all()


@pytest.mark.parametrize("name", layout.TENSORS)
def test_our_file_holds_the_same_bits(name, recorded, tmp_path):
    steps = after_updates(recorded[1], name, 7)
    storage.rewrite_segment(tmp_path / "x.nc", name, steps)
    read = xr.load_dataset(tmp_path / "x.nc")[name].values
    assert (bits(read.transpose(2, 0, 1)) == float_bits(steps)).all()


@pytest.mark.parametrize("name", layout.TENSORS)
def test_the_baselines_file_holds_the_same_bits(name, recorded, tmp_path):
    steps = after_updates(recorded[1], name, 7)
    storage.rewrite_stepwise(tmp_path / "x.h5", name, steps)
    with h5py.File(tmp_path / "x.h5") as file:
        dataset = file[name]
        assert dataset.chunks == (1, 40, 3)
        assert (dataset.compression, dataset.compression_opts) == ("gzip", 1)
        assert not dataset.shuffle
        read = dataset[...]
    kind = {torch.bfloat16: np.uint16, torch.float32: np.float32}[steps.dtype]
    assert read.dtype == kind
    widened = read.astype(np.uint32) << 16 if kind == np.uint16 else bits(read)
    assert (widened == float_bits(steps)).all()


def chunk_bytes(path, name):
    """Count a tensor's bytes in a file chunk by chunk."""
    with h5py.File(path) as file:
        chunks = file[name].id
        return sum(chunks.get_chunk_info(index).size for index in range(chunks.get_num_chunks()))


def test_bytes_are_those_of_the_files(recorded, tmp_path):
    segment, tensors = recorded
    measured = storage.measure_storage(segment, updates=5)
    assert measured.attrs["updates"] == 5
    for name in layout.TENSORS:
        steps = after_updates(tensors, name, 5)
        assert measured.raw_bytes.sel(tensor=name) == steps[0].nbytes
        for writer, rewrite in storage.WRITERS.items():
            path = tmp_path / f"{writer}-{name}"
            rewrite(path, name, steps)
            stored = measured.stored_bytes.sel(writer=writer, tensor=name)
            assert stored == chunk_bytes(path, name) / 5
            assert 0 < stored * 5 < path.stat().st_size


def test_bytes_do_not_depend_on_timing(recorded):
    first, second = (storage.measure_storage(recorded[0]) for _ in range(2))
    assert (first.stored_bytes == second.stored_bytes).all()
    assert (first.wall_time > 0).all()
    assert (first.cpu_time > 0).all()


def test_what_stands_still_shrinks_in_our_file_alone(tmp_path):
    still = torch.randn(1, 200, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    steps = still.repeat(64, 1, 1)
    ours = storage.measure_cost("segment", "W", steps)[2]
    stepwise = storage.measure_cost("stepwise", "W", steps)[2]
    assert ours < 0.05 * steps.nbytes
    assert stepwise > 0.5 * steps.nbytes


def test_the_command_writes_a_labelled_file(recorded, tmp_path, caplog):
    caplog.set_level("INFO")
    output = tmp_path / "storage.nc"
    call("storage", [str(recorded[0]), "--output", str(output)])
    measured = xr.load_dataset(output)
    assert dict(measured.sizes) == {"writer": 2, "tensor": 5}
    assert measured.attrs["run"] == "planted"
    assert measured.attrs["updates"] == 9
    assert measured.attrs["measured_cores"] >= 1
    assert "h5py" in measured.attrs["measured_with"]
    for name in measured.data_vars:
        assert measured[name].attrs["units"]
        assert measured[name].attrs["long_name"]
    assert "storage planted: an update takes" in caplog.text


def test_a_run_that_diverged_at_once_has_no_costs(tmp_path):
    path = tmp_path / "segment-000.nc"
    census = xr.Dataset({"dead": ("token", [True] * 5)}, coords={"token": np.arange(5)})
    names, about = list(layout.TENSORS), {"run": "r", "status": "diverged", "diverged_at": 1}
    with write_segment(path, 0, 4, 2, layout.Contents(names), census, about) as writer:
        writer.state({name: torch.zeros(5, 2) for name in layout.STATE_TENSORS})
    seal(path)
    measured = storage.measure_storage(path)
    assert measured.attrs["updates"] == 0
    assert measured.to_array("quantity").isnull().all()


def test_a_wrong_number_of_updates_is_refused(recorded, tmp_path):
    with pytest.raises(UserError, match="--updates 0"):
        call("storage", [str(recorded[0]), "--updates", "0", "--output", str(tmp_path / "x.nc")])
