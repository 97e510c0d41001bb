"""Records that leave out updates, or rows, against copies that the loop takes itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import LIVE, TOKENS, WIDTH, Model, batch, train

from deadtokens.errors import UserError
from deadtokens.recording.recorder import Recorder
from deadtokens.recording.schedule import Schedule
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.pieces import read_pieces
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import check_every_update
from deadtokens.trajectory.updates import read_updates

STAGES = {0: 1, 4: 3}
TAKEN = [1, 2, 3, 4, 7, 10, 13, 16]  # of 18 updates


def new() -> tuple[Model, torch.optim.Optimizer]:
    model = Model()
    return model, torch.optim.AdamW(model.parameters(), lr=0.01)


def record(folder: Path, updates: range = range(18), **options):
    model, optimizer = new()
    options = {"every": STAGES, "segment": 3} | options
    with Recorder(folder, model.embedding.weight, optimizer, **options) as recorder:
        seen = train(model, optimizer, updates)
    assert recorder.failure is None
    return seen


@pytest.mark.parametrize(
    ("every", "taken"),
    [
        (1, list(range(1, 26))),
        (10, [10, 20]),
        ({0: 1, 4: 10}, [1, 2, 3, 4, 14, 24]),
        ({0: 2, 5: 1, 8: 7}, [2, 4, 6, 7, 8, 15, 22]),
        ({10: 5, 0: 10}, [10, 15, 20, 25]),
    ],
)
def test_a_schedule_says_which_updates_it_takes(every, taken):
    schedule = Schedule(every)
    assert [update for update in range(1, 26) if schedule.takes(update)] == taken
    for updates in range(26):
        assert schedule.count(updates) == sum(one <= updates for one in taken)


@pytest.mark.parametrize("every", [0, -1, 1.5, True, {}, {5: 1}, {0: 0}, {0: 1, -3: 2}, "all"])
def test_what_is_no_schedule_is_one_sentence(every):
    with pytest.raises(UserError, match="every: must be a whole number from 1 on, or such as"):
        Schedule(every)


def test_the_axes_hold_the_numbers_of_the_recorded_updates(tmp_path):
    seen = record(tmp_path / "mine")
    run = open_run(tmp_path / "mine")
    assert run["update"].values.tolist() == TAKEN
    assert run["state"].values.tolist() == [0, *TAKEN]
    assert np.array_equal(run.W, np.array(seen.W)[[0, *TAKEN]])
    assert np.array_equal(run.grad, np.array(seen.grad)[np.array(TAKEN) - 1])
    assert json.loads(run.attrs["every"]) == {"0": 1, "4": 3}
    assert float(abs(run.W.sel(state=7) - seen.W[7]).max()) == 0


def test_every_reader_tells_the_true_numbers(tmp_path):
    folder = tmp_path / "mine"
    seen = record(folder)
    W, states = np.array(seen.W), [0, *TAKEN]
    blocks = list(read_blocks(folder, ["W"]))
    assert np.concatenate([block.steps for block in blocks]).tolist() == states
    found = np.concatenate([block.values["W"] for block in blocks], axis=2)
    assert np.array_equal(found, W[states].transpose(1, 2, 0))
    pieces = [piece for piece in read_pieces(folder, ["W"]) if piece.tokens.start == 0]
    assert np.concatenate([piece.updates for piece in pieces]).tolist() == TAKEN
    assert np.array_equal(load_tensor(folder, "W"), W[states].transpose(1, 2, 0))
    rows = np.array([2, 5])
    updates = list(read_updates(folder, rows))
    assert [update.number for update in updates] == TAKEN
    for update, before in zip(updates, states, strict=False):
        assert np.array_equal(update.before["W"], W[before][rows])
        assert np.array_equal(update.after["W"], W[update.number][rows])


def test_an_analysis_of_every_update_says_that_they_are_not_there(tmp_path):
    record(tmp_path / "mine")
    with pytest.raises(UserError, match="run mine: not every update is recorded") as told:
        check_every_update(open_run(tmp_path / "mine"), "the audit")
    assert "the audit" in str(told.value)
    record(tmp_path / "all", every=1)
    check_every_update(open_run(tmp_path / "all"), "the audit")


def test_counts_and_means_are_of_all_batches_since_the_recorded_update_before(tmp_path):
    model, optimizer = new()
    options = {"every": 3, "embedding": model.embedding, "unembedding": model.unembedding}
    expected = []
    with Recorder(tmp_path / "mine", model.embedding.weight, optimizer, **options):
        for update in range(6):
            if update % 3 == 0:
                expected.append(np.zeros(TOKENS))
            for part in (0, 1):
                with torch.no_grad():
                    model.eval()
                    probability = model(batch(2 * update + part)[0]).double().softmax(-1)
                    model.train()
                expected[-1] += probability.mean((0, 1)).numpy() / 6
            train(model, optimizer, range(update, update + 1))
    run = open_run(tmp_path / "mine")
    counts = sum(np.bincount(batch(one)[0].flatten(), minlength=TOKENS) for one in range(12))
    assert np.array_equal(run.sampled, counts)
    assert run.probability.values == pytest.approx(np.array(expected), rel=1e-5)


def checkpoint_of(updates: int) -> tuple[dict, dict]:
    model, optimizer = new()
    train(model, optimizer, range(updates))
    return model.state_dict(), optimizer.state_dict()


@pytest.mark.parametrize("at", [2, 7, 10, 16])
def test_a_checkpoint_at_a_recorded_state_goes_on_in_the_same_folder(tmp_path, at):
    record(tmp_path / "mine")
    model, optimizer = Model(seed=9), None
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for one, state in zip((model, optimizer), checkpoint_of(at), strict=True):
        one.load_state_dict(state)
    options = {"every": STAGES, "segment": 3}
    with Recorder(tmp_path / "mine", model.embedding.weight, optimizer, **options):
        train(model, optimizer, range(at, 25))
    model, optimizer = new()
    seen = train(model, optimizer, range(25))
    run = open_run(tmp_path / "mine")
    assert run["state"].values.tolist() == [0, *TAKEN, 19, 22, 25]
    assert np.array_equal(run.W, np.array(seen.W)[run["state"].values])
    assert np.array_equal(run.grad, np.array(seen.grad)[run["update"].values - 1])


@pytest.mark.parametrize("at", [5, 18])
def test_a_checkpoint_between_recorded_states_is_a_gap(tmp_path, at):
    record(tmp_path / "mine")
    model = Model(seed=9)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for one, state in zip((model, optimizer), checkpoint_of(at), strict=True):
        one.load_state_dict(state)
    options = {"every": 2, "segment": 3}
    with (
        Recorder(tmp_path / "mine", model.embedding.weight, optimizer, **options),
        pytest.warns(UserWarning, match=f"goes on at update {at}, which is not recorded"),
    ):
        seen = train(model, optimizer, range(at, at + 5))
    run = open_run(tmp_path / "mine-2")
    assert run["state"].values.tolist() == [0, 2, 4]
    assert np.array_equal(run.W, np.array(seen.W)[[0, 2, 4]])
    assert (run.attrs["updates_before"], run.attrs["continues"]) == (at, "mine")
    assert open_run(tmp_path / "mine")["update"].values.tolist() == TAKEN


def test_of_updates_that_are_left_out_the_state_alone_is_kept(tmp_path, monkeypatch):
    model, optimizer = new()
    taken = []
    with Recorder(tmp_path / "mine", model.embedding.weight, optimizer, every=5) as recorder:
        whole = recorder._of_rows
        monkeypatch.setattr(recorder, "_of_rows", lambda one: taken.append(1) or whole(one))
        train(model, optimizer, range(1, 25))
    # W at the start; all four tensors of each recorded update, and no gradient of the others.
    assert len(taken) == 1 + 4 * 4 + 20 * 3


def test_all_dead_rows_and_some_live_ones(tmp_path):
    counts = np.bincount(np.arange(LIVE), minlength=TOKENS)
    for name in ("mine", "again"):
        seen = record(tmp_path / name, rows="dead", live=7, counts=counts, every=1)
    run = open_run(tmp_path / "mine")
    rows = run["token"].values
    assert rows[-(TOKENS - LIVE) :].tolist() == list(range(LIVE, TOKENS))
    assert len(rows) == 7 + TOKENS - LIVE
    assert run.dead.values.tolist() == [False] * 7 + [True] * (TOKENS - LIVE)
    assert np.array_equal(run.W, np.array(seen.W)[:, rows])
    assert json.loads(run.attrs["rows"]) == {"live": 7, "rows": "dead"}
    assert np.array_equal(open_run(tmp_path / "again")["token"], rows)


def test_more_live_rows_than_there_are_is_all(tmp_path):
    counts = np.bincount(np.arange(LIVE), minlength=TOKENS)
    record(tmp_path / "mine", rows="dead", live=500, counts=counts)
    assert open_run(tmp_path / "mine").sizes["token"] == TOKENS


def test_live_rows_without_dead_ones_are_refused(tmp_path):
    with pytest.raises(UserError, match="live: goes with rows='dead'"):
        record(tmp_path / "mine", live=5)


def test_the_size_is_told_before_the_first_update(tmp_path, caplog):
    caplog.set_level("INFO")
    model, optimizer = new()
    counts = np.bincount(np.arange(LIVE), minlength=TOKENS)
    options = {"rows": "dead", "counts": counts, "every": STAGES, "updates": 18}
    recorder = Recorder(tmp_path / "mine", model.embedding.weight, optimizer, **options)
    numbers = 4 * (TOKENS - LIVE) * WIDTH  # W, its gradient, two moments
    assert recorder.size.recorded == 4 * numbers
    kept = (0.64 + 0.84 + 0.81 + 0.59) / 4
    assert recorder.size.kept == pytest.approx(kept * 4 * numbers, abs=1)
    assert f"mine: {4 * numbers:,} bytes a recorded update" in caplog.text
    train(model, optimizer, range(18))
    recorder.close()
    run = open_run(tmp_path / "mine").isel(state=slice(1, None))
    names = ("W", "grad", "exp_avg", "exp_avg_sq")
    assert sum(run[name].nbytes for name in names) == len(TAKEN) * 4 * numbers


def test_a_record_for_which_there_is_no_room_is_refused(tmp_path):
    model, optimizer = new()
    with pytest.raises(UserError, match=r"recorded updates need about .* are free on its disk"):
        Recorder(tmp_path / "mine", model.embedding.weight, optimizer, updates=10**13)
    assert not (tmp_path / "mine").exists()
