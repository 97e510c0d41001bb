"""Matrices in safetensors: values, shards, the names they are found by, and bad files."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import (
    BFLOAT16,
    assert_streamed,
    entry,
    float32s,
    framed,
    matrix_in,
    patterns,
    refused,
    safetensors,
    written,
)
from tiny import tiny_trainer

from deadtokens.errors import UserError
from deadtokens.matrices import matrix as interface
from deadtokens.matrices.open import open_model
from deadtokens.training.checkpoint import save_checkpoint

NAME = "wte.weight"
FOUR = float32s(1, -2, 3.5, 1e-45)  # the last is the smallest subnormal
SOUND = safetensors({NAME: ("F32", (2, 2), FOUR)}, {"made": "here"})
OUTSIDE = [
    "../x.safetensors",
    "/x.safetensors",
    "a/x.safetensors",
    "..",
    "",
    "..\\x",
    "a\0b",
    7,
    [],
]


def one(tmp_path, dtype, shape, stored, name=NAME):
    return written(tmp_path / "model.safetensors", safetensors({name: (dtype, shape, stored)}))


def indexed(folder, weight_map):
    index = folder / "model.safetensors.index.json"
    return written(index, json.dumps({"metadata": {}, "weight_map": weight_map}).encode())


def test_float32_rows_are_the_files_and_their_units_the_spacing(tmp_path):
    matrix = matrix_in(one(tmp_path, "F32", (2, 2), FOUR))
    assert (matrix.name, matrix.tokens, matrix.width, matrix.format) == (NAME, 2, 2, "float32")
    assert matrix.rows(0, 2).dtype == matrix.units(0, 2).dtype == np.float32
    assert matrix.rows(0, 2).tolist() == [[1, -2], [3.5, 2.0**-149]]
    assert matrix.units(0, 2).tolist() == [[2.0**-23, 2.0**-22], [2.0**-22, 2.0**-149]]


def test_bfloat16_with_its_subnormals_and_signs_of_zero(tmp_path):
    matrix = matrix_in(one(tmp_path, "BF16", (5, 2), patterns(BFLOAT16)))
    expected = np.array(list(BFLOAT16.values()), np.float32)
    assert (matrix.rows(0, 5).ravel().view(np.uint32) == expected.view(np.uint32)).all()
    units = matrix.units(0, 5).ravel().tolist()
    assert units[:6] == [2.0**-133] * 5 + [2.0**-7]
    assert matrix.format == "bfloat16"


@pytest.mark.parametrize(
    "dtype, kind", [("BF16", ml_dtypes.bfloat16), ("F16", np.float16)], ids=["bfloat16", "float16"]
)
def test_every_pattern_of_a_narrow_format_has_the_value_that_another_library_gives_it(
    tmp_path, dtype, kind
):
    every = np.arange(2**16, dtype=np.uint16)
    rows = matrix_in(one(tmp_path, dtype, (256, 256), every.tobytes())).rows(0, 256)
    expected = every.view(kind).astype(np.float32).reshape(256, 256)
    assert np.array_equal(rows, expected, equal_nan=True)
    assert (np.signbit(rows) == np.signbit(expected)).all()


@given(start=st.integers(-3, 9), stop=st.integers(-3, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_cut_as_slices_are_and_never_from_the_tensor_beside(tmp_path, start, stop):
    beside = ("F32", (1, 2), float32s(-7, -7))
    values = np.arange(12, dtype="<f4").reshape(6, 2)
    tensors = {"a": beside, NAME: ("F32", (6, 2), values.tobytes()), "b": beside}
    path = written(tmp_path / "model.safetensors", safetensors(tensors))
    assert np.array_equal(matrix_in(path).rows(start, stop), values[start:stop])


def test_pieces_are_all_rows_in_order(tmp_path, monkeypatch):
    values = np.arange(21, dtype="<f4").reshape(7, 3)
    matrix = matrix_in(one(tmp_path, "F32", (7, 3), values.tobytes()))
    monkeypatch.setattr(interface, "PIECE", 24)  # two rows
    starts, pieces = zip(*matrix.pieces(), strict=True)
    assert starts == (0, 2, 4, 6)
    assert np.array_equal(np.concatenate(pieces), values)


def test_more_than_a_gigabyte_is_streamed(tmp_path):
    tokens, width = 260_000, 2560
    size = 2 * tokens * width
    path = written(tmp_path / "m.safetensors", framed({NAME: entry("BF16", (tokens, width), 0)}))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size)
    assert_streamed(path, tokens, 600_000_000)


def test_untied_has_both_matrices_and_tied_has_one(tmp_path):
    inputs, outputs = ("F32", (2, 2), FOUR), ("F16", (2, 3), patterns([0x3C00] * 6))
    both = {"model.embed_tokens.weight": inputs, "lm_head.weight": outputs}
    path = written(tmp_path / "model.safetensors", safetensors(both, {"made": "here"}))
    model = open_model(path)
    assert model.unembedding.rows(0, 2).tolist() == [[1, 1, 1]] * 2
    assert model.unembedding.units(1, 2).tolist() == [[2.0**-10] * 3]
    assert model.metadata == {"made": "here"}
    assert open_model(one(tmp_path, *inputs)).unembedding is None


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "precision, number_format", [("fp32", "float32"), ("bf16-kahan", "bfloat16")]
)
def test_a_checkpoint_of_a_run(tmp_path, tied, precision, number_format):
    trainer = tiny_trainer(tied=tied, precision=precision)
    save_checkpoint(trainer, {}, tmp_path / "segment.safetensors")
    model = open_model(tmp_path / "segment.safetensors")
    sides = [(model.embedding, trainer.model.embedding)]
    if not tied:
        sides.append((model.unembedding, trainer.model.unembedding))
    for matrix, layer in sides:
        assert matrix.format == number_format
        expected = layer.weight.detach().float().numpy()
        assert np.array_equal(matrix.rows(0, matrix.tokens), expected)
    assert (model.unembedding is None) == tied
    assert "about" in model.metadata


def test_shards_beside_an_index(tmp_path):
    for name, tensor, value in (("a", NAME, 1), ("b", "lm_head.weight", 2), ("c", "unlisted", 3)):
        content = safetensors({tensor: ("F32", (2, 1), float32s(value, value))})
        written(tmp_path / f"{name}.safetensors", content)
    places = {NAME: "a.safetensors", "lm_head.weight": "b.safetensors"}
    index = indexed(tmp_path, places)
    for path in (index, tmp_path):
        model = open_model(path)
        assert model.embedding.rows(0, 2).tolist() == [[1], [1]]
        assert model.unembedding.rows(0, 2).tolist() == [[2], [2]]
    assert "'nowhere' is not in 'a.safetensors'" in refused(
        indexed(tmp_path, {**places, "nowhere": "a.safetensors"})
    )
    assert "d.safetensors does not exist" in refused(indexed(tmp_path, {NAME: "d.safetensors"}))


@pytest.mark.parametrize("shard", OUTSIDE, ids=repr)
def test_an_index_reaches_no_file_elsewhere(tmp_path, shard):
    folder = tmp_path / "model"
    (folder / "a").mkdir(parents=True)
    for place in (tmp_path, folder / "a"):
        written(place / "x.safetensors", SOUND)
    assert "is not the name of a file beside it" in refused(indexed(folder, {NAME: shard}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"weight_map": []}',
        b'{"weight_map": null}',
        b"[" * 10**6,
        b"\xff",
    ],
    ids=lambda content: repr(content[:20]),
)
def test_an_index_that_is_none(tmp_path, content):
    path = written(tmp_path / "model.safetensors.index.json", content)
    assert "not a readable index of shards" in refused(path)


def test_an_index_that_names_a_tensor_twice(tmp_path):
    written(tmp_path / "a.safetensors", SOUND)
    twice = b'{"weight_map": {"wte.weight": "a.safetensors", "wte.weight": "b.safetensors"}}'
    path = written(tmp_path / "model.safetensors.index.json", twice)
    assert "the key 'wte.weight' stands there twice" in refused(path)


def test_an_index_of_an_index_is_no_loop(tmp_path):
    index = indexed(tmp_path, {NAME: "model.safetensors.index.json"})
    assert "neither safetensors nor GGUF" in refused(index)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    assert matrix_in(written(path, SOUND)).rows(0, 1).tolist() == [[1, -2]]
    for length in range(len(SOUND)):
        assert "not a readable safetensors file" in refused(written(path, SOUND[:length]))
    assert "not a readable" in refused(written(path, SOUND + b"\0"))


@pytest.mark.parametrize("length", [2**60, 2**63, 2**64 - 1, 10**8 + 1, 10**6, 1, 0])
def test_a_header_of_another_length_than_it_claims(tmp_path, length):
    content = framed({NAME: entry("F32", (2, 2), 0)}, FOUR, length)
    assert "not a readable" in refused(written(tmp_path / "model.safetensors", content))


BESIDE = {"a": entry("F32", (2, 2), 0)}
BAD_HEADERS = {
    "2^60 bytes": {NAME: entry("F32", (2**30, 2**28), 0)},
    "a size past 2^64": {NAME: entry("F32", (2**32, 2**32), 0, 16)},
    "a size that wraps to 16": {NAME: entry("F32", (2**62 + 1, 4), 0, 16)},
    "a negative shape": {NAME: entry("F32", (-2, -2), 0, 16)},
    "a fractional shape": {NAME: {**entry("F32", (2, 2), 0), "shape": [2.0, 2]}},
    "a larger shape": {NAME: entry("F32", (2, 3), 0, 16)},
    "a smaller shape": {NAME: entry("F32", (2, 1), 0, 16)},
    "an overlap": BESIDE | {NAME: entry("F32", (2, 2), 8)},
    "a hole": BESIDE | {NAME: entry("F32", (2, 2), 20)},
    "the same bytes": BESIDE | {NAME: entry("F32", (2, 2), 0)},
    "a later begin": {NAME: entry("F32", (2, 2), 4)},
    "an end before the begin": {NAME: entry("F32", (2, 2), 16, 0)},
    "negative offsets": {NAME: entry("F32", (2, 2), -16)},
    "three offsets": {NAME: {**entry("F32", (2, 2), 0), "data_offsets": [0, 8, 16]}},
    "an unknown dtype": {NAME: {**entry("F32", (2, 2), 0), "dtype": "Q4"}},
    "no dtype": {NAME: {"shape": [2, 2], "data_offsets": [0, 16]}},
    "a list": b"[]" + b" " * 8,
    "no JSON": b'{"wte.weight": ' + b" " * 8,
    "depth": b'{"a":' * 10**5,
    "no text": b'{"\xff": 1}',
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_does_not_describe_its_file(tmp_path, header):
    path = tmp_path / "model.safetensors"
    ends = () if isinstance(header, bytes) else [it["data_offsets"][-1] for it in header.values()]
    for size in {16, *(end for end in ends if 0 < end < 100)}:
        assert "not a readable safetensors file" in refused(
            written(path, framed(header, bytes(size)))
        )


def test_a_tensor_named_twice(tmp_path):
    first, second = (json.dumps(entry("F32", shape, 0)).encode() for shape in ((2, 2), (1, 4)))
    header = b'{"wte.weight": %s, "wte.weight": %s}' % (first, second)
    path = written(tmp_path / "model.safetensors", framed(header, FOUR))
    assert "the key 'wte.weight' stands there twice" in refused(path)


@pytest.mark.parametrize("dtype, size", [("F64", 8), ("I64", 8), ("F8_E4M3", 1)])
def test_a_format_that_is_not_read_is_named(tmp_path, dtype, size):
    path = one(tmp_path, dtype, (2, 2), bytes(4 * size))
    assert f"is stored as {dtype}; what can be read is float32, bfloat16" in refused(path)


@pytest.mark.parametrize("shape", [(4,), (), (1, 2, 2), (0, 4), (4, 0)], ids=str)
def test_what_is_no_matrix(tmp_path, shape):
    stored = bytes(4 * int(np.prod(shape)))
    assert "is no matrix with a row for each token" in refused(one(tmp_path, "F32", shape, stored))


@given(st.integers(0, len(SOUND) - 17), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500)
def test_any_byte_of_the_header_may_be_wrong(tmp_path, place, byte):
    damaged = SOUND[:place] + bytes([byte]) + SOUND[place + 1 :]
    path = written(tmp_path / "model.safetensors", damaged)
    try:
        values = matrix_in(path).rows(0, 2).tobytes()
    except UserError:
        return
    assert values == FOUR


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
    path = one(tmp_path, "F32", (2, 2), FOUR)
    matrix = matrix_in(path)
    written(path, path.read_bytes()[:-4])
    with pytest.raises(UserError, match="changed while it was read"):
        matrix.rows(1, 2)
    path.unlink()
    with pytest.raises(UserError, match="changed while it was read"):
        matrix.units(0, 1)


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "transformer.wte.weight",
        "wte.weight",
        "embeddings.word_embeddings.weight",
        "bert.embeddings.word_embeddings.weight",
        "gpt_neox.embed_in.weight",
        "token_embd.weight",
        "tok_embeddings.weight",
        "embedding.weight",
        "embedding.weight/weight",
        "_orig_mod.module.wte.weight",
    ],
)
def test_known_names(tmp_path, name):
    others = [
        "wpe.weight",
        "position_embedding.weight",
        "embeddings.LayerNorm.weight",
        "a.wte.bias",
    ]
    tensors = {it: ("F32", (2, 2), bytes(16)) for it in others}
    tensors[name] = ("F32", (2, 2), FOUR)
    assert matrix_in(written(tmp_path / "x.safetensors", safetensors(tensors))).name == name


@pytest.mark.parametrize(
    "name",
    [
        "lm_head.weight",
        "embed_out.weight",
        "output.weight",
        "unembedding.weight",
        "cls.predictions.decoder.weight",
    ],
)
def test_known_names_of_outputs(tmp_path, name):
    outputs = ("F32", (2, 1), float32s(5, 6))
    tensors = {NAME: ("F32", (2, 2), FOUR), name: outputs, f"h.0.{name}": ("F32", (1, 1), bytes(4))}
    model = open_model(written(tmp_path / "x.safetensors", safetensors(tensors)))
    assert model.unembedding.name == name
    assert model.unembedding.rows(0, 2).tolist() == [[5], [6]]


def test_a_name_that_is_not_known_is_asked_for(tmp_path):
    small = {f"layer.{number}": ("F32", (1, 1), bytes(4)) for number in range(9)}
    tensors = {**small, "norm": ("F32", (2,), bytes(8)), "words": ("F32", (2, 2), FOUR)}
    path = written(tmp_path / "x.safetensors", safetensors(tensors))
    sentence = refused(path)
    assert "give its name as `embedding`: its matrices are 'words' (2 x 2), 'layer.0'" in sentence
    assert sentence.endswith("and 2 more")
    assert "norm" not in sentence
    assert open_model(path, "words").embedding.rows(0, 2).tobytes() == FOUR
    assert "has no tensor 'word'; its matrices are 'words'" in refused(path, embedding="word")
    assert "'norm' (2) is no matrix" in refused(path, embedding="norm")
    rows = refused(path, embedding="words", unembedding="layer.0")
    assert "'layer.0' (1 x 1) has no row for each token of 'words' (2 x 2)" in rows


def test_of_several_names_that_fit_one_is_asked_for(tmp_path):
    both = dict.fromkeys(("encoder.wte.weight", "decoder.wte.weight"), ("F32", (2, 2), FOUR))
    path = written(tmp_path / "x.safetensors", safetensors(both))
    assert "2 tensors have the name of an embedding: 'encoder.wte.weight' (2 x 2)" in refused(path)
    model = open_model(path, "decoder.wte.weight", "encoder.wte.weight")
    assert (model.embedding.name, model.unembedding.name) == tuple(reversed(both))


def test_a_hostile_name_does_not_reach_the_terminal(tmp_path):
    name = "\x1b[2J\n" + "x" * 10**5
    unknown = one(tmp_path, "F32", (2, 2), FOUR, name)
    misplaced = framed({name: entry("F32", (2, 2), 4)}, FOUR + bytes(4))
    for path in (unknown, written(tmp_path / "x.safetensors", misplaced)):
        sentence = refused(path)
        assert sentence.isprintable()
        assert len(sentence) < len(str(path)) + 500


def test_a_folder_with_one_model_or_several(tmp_path):
    assert "has no model" in refused(tmp_path)
    written(tmp_path / "training_args.bin", b"\x80")
    written(tmp_path / "a.safetensors", SOUND)
    assert matrix_in(tmp_path).name == NAME
    written(tmp_path / "b.safetensors", SOUND)
    assert "several models: 'a.safetensors', 'b.safetensors'" in refused(tmp_path)
    written(tmp_path / "model.safetensors", safetensors({"x.wte.weight": ("F32", (2, 2), FOUR)}))
    assert matrix_in(tmp_path).name == "x.wte.weight"


def test_what_is_no_model_at_all(tmp_path):
    assert "does not exist" in refused(tmp_path / "nothing")
    assert "is no file" in refused(Path("/dev/zero"))
    for content in (b"", b"text", bytes(100)):
        assert "neither safetensors nor GGUF" in refused(written(tmp_path / "x", content))
