"""Reading ahead: what is begun when, in which order results come, and that none is kept."""

import weakref
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted import float_bits, planted, write_run
from tiny import bits

from deadtokens.trajectory.ahead import ahead
from deadtokens.trajectory.source import Source, around


class Result:
    """Something large."""


@given(total=st.integers(0, 6), count=st.integers(1, 8))
def test_the_next_are_begun_before_each_result_comes(total, count):
    begun = []

    def results():
        for number in range(total):
            begun.append(number)
            yield lambda number=number: number

    for number, result in enumerate(ahead(results(), count)):
        assert result == number
        assert len(begun) == min(total, number + count + 1)
    assert len(begun) == total


def test_a_result_is_kept_by_its_reader_alone():
    results = [Result(), Result(), Result()]
    known = list(map(weakref.ref, results))
    finishers = [lambda result=result: result for result in results]
    del results

    for place, result in enumerate(ahead(finishers.pop(0) for _ in range(3))):
        alive = [one() is not None for one in known]
        assert alive == [False] * place + [True] * (3 - place)
        del result


def test_what_a_reading_raises_comes_in_its_turn():
    def fail():
        raise OSError("damaged")

    found = ahead(iter([lambda: 1, fail, lambda: 3]))
    assert next(found) == 1
    with pytest.raises(OSError, match="damaged"):
        next(found)


@given(
    chosen=st.sets(st.integers(0, 29)),
    start=st.integers(0, 60),
    length=st.integers(1, 40),
    widened=st.booleans(),
    steps_first=st.booleans(),
)
def test_any_rows_over_any_updates_in_either_order(
    chosen, start, length, widened, steps_first, recorded
):
    path, tensors = recorded
    tokens, updates = np.array(sorted(chosen), int), range(start, min(start + length, 70))
    with h5py.File(path) as file, ThreadPoolExecutor(2) as pool:
        steps = around(updates, ["W", "grad"])
        values = Source(file).read(tokens, steps, pool, widened, steps_first).finish()
    for name, array in values.items():
        expected = float_bits(tensors[name][steps[name].start : steps[name].stop])[:, tokens]
        found = bits(array) if widened else array.astype(np.uint32) << 16
        assert (found.shape if steps_first else found.transpose(2, 0, 1).shape) == expected.shape
        assert ((found if steps_first else found.transpose(2, 0, 1)) == expected).all()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a segment whose chunks have few rows and steps, and what is in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deadtokens.run.layout.STEPS_PER_CHUNK", 8)
        patch.setattr("deadtokens.run.layout.CHUNK_BYTES", 4 * 4 * 3 * 8)
        folder = tmp_path_factory.mktemp("run")
        tensors = planted(70, 30, 3, torch.bfloat16)
        write_run(folder, tensors, [0, 70])
    return folder / "segment-000.nc", tensors
