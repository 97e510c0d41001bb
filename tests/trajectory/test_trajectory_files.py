"""Segments: what is recorded is what every reader sees, bit for bit."""

import contextlib
import os
import re
import shutil
import subprocess

import h5netcdf
import h5py
import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib
from planted import TENSORS, WITH_PATHWAYS, census, float_bits, planted, write_run
from tiny import bits

from deadtokens.errors import UserError
from deadtokens.run import layout
from deadtokens.trajectory import inflate
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.chunks import decode_chunk, encode_chunk
from deadtokens.trajectory.parts import load_steps, load_tensor
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments
from deadtokens.trajectory.writer import compression_threads, write_segment

CONTENTS = layout.Contents(TENSORS)
READERS = {
    "netCDF4": netCDF4.Dataset,
    "h5netcdf": lambda path: h5netcdf.File(path, "r"),
    "h5py": lambda path: h5py.File(path, "r"),
    "xarray": xr.open_dataset,
}


@pytest.mark.parametrize("reader", READERS)
def test_all_bfloat16_patterns_are_read_as_written(reader, tmp_path):
    patterns = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    W = patterns.view(1, 1024, 64).repeat(2, 1, 1)
    tensors = dict.fromkeys(layout.STATE_TENSORS, W) | {"grad": W[:1]}
    write_run(tmp_path, tensors, [0, 1])
    with READERS[reader](tmp_path / "segment-000.nc") as file:
        read = np.ma.getdata(file["W"][...])
    assert read.shape == (1024, 64, 2)
    assert (bits(read[..., 1]) == float_bits(W[0])).all()
    assert len(np.unique(bits(read))) == 2**16


@pytest.mark.parametrize("reader", ["h5netcdf", "h5py", "xarray"])
def test_every_variable_is_read_alike(reader, tmp_path):
    write_run(tmp_path, planted(70, 9, 5, names=WITH_PATHWAYS), [0, 70], WITH_PATHWAYS)
    path = tmp_path / "segment-000.nc"
    with netCDF4.Dataset(path) as expected, READERS[reader](path) as file:
        for name in WITH_PATHWAYS + tuple(layout.PER_UPDATE):
            one, other = expected[name][...], np.asarray(file[name][...])
            assert (bits(np.ma.getdata(one)) == bits(other)).all(), name


@pytest.mark.skipif(shutil.which("ncdump") is None, reason="needs Debian's netcdf-bin")
@pytest.mark.parametrize("name", ["W", "grad", "loss"])
def test_ncdump_shows_the_recorded_numbers(name, tmp_path):
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(4, 3, 2, generator=generator).bfloat16()
    tensors = dict.fromkeys(layout.STATE_TENSORS, values) | {"grad": values[1:]}
    write_run(tmp_path, tensors, [0, 3])
    segment = str(tmp_path / "segment-000.nc")
    command = ["ncdump", "-p", "9,17", "-v", name, segment]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = re.findall(r"-?[\d.]+(?:e[-+]\d+)?", answer.split("data:")[1].split("=")[1])
    with netCDF4.Dataset(segment) as file:
        expected = np.ma.getdata(file[name][...]).ravel()
    assert (bits(np.array([float(number) for number in shown])) == bits(expected)).all()
    header = subprocess.run(["ncdump", "-hs", segment], capture_output=True, text=True).stdout
    assert f'{name}:_Shuffle = "true"' in header
    assert f"{name}:_DeflateLevel = 1" in header


@settings(max_examples=15, deadline=None)
@given(
    steps=st.integers(1, 150),
    tokens=st.sampled_from([1, 5, 256, 300]),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]),
    data=st.data(),
)
def test_any_run_in_any_pieces_is_read_as_recorded(steps, tokens, dtype, data, tmp_path_factory):
    cuts = data.draw(st.sets(st.integers(1, steps), max_size=3))
    folder = tmp_path_factory.mktemp("run")
    tensors = planted(steps, tokens, 3, dtype, names=WITH_PATHWAYS)
    write_run(folder, tensors, sorted({0, steps} | cuts), WITH_PATHWAYS)
    run = open_run(folder)
    for name, tensor in tensors.items():
        assert run[name].dims == (layout.VARIABLES[name].dims[-1], "token", "component")
        assert run[name].chunks is not None  # lazy
        assert (bits(run[name].values) == float_bits(tensor)).all()
    assert (run.loss.values == np.arange(1, steps + 1)).all()
    assert (run.h_mean.values[:, 1] == np.arange(1, steps + 1) + 1).all()
    assert (run.state.values == np.arange(steps + 1)).all()
    run.close()


def test_blocks_cover_every_step_once(tmp_path):
    tensors = planted(200, 7, 3)
    write_run(tmp_path, tensors, [0, 64, 65, 200])
    blocks = list(read_blocks(tmp_path, ["W", "exp_avg"]))
    assert np.concatenate([block.steps for block in blocks]).tolist() == list(range(201))
    for name in ("W", "exp_avg"):
        together = np.concatenate([block.values[name] for block in blocks], axis=2)
        assert (bits(together) == float_bits(tensors[name]).transpose(1, 2, 0)).all()


