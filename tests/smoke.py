"""A model with a planted black hole, unused rows and hostile strings."""

import json
import struct
from pathlib import Path

import numpy as np

TOKENS, WIDTH = 400, 32
UNUSED = np.arange(10, 60)  # rows that training has not moved: small, about one point
HOLE = np.array([70, 71, 90, 200, 399])  # on two vectors a unit apart
HOSTILE = {100: "=1+1", 101: "<script>alert(1)</script>", 102: 'a"b,c\x1b[31m', 103: "\u202eevil"}


def write_safetensors(path, matrices):
    """Write bfloat16 matrices, by the format's own description."""
    header, data = {}, b""
    for name, values in matrices.items():
        bits = (values.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
        span = [len(data), len(data) + len(bits)]
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": span}
        data += bits
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def planted() -> np.ndarray:
    generator = np.random.default_rng(0)
    W = generator.normal(0, 1, (TOKENS, WIDTH))
    W[UNUSED] = 0.05 * generator.normal(0, 1, (len(UNUSED), WIDTH)) + 0.3
    W[HOLE] = W[HOLE[0]]
    W = W.astype(np.float32)
    bits = W[HOLE[3:], 5].view(np.uint32)
    W[HOLE[3:], 5] = (bits + (1 << 16)).view(np.float32)
    return W


def write_vocabulary(path):
    words = {index: f"word{index}" for index in range(TOKENS)} | HOSTILE
    words |= {int(index): f"[unused{index}]" for index in UNUSED}
    path.write_text(json.dumps({word: index for index, word in words.items()}), encoding="utf-8")


def write_model(folder: Path) -> Path:
    """Write the planted model, untied, and its vocabulary."""
    W = planted()
    matrices = {"model.embed_tokens.weight": W, "lm_head.weight": W[::-1]}
    write_safetensors(folder / "model.safetensors", matrices)
    write_vocabulary(folder / "vocab.json")
    return folder
