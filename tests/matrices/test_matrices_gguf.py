"""Matrices in GGUF: values of each format, metadata, and bad files."""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import (
    BFLOAT16,
    assert_streamed,
    float32s,
    matrix_in,
    patterns,
    refused,
    written,
)

from deadtokens.errors import UserError
from deadtokens.matrices.open import open_model

NAME = "token_embd.weight"
F32, F16, Q4_K, Q8_0, F64, BF16 = 0, 1, 12, 8, 28, 30
UINT32, STRING, ARRAY, UINT64 = 4, 8, 9, 10
HUGE = struct.pack("<Q", 2**60)
FOUR = float32s(1, -2, 3.5, 1e-45)


def text(words: str | bytes) -> bytes:
    words = words.encode() if isinstance(words, str) else words
    return struct.pack("<Q", len(words)) + words


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, *values: bytes) -> bytes:
    return struct.pack("<IQ", kind, len(values)) + b"".join(values)


def info(name: str, shape, kind: int, offset: int = 0) -> bytes:
    """Describe a tensor; the width comes first in the file."""
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


def gguf(infos, numbers=b"", pairs=(), version=3, alignment=32, tensors=None, metadata=None):
    counts = (
        len(infos) if tensors is None else tensors,
        len(pairs) if metadata is None else metadata,
    )
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*pairs, *infos])
    return header + bytes(-len(header) % alignment) + numbers


def block(scale: int, steps) -> bytes:
    """Return a block of Q8_0: the pattern of its float16 scale, and 32 numbers of steps."""
    return struct.pack("<H32b", scale, *steps)


def one(tmp_path, kind, shape, stored, **options):
    return written(tmp_path / "m.gguf", gguf([info(NAME, shape, kind)], stored, **options))


SOUND = gguf(
    [info(NAME, (2, 2), F32), info("output.weight", (2, 1), F16, 32)],
    FOUR + bytes(16) + patterns([0x3C00, 0xC000]),
    [pair("general.name", STRING, text("a")), pair("n", ARRAY, array(UINT32, b"\1\0\0\0"))],
)


@pytest.mark.parametrize("version", [2, 3])
def test_float32(tmp_path, version):
    values = np.arange(6, dtype="<f4")
    matrix = matrix_in(one(tmp_path, F32, (3, 2), values.tobytes(), version=version))
    assert (matrix.tokens, matrix.width, matrix.format) == (3, 2, "float32")
    assert matrix.rows(0, 3).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert matrix.units(2, 3).tolist() == [[2.0**-21] * 2]


def test_bfloat16(tmp_path):
    rows = matrix_in(one(tmp_path, BF16, (2, 5), patterns(BFLOAT16))).rows(0, 2)
    expected = np.array(list(BFLOAT16.values()), np.float32)
    assert (rows.ravel().view(np.uint32) == expected.view(np.uint32)).all()


def test_float16(tmp_path):
    matrix = matrix_in(one(tmp_path, F16, (2, 2), patterns([0x3C01, 0x8000, 0x0001, 0xFBFF])))
    rows = matrix.rows(0, 2)
    assert rows.tolist() == [[1 + 2.0**-10, 0], [2.0**-24, -65504]]
    assert np.signbit(rows).tolist() == [[False, True], [False, True]]
    assert matrix.units(0, 2).tolist() == [[2.0**-10, 2.0**-24], [2.0**-24, 32]]
    assert matrix.format == "float16"


SCALES = st.integers(0, 0x7BFF) | st.integers(0x8000, 0xFBFF)  # finite ones
BLOCKS = st.tuples(SCALES, st.lists(st.integers(-128, 127), min_size=32, max_size=32))