def test_blocks_of_wanted_steps_reach_from_the_first_to_the_last_and_no_others_are_read(
    tmp_path, monkeypatch
):
    """Each segment has two chunks; the state 100 is in both segments."""
    tensors = planted(250, 7, 3)
    write_run(tmp_path, tensors, [0, 100, 250])
    inflated = []

    def counted(*arguments):
        inflated.append(arguments)
        return decode_chunk(*arguments)

    monkeypatch.setattr(inflate, "decode_chunk", counted)
    blocks = list(read_blocks(tmp_path, ["W"], np.array([3, 5, 100, 240])))
    assert [block.steps.tolist() for block in blocks] == [[3, 4, 5], [100], [240]]
    assert len(inflated) == 3
    for block in blocks:
        expected = float_bits(tensors["W"][block.steps]).transpose(1, 2, 0)
        assert (bits(block.values["W"]) == expected).all()
    assert list(read_blocks(tmp_path, ["W"], np.array([], np.int64))) == []
    assert len(list(read_blocks(tmp_path, ["W"]))) == len(inflated) - 3 == 4


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_part_of_a_tensor_is_read(data, three_segments):
    folder, tensors = three_segments
    name = data.draw(st.sampled_from(WITH_PATHWAYS))
    expected = float_bits(tensors[name]).transpose(1, 2, 0)
    bounds = [sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2)))
              for n in (expected.shape[0], expected.shape[2])]  # fmt: skip
    tokens, steps = (slice(*pair) for pair in bounds)
    part = load_tensor(folder, name, tokens, steps)
    assert (bits(part) == expected[tokens, :, steps]).all()


def test_single_steps_are_read_wherever_they_lie(three_segments):
    folder, tensors = three_segments
    steps = [0, 1, 2, 63, 64, 65, 66, 127, 199, 200]
    read = load_steps(folder, "W", steps)
    for step, values in zip(steps, read, strict=True):
        assert (bits(values) == float_bits(tensors["W"][step])).all()
    assert list(load_steps(folder, "W", [])) == []


@pytest.fixture(scope="module")
def three_segments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segments")
    tensors = planted(200, 2100, 3, names=WITH_PATHWAYS)
    write_run(folder, tensors, [0, 64, 65, 200], WITH_PATHWAYS)
    return folder, tensors


def test_a_file_explains_itself(tmp_path):
    tensors = planted(3, 5, 2, names=WITH_PATHWAYS)
    write_run(tmp_path, tensors, [0, 3], WITH_PATHWAYS, spec="{}")
    segment = xr.open_dataset(tmp_path / "segment-000.nc")
    for name in WITH_PATHWAYS + tuple(layout.PER_UPDATE):
        assert segment[name].attrs["long_name"]
        assert segment[name].attrs["units"]
    for name in WITH_PATHWAYS:
        assert segment[name].attrs["recorded_dtype"] == "bfloat16"
        assert segment[name].encoding["zlib"] is True
        assert segment[name].encoding["shuffle"] is True
    assert segment.attrs == {"run": "planted", "status": "complete", "spec": "{}"}
    assert list(segment.token_string.values) == [f"ก{index}" for index in range(5)]
    assert segment.dead.values.tolist() == [True, False, False, True, False]


def test_only_the_named_tensors_are_recorded(tmp_path):
    write_run(tmp_path, planted(3, 5, 2), [0, 3], names=("W", "exp_avg"))
    assert set(open_run(tmp_path).data_vars) >= {"W", "exp_avg", "loss"}
    assert not {"grad", "exp_avg_sq"} & set(open_run(tmp_path).variables)


@pytest.mark.parametrize("threads", [1, 2, 15])
def test_any_number_of_threads_writes_the_same_values(threads, tmp_path):
    states = planted(130, 700, 40)["W"]
    with write_segment(
        tmp_path / "0.nc", 0, 130, 40, layout.Contents(["W"]), census(700), {}, threads=threads
    ) as writer:
        assert writer.blocks["W"].pool._max_workers == threads
        for state in states:
            writer.state({"W": state})
    with h5py.File(tmp_path / "0.nc") as file:
        assert file["W"].chunks[0] < 700 and file["W"].chunks[2] < 131
        assert (bits(file["W"][...]) == float_bits(states.permute(1, 2, 0))).all()


@pytest.mark.parametrize(
    ("device", "usable", "expected"),
    [("cpu", 16, 2), ("cuda:1", 16, 15), ("cuda", 4, 3), ("mps", 8, 7), ("cuda", 1, 2)],
)
def test_a_gpu_leaves_the_compression_all_cores_but_one(device, usable, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(usable)), raising=False)
    assert compression_threads(torch.device(device)) == expected
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: usable)
    assert compression_threads(torch.device(device)) == expected


