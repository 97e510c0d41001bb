"""Matrices in checkpoints of PyTorch: values, and files that would run code or take memory."""

import os
import pickle
import warnings
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import BFLOAT16, assert_streamed, matrix_in, refused, written

from deadtokens.errors import UserError
from deadtokens.matrices.open import open_model

NAME = "wte.weight"
VALUES = torch.tensor([[1.0, -2.0], [3.5, 1e-45], [0.25, -0.0]])
NUMBERS = np.arange(16, dtype="<f4")


class Planted:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def packed(path):
    """Write the records of a checkpoint anew, compressed."""
    with ZipFile(path) as archive:
        records = {it.filename: archive.read(it) for it in archive.infolist()}
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return path


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def claiming(shape, strides, numbers=16, offset=0) -> bytes:
    """Return the pickle of one tensor, of a storage of so many float32 numbers."""

    def several(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"
        + number(numbers)
        + b"tQ"
    )
    return (
        b"\x80\x02}X\x0a\0\0\0wte.weightctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + number(offset)
        + several(shape)
        + several(strides)
        + b"\x89ccollections\nOrderedDict\n)RtRs."
    )


def crafted(path, content: bytes, pack=ZIP_STORED, order=b"little"):
    """Write a checkpoint whose pickle is given, with one record of numbers."""
    with ZipFile(path, "w", pack) as archive:
        archive.writestr("m/data.pkl", content)
        archive.writestr("m/byteorder", order)
        archive.writestr("m/data/0", NUMBERS.tobytes())
        archive.writestr("m/version", b"3\n")
    return path


def test_float32(tmp_path):
    matrix = matrix_in(saved(tmp_path / "m.pt", {NAME: VALUES, "step": 3}))
    assert (matrix.name, matrix.tokens, matrix.width, matrix.format) == (NAME, 3, 2, "float32")
    assert np.array_equal(matrix.rows(1, 3), VALUES[1:].numpy())
    assert matrix.units(1, 2).tolist() == [[2.0**-22, 2.0**-149]]


def test_bfloat16(tmp_path):
    bits = torch.tensor(list(BFLOAT16), dtype=torch.uint16).view(torch.bfloat16).reshape(2, 5)
    matrix = matrix_in(saved(tmp_path / "pytorch_model.bin", {NAME: bits}))
    expected = np.array(list(BFLOAT16.values()), np.float32)
    assert (matrix.rows(0, 2).ravel().view(np.uint32) == expected.view(np.uint32)).all()
    assert matrix.format == "bfloat16"


def test_float16(tmp_path):
    matrix = matrix_in(saved(tmp_path / "m.pth", {NAME: VALUES.half()}))
    assert np.array_equal(matrix.rows(0, 3), VALUES.half().float().numpy())
    assert matrix.units(0, 1).tolist() == [[2.0**-10, 2.0**-9]]


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "module"])
def test_a_state_within_a_checkpoint(tmp_path, key):
    content = {key: {f"model.{NAME}": VALUES}, "optimizer": {"state": {0: {"m": VALUES}}}}
    matrix = matrix_in(saved(tmp_path / "m.pt", content))
    assert matrix.name == f"model.{NAME}"
    assert np.array_equal(matrix.rows(0, 3), VALUES.numpy())


def test_a_models_own_state(tmp_path):
    model = torch.nn.ModuleDict({"wte": torch.nn.Embedding(5, 3), "lm_head": torch.nn.Linear(3, 5)})
    found = open_model(saved(tmp_path / "m.pt", model.state_dict()))
    assert np.array_equal(found.embedding.rows(0, 5), model["wte"].weight.detach().numpy())
    assert np.array_equal(found.unembedding.rows(0, 5), model["lm_head"].weight.detach().numpy())
    model["lm_head"].weight = model["wte"].weight
    assert open_model(saved(tmp_path / "m.pt", model.state_dict())).unembedding is None


def test_shards_beside_an_index(tmp_path):
    saved(tmp_path / "a.bin", {NAME: VALUES})
    saved(tmp_path / "b.bin", {"lm_head.weight": 2 * VALUES})
    places = b'{"weight_map": {"wte.weight": "a.bin", "lm_head.weight": "b.bin"}}'
    written(tmp_path / "pytorch_model.bin.index.json", places)
    model = open_model(tmp_path)
    assert np.array_equal(model.unembedding.rows(0, 3), 2 * model.embedding.rows(0, 3))


def test_some_rows_of_a_larger_tensor(tmp_path):
    matrix = matrix_in(saved(tmp_path / "m.pt", {"all": VALUES, NAME: VALUES[1:]}))
    assert np.array_equal(matrix.rows(0, 2), VALUES[1:].numpy())


def test_a_view_whose_rows_do_not_follow_each_other_is_refused(tmp_path):
    path = saved(tmp_path / "m.pt", {NAME: VALUES.T})
    assert "is stored as float32, not row after row" in refused(path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int8, torch.float8_e4m3fn])
def test_a_format_that_is_not_read_is_named(tmp_path, dtype):
    path = saved(tmp_path / "m.pt", {NAME: VALUES.to(dtype)})
    assert f"is stored as {str(dtype).removeprefix('torch.')}; what can be read" in refused(path)


