"""The recorder in trainings that are not ours, against copies that their loops take themselves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
from foreign import LIVE, TOKENS, WIDTH, Model, batch, loss_of, train

from deadtokens.errors import UserError
from deadtokens.recording.recorder import Recorder
from deadtokens.trajectory.reader import open_run

OPTIMIZERS = {
    "AdamW": lambda of: torch.optim.AdamW(of, lr=0.01, foreach=False),
    "AdamW foreach": lambda of: torch.optim.AdamW(of, lr=0.01, foreach=True),
    "AdamW fused": lambda of: torch.optim.AdamW(of, lr=0.01, fused=True),
    "Adam with decay": lambda of: torch.optim.Adam(of, lr=0.01, weight_decay=0.1),
    "SGD": lambda of: torch.optim.SGD(of, lr=0.1),
    "SGD with Nesterov's momentum": lambda of: torch.optim.SGD(
        of, lr=0.1, momentum=0.9, nesterov=True, foreach=True
    ),
    "RMSprop": lambda of: torch.optim.RMSprop(of, lr=0.01),
}


def recorder(folder: Path, model: Model, optimizer, **options) -> Recorder:
    return Recorder(folder, model.embedding.weight, optimizer, **{"segment": 4} | options)


def matrices(folder: Path, name: str) -> np.ndarray:
    return open_run(folder)[name].values


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_record_is_what_each_step_consumed_and_made(tmp_path, kind):
    model = Model()
    optimizer = OPTIMIZERS[kind](model.parameters())
    with recorder(tmp_path / "mine", model, optimizer):
        seen = train(model, optimizer, range(10))
    run = open_run(tmp_path / "mine")
    assert dict(run.sizes) == {"state": 11, "update": 10, "token": TOKENS, "component": WIDTH}
    assert np.array_equal(run.W, seen.W)
    assert np.array_equal(run.grad, seen.grad)
    assert ("exp_avg_sq" in run) == kind.startswith("Adam")
    assert ("exp_avg" in run) == (kind.startswith("Adam") or "momentum" in kind)
    if "exp_avg" in run:
        held = optimizer.state[model.embedding.weight]
        last = held["exp_avg"] if "exp_avg" in held else held["momentum_buffer"]
        assert np.array_equal(run.exp_avg[-1], last)
        assert not run.exp_avg[0].any()


def test_a_gradient_read_after_the_step_would_be_another():
    """Negative control: torch's SGD adds the momentum to the gradient where it lies."""
    model = Model()
    optimizer = OPTIMIZERS["SGD with Nesterov's momentum"](model.parameters())
    train(model, optimizer, range(1))
    before = model.embedding.weight.grad.clone()
    optimizer.step()
    assert not torch.equal(model.embedding.weight.grad, before)


def test_a_recorded_training_has_the_bits_of_one_that_is_not(tmp_path):
    weights = []
    for record in (True, False):
        model = Model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        if record:
            options = {"embedding": model.embedding, "unembedding": model.unembedding}
            with recorder(tmp_path / "mine", model, optimizer, **options):
                train(model, optimizer, range(10))
        else:
            train(model, optimizer, range(10))
        weights.append([one.detach().clone() for one in model.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))


def test_bfloat16_is_recorded_as_it_is(tmp_path):
    model = Model().bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with recorder(tmp_path / "mine", model, optimizer):
        seen = train(model, optimizer, range(5))
    run = open_run(tmp_path / "mine")
    assert np.array_equal(run.W, seen.W)
    assert run.W.attrs["recorded_dtype"] == "bfloat16"


def test_the_numbers_of_each_update_are_those_of_the_schedule(tmp_path):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.5, betas=(0.75, 0.875), eps=0.25)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with recorder(tmp_path / "mine", model, optimizer):
        for update in range(5):
            train(model, optimizer, range(update, update + 1))
            schedule.step()
    run = open_run(tmp_path / "mine")
    assert run.lr.values.tolist() == [0.5, 0.25, 0.125, 0.0625, 0.03125]
    said = {name: set(run[name].values.tolist()) for name in ("beta1", "beta2", "eps")}
    assert said == {"beta1": {0.75}, "beta2": {0.875}, "eps": {0.25}}


