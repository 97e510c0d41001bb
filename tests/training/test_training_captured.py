"""Captured updates, with a stand-in for a GPU's graphs: the plain bits, and nothing read."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from histories import KINDS, history, patterns
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import VOCABULARY, tiny_spec, tiny_stream, tiny_trainer
from torch.utils._python_dispatch import TorchDispatchMode

from deadtokens.run.compiled_update import _axpy, replay_
from deadtokens.run.hyperparameters import (
    Hyperparameters,
    correction,
    hyperparameters,
    learning_rate,
    step_size,
)
from deadtokens.run.noise import Noise
from deadtokens.run.rounding import ON_CUDA, ask_rounding
from deadtokens.run.update import Numbers, mean_square, update_
from deadtokens.training import numbers, optimizer, trainer
from deadtokens.training.captured import CapturedUpdate
from deadtokens.training.numbers import NumbersOfUpdates, NumbersOnDevice, has_the_plain_bits
from deadtokens.training.optimizer import UpdateRule
from deadtokens.training.trainer import Trainer

CPU, FLOAT = torch.device("cpu"), np.float32
# What torch's own operations round here as they do on a CPU, and the others as on a GPU.
AS_STATED = replace(
    ask_rounding(CPU),
    **{name: getattr(ON_CUDA, name) for name in ("div", "add", "addcdiv", "axpy")},
)
OPTIMIZERS = {
    "adamw": ("adamw", ("exp_avg", "exp_avg_sq")),
    "kahan": ("adamw", ("exp_avg", "exp_avg_sq", "compensation")),
    "coupled": ("coupled-adam", ("exp_avg", "exp_avg_sq")),
    "momentum": ("sgd", ("exp_avg",)),
    "plain": ("sgd", ()),
}


def multiply_add(a, x, y):
    """Return a x + y of float32, rounded once."""
    result = y.clone()
    _axpy(result.numpy().reshape(-1), x.contiguous().numpy().reshape(-1), FLOAT(a.item()), 0)
    return result


class NumbersOfAGpu(Numbers):
    """The plain numbers of an update, whose operations round as a GPU's."""

    def denominator(self, exp_avg_sq):
        root = exp_avg_sq.sqrt()
        quotient = (root.float() * float(FLOAT(1 / correction(self.t, self.hyper)))).to(root.dtype)
        return (quotient.float() + float(FLOAT(self.hyper.eps))).to(root.dtype)

    def step_(self, target, m, denominator):
        moved = m.float() if denominator is None else m.float() / denominator.float()
        size = torch.tensor(-step_size(self.t, self.lr, self.hyper), dtype=torch.float32)
        target.copy_(multiply_add(size, moved, target.float()))


class Repeated:
    """Stands for a graph: calls its function at each replay; the last results are void then."""

    def __init__(self, function, after=None):
        self.function, self.result = function, None

    def replay(self):
        for tensor in tensors_of(self.result):
            if tensor._base is None:  # of W there are views
                tensor.detach().fill_(torch.nan)
        self.result = self.function()


def tensors_of(result):
    """Return the tensors of a result: of a tuple, a dict or what these hold."""
    if isinstance(result, torch.Tensor):
        return [result]
    if not isinstance(result, tuple | dict):
        return []
    parts = result.values() if isinstance(result, dict) else result
    return [tensor for part in parts for tensor in tensors_of(part)]


@pytest.fixture
def gpu(monkeypatch):
    """Let the CPU round, and capture, as a GPU does."""
    monkeypatch.setattr(optimizer, "Numbers", NumbersOfAGpu)
    monkeypatch.setattr(numbers, "multiply_add", multiply_add)

    def build(spec, model):
        return UpdateRule(dict(model.named_parameters()), spec)

    monkeypatch.setattr(trainer, "build_optimizer", build)
    return lambda: monkeypatch.setitem(trainer.GRAPHS, "cpu", Repeated)


def told_numbers(t, lr, hyper):
    """Return the numbers of an update on the CPU, as `NumbersOfUpdates` keeps them."""
    return NumbersOnDevice(torch.from_numpy(numbers.floats_of(t, lr, hyper)), hyper)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@settings(max_examples=30, deadline=None)
