"""The artifact: from the checkpoints of a run to the table and the flow."""

import csv
import json

import numpy as np
import pytest
import torch
import xarray as xr
from tiny import VOCABULARY, tiny_spec, write_vocabulary

from deadtokens.backprop import backprop, states
from deadtokens.backprop import model as by_hand
from deadtokens.backprop.autograd import TOLERANCE
from deadtokens.cli import COMMANDS
from deadtokens.errors import UserError
from deadtokens.seal import seal
from deadtokens.text.read import digest, read_stream
from deadtokens.training.batches import read_batch
from deadtokens.training.state import read_checkpoint
from deadtokens.training.train import train_segment
from deadtokens.training.trainer import Trainer


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(folder)
    return folder


def train(vocabulary, folder, segments=2, **fields):
    """Train a tiny run; return its checkpoints."""
    checkpoints = [folder / f"checkpoint-{n:03d}.safetensors" for n in range(segments)]
    for segment, checkpoint in enumerate(checkpoints):
        train_segment(
            "tiny",
            tiny_spec(**fields),
            segment,
            vocabulary / "stream.nc",
            vocabulary / "census.nc",
            checkpoints[segment - 1] if segment else None,
            folder / f"segment-{segment:03d}.nc",
            checkpoint,
        )
    return checkpoints