def test_the_numbers_of_an_update_keep_every_bit(tmp_path):
    model = Model()
    numbers = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **numbers)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    rates = []
    with recorder(tmp_path / "mine", model, optimizer):
        for update in range(6):
            rates.append(schedule.get_last_lr()[0])
            train(model, optimizer, range(update, update + 1))
            schedule.step()
    run = open_run(tmp_path / "mine")
    assert run.lr.values.tolist() == rates
    assert np.any(np.float32(rates) != rates)  # in float32 they would be others
    given = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1}
    assert {name: set(run[name].values.tolist()) for name in given} == {
        name: {value} for name, value in given.items()
    }
    with netCDF4.Dataset(tmp_path / "mine" / "segment-000.nc") as file:
        assert file["lr"][:].tolist() == rates[:4]  # whatever reads it


def test_a_step_that_a_scaler_skips_is_no_update(tmp_path):
    for fused in (False, True):
        model = Model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        seen = []
        with recorder(tmp_path / f"{fused}", model, optimizer):
            for update in range(6):
                optimizer.zero_grad()
                loss = loss_of(model, update) * (torch.inf if update == 2 else 1)
                scaler.scale(loss).backward()
                expected = model.embedding.weight.grad / scaler.get_scale()
                scaler.step(optimizer)
                if update != 2:
                    seen.append(expected.numpy().copy())
                scaler.update()
        assert np.array_equal(matrices(tmp_path / f"{fused}", "grad"), seen)
        assert len(matrices(tmp_path / f"{fused}", "W")) == 6


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("named", [True, False])
def test_a_closures_gradient_is_the_one_that_it_computes(tmp_path, kind, named):
    model = Model()
    optimizer = OPTIMIZERS[kind](model.parameters())
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, len(seen))
        loss.backward()
        seen.append(model.embedding.weight.grad.numpy().copy())
        return loss

    with recorder(tmp_path / "mine", model, optimizer):
        for _ in range(3):
            loss = optimizer.step(closure=closure) if named else optimizer.step(closure)
            assert loss.requires_grad
    assert np.array_equal(matrices(tmp_path / "mine", "grad"), seen)


def test_of_a_closure_that_is_called_again_the_first_gradient_is_taken(tmp_path):
    """L-BFGS searches along a line: its later gradients are of weights on the way."""
    model = Model()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    calls, seen = [], []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(model, len(seen))
        loss.backward()
        calls.append(model.embedding.weight.grad.numpy().copy())
        return loss

    with recorder(tmp_path / "mine", model, optimizer):
        for _ in range(3):
            first = len(calls)
            optimizer.step(closure)
            assert len(calls) > first + 1
            seen.append(calls[first])
    assert np.array_equal(matrices(tmp_path / "mine", "grad"), seen)


def test_what_the_training_meets_is_counted_and_the_rest_is_dead(tmp_path):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with recorder(tmp_path / "mine", model, optimizer, embedding=model.embedding) as recording:
        train(model, optimizer, range(6))
        model.eval()
        model(torch.full((1, 3), TOKENS - 1))  # an evaluation is no training
        recording.count(torch.tensor([LIVE, -100]))  # a label, and one that the loss ignores
    expected = np.zeros(TOKENS, int)
    for update in range(12):
        expected += np.bincount(batch(update)[0].flatten(), minlength=TOKENS)
    expected[LIVE] += 1
    run = open_run(tmp_path / "mine")
    assert np.array_equal(run.sampled, expected)
    assert all(run[name].attrs["long_name"] for name in run.variables)


def test_the_means_of_the_forward_pass_are_those_over_all_positions(tmp_path):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    expected = []
    with recorder(tmp_path / "mine", model, optimizer, unembedding=model.unembedding):
        for update in range(5):
            ids = torch.cat([batch(2 * update + part)[0] for part in (0, 1)])
            with torch.no_grad():
                model.eval()
                probability = model(ids).double().softmax(-1).flatten(0, 1)
                entropy = -(probability * probability.log()).sum(-1).mean()
                expected.append((probability.mean(0).numpy(), entropy))
                model.train()
            train(model, optimizer, range(update, update + 1))
    run = open_run(tmp_path / "mine")
    for found, (probability, entropy) in zip(range(5), expected, strict=True):
        assert run.probability[found].values == pytest.approx(probability, rel=1e-5)
        assert float(run.entropy[found]) == pytest.approx(float(entropy), rel=1e-5)


