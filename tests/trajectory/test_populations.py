"""Who is dead, live or never sampled: counted by the training, summed by the reader."""

import numpy as np
import pytest
import torch
import xarray as xr
from planted import planted, write_run
from tiny import VOCABULARY, tiny_census, tiny_spec, tiny_stream, train_run

from deadtokens.errors import UserError
from deadtokens.freezing.freezing import measure_freezing
from deadtokens.labels import label
from deadtokens.run import layout
from deadtokens.training.batches import batch_starts, count_sampled
from deadtokens.training.segment import record_segment
from deadtokens.training.trainer import Trainer
from deadtokens.trajectory.populations import MEMBERS, describe_members, members_of
from deadtokens.trajectory.reader import open_run


def counted(stream, spec, updates):
    """Count the tokens of the updates' windows, one by one."""
    counts = np.zeros(VOCABULARY, int)
    for update in updates:
        for start in batch_starts(len(stream), spec.batch, spec.context, spec.seed, update):
            for position in range(start, start + spec.context + 1):
                counts[stream[position]] += 1
    return counts


def test_a_segment_says_how_often_its_batches_held_each_token_and_a_run_sums_up(tmp_path):
    paths, *_ = train_run(tmp_path, 3)
    spec = tiny_spec()
    for index, path in enumerate(paths):
        expected = counted(tiny_stream(), spec, range(4 * index + 1, 4 * index + 5))
        with xr.open_dataset(path, engine="h5netcdf") as segment:
            assert (segment.sampled.values == expected).all()
            assert segment.sampled.attrs["long_name"] and segment.sampled.attrs["units"] == "1"
    run = open_run(paths)
    assert (run.sampled.values == counted(tiny_stream(), spec, range(1, 13))).all()
    assert run.sampled.sum() == 12 * spec.batch * (spec.context + 1)
    assert run.sampled.attrs["long_name"]


def test_a_run_that_diverges_counts_the_updates_that_it_made(tmp_path):
    paths, *_ = train_run(tmp_path, 2, precision="fp32", lr=1e30)
    run = open_run(paths)
    assert 0 < run.sizes["update"] < 8
    assert (run.sampled.values == counted(tiny_stream(), tiny_spec(), run["update"].values)).all()


def test_a_token_that_no_batch_held_is_neither_dead_nor_live(tmp_path):
    """A long text that holds one token at its very end, where no window of the run lies."""
    stream = np.concatenate([tiny_stream(3000), [17, 17]]).astype(np.int32)
    spec = tiny_spec(precision="fp32", lr=1e-2)
    held = counted(stream, spec, range(1, 5))
    assert held[17] == 0
    census = tiny_census()
    census["dead"][17] = False
    path = tmp_path / layout.segment_name(0)
    trainer = Trainer(spec, stream, VOCABULARY, torch.device("cpu"))
    about = {"run": "tiny", "spec": spec.json_text()}
    record_segment("tiny", trainer, 0, path, census, about)
    assert "sampled" not in census  # what was given is left as it was
    dead, live, never_sampled = members_of(open_run([path], check=False))
    assert np.flatnonzero(dead).tolist() == list(range(18, VOCABULARY))
    assert (live == (held > 0)).all()
    assert never_sampled[17] and not (dead | live)[17]
    assert (dead.astype(int) + live + never_sampled == 1).all()


def test_counts_of_no_updates_are_zero():
    assert count_sampled(tiny_stream(), 3, 6, 0, range(1, 1), VOCABULARY).tolist() == [0] * 23


def test_a_record_that_does_not_say_is_refused():
    run = xr.Dataset({"dead": ("token", [True, False])}, attrs={"run": "old"})
    with pytest.raises(UserError, match=r"run old: .*`sampled`.* train the run again"):
        members_of(run)


def test_a_derived_file_says_who_is_who(tmp_path, monkeypatch):
    known = {"dead": ("token", [True, False, False]), "sampled": ("token", [0, 2, 0])}
    monkeypatch.setattr("planted.census", lambda _: xr.Dataset(known, {"token": np.arange(3)}))
    tensors = planted(steps=6, tokens=3, width=2, dtype=torch.float32)
    write_run(tmp_path, tensors, [0, 2, 6], spec="{}")
    freezing = measure_freezing(tmp_path)
    assert freezing.never_sampled.values.tolist() == [False, False, True]
    assert freezing.tokens.values.tolist() == [1, 1, 1]
    bits = tensors["W"].view(torch.int32).numpy()
    still = (bits[1:] == bits[:-1]).all(axis=2)
    assert (freezing.frozen_fraction.values == still).all()
    described = label(describe_members(np.eye(3, dtype=bool)), MEMBERS)
    for name in ("dead", "never_sampled", "tokens", "population"):
        assert described[name].attrs["long_name"], name
