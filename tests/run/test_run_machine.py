"""The machine behind the bits: what is named, and that a run goes on nowhere else unasked."""

import os
import subprocess
import sys
from functools import cache

import pytest
import torch
import xarray as xr
from tiny import tiny_spec, write_vocabulary

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.run import machine as module
from deadtokens.run.device import describe_device
from deadtokens.run.machine import as_attribute, check_same_machine, describe_machine
from deadtokens.training.checkpoint import read_saved
from deadtokens.trajectory.reader import open_run

CPU = torch.device("cpu")
CPUINFO = """processor\t: 0
model name\t: Abacus 9000
cpu family\t: 25
model\t\t: 1
flags\t\t: fpu sse4_1 sse4_2 avx avx2 fma f16c avx512f avx512_bf16 amx_tile aes vaes

processor\t: 1
model name\t: another
"""
BITS = """
import hashlib, sys, torch
from tiny import tiny_spec, tiny_stream
from deadtokens.run.device import make_deterministic
from deadtokens.run.machine import describe_machine
from deadtokens.training.trainer import Trainer
make_deterministic(int(sys.argv[1]))
spec = tiny_spec(precision="fp32", width=64, batch=16, context=64)
trainer = Trainer(spec, tiny_stream(4000), 1024, torch.device("cpu"))
trainer.advance(), trainer.advance()
weights = b"".join(one.detach().numpy().tobytes() for one in trainer.model.parameters())
print(hashlib.sha256(weights).hexdigest(), describe_machine(torch.device("cpu")))
"""


@pytest.fixture
def vocabulary(tmp_path):
    write_vocabulary(tmp_path)
    return tmp_path


@pytest.fixture
def two_models(monkeypatch):
    """Return a function that gives this machine another processor."""

    def be(model):
        monkeypatch.setattr(module, "_processor", lambda: model)

    be("Abacus 1")
    return be


def command(folder, segment, *more):
    """Train a segment by the command line."""
    words = {
        "name": "tiny",
        "spec": tiny_spec(width=8).json_text(),
        "segment": segment,
        "stream": folder / "stream.nc",
        "census": folder / "census.nc",
        "trajectory": folder / f"segment-{segment:03d}.nc",
        "checkpoint": folder / f"checkpoint-{segment:03d}.safetensors",
    }
    if segment:
        words["previous"] = folder / f"checkpoint-{segment - 1:03d}.safetensors"
    call("train", [f"--{name}={value}" for name, value in words.items()] + list(more))


def attributes(path):
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset.attrs


def test_what_determines_bits_is_named(monkeypatch, tmp_path):
    for name in (*module.ON_CPU, *module.ON_GPU):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setenv("ONEDNN_VERBOSE", "1")
    assert describe_machine(CPU) == {
        "device": describe_device(CPU),
        "processor": "Abacus 9000, cpu family 25, model 1",
        "instruction sets": "amx_tile avx avx2 avx512_bf16 avx512f f16c fma sse4_1 sse4_2",
        "library switches": "ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE",
        "threads": "1",
    }


def test_a_system_that_tells_nothing_is_described_too(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "absent")
    described = describe_machine(CPU)
    assert all(described.values())
    assert described["instruction sets"] == torch.backends.cpu.get_cpu_capability()


@cache
def run_elsewhere(threads, **variables):
    """Return the bits of a training in a process of its own, and how its machine is described."""
    path = os.pathsep.join(filter(None, sys.path))
    clean = {name: value for name, value in os.environ.items() if name not in module.ON_CPU}
    answer = subprocess.run(
        [sys.executable, "-c", BITS, str(threads)],
        env=clean | {"PYTHONPATH": path} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split(" ", 1)


@pytest.mark.parametrize(
    ("threads", "name", "value"),
    [
        (1, "ATEN_CPU_CAPABILITY", "default"),
        (1, "ONEDNN_MAX_CPU_ISA", "SSE41"),
        (2, "OMP_THREAD_LIMIT", "1"),
    ],
)
def test_switches_that_change_bits_are_in_the_description(threads, name, value):
    """The description differs wherever the bits do; on some processors they do not."""
    bits, machine = run_elsewhere(threads)
    other_bits, other = run_elsewhere(threads, **{name: value})
    assert other != machine
    assert f"{name}={value}" in other
    if name == "ATEN_CPU_CAPABILITY" and "DEFAULT" not in machine:
        assert other_bits != bits


def test_a_run_goes_on_where_it_was(vocabulary, two_models):
    command(vocabulary, 0)
    command(vocabulary, 1)
    about = attributes(vocabulary / "segment-001.nc")
    assert "processor: Abacus 1; instruction sets: " in about["machine"]
    assert about["machine"].endswith("threads: 1")
    saved = read_saved(vocabulary / "checkpoint-001.safetensors")
    assert saved.machine["processor"] == "Abacus 1"
    assert saved.machine["device"] == about["device"] == describe_device(CPU)
    assert as_attribute(saved.machine) == about["machine"]


def test_elsewhere_it_is_refused_and_the_sentence_says_why(vocabulary, two_models):
    command(vocabulary, 0)
    two_models("Abacus 2")
    sentence = (
        r"checkpoint-000\.safetensors: trained on another machine \(processor 'Abacus 1' there "
        r"and 'Abacus 2' here\): .* `machines\.elsewhere: true`"
    )
    with pytest.raises(UserError, match=sentence):
        command(vocabulary, 1)
    assert not (vocabulary / "segment-001.nc").exists()


def test_a_switch_of_a_library_is_another_machine(vocabulary, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    command(vocabulary, 0)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    with pytest.raises(UserError, match=r"library switches .* and '.*ONEDNN_MAX_CPU_ISA=SSE41"):
        command(vocabulary, 1)


def test_allowed_elsewhere_each_segment_says_where(vocabulary, two_models):
    command(vocabulary, 0)
    two_models("Abacus 2")
    command(vocabulary, 1, "--elsewhere")
    for segment in range(2):
        about = attributes(vocabulary / f"segment-{segment:03d}.nc")
        assert f"processor: Abacus {segment + 1};" in about["machine"]
    machine = open_run(vocabulary).attrs["machine"]
    first, second = machine.split(" (from update 1); ")
    assert first.startswith("processor: Abacus 1;")
    assert second.startswith("processor: Abacus 2;")
    assert second.endswith(" (from update 5)")
    command(vocabulary, 2)  # on the second machine it is at home now


def test_what_only_one_of_two_machines_says_is_a_difference(tmp_path):
    with pytest.raises(UserError, match=r"driver 'unknown' there and '1' here"):
        check_same_machine({"device": "x"}, {"device": "x", "driver": "1"}, tmp_path / "c")
    with pytest.raises(UserError, match=r"threads '2' there and 'unknown' here"):
        check_same_machine({"threads": "2"}, {}, tmp_path / "c")
    check_same_machine({"device": "x"}, {"device": "x"}, tmp_path / "c")