def told(folder: Path, losses: list[list[float]], start: int = 0, **options) -> None:
    """Record updates, each with what its loop says of its losses."""
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    train(model, optimizer, range(start))
    with recorder(folder, model, optimizer, **options) as recording:
        for update, parts in enumerate(losses, start):
            for part in parts:
                recording.loss(torch.tensor(part, requires_grad=True))
            train(model, optimizer, range(update, update + 1))


def test_the_loss_of_an_update_is_the_sum_of_those_whose_gradients_it_has(tmp_path):
    told(tmp_path / "mine", [[1.5, 0.25], [2.0], [0.5, 0.5]])
    assert open_run(tmp_path / "mine").loss.values.tolist() == [1.75, 2.0, 1.0]
    told(tmp_path / "none", [[]] * 3)
    assert "loss" not in open_run(tmp_path / "none")


def test_what_is_no_longer_told_is_no_number_and_ends_nothing(tmp_path):
    told(tmp_path / "mine", [[1.0], [2.0], [], [4.0], [], []])  # segments of 4
    told(tmp_path / "mine", [[]] * 3, start=6)
    loss = open_run(tmp_path / "mine").loss.values
    assert loss == pytest.approx([1, 2, np.nan, 4, *[np.nan] * 5], nan_ok=True)
    with pytest.warns(UserWarning, match="late: what `loss` says is not recorded") as warned:
        told(tmp_path / "late", [[], [1.0], [2.0], [3.0], [4.0]])
    assert len(warned) == 1
    assert "loss" not in open_run(tmp_path / "late")


def test_what_a_restart_newly_gives_is_not_recorded_and_that_is_told(tmp_path):
    told(tmp_path / "mine", [[]] * 4)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    train(model, optimizer, range(4))
    given = {"unembedding": model.unembedding}
    with (
        recorder(tmp_path / "mine", model, optimizer, on_failure="raise", **given) as recording,
        pytest.warns(UserWarning) as warned,
    ):
        for update in range(4, 10):
            recording.loss(1.0)
            train(model, optimizer, range(update, update + 1))
    assert [str(one.message).partition(", as")[0] for one in warned] == [
        f"{tmp_path / 'mine'}: what `{source}` says is not recorded"
        for source in ("loss", "unembedding")
    ]
    run = open_run(tmp_path / "mine")
    assert run.sizes["update"] == 10
    assert not {"loss", "h_mean", "probability", "entropy"} & set(run)


def test_what_a_training_gives_that_begins_anew_is_recorded(tmp_path):
    """All of the record before is set aside: nothing has begun without it."""
    told(tmp_path / "mine", [[]] * 4)
    told(tmp_path / "mine", [[2.0]] * 4)
    assert open_run(tmp_path / "mine").loss.values.tolist() == [2.0] * 4


def test_an_unembedding_that_the_training_does_not_call_is_told(tmp_path):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    options = {"unembedding": torch.nn.Linear(WIDTH, TOKENS), "on_failure": "raise"}
    with (
        recorder(tmp_path / "mine", model, optimizer, **options),
        pytest.raises(UserError, match="unembedding: made no logits in training since"),
    ):
        train(model, optimizer, range(1))


def test_only_the_dead_rows(tmp_path):
    counts = np.bincount(np.arange(LIVE), minlength=TOKENS)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with recorder(tmp_path / "mine", model, optimizer, rows="dead", counts=counts):
        seen = train(model, optimizer, range(5))
    run = open_run(tmp_path / "mine")
    assert run.token.values.tolist() == list(range(LIVE, TOKENS))
    assert np.array_equal(run.W, np.array(seen.W)[:, LIVE:])
    assert np.array_equal(run.grad, np.array(seen.grad)[:, LIVE:])
    assert run.dead.all()
    assert run.attrs["vocabulary_size"] == TOKENS


def restarted(folder: Path, checkpoints: dict[int, tuple], at: int, to: int, **options) -> Model:
    """Go on from a checkpoint of the training, recording."""
    model = Model(seed=99)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    weights, state = checkpoints[at]
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)
    with recorder(folder, model, optimizer, **options):
        train(model, optimizer, range(at, to))
    return model


