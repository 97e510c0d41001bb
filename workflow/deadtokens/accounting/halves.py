"""The accounts of a run, computed by two processes at once, each with half of the tokens.

Two threads would wait for the interpreter as long as they gain. Each process inflates its own
tokens in threads beside the one that computes.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import h5py
import numpy as np
import torch

from deadtokens.accounting.accounts import Account, Run, account_for
from deadtokens.accounting.ages import GradientHistory
from deadtokens.accounting.ledger import Entry, parts
from deadtokens.accounting.processes import in_own_process
from deadtokens.training.precision import REGIMES
from deadtokens.trajectory import updates
from deadtokens.trajectory.segments import Segments, list_segments
from deadtokens.trajectory.updates import read_tiles


def read_accounts(segments: Segments, run: Run) -> Iterator[list[Entry]]:
    """Yield the accounts of all tokens, in their order, segment by segment."""
    with ExitStack() as stack:
        streams = [
            stack.enter_context(in_own_process(accounts_of, segments, run, tokens))
            for tokens in _halves(segments)
        ]
        for entries in zip(*streams, strict=True):
            yield list(entries)


def _halves(segments: Segments) -> list[range]:
    """Return all tokens in two ranges; the second begins with a tile of the first segment."""
    for path in list_segments(segments):
        with h5py.File(path, "r") as file:
            tiles = updates.token_tiles(file)
        if tiles:
            middle, end = tiles[len(tiles) // 2].start, tiles[-1].stop
            return [range(middle), range(middle, end)] if middle else [range(end)]
    return []


def accounts_of(segments: Segments, run: Run, tokens: range) -> Iterator[Entry]:
    """Yield the account of some tokens, segment by segment."""
    torch.set_num_threads(1)
    format = getattr(torch, REGIMES[run.spec.precision].weights)  # the gradients' too
    size = run.populations.shape[1], run.h_mean.shape[1]
    history = GradientHistory(*size, run.spec.beta1, format)
    here = slice(tokens.start, tokens.stop)
    entry = None
    for tile in read_tiles(segments, wanted=tokens):
        if entry is not None and entry.updates != tile.updates:
            yield entry
            entry = None
        for rows in parts(tile, tokens):
            account = account_for(tile, rows, run, history)
            entry = Entry(tile.updates, here, joined(entry.account, account) if entry else account)
        del tile  # before the one after the next is read
    if entry is not None:
        yield entry


def joined(one: Account, other: Account) -> Account:
    """Return the accounts of consecutive tokens over the same updates as one."""
    one.worst.meet(other.worst)
    return Account(
        sums=one.sums + other.sums,
        factors=one.factors,
        statistics=np.concatenate([one.statistics, other.statistics], axis=2),
        at_rest=one.at_rest + other.at_rest,
        rest_norms=one.rest_norms + other.rest_norms,
        net=np.concatenate([one.net, other.net], axis=1),
        ends=np.concatenate([one.ends, other.ends], axis=1),
        closure=np.maximum(one.closure, other.closure),
        bound_ratio=np.maximum(one.bound_ratio, other.bound_ratio),
        worst=one.worst,
        not_finite=one.not_finite + other.not_finite,
    )