def test_more_than_a_gigabyte_is_streamed(tmp_path):
    path, tokens = tmp_path / "m.pt", 260_000
    with torch.serialization.skip_data():
        saved(path, {NAME: torch.empty(tokens, 2560, dtype=torch.bfloat16)})
    assert_streamed(path, tokens, 600_000_000)


def unsafely_loaded(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(path, weights_only=False)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path, zipped):
    marker = tmp_path / "was run"
    content = {NAME: VALUES, "more": Planted(marker)}
    path = saved(tmp_path / "m.pt", content, _use_new_zipfile_serialization=zipped)
    sentence = refused(path)
    assert "nothing of it was run" in sentence
    assert ("its pickle calls 'posix.mkdir'" in sentence) == zipped
    assert not marker.exists()
    unsafely_loaded(path)
    assert marker.exists()  # it would have been


@pytest.mark.parametrize("name", ["m.bin", "m.safetensors", "m.gguf", "m.index.json"])
def test_a_plain_pickle_is_not_run_whatever_its_name(tmp_path, name):
    marker = tmp_path / "was run"
    path = written(tmp_path / name, pickle.dumps(Planted(marker)))
    refused(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()


def test_a_checkpoint_of_a_whole_model_is_not_run(tmp_path):
    path = saved(tmp_path / "m.pt", torch.nn.Embedding(3, 2))
    assert "its pickle calls 'torch.nn.modules.sparse.Embedding'" in refused(path)


def test_the_crafted_checkpoint_is_a_sound_one(tmp_path):
    path = crafted(tmp_path / "m.pt", claiming((4, 4), (4, 1)))
    assert torch.load(path, weights_only=True)[NAME].tolist() == NUMBERS.reshape(4, 4).tolist()
    assert matrix_in(path).rows(0, 4).tolist() == NUMBERS.reshape(4, 4).tolist()


BAD_CLAIMS = {
    "2^60 bytes": claiming((2**30, 2**28), (2**28, 1), numbers=2**58),
    "2^60 bytes of 64": claiming((2**30, 2**28), (2**28, 1)),
    "a storage that is larger than its record": claiming((4, 4), (4, 1), numbers=17),
    "a storage that is smaller than its record": claiming((3, 4), (4, 1), numbers=12),
    "a place past the end": claiming((4, 4), (4, 1), offset=2**40),
    "a place so far past it that its bytes have no number": claiming((4, 4), (4, 1), offset=2**61),
    "a place before the begin": claiming((4, 4), (4, 1), offset=-5),
    "a negative shape": claiming((-4, 4), (4, 1)),
    "no pickle": b"hello",
    "nothing": b"",
    "2^60 bytes of no tensor": b"\x80\x02cbuiltins\nbytearray\n" + number(2**60) + b"\x85R.",
}


@pytest.mark.parametrize("content", BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_a_pickle_that_does_not_describe_its_file(tmp_path, content, capfd):
    assert "not a readable checkpoint" in refused(crafted(tmp_path / "m.pt", content))
    assert capfd.readouterr() == ("", "")


def test_one_row_that_claims_to_be_many_is_refused(tmp_path):
    path = crafted(tmp_path / "m.pt", claiming((2**30, 4), (0, 1)))
    assert "not row after row" in refused(path)


@pytest.mark.parametrize("content", [b"\x80\x02K\x05.", b"\x80\x02]."])
def test_a_checkpoint_of_something_else(tmp_path, content):
    assert "no matrix" in refused(crafted(tmp_path / "m.pt", content))


def test_a_packed_checkpoint_is_refused(tmp_path):
    content = claiming((4, 4), (4, 1))
    assert "is packed" in refused(crafted(tmp_path / "m.pt", content, ZIP_DEFLATED))
    assert "is packed" in refused(packed(saved(tmp_path / "n.pt", {NAME: VALUES})))


def test_a_record_that_only_claims_to_be_packed_is_refused(tmp_path):
    path = crafted(tmp_path / "m.pt", claiming((4, 4), (4, 1)))
    central = b"PK\x01\x02\x14\x03\x14\0\0\0"  # before the method, which is 0
    content = path.read_bytes()
    assert central + b"\0\0" in content
    written(path, content.replace(central + b"\0\0", central + b"\x08\0"))
    assert "is packed" in refused(path)


def test_another_order_of_bytes_is_refused(tmp_path):
    path = crafted(tmp_path / "m.pt", claiming((4, 4), (4, 1)), order=b"big")
    assert "not little-endian" in refused(path)


def test_the_format_before_is_refused(tmp_path):
    path = saved(tmp_path / "m.bin", {NAME: VALUES}, _use_new_zipfile_serialization=False)
    assert "no checkpoint in the zip format" in refused(path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = saved(tmp_path / "m.pt", {NAME: VALUES})
    content = path.read_bytes()
    assert matrix_in(path).tokens == 3
    for length in range(0, len(content), 7):
        assert str(path) in refused(written(path, content[:length]))


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_any_byte_may_be_wrong(tmp_path, data):
    path = crafted(tmp_path / "m.pt", claiming((4, 4), (4, 1)))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    written(path, bytes(content))
    try:
        matrix = matrix_in(path)
        assert matrix.rows(0, matrix.tokens).shape == (matrix.tokens, matrix.width)
    except UserError as error:
        assert "\n" not in str(error)