def copied(model: Model, optimizer) -> tuple:
    weights = {name: one.clone() for name, one in model.state_dict().items()}
    state = optimizer.state_dict()
    state["state"] = {
        place: {name: one.clone() for name, one in held.items()}
        for place, held in state["state"].items()
    }
    return weights, state


@pytest.mark.parametrize("at", [0, 2, 4, 6, 8, 10])
def test_a_training_that_is_started_again_goes_on_where_its_checkpoint_is(tmp_path, at):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    checkpoints = {}
    with recorder(tmp_path / "mine", model, optimizer):
        for update in range(10):
            checkpoints[update] = copied(model, optimizer)
            seen = train(model, optimizer, range(update, update + 1))
        checkpoints[10] = copied(model, optimizer)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    seen = train(model, optimizer, range(14))
    restarted(tmp_path / "mine", checkpoints, at, 14)
    run = open_run(tmp_path / "mine")
    assert np.array_equal(run.W, seen.W)
    assert np.array_equal(run.grad, seen.grad)
    aside = list((tmp_path / "mine" / "set-aside").glob("*"))
    assert len(aside) == {0: 3, 2: 3, 4: 2, 6: 2, 8: 1, 10: 0}[at]


def held(folder: Path, **options) -> list[np.ndarray]:
    """Record a training into a folder, with what is known of its tokens; return W."""
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with recorder(folder, model, optimizer, embedding=None, **KNOWN | options):
        return train(model, optimizer, range(5)).W


KNOWN = {"counts": np.arange(TOKENS) % 3, "tokenizer": [f"token {one}" for one in range(TOKENS)]}
ANOTHER = [
    ({"tokens": TOKENS + 8}, "vocabulary's size is 40, and that of this one 48"),
    ({"width": WIDTH + 1}, "width is 6, and that of this one 7"),
    ({"dtype": torch.bfloat16}, "format is float32, and that of this one bfloat16"),
    ({"optimizer": torch.optim.Adam}, "optimizer is AdamW, and that of this one Adam"),
    ({"rows": [1, 2]}, "^rows: differ from those that .*mine was recorded with"),
    ({"counts": np.arange(TOKENS) % 2}, "^counts: differ"),
    ({"tokenizer": ["other"] * TOKENS}, "^tokenizer: differ"),
]


@pytest.mark.parametrize("on_failure", ["warn", "raise"])
@pytest.mark.parametrize(("change", "sentence"), ANOTHER)
def test_another_training_is_refused_before_it_begins(tmp_path, change, sentence, on_failure):
    seen = held(tmp_path / "mine")
    change = dict(change)
    shape = change.pop("tokens", TOKENS), change.pop("width", WIDTH)
    weight = torch.nn.Parameter(torch.zeros(shape, dtype=change.pop("dtype", torch.float32)))
    optimizer = change.pop("optimizer", torch.optim.AdamW)([weight], lr=0.01)
    given = (KNOWN if shape[0] == TOKENS else {}) | change
    with pytest.raises(UserError, match=sentence):
        Recorder(tmp_path / "mine", weight, optimizer, on_failure=on_failure, **given)
    assert not optimizer._optimizer_step_pre_hooks
    assert np.array_equal(matrices(tmp_path / "mine", "W"), seen)
    held(tmp_path / "mine", counts=KNOWN["counts"] > 0)  # which tokens are dead is the same


def test_what_is_not_known_of_the_tokens_of_either_record_differs_from_nothing(tmp_path):
    held(tmp_path / "mine", counts=None, tokenizer=None)
    held(tmp_path / "mine")


def begun(folder: Path, seed: int = 0, before: int = 0, **options) -> list[np.ndarray]:
    model = Model(seed)
    optimizer = torch.optim.AdamW(model.parameters(), **{"lr": 0.01} | options)
    train(model, optimizer, range(before))
    states = []
    try:
        with recorder(folder, model, optimizer):
            for update in range(before, before + 5):
                states += [one.detach().clone() for one in model.parameters()]
                train(model, optimizer, range(update, update + 1))
    except UserError:
        now = [one.detach() for one in model.parameters()]
        assert all(torch.equal(*pair) for pair in zip(states, now, strict=True))  # no update
        raise
    return matrices(folder, "W")