@given(st.lists(st.lists(BLOCKS, min_size=2, max_size=2), min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_q8_0_is_its_steps_times_the_scale_of_their_block(tmp_path, rows):
    stored = b"".join(block(*it) for row in rows for it in row)
    matrix = matrix_in(one(tmp_path, Q8_0, (len(rows), 64), stored))
    values, units = [], []
    for row in rows:
        for pattern, steps in row:
            (scale,) = struct.unpack("<e", struct.pack("<H", pattern))
            values += [scale * step for step in steps]
            units += [abs(scale)] * 32
    found, steps = matrix.rows(0, len(rows)), matrix.units(0, len(rows))
    assert found.dtype == steps.dtype == np.float32
    assert found.shape == steps.shape == (len(rows), 64)
    assert found.ravel().tolist() == values
    assert steps.ravel().tolist() == units
    assert np.array_equal(matrix.rows(len(rows) - 1, len(rows)), found[-1:])
    assert matrix.format == "q8_0"


def test_untied_has_both_matrices_and_tied_has_one(tmp_path):
    model = open_model(written(tmp_path / "m.gguf", SOUND))
    assert model.embedding.rows(0, 2).tobytes() == FOUR
    assert model.unembedding.rows(0, 2).tolist() == [[1], [-2]]
    same = [info(NAME, (2, 2), F32), info("output.weight", (2, 2), F32)]
    assert open_model(written(tmp_path / "m.gguf", gguf(same, FOUR))).unembedding is None
    assert open_model(one(tmp_path, F32, (2, 2), FOUR)).unembedding is None


def test_metadata_of_every_type(tmp_path):
    values = {
        0: ("B", 200),
        1: ("b", -100),
        2: ("H", 60_000),
        3: ("h", -30_000),
        4: ("I", 4_000_000_000),
        5: ("i", -2_000_000_000),
        6: ("f", 0.5),
        7: ("?", True),
        10: ("Q", 2**63),
        11: ("q", -(2**62)),
        12: ("d", 0.1),
    }
    packed = {kind: struct.pack(f"<{code}", it) for kind, (code, it) in values.items()}
    pairs = [pair(f"one.{kind}", kind, it) for kind, it in packed.items()]
    pairs += [pair(f"two.{kind}", ARRAY, array(kind, it, it)) for kind, it in packed.items()]
    tokens = array(STRING, text("Ġa"), text(""), text(b"\xff"))
    pairs += [pair("tokens", ARRAY, tokens), pair("none", ARRAY, array(STRING))]
    metadata = open_model(one(tmp_path, F32, (2, 2), FOUR, pairs=pairs)).metadata
    for kind, (_, value) in values.items():
        assert metadata[f"one.{kind}"] == value
        assert metadata[f"two.{kind}"] == [value, value]
        assert type(metadata[f"one.{kind}"]) is type(value)
    assert metadata["tokens"] == ["Ġa", "", "\\xff"]
    assert metadata["none"] == []


@pytest.mark.parametrize("alignment", [8, 32, 4096])
def test_tensors_begin_where_the_alignment_says(tmp_path, alignment):
    pairs = [pair("general.alignment", UINT32, struct.pack("<I", alignment))]
    infos = [info("first", (1, 1), F32), info(NAME, (2, 2), F32, alignment)]
    numbers = bytes(alignment) + FOUR
    content = gguf(infos, numbers, pairs, alignment=alignment)
    path = written(tmp_path / "m.gguf", content)
    assert matrix_in(path).rows(0, 2).tobytes() == FOUR
    infos[1] = info(NAME, (2, 2), F32, alignment - 4)
    shifted = gguf(infos, numbers, pairs, alignment=alignment)
    assert "is not aligned" in refused(written(path, shifted))


@pytest.mark.parametrize(
    "kind, value", [(UINT32, 0), (UINT32, 24), (5, -32), (STRING, None), (7, True)]
)
def test_an_alignment_that_is_none(tmp_path, kind, value):
    stored = text("32") if value is None else struct.pack("<?" if kind == 7 else "<i", value)
    pairs = [pair("general.alignment", kind, stored)]
    sentence = refused(one(tmp_path, F32, (2, 2), FOUR, pairs=pairs))
    assert "its alignment is no power of two" in sentence


def test_more_than_a_gigabyte_is_streamed(tmp_path):
    tokens, width = 500_000, 2560
    path = one(tmp_path, Q8_0, (1, 32), block(0, [0] * 32))
    content = gguf([info(NAME, (tokens, width), Q8_0)])
    with written(path, content).open("r+b") as file:
        file.truncate(len(content) + tokens * width // 32 * 34)
    with path.open("r+b") as file:  # the last row has a scale
        file.seek(-width // 32 * 34, 2)
        file.write(struct.pack("<H", 0x3C00))
    assert_streamed(path, tokens, 600_000_000)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "m.gguf"
    for length in range(len(SOUND)):
        words = "neither safetensors" if length < 4 else "not a readable GGUF file"
        found = refused(written(path, SOUND[:length]))
        assert words in found or "not a readable GGUF file" in found
    assert open_model(written(path, SOUND)).unembedding.tokens == 2


TENSOR = info(NAME, (2, 2), F32)
BAD_FILES = {
    "2^60 tensors": gguf([TENSOR], FOUR, tensors=2**60),
    "2^64 - 1 tensors": gguf([TENSOR], FOUR, tensors=2**64 - 1),
    "2^60 pairs": gguf([TENSOR], FOUR, metadata=2**60),
    "a key of 2^60 bytes": gguf([TENSOR], FOUR, [HUGE + b"a"]),
    "a text of 2^60 bytes": gguf([TENSOR], FOUR, [text("a") + b"\x08\0\0\0" + HUGE]),
    "2^60 numbers": gguf([TENSOR], FOUR, [pair("a", ARRAY, b"\x0a\0\0\0" + HUGE)]),
    "2^60 texts": gguf([TENSOR], FOUR, [pair("a", ARRAY, b"\x08\0\0\0" + HUGE)]),
    "a name of 2^60 bytes": gguf([HUGE + b"a"], FOUR),
    "2^30 dimensions": gguf([text(NAME) + struct.pack("<I", 2**30)], FOUR),
    "five dimensions": gguf([info(NAME, (1, 1, 1, 2, 2), F32)], FOUR),
    "2^60 rows": gguf([info(NAME, (2**60, 2), F32)], FOUR),
    "a size that wraps to 16": gguf([info(NAME, (2**62 + 1, 4), F32)], FOUR),
    "a place past the end": gguf([info(NAME, (2, 2), F32, 2**60)], FOUR),
    "an end past the end": gguf([info(NAME, (2, 2), F32, 32)], FOUR),
    "Q4_K past the end": gguf([TENSOR, info("b", (1, 256), Q4_K)], FOUR + bytes(143 - 16)),
    "half a block": gguf([info(NAME, (2, 48), Q8_0)], bytes(102)),
    "a tensor twice": gguf([TENSOR, TENSOR], FOUR),
    "a key twice": gguf([TENSOR], FOUR, [pair("a", 0, b"\1")] * 2),
    "an array of arrays": gguf([TENSOR], FOUR, [pair("a", ARRAY, array(ARRAY, array(0, b"\1")))]),
    "an unknown type of value": gguf([TENSOR], FOUR, [pair("a", 13, bytes(8))]),
    "version 1": gguf([TENSOR], FOUR, version=1),
    "version 4": gguf([TENSOR], FOUR, version=4),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 1, 0) + bytes(100),
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_a_header_that_does_not_describe_its_file(tmp_path, content):
    assert "not a readable GGUF file" in refused(written(tmp_path / "m.gguf", content))


def test_a_long_header_of_nothing_is_refused(tmp_path):
    content = gguf([TENSOR], pairs=[pair("a", ARRAY, struct.pack("<IQ", UINT64, 2**27))])
    path = written(tmp_path / "m.gguf", content)
    with path.open("r+b") as file:
        file.truncate(2**31)
    assert "claims 1,073,741,824 bytes that are not there" in refused(path)


@pytest.mark.parametrize(
    "kind, name", [(2, "Q4_0"), (Q4_K, "Q4_K"), (14, "Q6_K"), (F64, "F64"), (99, "type 99")]
)
def test_a_quantization_that_is_not_read_is_named(tmp_path, kind, name):
    sentence = refused(one(tmp_path, kind, (2, 256), bytes(4096)))
    assert (
        f"is stored as {name}; what can be read is float32, bfloat16, float16, and GGUF" in sentence
    )


@pytest.mark.parametrize("count, split", [(0, False), (1, False), (3, True)])
def test_one_part_of_several_is_refused(tmp_path, count, split):
    pairs = [pair("split.count", 2, struct.pack("<H", count))]
    path = one(tmp_path, F32, (2, 2), FOUR, pairs=pairs)
    if split:
        assert "one of several files of a model" in refused(path)
    else:
        assert matrix_in(path).rows(0, 2).tobytes() == FOUR


@given(st.integers(0, len(SOUND) - 1), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500)
def test_any_byte_may_be_wrong(tmp_path, place, byte):
    damaged = SOUND[:place] + bytes([byte]) + SOUND[place + 1 :]
    path = written(tmp_path / "m.gguf", damaged)
    try:
        matrix = matrix_in(path)
        assert matrix.rows(0, matrix.tokens).shape == (matrix.tokens, matrix.width)
    except UserError as error:
        assert "\n" not in str(error)
