"""A truncated or flipped file is recognised and named on opening, by whatever opens it."""

import json
import random
import shutil
import zlib

import h5py
import pytest
import torch
from planted import planted, write_run
from tiny import tiny_trainer

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.freezing.freezing import measure_freezing
from deadtokens.seal import check_seal, crc32, seal, seal_path
from deadtokens.training.checkpoint import load_checkpoint, save_checkpoint
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import list_segments
from deadtokens.verify import verdict

ORIGIN = {"spec": "s"}
HEADER = 512  # bytes at the front, flipped more often than the rest
FLIPS = 300
CUTS = 60


def flipped(content: bytes, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def damages(content: bytes, seed: int):
    """Yield truncated contents, and contents with one bit flipped, each with a word for it."""
    choice = random.Random(seed)
    for length in {0, 1, len(content) - 1, *choice.sample(range(len(content)), CUTS)}:
        yield "truncated", content[:length]
    for index in range(FLIPS):
        end = HEADER if index % 3 == 0 else len(content)
        yield "damaged", flipped(content, choice.randrange(8 * end))


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "trajectory"
    tensors = planted(9, 30, 3) | {"W": torch.ones(10, 30, 3, dtype=torch.bfloat16)}
    write_run(folder, tensors, [0, 4, 9], spec="{}", device="cpu")
    return folder


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoint-000.safetensors"
    trainer = tiny_trainer()
    trainer.advance()
    save_checkpoint(trainer, ORIGIN, path)
    seal(path)
    return path


def test_a_seal_states_what_zlib_and_the_file_system_say(run):
    path = run / "segment-000.nc"
    content = path.read_bytes()
    assert json.loads((run / "segment-000.nc.seal.json").read_text()) == {
        "file": "segment-000.nc",
        "bytes": len(content),
        "crc32": f"{zlib.crc32(content):08x}",
    }


def test_a_long_file_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("deadtokens.seal.PIECE", 7)
    content = bytes(range(256))
    (tmp_path / "x.nc").write_bytes(content)
    assert crc32(tmp_path / "x.nc") == f"{zlib.crc32(content):08x}"


def test_intact_files_are_opened(run, checkpoint):
    assert open_run(run).sizes["update"] == 9
    assert load_tensor(run, "W").shape == (30, 3, 10)
    assert measure_freezing(run).sizes["update"] == 9
    trainer = tiny_trainer()
    load_checkpoint(trainer, ORIGIN, checkpoint)
    assert trainer.update == 1


def test_every_damage_of_a_segment_is_named(run):
    path = run / "segment-001.nc"
    for word, content in damages(path.read_bytes(), seed=1):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"segment-001\.nc: {word}.*; it cannot be made again"):
            open_run(run)


def test_every_damage_of_a_checkpoint_is_named(checkpoint):
    trainer = tiny_trainer()
    for word, content in damages(checkpoint.read_bytes(), seed=2):
        checkpoint.write_bytes(content)
        with pytest.raises(UserError, match=rf"checkpoint-000\.safetensors: {word}"):
            load_checkpoint(trainer, ORIGIN, checkpoint)
    assert trainer.update == 0


def test_every_flipped_bit_of_a_seal_is_named(run):
    path = run / "segment-001.nc"
    content = seal_path(path).read_bytes()
    for bit in range(8 * len(content)):
        seal_path(path).write_bytes(flipped(content, bit))
        with pytest.raises(UserError, match=r"segment-001\.nc: "):
            check_seal(path)
    seal_path(path).write_bytes(content)
    check_seal(path)


@pytest.mark.parametrize("content", ["", "null", "[]", "{}", '{"bytes": 1}'])
def test_what_is_no_seal_is_named(content, run):
    seal_path(run / "segment-000.nc").write_text(content)
    with pytest.raises(UserError, match=r"segment-000\.nc: .*seal\.json is damaged"):
        open_run(run)


READERS = {
    "list_segments": list_segments,
    "open_run": open_run,
    "load_tensor": lambda run: load_tensor(run, "W"),
    "read_blocks": lambda run: next(read_blocks(run, ["W"])),
}


@pytest.mark.parametrize("reader", READERS)
def test_nothing_reads_a_damaged_run(reader, run):
    READERS[reader](run)
    path = run / "segment-001.nc"
    path.write_bytes(flipped(path.read_bytes(), 8 * path.stat().st_size - 1))
    with pytest.raises(UserError, match=r"segment-001\.nc: damaged"):
        READERS[reader](run)


@pytest.mark.parametrize("analysis", ["freezing", "scalars"])
def test_no_analysis_computes_from_a_damaged_run(analysis, run, tmp_path):
    path, output = run / "segment-001.nc", tmp_path / "output.nc"
    path.write_bytes(flipped(path.read_bytes(), 4 * path.stat().st_size))
    segments = [str(run / "segment-000.nc"), str(path)]
    with pytest.raises(UserError, match=r"segment-001\.nc: damaged"):
        call(analysis, [*segments, "--output", str(output)])
    assert not output.exists()


def test_missing_and_foreign_files_are_named(run):
    first, second = run / "segment-000.nc", run / "segment-001.nc"
    with pytest.raises(UserError, match=r"segment-002\.nc: missing; check the path, or"):
        open_run([first, second, run / "segment-002.nc"])
    shutil.copy(first, second)
    shutil.copy(seal_path(first), seal_path(second))
    with pytest.raises(UserError, match=r"seal\.json is damaged or the seal of another file"):
        open_run(run)


def test_an_unsealed_copy_opens_on_purpose_only(run):
    seal_path(run / "segment-000.nc").unlink()
    with pytest.raises(UserError, match=r"not sealed.*segment-000\.nc\.seal\.json beside it"):
        open_run(run)
    assert open_run(run, check=False).sizes["update"] == 9


def test_a_file_is_read_again_only_if_it_changed(run, monkeypatch):
    read = []
    monkeypatch.setattr("deadtokens.seal.crc32", lambda path: read.append(path.name) or "another")
    with pytest.raises(UserError, match="damaged"):
        check_seal(run / "segment-000.nc")
    with pytest.raises(UserError, match="damaged"):
        check_seal(run / "segment-000.nc")
    assert read == ["segment-000.nc"]
    content = (run / "segment-000.nc").read_bytes()
    (run / "segment-000.nc").write_bytes(content[:-1] + b"?")
    with pytest.raises(UserError, match="damaged"):
        check_seal(run / "segment-000.nc")
    assert read == ["segment-000.nc"] * 2


def test_an_unsealed_segment_is_read_through_by_verify(run):
    path = run / "segment-000.nc"
    seal_path(path).unlink()
    assert verdict(path).endswith("updates 1 to 4, complete; not sealed, but readable")
    content, values, choice = path.read_bytes(), all_values(path), random.Random(4)
    with h5py.File(path) as file:
        chunks = [file[name].id.get_chunk_info(0) for name in ("W", "grad", "exp_avg", "loss")]
    unseen = 0
    for chunk in 50 * chunks:
        bit = choice.randrange(8 * chunk.byte_offset, 8 * (chunk.byte_offset + chunk.size))
        path.write_bytes(flipped(content, bit))
        try:
            verdict(path)
        except UserError as error:
            assert "segment-000.nc: not a readable segment" in str(error)
        else:
            unseen += 1
            assert all_values(path) == values  # a bit that deflate does not use
    assert unseen < 50
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"segment-000\.nc: not a readable segment"):
        verdict(path)


def all_values(path):
    with h5py.File(path) as file:
        return {name: file[name][...].tobytes() for name in ("W", "grad", "exp_avg", "loss")}