OTHERWISE = [
    ({"seed": 1}, "holds 5 updates of a training, and what"),
    ({"seed": 1, "before": 5}, "holds 5 updates of a training, and what"),
    ({"lr": 0.02}, r"with the same weights and other numbers \(lr is 0.01, and now 0.02\)"),
    ({"betas": (0.5, 0.999), "eps": 1e-7}, "beta1 is 0.9, and now 0.5, eps is 1e-08, and now 1e"),
    ({"amsgrad": True}, "amsgrad is None, and now True"),
]


@pytest.mark.parametrize(("change", "sentence"), OTHERWISE)
def test_another_training_is_refused_at_its_first_step(tmp_path, change, sentence):
    seen = begun(tmp_path / "mine")
    with pytest.raises(UserError, match=sentence):
        begun(tmp_path / "mine", **change)
    assert np.array_equal(matrices(tmp_path / "mine", "W"), seen)
    assert not (tmp_path / "mine" / "set-aside").exists()
    assert not (tmp_path / "mine-2").exists()


def test_a_training_that_goes_on_may_have_other_numbers(tmp_path):
    begun(tmp_path / "mine")
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    train(model, optimizer, range(3))
    optimizer.param_groups[0]["lr"] = 0.02
    with recorder(tmp_path / "mine", model, optimizer):
        train(model, optimizer, range(3, 8))
    rates = open_run(tmp_path / "mine").lr.values.tolist()
    assert rates == [0.01] * 3 + [0.02] * 5


def test_a_folder_has_one_recorder_at_a_time(tmp_path):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with (
        pytest.warns(UserWarning, match="nothing is recorded"),
        recorder(tmp_path / "mine", model, optimizer),
        pytest.raises(UserError, match="another recorder writes there"),
    ):
        recorder(tmp_path / "mine", model, optimizer)
    with recorder(tmp_path / "mine", model, optimizer):
        seen = train(model, optimizer, range(2))
    assert np.array_equal(matrices(tmp_path / "mine", "W"), seen.W)


def test_a_failure_ends_the_record_and_not_the_training(tmp_path, monkeypatch):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with recorder(tmp_path / "mine", model, optimizer) as recording:
        seen = train(model, optimizer, range(6))
        model.embedding.weight.data = torch.zeros(TOKENS + 1, WIDTH)
        model.embedding.weight.grad = torch.zeros(TOKENS + 1, WIDTH)
        optimizer.state.clear()
        with pytest.warns(UserWarning, match="the record ends here, the training goes on") as told:
            for _ in range(3):
                optimizer.step()
        assert len(told) == 1
        assert isinstance(recording.failure, UserError)
    assert np.array_equal(matrices(tmp_path / "mine", "W"), seen.W)
    assert np.array_equal(matrices(tmp_path / "mine", "grad"), seen.grad)


KILLED = """
import os, sys, torch
from foreign import Model, train
from deadtokens.recording.recorder import Recorder
model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
Recorder(sys.argv[1], model.embedding.weight, optimizer, segment=4)
train(model, optimizer, range(10))
os.kill(os.getpid(), 9)
"""


def killed(folder: Path, code: str = KILLED) -> None:
    """Train in a process that is killed behind its tenth update, or earlier."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", "-c", code, str(folder)]
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL


def trained(updates: int) -> np.ndarray:
    """Return W in all states of the same training."""
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return np.stack(train(model, optimizer, range(updates)).W)


def test_a_kill_loses_the_present_segment_and_one_that_is_being_finished(tmp_path):
    folder = tmp_path / "it's $HOME; mine"
    killed(folder)
    W = matrices(folder, "W")
    assert len(W) in (5, 9)
    assert np.array_equal(W, trained(len(W) - 1))


@pytest.mark.parametrize("at", ["segment-001.nc", "segment-001.nc.seal.json", "recording.json"])
def test_wherever_a_kill_comes_the_record_is_sound_and_goes_on(tmp_path, at):
    """Just before a file of the second segment gets its name."""
    folder = tmp_path / "mine"
    patched = """
import os
rename = os.replace
def replace(source, target):
    if os.path.basename(target) == %r and os.path.exists(os.path.join(sys.argv[1], %r)):
        os.kill(os.getpid(), 9)
    rename(source, target)
