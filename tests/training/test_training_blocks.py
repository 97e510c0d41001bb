"""Blocks of updates whose losses are read together: the bits of single updates, also at the end."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from histories import KINDS, PATHWAYS, history
from tiny import VOCABULARY, bits, tiny_spec, tiny_stream, tiny_trainer, train_run

from deadtokens.run import layout
from deadtokens.training import trainer as module
from deadtokens.training.batches import batch_of, batches_of
from deadtokens.training.trainer import Trainer
from deadtokens.trajectory.reader import open_run

REPLAYED = {"tensors": ["grad"]}
GROWING = {"weight_decay": 1e4}  # times the learning rate 10: each update multiplies weights by -9


def test_batches_are_those_of_each_update():
    spec, updates = tiny_spec(), range(3, 7)
    tokens = batches_of(spec, tiny_stream(), updates)
    assert tokens.shape == (4, spec.batch, spec.context + 1)
    for update, windows in zip(updates, tokens, strict=True):
        inputs, targets = batch_of(spec, tiny_stream(), update)
        assert (windows[:, :-1] == inputs).all() and (windows[:, 1:] == targets).all()


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_give_the_bits_of_single_updates(kind):
    single = history(1, **KINDS[kind])
    assert len(single[0]) == 20
    for block in (2, 7, 100):
        assert history(block, **KINDS[kind]) == single
    assert history(7, **KINDS[kind], seed=1) != single


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_diverges_at_its_update_wherever_in_a_block(kind):
    fields = {"lr": 0.001, **KINDS[kind]}
    fields["weight_decay"] = 10 / fields["lr"]
    single = history(1, last=60, **fields)
    update, at, _ = single[2]
    assert 4 < at < 60
    assert update == len(single[0]) == at - 1
    for block in range(2, at + 3):  # its first, its last, and all between
        assert history(block, last=60, **fields) == single


def test_a_run_that_diverges_at_once_has_no_state_but_the_first():
    fields = {"precision": "fp32", "init_std": 1e30}
    single = history(1, **fields)
    assert single[0] == [] and single[2] == (0, 1, {})
    assert all(set(one) == {""} for one in single[1])
    assert history(4, **fields) == single


def test_without_the_return_the_state_would_be_another(monkeypatch):
    single = history(1, **GROWING)
    assert history(20, **GROWING) == single
    monkeypatch.setattr(module._Snapshot, "restore", lambda snapshot, trainer: None)
    assert history(20, **GROWING)[1] != single[1]


def test_a_block_is_repeated_up_to_the_divergence_alone():
    at = history(1, **GROWING)[2][1]
    trainer, applied = tiny_trainer(**GROWING), []
    apply, trainer.block = trainer._apply, 20
    trainer._apply = lambda *given: (applied.append(trainer.update + 1), apply(*given))[1]
    assert len(list(trainer.advance_block(20))) == 19
    assert applied == [*range(1, 20), *range(1, at)]
    assert (trainer.update, trainer.diverged_at) == (at - 1, at)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_read_before_the_last_update_of_a_block(kind):
    """On torch's device without values, every read fails."""
    for block in (1, 4):
        trainer = Trainer(tiny_spec(**KINDS[kind]), tiny_stream(), VOCABULARY, torch.device("meta"))
        trainer.block = block
        updates = trainer.advance_block(10)
        for _ in range(block - 1):
            assert next(updates).loss.is_meta
            assert all(tensor.is_meta for tensor in trainer.state().values())
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
            next(updates)


def test_the_last_loss_of_a_block_is_a_number():
    trainer, single = tiny_trainer(), tiny_trainer()
    trainer.block = 3
    losses = [outcome.loss for _ in range(2) for outcome in trainer.advance_block(5)]
    assert [isinstance(loss, float) for loss in losses] == [False, False, True, False, True]
    assert [float(loss) for loss in losses] == [single.advance().loss for _ in range(5)]


def record(folder: Path, block: int, segments: int, length: int, **fields):
    """Record a run in blocks of so many updates; return what its files hold."""
    contents = fields.pop("record", {}) | {"segment": length}
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.BLOCKS, "cpu", block)
        paths, checkpoints, _ = train_run(folder, segments, record=contents, **fields)
    return [held_by(path) for path in paths], [path.read_bytes() for path in checkpoints]


def held_by(path: Path) -> dict:
    """Return the bits of every variable of a segment, and all attributes."""
    with h5py.File(path) as file:
        numbers = [name for name, one in file.items() if one.dtype.kind != "O"]
        variables = {name: (file[name].shape, file[name][...].tobytes()) for name in numbers}
        formats = {name: file[name].attrs.get("recorded_dtype") for name in numbers}
        return variables | {"formats": formats, "attributes": dict(file.attrs)}


@pytest.mark.parametrize(
    "fields", [{"record": PATHWAYS}, {"precision": "fp32", "record": REPLAYED}], ids=str
)
def test_a_record_and_its_checkpoints_are_those_of_single_updates(fields, tmp_path):
    """Diverged in a segment's midst, as its first and as its last update."""
    fields = fields | GROWING
    at = history(1, **fields)[2][1]
    for length in (at - 1, at, 20):
        single = record(tmp_path / f"{length}", 1, 2, length, **fields)
        run = open_run(tmp_path / f"{length}")
        assert run.attrs["diverged_at"] == at
        assert run.sizes["update"] == at - 1
        assert np.isfinite(run.loss).all()
        assert record(tmp_path / f"{length} in blocks", length - 2, 2, length, **fields) == single


def test_what_is_compressed_already_is_cut_off(tmp_path, monkeypatch):
    """Chunks of two steps: their memory is used again before a divergence is known."""
    monkeypatch.setattr(layout, "STEPS_PER_CHUNK", 2)
    single = record(tmp_path / "single", 1, 1, 20, **GROWING)
    assert record(tmp_path / "blocks", 20, 1, 20, **GROWING) == single
    run, cut = (open_run(tmp_path / name).load() for name in ("single", "blocks"))
    assert run.sizes["update"] < 12
    for name in layout.TENSORS.keys() & run.keys():
        assert (bits(cut[name]) == bits(run[name])).all()


def test_a_record_of_nothing_names_no_format(tmp_path):
    fields = {"precision": "fp32", "init_std": 1e30}
    single = record(tmp_path / "single", 1, 1, 8, **fields)
    assert record(tmp_path / "blocks", 4, 1, 8, **fields) == single
    ((segment,), _) = single
    assert segment["attributes"]["diverged_at"] == 1
    assert segment["formats"]["grad"] == "" and "dtype_parameters" not in segment["attributes"]