def test_an_interrupted_segment_leaves_nothing(tmp_path):
    tensors = planted(3, 5, 2)
    with (
        pytest.raises(KeyboardInterrupt),
        write_segment(tmp_path / "segment-000.nc", 0, 3, 2, CONTENTS, census(5), {}) as writer,
    ):
        writer.state({name: tensors[name][0] for name in layout.STATE_TENSORS})
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_is_known_of_an_update_is_read_at_the_end_alone(tmp_path):
    """On torch's device without values every read fails."""
    contents = layout.Contents(["W"], (), ("lr", "probability"))
    recorded = 0
    with (
        pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"),
        write_segment(tmp_path / "0.nc", 0, 3, 2, contents, census(5), {}) as writer,
    ):
        for _ in range(3):
            writer.update({"lr": 0.1, "probability": torch.ones(5, device="meta")})
            recorded += 1
    assert recorded == 3


def test_states_without_updates_between_them_are_one_update_apart(tmp_path):
    contents = layout.Contents(["W"])
    with write_segment(tmp_path / "0.nc", 4, 7, 2, contents, census(5), {}) as writer:
        for _ in range(3):
            writer.state({"W": torch.zeros(5, 2)})
    written = xr.load_dataset(tmp_path / "0.nc")
    assert written.state.values.tolist() == [4, 5, 6]
    assert written.sizes["update"] == 0


def test_what_is_known_of_an_update_is_a_number_or_a_tensor(tmp_path):
    contents = layout.Contents(["W"], (), ("lr", "loss"))
    given = [
        {"lr": 0.1, "loss": torch.nan},
        {"lr": torch.tensor(0.1, dtype=torch.float64), "loss": torch.tensor([0.25])},
        {"lr": np.float64(0.3), "loss": torch.tensor(1.5, dtype=torch.bfloat16)},
    ]
    with write_segment(tmp_path / "0.nc", 0, 3, 2, contents, census(5), {}) as writer:
        writer.state({"W": torch.zeros(5, 2)})
        for one in given:
            writer.update(one)
            writer.state({"W": torch.zeros(5, 2)})
    with h5py.File(tmp_path / "0.nc") as file:
        assert file["lr"][...].tolist() == [0.1, 0.1, 0.3]
        assert np.isnan(file["loss"][0]) and file["loss"][1:].tolist() == [0.25, 1.5]


def test_a_change_of_format_is_refused(tmp_path):
    half, full = planted(1, 5, 2), planted(1, 5, 2, torch.float32)
    with (
        pytest.raises(TypeError, match=r"float32 after torch\.bfloat16"),
        write_segment(tmp_path / "segment-000.nc", 0, 3, 2, CONTENTS, census(5), {}) as writer,
    ):
        for tensors in (half, full):
            writer.state({name: tensors[name][0] for name in layout.STATE_TENSORS})


def test_mistakes_in_opening_are_told(tmp_path):
    with pytest.raises(UserError, match="no segment of a trajectory"):
        list_segments(tmp_path)
    write_run(tmp_path, planted(4, 5, 2), [0, 2, 4])
    first, second = list_segments(tmp_path)
    with pytest.raises(UserError, match=r"segment-000\.nc: does not begin where"):
        open_run([second, first])


@pytest.mark.parametrize("kind", ["u2", "u4"])
def test_chunks_are_what_the_filters_of_hdf5_make(kind, tmp_path):
    values = np.random.default_rng(2).integers(0, 2**16, (4, 3, 5)).astype(kind)
    expected = values.astype(np.uint32) << (16 if kind == "u2" else 0)
    filtered = encode_chunk(values)
    format = {"u2": "bfloat16", "u4": "float32"}[kind]
    assert (decode_chunk(filtered, format, values.shape) == values).all()
    with h5py.File(tmp_path / "chunk.h5", "w") as file:
        filters = {"chunks": values.shape, "compression": "gzip", "shuffle": True}
        dataset = file.create_dataset("x", values.shape, "<f4", **filters)
        dataset.id.write_direct_chunk((0, 0, 0), filtered)
        assert (bits(dataset[...]) == expected).all()
        dataset[...] = expected.view(np.float32)
        file.flush()
        by_hdf5 = dataset.id.read_direct_chunk((0, 0, 0))[1]
    assert by_hdf5 != filtered
    assert (decode_chunk(by_hdf5, format, values.shape) == values).all()


@pytest.mark.parametrize("kind", ["u2", "u4"])
def test_a_damaged_chunk_is_not_decoded(kind):
    values = np.random.default_rng(2).integers(0, 2**16, (4, 3, 5)).astype(kind)
    filtered, format = encode_chunk(values), {"u2": "bfloat16", "u4": "float32"}[kind]
    for place in range(len(filtered)):
        damaged = bytearray(filtered)
        damaged[place] ^= 1
        with contextlib.suppress(isal_zlib.IsalError, ValueError):
            # A bit that means nothing may turn, in a header or behind the last code.
            assert (decode_chunk(bytes(damaged), format, values.shape) == values).all()
    with pytest.raises(isal_zlib.IsalError):
        decode_chunk(filtered[:-1] + bytes([filtered[-1] ^ 1]), format, values.shape)