os.replace = replace
"""
    before = "segment-000.nc" if at != "recording.json" else "segment-001.nc"
    waiting = KILLED.replace("os.kill(os.getpid(), 9)", "import time; time.sleep(60)")
    code = waiting.replace("model = Model()\n", patched % (at, before) + "model = Model()\n", 1)
    killed(folder, code)
    complete = 8 if at == "recording.json" else 4
    assert np.array_equal(matrices(folder, "W"), trained(complete))
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    train(model, optimizer, range(complete))
    with recorder(folder, model, optimizer, on_failure="raise"):
        train(model, optimizer, range(complete, 11))
    assert np.array_equal(matrices(folder, "W"), trained(11))
    assert sorted(path.name for path in folder.glob("*.nc")) == [
        f"segment-00{number}.nc" for number in range(3)
    ]
    assert not list(folder.glob(".finished*"))


def mistaken(**changes):
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return {"weight": model.embedding.weight, "optimizer": optimizer} | changes


MISTAKES = [
    ({"weight": torch.nn.Parameter(torch.zeros(3))}, "weight: must be a matrix"),
    ({"weight": torch.nn.Parameter(torch.zeros(3, 2))}, "none of the optimizer's parameters"),
    (
        {"weight": torch.nn.Parameter(torch.zeros(3, 2, dtype=torch.float16))},
        "weight: is float16, and float32 and bfloat16 are what is recorded",
    ),
    ({"counts": [1, 2]}, r"counts: has the shape \(2,\), and the vocabulary has 40 tokens"),
    ({"counts": [0.5] * TOKENS}, "counts: must be whole numbers"),
    ({"rows": "dead"}, "which tokens are dead must be known beforehand"),
    ({"rows": "dead", "counts": [1] * TOKENS}, "no token is dead by `counts`"),
    ({"rows": "live"}, "'live' is neither 'all' nor 'dead'"),
    ({"rows": [TOKENS]}, "must be numbers from 0 to 39"),
    ({"tokenizer": 7}, "tokenizer: a int gives no tokens"),
]


@pytest.mark.parametrize(("change", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence_before_the_training(tmp_path, change, sentence):
    given = mistaken(**change)
    with pytest.raises(UserError, match=sentence):
        Recorder(tmp_path / "mine", given.pop("weight"), given.pop("optimizer"), **given)
    assert not (tmp_path / "mine").exists()


def test_sparse_gradients_are_refused_in_one_sentence(tmp_path):
    embedding = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = torch.optim.SGD(embedding.parameters(), lr=0.1)
    with Recorder(tmp_path / "mine", embedding.weight, optimizer, on_failure="raise"):
        embedding(torch.tensor([1])).sum().backward()
        with pytest.raises(UserError, match="sparse=False"):
            optimizer.step()


def test_tokens_are_spelt_on_one_printable_line(tmp_path):
    hostile = ["\x1b[31m", "=1+1", "a\nb", "\u202e", "ก"]
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with recorder(tmp_path / "mine", model, optimizer, tokenizer=hostile):
        train(model, optimizer, range(1))
    spelt = open_run(tmp_path / "mine").token_string.values.tolist()
    assert spelt[:5] == ["\\x1b[31m", "=1+1", "a\\nb", "\\u202e", "ก"]
    assert spelt[5:] == [""] * (TOKENS - 5)
    assert all(one.isprintable() for one in spelt)


def test_an_embedding_that_holds_the_weight_is_found(tmp_path):
    """The copy holds another weight; so does the layer that the weight is tied to: none of both."""
    model, other = Model(), Model()
    optimizer = torch.optim.AdamW(model.parameters())
    with recorder(tmp_path / "found", model, optimizer):
        train(model, optimizer, range(3))
        loss_of(other, 0)
    met = np.zeros(TOKENS, np.int64)
    for update in range(6):
        inputs, _ = batch(update)
        met += np.bincount(inputs.flatten(), minlength=TOKENS)
    assert open_run(tmp_path / "found").sampled.values.tolist() == met.tolist()
    with recorder(tmp_path / "none", model, optimizer, embedding=None):
        train(model, optimizer, range(3))
    assert not open_run(tmp_path / "none").sampled.any()


def test_a_found_embedding_that_reads_nothing_is_no_fault(tmp_path):
    """The model looks its rows up by itself."""
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters())
    with recorder(tmp_path, model, optimizer, on_failure="raise"):
        inputs, _ = batch(0)
        model.embedding.weight[inputs].square().sum().backward()
        optimizer.step()
    assert not open_run(tmp_path).sampled.any()