@given(
    beta1=st.sampled_from([0.3, 0.9]),
    beta2=st.sampled_from([0.95, 0.999]),
    eps=st.sampled_from([1e-8, 1e-3]),
    decay=st.sampled_from([0.0, 0.01, 5.0]),
    lr=st.sampled_from([1e-5, 1e-3, 0.1]),
    t=st.integers(2, 3000),
    seed=st.integers(0, 10_000),
)
def test_numbers_on_a_device_round_as_a_gpu_is_replayed(
    kind, dtype, beta1, beta2, eps, decay, lr, t, seed
):
    """Against the compiled replay, which has the bits of a real GPU."""
    name, carried = OPTIMIZERS[kind]
    hyper = Hyperparameters(beta1, beta2, eps, decay, name)
    generator = torch.Generator().manual_seed(seed)
    state, replayed, grad = random_state(generator, carried, dtype)
    square = mean_square(grad) if name == "coupled-adam" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "multiply_add", multiply_add)
        update_(state, grad, told_numbers(t, lr, hyper), square)
    replay_(replayed, grad, t, lr, hyper, AS_STATED, None if square is None else square.numpy())
    assert list(map(patterns, state.values())) == list(map(patterns, replayed.values()))


def random_state(generator, carried, dtype):
    """Return a state over many orders of magnitude, a copy, and a gradient."""

    def random():
        exponent = torch.randint(-14, 1, (37, 4), generator=generator)
        return torch.randn(37, 4, generator=generator) * 10.0**exponent

    state = {name: random().abs().to(dtype) for name in carried}
    state = {"W": torch.randn(37, 4, generator=generator).to(dtype)} | state
    return state, {name: tensor.clone() for name, tensor in state.items()}, random().to(dtype)


def test_the_plain_numbers_round_elsewhere():
    """Negative control: on a CPU most weights of float32 come out otherwise."""
    hyper, generator = Hyperparameters(0.9, 0.999, 1e-8, 0.01), torch.Generator().manual_seed(0)
    state, other, grad = random_state(generator, ("exp_avg", "exp_avg_sq"), torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "multiply_add", multiply_add)
        update_(state, grad, told_numbers(7, 1e-3, hyper))
    update_(other, grad, Numbers(7, 1e-3, hyper))
    assert not torch.equal(state["W"], other["W"])
    assert torch.equal(state["exp_avg"], other["exp_avg"])


@pytest.mark.parametrize("kind", KINDS)
def test_captured_updates_have_the_bits_of_plain_ones(kind, gpu):
    single = history(1, **KINDS[kind])
    gpu()
    for block in (1, 7):
        assert history(block, **KINDS[kind]) == single
    assert history(7, **KINDS[kind], seed=1) != single


@pytest.mark.parametrize("kind", KINDS)
def test_a_captured_run_diverges_at_its_update(kind, gpu):
    fields = {"lr": 0.001, **KINDS[kind]}
    fields["weight_decay"] = 10 / fields["lr"]
    single = history(1, last=60, **fields)
    assert single[2][1] > 6
    gpu()
    for block in (1, 3, 5, 40):
        assert history(block, last=60, **fields) == single


@pytest.mark.parametrize("broken", ["batch", "numbers"])
def test_a_batch_or_numbers_left_behind_would_be_seen(broken, gpu, monkeypatch):
    fields = {"precision": "bf16-stochastic", "warmup": 15}
    single = history(1, **fields)
    gpu()
    if broken == "batch":
        monkeypatch.setattr(
            CapturedUpdate,
            "forward",
            lambda held, batch: (held.before.replay(), held.before.result)[1],
        )
    else:
        prepare = CapturedUpdate.prepare
        monkeypatch.setattr(
            CapturedUpdate, "prepare", lambda held, updates: prepare(held, [updates[0]] * 7)
        )
    assert history(7, **fields) != single


def test_everything_but_the_first_block_is_captured(gpu):
    gpu()
    run, calls = tiny_trainer(), []
    run.block = 3
    plain = run.optimizer.step
    run.optimizer.step = lambda: (calls.append(run.update), plain())
    while run.update < 11:
        list(run.advance_block(11))
    assert calls == [1, 2, 3]
    assert isinstance(run.captured, CapturedUpdate)


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_is_asked_for_its_bits(kind, gpu, monkeypatch):
    spec = tiny_spec(**KINDS[kind])
    assert has_the_plain_bits(spec, CPU)
    monkeypatch.setattr(numbers, "floats_of", lambda t, lr, hyper: floats_off(t, lr, hyper))
    assert not has_the_plain_bits(spec, CPU)


def floats_off(t, lr, hyper):
    """Return numbers of which the step is longer by a few parts in a thousand."""
    decayed, inverse, _ = 1 - lr * hyper.weight_decay, 1 / correction(t, hyper), 0
    return np.array([decayed, inverse, -1.004 * step_size(t, lr, hyper)], FLOAT)


