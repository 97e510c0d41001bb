"""Bare bits, window by window, are those that were recorded."""

import numpy as np
import pytest
import torch
from planted import float_bits, planted, write_run

from deadtokens.trajectory.pieces import read_pieces

NAMES = ("W", "grad", "exp_avg_sq")


def reassembled(pieces, tensors, name):
    """Put the pieces' steps where their updates say, and count how often each was written."""
    whole = np.zeros(tensors[name].shape, np.uint32)
    seen = np.zeros(len(whole), int)
    for piece in pieces:
        bits = piece.bits[name]
        if bits.itemsize == 2:
            bits = bits.astype(np.uint32) << 16
        steps = piece.updates if name == "grad" else np.append(piece.updates[0] - 1, piece.updates)
        steps = steps - (name == "grad")
        whole[steps, piece.tokens.start : piece.tokens.stop] = bits.transpose(2, 0, 1)
        seen[steps] += len(piece.tokens)
    return whole, seen


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("boundaries", [[0, 150], [0, 70, 80, 150]])
@pytest.mark.parametrize("chunks", [1, 4])
def test_pieces_make_up_the_record(dtype, boundaries, chunks, tmp_path):
    tensors = planted(steps=150, tokens=7, width=5, dtype=dtype)
    write_run(tmp_path, tensors, boundaries)
    pieces = list(read_pieces(tmp_path, NAMES, chunks=chunks))
    for name in NAMES:
        whole, seen = reassembled(pieces, tensors, name)
        assert (whole == float_bits(tensors[name])).all()
        assert (seen >= 7).all()
    updates = np.concatenate([piece.updates for piece in pieces])
    assert sorted(updates) == list(range(1, 151))
    assert pieces[0].bits["W"].itemsize == {torch.bfloat16: 2, torch.float32: 4}[dtype]


def test_states_overlap_by_the_one_before_the_first_update(tmp_path):
    write_run(tmp_path, planted(steps=150, tokens=3, width=4), [0, 150])
    for piece in read_pieces(tmp_path, NAMES, chunks=1):
        updates = len(piece.updates)
        shapes = {name: bits.shape for name, bits in piece.bits.items()}
        assert shapes["W"] == shapes["exp_avg_sq"] == (3, 4, updates + 1)
        assert shapes["grad"] == (3, 4, updates)


def test_only_pieces_with_a_wanted_token_come(tmp_path):
    tokens, width = 600, 64  # several chunks of tokens
    tensors = planted(steps=70, tokens=tokens, width=width)
    write_run(tmp_path, tensors, [0, 70])
    wanted = np.zeros(tokens, bool)
    wanted[[5, 580]] = True
    ranges = [piece.tokens for piece in read_pieces(tmp_path, ["W"], wanted)]
    assert 2 <= len(ranges) < len(list(read_pieces(tmp_path, ["W"])))
    assert all(wanted[tokens.start : tokens.stop].any() for tokens in ranges)


def test_a_segment_without_updates_is_passed_over(tmp_path):
    write_run(tmp_path, planted(steps=4, tokens=3, width=4), [0, 4, 4])
    assert [piece.updates.tolist() for piece in read_pieces(tmp_path, ["W"])] == [[1, 2, 3, 4]]