def command(checkpoints, vocabulary, folder, stream="stream.nc"):
    """Run the command; return the flow and the table."""
    flow, table = folder / "backprop.nc", folder / "backprop.csv"
    files = ["--stream", vocabulary / stream, "--output", flow, "--csv", table]
    backprop.main([*map(str, checkpoints), *map(str, files)])
    with table.open(newline="", encoding="utf-8") as file:
        return xr.load_dataset(flow, engine="h5netcdf"), list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tiny(vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    checkpoints = train(vocabulary, folder, layers=2, activation="relu", precision="pure-bf16")
    return checkpoints, *command(checkpoints, vocabulary, folder)


@pytest.mark.parametrize("tied", [True, False])
def test_every_gradient_has_its_row(tied, vocabulary, tmp_path):
    checkpoints = train(vocabulary, tmp_path, segments=1, tied=tied, precision="fp32")
    flow, rows = command(checkpoints, vocabulary, tmp_path)
    assert list(rows[0]) == list(backprop.COLUMNS)
    assert all(float(row["error"]) < TOLERANCE for row in rows)
    assert flow.largest_error.values[-1] == max(float(row["error"]) for row in rows)
    by_place = {(row["block"], row["symbol"]): row for row in rows}
    assert len(by_place) == len(rows) == 33 + (9 if tied else 8)
    W = by_place["", "W"]
    assert W["parameter"] == ("embedding.weight" if tied else "unembedding.weight")
    assert (W["by_hand"], W["shape"]) == ("W_vocab", f"{VOCABULARY}x8")
    assert by_place["1", "Wk"]["parameter"] == (
        "blocks.0.attention.query_key_value.weight, third 2 of 3"
    )
    assert by_place["1", "S"]["shape"] == "3x2x6x6"
    assert by_place["1", "x2"]["norm"] == by_place["1", "m"]["norm"]
    assert float(by_place["1", "bk"]["norm"]) < 1e-15
    assert [row["symbol"] for row in rows[:4]] == ["z", "W", "b", "h"]


def test_the_flow_covers_the_start_and_every_checkpoint(tiny):
    _, flow, rows = tiny
    assert flow.state.values.tolist() == [0, 4, 8]
    assert (flow.largest_error < TOLERANCE).all()
    assert flow.share.sum("path").values == pytest.approx(np.ones(3))
    assert (flow.sequences == 3).all()
    assert flow.path.values.tolist() == [
        "residual path",
        "MLP 2",
        "attention 2",
        "MLP 1",
        "attention 1",
    ]
    norms = {(row["block"], row["symbol"]): float(row["norm"]) for row in rows}
    last = flow.norm.sel(state=8)
    for block in (1, 2):
        for stream in flow.stream.values:
            assert last.sel(block=block, stream=stream) == norms[str(block), stream]
    assert flow.output_norm.sel(state=8, output="h") == norms["", "h"]
    assert (last.sel(block=2, stream="x0") == last.sel(block=1, stream="x2")).all()


def test_the_law_of_cosines_closes_each_junction(tiny):
    _, flow, _ = tiny
    for branch, (straight, through) in backprop.BRANCHES.items():
        below = {"x1 by MLP": "x1", "x0 by attention": "x0"}[through]
        one, other, both = (flow.norm.sel(stream=name) for name in (straight, through, below))
        squares = one**2 + other**2 + 2 * one * other * flow.cosine.sel(branch=branch)
        np.testing.assert_allclose(both**2, squares, rtol=1e-12)


def test_what_a_file_says_of_itself(tiny):
    _, flow, _ = tiny
    spec = tiny_spec(layers=2, activation="relu", precision="pure-bf16")
    assert flow.attrs["run"] == spec.identity()
    assert json.loads(flow.attrs["spec"])["activation"] == "relu"
    assert flow.attrs["status"] == "complete"
    assert flow.attrs["vocabulary_size"] == VOCABULARY
    for name in flow.variables:
        assert flow[name].attrs["units"]
    for name in flow.data_vars:
        assert flow[name].attrs["long_name"]


def test_a_state_is_what_was_trained(tiny, vocabulary):
    """Start and checkpoints, bit for bit, and the loss of the batch that comes next."""
    checkpoints, flow, _ = tiny
    stream, about = read_stream(vocabulary / "stream.nc")
    start, first, second = states.read_states(checkpoints[::-1], about["stream_sha256"])
    trainer = Trainer(start.spec, stream, VOCABULARY, torch.device("cpu"))
    for state in (start, first, second):
        while trainer.update < state.update:
            trainer.advance()
        for name, parameter in trainer.model.named_parameters():
            assert torch.equal(state.named[name], parameter.detach().double()), name
        inputs, _ = backprop.next_batch(state, stream)
        batch = read_batch(stream, 3, 6, start.spec.seed, state.update + 1)
        assert (inputs.numpy() == batch[0]).all()
        outcome = trainer.advance()
        assert float(flow.loss.sel(state=state.update)) == pytest.approx(outcome.loss, rel=0.01)


def test_a_large_batch_is_cut(tiny, vocabulary, monkeypatch):
    checkpoints, _, _ = tiny
    stream, _ = read_stream(vocabulary / "stream.nc")
    state = read_checkpoint(checkpoints[0])
    whole, _ = backprop.next_batch(state, stream)
    monkeypatch.setattr(backprop, "MOST_LOGITS", 2 * 6 * VOCABULARY)
    inputs, targets = backprop.next_batch(state, stream)
    assert torch.equal(inputs, whole[:2])
    assert targets.shape == (2, 6)
    monkeypatch.setattr(backprop, "MOST_LOGITS", 1)
    assert len(backprop.next_batch(state, stream)[0]) == 1


def test_a_wrong_formula_shows_in_the_artifact(tiny, vocabulary, tmp_path, monkeypatch):
    checkpoints, _, _ = tiny
    monkeypatch.setattr(by_hand, "join_paths", lambda direct, branch: direct)
    flow, rows = command(checkpoints, vocabulary, tmp_path)
    assert (flow.largest_error > 0.01).all()
    wrong = {(row["block"], row["symbol"]) for row in rows if float(row["error"]) > TOLERANCE}
    assert ("2", "x1") in wrong
    assert ("2", "W1") not in wrong  # above the first junction all is right


@pytest.mark.parametrize("segments", [1, 2])
def test_a_run_that_diverged_has_its_flow_before_it(segments, vocabulary, tmp_path):
    checkpoints = train(vocabulary, tmp_path, segments, lr=1e30, precision="fp32")
    flow, rows = command(checkpoints, vocabulary, tmp_path)
    assert flow.attrs["status"] == "diverged"
    assert flow.state.values[-1] == flow.attrs["diverged_at"] - 1
    assert len(np.unique(flow.state)) == flow.sizes["state"]
    assert flow.largest_error.sel(state=0) < TOLERANCE
    assert flow.largest_error.values[-1] < TOLERANCE  # float64 holds what float32 did not
    assert len(rows) == 42


def test_another_text_is_refused(tiny, tmp_path):
    checkpoints, _, _ = tiny
    write_vocabulary(tmp_path, VOCABULARY)
    other = xr.load_dataset(tmp_path / "stream.nc", engine="h5netcdf").isel(position=slice(1, None))
    other.attrs["stream_sha256"] = digest(other.token.values)
    other.to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(UserError, match=r"000\.safetensors: trained on another text"):
        command(checkpoints, tmp_path, tmp_path, "other.nc")


def test_two_runs_are_refused(tiny, vocabulary, tmp_path):
    checkpoints, _, _ = tiny
    (other,) = train(vocabulary, tmp_path, segments=1, seed=7)
    with pytest.raises(UserError, match="belongs to another run"):
        command([checkpoints[0], other], vocabulary, tmp_path)


def test_a_damaged_checkpoint_is_told(vocabulary, tmp_path):
    (checkpoint,) = train(vocabulary, tmp_path, segments=1)
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[:-1])
    with pytest.raises(UserError, match="truncated"):
        command([checkpoint], vocabulary, tmp_path)
    checkpoint.write_bytes(b"\x00" * 40)
    seal(checkpoint)
    with pytest.raises(UserError, match="not a readable checkpoint"):
        command([checkpoint], vocabulary, tmp_path)


def test_it_is_a_command_that_says_what_it_found(tiny, vocabulary, tmp_path, caplog):
    assert COMMANDS["backprop"] == backprop.__name__
    checkpoints, flow, _ = tiny
    with caplog.at_level("INFO"):
        again, _ = command(checkpoints, vocabulary, tmp_path)
    assert again.identical(flow)
    largest = flow.largest_error.max().item()
    assert caplog.messages == [
        f"backprop {flow.attrs['run']}: 75 gradients by hand at 3 states; the largest error to "
        f"autograd is {largest:.1e}"
    ]