def test_a_device_that_rounds_otherwise_goes_on_without(monkeypatch, caplog):
    """This CPU, as it is."""
    monkeypatch.setattr(numbers, "multiply_add", multiply_add)
    single = history(1, precision="fp32")
    monkeypatch.setitem(trainer.GRAPHS, "cpu", Repeated)
    with caplog.at_level(logging.INFO):
        assert history(1, precision="fp32") == single
    assert [record.message for record in caplog.records] == [
        "updates are not captured, which is slower and no different otherwise: its numbers on the "
        "device give other bits"
    ]


class Refused:
    def __init__(self, function, after=None):
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")


def test_a_device_that_cannot_capture_goes_on_without(gpu, monkeypatch, caplog):
    single = history(4)
    monkeypatch.setitem(trainer.GRAPHS, "cpu", Refused)
    with caplog.at_level(logging.INFO):
        assert history(4) == single
    (record,) = caplog.records
    assert record.message.endswith(": operation not permitted when stream is capturing")


class OnTheDevice(TorchDispatchMode):
    """Refuses every operation that gives a tensor of another device than torch's without values."""

    def __torch_dispatch__(self, function, types, given=(), named=None):
        result = function(*given, **(named or {}))
        for tensor in tensors_of(result):
            assert tensor.is_meta, f"{function} left the device"
        return result


class CalledOnce:
    """A graph whose function is called when it is captured, by operations on the device alone."""

    def __init__(self, function, after=None):
        with OnTheDevice():
            self.result = function()


def meta_trainer(**fields):
    """Return a trainer on torch's device without values that has what its optimizer carries."""
    device = torch.device("meta")
    run = Trainer(tiny_spec(**fields), tiny_stream(), VOCABULARY, device)
    run.optimizer = UpdateRule(dict(run.model.named_parameters()), run.spec)
    for parameter in run.model.parameters():
        run.optimizer._begin(parameter)
    return run


def captured(run):
    batch = run.batches(range(1, 2))[0]
    return CapturedUpdate(run.optimizer, batch, run.forward, run.descend, CalledOnce)


@pytest.mark.parametrize("kind", KINDS)
def test_a_captured_update_reads_nothing_and_stays_on_its_device(kind, monkeypatch):
    """Every read of a tensor without values fails, and so does what would come from the host."""
    monkeypatch.setattr(numbers, "multiply_add", lambda a, x, y: a * x + y)
    run = meta_trainer(**KINDS[kind])
    held = captured(run)
    assert held.behind.result["grad"].shape == run.model.W.shape
    assert {"grad", "grad_norm", "entropy", "h_mean", "probability"} <= set(held.behind.result)


@pytest.mark.parametrize("reads", ["item", "host"])
def test_what_reads_would_be_refused(reads, monkeypatch):
    monkeypatch.setattr(numbers, "multiply_add", lambda a, x, y: a * x + y)
    run = meta_trainer()
    if reads == "item":
        norm = lambda: run.model.W.grad.sum().item()  # noqa: E731
    else:
        norm = lambda: torch.zeros(3).sum()  # noqa: E731
    monkeypatch.setattr(run, "_clip", norm)
    with pytest.raises((RuntimeError, AssertionError), match=r"meta|left the device"):
        captured(run)


def test_rows_hold_the_numbers_and_words_of_their_updates():
    spec = tiny_spec(precision="bf16-stochastic", warmup=9, seed=4)
    rule = meta_trainer(precision="bf16-stochastic").optimizer
    rule.spec, rule.hyper = spec, hyperparameters(spec)
    table = NumbersOfUpdates(rule, CPU).table([5, 6])
    for t, row in zip([5, 6], table, strict=True):
        lr = learning_rate(spec, t)
        expected = [1 - lr * spec.weight_decay, 1 / (1 - spec.beta2**t) ** 0.5]
        expected.append(-lr / (1 - spec.beta1**t))
        assert row[:3].view(torch.float32).tolist() == pytest.approx(expected, rel=1e-7)
        words = [word for name in rule.named for word in Noise(4, name).words(t)]
        assert row[3:].tolist() == words
    assert len(set(table.flatten().tolist())) > len(words)


def test_the_next_batches_come_before_the_losses_are_read(monkeypatch):
    run, events = tiny_trainer(), []
    run.block = 4
    batches, stack = run.batches, torch.stack
    monkeypatch.setattr(
        run, "batches", lambda updates: (events.append(updates), batches(updates))[1]
    )
    monkeypatch.setattr(
        trainer.torch, "stack", lambda given: (events.append(len(given)), stack(given))[1]
    )
    while run.update < 10:
        list(run.advance_block(10))
    blocks = [event for event in events if event != 1 and not isinstance(event, int)]
    assert blocks == [range(1, 5), range(5, 9), range(9, 11)]
    first_read = next(i for i, event in enumerate(events) if event == 4)
    assert events.index(range(5, 9)) < first_read
