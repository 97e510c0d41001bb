"""Trainings that go on elsewhere than the record ends, and what writes to the weight between."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import TOKENS, WIDTH, Model, train

from deadtokens.errors import UserError
from deadtokens.recording.recorder import Recorder
from deadtokens.trajectory.reader import open_run

SEGMENT = 4


def new(kind=torch.optim.AdamW, seed: int = 0) -> tuple[Model, torch.optim.Optimizer]:
    model = Model(seed)
    return model, kind(model.parameters(), lr=0.01)


def recorder(folder: Path, model: Model, optimizer, **options) -> Recorder:
    return Recorder(folder, model.embedding.weight, optimizer, segment=SEGMENT, **options)


def after(updates: int) -> tuple[dict, dict]:
    """Return a checkpoint of the training without a recorder."""
    model, optimizer = new()
    train(model, optimizer, range(updates))
    return model.state_dict(), optimizer.state_dict()


def load(model: Model, optimizer, checkpoint: tuple[dict, dict]) -> None:
    model.load_state_dict(checkpoint[0])
    optimizer.load_state_dict(checkpoint[1])


def recorded(folder: Path, begin: int, end: int) -> np.ndarray:
    """Record some updates of the training, from a checkpoint on; return W as the loop saw it."""
    model, optimizer = new(seed=9)
    if begin:
        load(model, optimizer, after(begin))
    else:
        model.load_state_dict(Model().state_dict())
    with recorder(folder, model, optimizer):
        return np.array(train(model, optimizer, range(begin, end)).W)


def lose_last_segment(folder: Path) -> None:
    """Leave what a kill leaves that comes before the last file is complete."""
    for path in sorted(folder.glob("segment-*.nc"))[-1:]:
        path.unlink()
        path.with_name(f"{path.name}.seal.json").unlink()


def test_a_checkpoint_behind_the_last_file_goes_on_in_a_folder_beside(tmp_path):
    first = recorded(tmp_path / "mine", 0, 10)
    lose_last_segment(tmp_path / "mine")
    with pytest.warns(UserWarning, match="goes on at update 10, which is not recorded") as told:
        second = recorded(tmp_path / "mine", 10, 15)
    assert len(told) == 1
    assert np.array_equal(open_run(tmp_path / "mine").W, first[:9])
    run = open_run(tmp_path / "mine-2")
    assert np.array_equal(run.W, second)
    assert (run.attrs["continues"], run.attrs["updates_before"]) == ("mine", 10)
    assert run.attrs["run"] == "mine-2"
    recorded(tmp_path / "mine", 15, 18)  # goes on in the second one
    assert len(open_run(tmp_path / "mine-2")["update"]) == 8
    with pytest.warns(UserWarning, match="mine-3"):
        recorded(tmp_path / "mine", 30, 32)
    assert open_run(tmp_path / "mine-3").attrs["updates_before"] == 30


def test_going_back_behind_a_gap_sets_aside_what_came_after(tmp_path):
    recorded(tmp_path / "mine", 0, 8)
    with pytest.warns(UserWarning, match="mine-2"):
        recorded(tmp_path / "mine", 10, 15)
    recorded(tmp_path / "mine", 6, 12)
    model, optimizer = new()
    assert np.array_equal(open_run(tmp_path / "mine").W, train(model, optimizer, range(12)).W)
    assert not list((tmp_path / "mine-2").glob("segment-*"))
    assert len(list((tmp_path / "mine-2" / "set-aside").iterdir())) == 2


def test_a_folder_beside_that_is_another_recording_is_left_alone(tmp_path):
    recorded(tmp_path / "mine", 0, 8)
    other = recorded(tmp_path / "mine-2", 0, 3)
    with pytest.warns(UserWarning, match="mine-3"):
        recorded(tmp_path / "mine", 10, 13)
    assert np.array_equal(open_run(tmp_path / "mine-2").W, other)
    recorded(tmp_path / "mine", 13, 14)
    assert len(open_run(tmp_path / "mine-3")["update"]) == 4


def test_a_checkpoint_loaded_in_the_midst_goes_on_where_it_was_recorded(tmp_path):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        train(model, optimizer, range(7))
        load(model, optimizer, after(5))
        train(model, optimizer, range(5, 9))
    assert recording.failure is None
    model, optimizer = new()
    assert np.array_equal(open_run(tmp_path / "mine").W, train(model, optimizer, range(9)).W)


def test_a_checkpoint_loaded_in_the_midst_that_is_not_recorded_is_a_gap(tmp_path):
    model, optimizer = new()
    with (
        recorder(tmp_path / "mine", model, optimizer) as recording,
        pytest.warns(UserWarning, match="goes on at update 20"),
    ):
        train(model, optimizer, range(7))
        load(model, optimizer, after(20))
        seen = train(model, optimizer, range(20, 23))
    assert recording.failure is None
    assert len(open_run(tmp_path / "mine")["update"]) == 7
    assert np.array_equal(open_run(tmp_path / "mine-2").W, seen.W)


def test_an_optimizer_whose_state_was_reset_is_a_gap(tmp_path):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer):
        train(model, optimizer, range(5))
        optimizer.state.clear()
        with pytest.warns(UserWarning, match="goes on at update 0"):
            seen = train(model, optimizer, range(5, 8))
    run = open_run(tmp_path / "mine-2")
    assert run.attrs["updates_before"] == 0
    assert np.array_equal(run.W, seen.W)
    assert not run.exp_avg[0].any()


@pytest.mark.parametrize("every", [1, 3, {0: 1, 2: 4}])
@pytest.mark.parametrize("rows", ["all", [1, 7]])
def test_what_is_written_but_not_changed_is_no_gap(tmp_path, every, rows):
    """A moving average swapped in and out, a checkpoint of the present state."""
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer, every=every, rows=rows) as recording:
        seen = []
        for update in range(9):
            seen = seen[:-1] + train(model, optimizer, range(update, update + 1)).W
            weight = model.embedding.weight
            with torch.no_grad():
                kept = weight.clone()
                weight.zero_()
                weight.copy_(kept)
            optimizer.load_state_dict(optimizer.state_dict())
    assert recording.failure is None
    run = open_run(tmp_path / "mine")
    taken = [update for update in range(1, 10) if recording.schedule.takes(update)]
    assert run["state"].values.tolist() == [0, *taken]
    chosen = slice(None) if rows == "all" else rows
    assert np.array_equal(run.W, np.array(seen)[[0, *taken]][:, chosen])
    assert not (tmp_path / "mine-2").exists()


@pytest.mark.parametrize("tensor", ["W", "exp_avg", "exp_avg_sq"])
def test_what_is_changed_where_no_update_is_recorded_is_noticed(tmp_path, tensor):
    model, optimizer = new()
    weight = model.embedding.weight
    with recorder(tmp_path / "mine", model, optimizer, every=3) as recording:
        first = train(model, optimizer, range(5))
        with torch.no_grad():
            (optimizer.state[weight] | {"W": weight})[tensor][2, 2] += 0.25
        with pytest.warns(UserWarning, match="goes on at update 5, which is not recorded"):
            second = train(model, optimizer, range(5, 12))
    assert recording.failure is None
    for name, seen, taken in (("mine", first, [0, 3]), ("mine-2", second, [0, 3, 6])):
        run = open_run(tmp_path / name)
        assert run["state"].values.tolist() == taken
        assert np.array_equal(run.W, np.array(seen.W)[taken])


def test_a_weight_that_something_else_changes_at_every_update_ends_the_record(tmp_path):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        seen = change_at_every_update(model, optimizer, range(1))
        with pytest.warns(UserWarning, match="goes on at update 1 with other weights"):
            seen += change_at_every_update(model, optimizer, range(1, 2))
        with pytest.warns(UserWarning, match="something else than the optimizer's steps"):
            change_at_every_update(model, optimizer, range(2, 5))
    assert isinstance(recording.failure, UserError)
    for name, states in zip(("mine", "mine-2"), seen, strict=True):
        assert np.array_equal(open_run(tmp_path / name).W, states)
    assert not (tmp_path / "mine-3").exists()


def change_at_every_update(model: Model, optimizer, updates: range) -> list[list[np.ndarray]]:
    """Train with a maximal norm; return W before and behind each step."""
    seen = []
    for update in updates:
        seen.append(train(model, optimizer, range(update, update + 1)).W)
        with torch.no_grad():
            model.embedding.weight.clamp_(-0.5, 0.5)
    return seen


@pytest.mark.parametrize("at", [1, 2, 6])
def test_a_weight_that_something_else_changes_once_goes_on_in_a_folder_beside(tmp_path, at):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        first = train(model, optimizer, range(at))
        with torch.no_grad():
            model.embedding.weight.mul_(0.5)
        with pytest.warns(UserWarning) as told:
            second = train(model, optimizer, range(at, at + 5))
    (sentence,) = (str(one.message) for one in told)
    assert sentence == (
        f"{tmp_path / 'mine'}: the training goes on at update {at} with other weights or moments "
        f"than are recorded there; the record goes on in {tmp_path / 'mine-2'}"
    )
    assert recording.failure is None
    assert np.array_equal(open_run(tmp_path / "mine").W, first.W)
    assert np.array_equal(open_run(tmp_path / "mine-2").W, second.W)
    assert open_run(tmp_path / "mine-2").attrs["updates_before"] == at


def test_sgd_that_counts_nothing_goes_on_by_its_bits_alone(tmp_path):
    model, optimizer = new(torch.optim.SGD)
    with recorder(tmp_path / "mine", model, optimizer):
        train(model, optimizer, range(6))
        kept = {name: one.clone() for name, one in model.state_dict().items()}
    again, optimizer = new(torch.optim.SGD, seed=3)
    again.load_state_dict(kept)
    with recorder(tmp_path / "mine", again, optimizer):
        train(again, optimizer, range(6, 9))
    model, optimizer = new(torch.optim.SGD)
    assert np.array_equal(open_run(tmp_path / "mine").W, train(model, optimizer, range(9)).W)


def failing(sentence: str, folder: Path, change) -> None:
    """Train, change something, train on: the record ends with what was before."""
    model, optimizer = new()
    with recorder(folder, model, optimizer) as recording:
        seen = train(model, optimizer, range(6))
        with pytest.warns(UserWarning, match=sentence):
            change(model, optimizer)
    assert isinstance(recording.failure, UserError)
    assert np.array_equal(open_run(folder).W, seen.W)


def test_a_weight_of_another_format_ends_the_record(tmp_path):
    def change(model, optimizer):
        model.bfloat16()
        optimizer.state.clear()  # torch's own step would fail
        train(model, optimizer, range(1))

    failing("the weight was float32 and is bfloat16", tmp_path / "mine", change)


def test_a_weight_that_leaves_the_optimizer_ends_the_record(tmp_path):
    def change(model, optimizer):
        for group in optimizer.param_groups:
            group["params"] = [one for one in group["params"] if one.shape != (TOKENS, WIDTH)]
        train(model, optimizer, range(1))

    failing("no more one of the optimizer's parameters", tmp_path / "mine", change)


def test_a_weight_that_another_has_replaced_is_told_and_the_record_stays(tmp_path):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        seen = train(model, optimizer, range(6))
        old = model.embedding.weight
        replacement = torch.nn.Parameter(torch.zeros(TOKENS + 8, WIDTH))
        model.embedding.weight = model.unembedding.weight = replacement
        optimizer.zero_grad()
        old.grad = None
        with pytest.warns(UserWarning, match="100 steps of the optimizer have not reached") as told:
            for _ in range(150):
                model(torch.zeros(1, 1, dtype=torch.int64)).sum().backward()
                optimizer.step()
    assert len(told) == 1
    assert recording.failure is None
    assert np.array_equal(open_run(tmp_path / "mine").W, seen.W)


def test_options_that_change_in_the_midst_are_in_the_record(tmp_path):
    model, optimizer = new()
    with recorder(tmp_path / "mine", model, optimizer):
        train(model, optimizer, range(3))
        optimizer.param_groups[0] |= {"lr": 0.25, "betas": (0.5, 0.75), "weight_decay": 0.125}
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2))]})
        train(model, optimizer, range(3, 5))
    run = open_run(tmp_path / "mine")
    assert run.lr.values.tolist() == [0.01] * 3 + [0.25] * 2
    assert run.beta2.values.tolist() == [0.999] * 3 + [0.75] * 2
    assert run.weight_decay.values.tolist() == [0.01] * 3 + [0.125] * 2


def test_a_rate_that_is_a_tensor_and_a_largest_second_moment_that_is_not_recorded(tmp_path):
    model = Model()
    rate = torch.tensor(0.01)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, amsgrad=True, foreach=False)
    with recorder(tmp_path / "mine", model, optimizer):
        seen = train(model, optimizer, range(3))
        rate.fill_(0.5)
        train(model, optimizer, range(3, 4))
    run = open_run(tmp_path / "mine")
    assert run.lr.values.tolist() == [float(np.float32(0.01))] * 3 + [0.5]
    assert np.array_equal(run.W[:4], seen.W)
    assert '"amsgrad":true' in run.attrs["recorded"]


def test_a_copied_folder_goes_on_like_its_original(tmp_path):
    recorded(tmp_path / "mine", 0, 6)
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    seen = recorded(tmp_path / "copy", 6, 9)
    assert np.array_equal(open_run(tmp_path / "copy").W[6:], seen)


def test_a_folder_that_is_named_like_a_run_of_the_workflow_is_a_folder(tmp_path):
    seen = recorded(tmp_path / "mine_1a2b3c4d", 0, 6)
    assert np.array_equal(open_run(tmp_path / "mine_1a2b3c4d").W, seen)
