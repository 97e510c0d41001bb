"""Files of models, written byte by byte and independently of their readers."""

import json
import struct
from math import prod

import numpy as np
import pytest
from processes import started

from deadtokens.errors import UserError
from deadtokens.matrices.open import open_model

SIZES = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8, "I64": 8, "F8_E4M3": 1}

# Patterns of bfloat16 and what they are worth: signs, subnormals, the neighbours of one.
BFLOAT16 = {
    0x0000: 0.0,
    0x8000: -0.0,
    0x0001: 2.0**-133,
    0x807F: -127 * 2.0**-133,
    0x0080: 2.0**-126,
    0x3F80: 1.0,
    0x3F81: 1 + 2.0**-7,
    0xBF7F: -(1 - 2.0**-8),
    0x4049: 3.140625,
    0x7F7F: (2 - 2.0**-7) * 2.0**127,
}
WHOLE_MATRIX = """
import re, sys
from deadtokens.errors import UserError
from deadtokens.matrices.open import open_model
matrix = open_model(sys.argv[1]).embedding
rows = sum(len(piece) for _, piece in matrix.pieces() if not piece.any())
print(rows, matrix.units(matrix.tokens - 1, matrix.tokens).max() > 0)
# getrusage would count the process that started this one, before it became another
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
"""


def patterns(values, kind="<u2") -> bytes:
    return np.array(list(values), kind).tobytes()


def float32s(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def entry(dtype, shape, begin, end=None):
    end = begin + SIZES[dtype] * prod(shape) if end is None else end
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def framed(header: bytes | dict, numbers: bytes = b"", length: int | None = None) -> bytes:
    """Return a safetensors file with a header, which may claim another length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


def safetensors(tensors, metadata=None) -> bytes:
    """Return a safetensors file of tensors, by name their dtype, shape and bytes."""
    header = {} if metadata is None else {"__metadata__": metadata}
    numbers = b""
    for name, (dtype, shape, stored) in tensors.items():
        header[name] = entry(dtype, shape, len(numbers), len(numbers) + len(stored))
        numbers += stored
    return framed(header, numbers)


def written(path, content: bytes):
    path.write_bytes(content)
    return path


def assert_streamed(path, tokens: int, at_most: int):
    """Check that a file of zeros is read whole by a process that never holds much of it."""
    with started(WHOLE_MATRIX, path) as process:
        said, _ = process.communicate()
    seen, peak = said.splitlines()
    assert seen == f"{tokens} True"
    assert int(peak) < at_most < path.stat().st_size / 2


def matrix_in(path, name=None):
    return open_model(path, embedding=name).embedding


def refused(path, **names) -> str:
    """Return the one sentence in which opening a model ends."""
    with pytest.raises(UserError) as caught:
        open_model(path, **names)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence
