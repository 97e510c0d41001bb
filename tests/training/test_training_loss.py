"""Unembedding, softmax and loss in blocks, against the definition in one piece."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deadtokens.training import loss as module
from deadtokens.training.loss import predict
from deadtokens.training.products import Products

POSITIONS, VOCABULARY, WIDTH = 50, 300, 16
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@pytest.fixture(params=[1, 7, 25, 50, 1000])
def block(request, monkeypatch):
    """Set how many positions are in a block."""
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * VOCABULARY * request.param)
    return request.param


def operands(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(POSITIONS, WIDTH, generator=generator).to(dtype)
    W = torch.randn(VOCABULARY, WIDTH, generator=generator).to(dtype)
    return hidden, W, torch.randint(0, VOCABULARY, (POSITIONS,), generator=generator)


def defined(
    hidden: torch.Tensor, W: torch.Tensor, targets: torch.Tensor, spread: float | None = None
) -> dict:
    """Return what the docstring of `predict` defines, in float64 between its roundings."""
    dtype, rows = W.dtype, range(len(targets))
    logits = (hidden.float() @ W.float().T).to(dtype).double().numpy()
    factor = np.ones((len(targets), 1)) if spread is None else spread / logits.std(1, keepdims=True)
    logits *= factor
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    error = p.copy()
    error[rows, targets] -= 1
    error = torch.from_numpy(factor * error / len(targets)).float().to(dtype).double().numpy()
    return {
        "loss": -np.log(p[rows, targets]).mean(),
        "probability": p.mean(0),
        "entropy": -(p * np.log(p)).sum(1).mean(),
        "factor": factor[:, 0],
        "hidden": error @ W.double().numpy(),
        "W": error.T @ hidden.double().numpy(),
    }


@pytest.mark.parametrize("arithmetic", FORMATS)
@pytest.mark.parametrize("spread", [None, 0.16, 8.0])
def test_blocks_give_what_is_defined(arithmetic, spread, block):
    hidden, W, targets = operands(FORMATS[arithmetic])
    expected = defined(hidden, W, targets, spread)
    found = predict(hidden.requires_grad_(), W.requires_grad_(), targets, spread)
    found.loss.backward()
    assert found.arithmetic == hidden.grad.dtype == W.grad.dtype == FORMATS[arithmetic]
    assert found.loss.item() == pytest.approx(expected["loss"], rel=1e-6)
    assert found.probability.numpy() == pytest.approx(expected["probability"], rel=1e-5)
    assert found.entropy.item() == pytest.approx(expected["entropy"], rel=1e-5)
    assert found.factor.numpy() == pytest.approx(expected["factor"], rel=1e-6)
    # An error that lies near the middle of two bfloat16 values may be rounded to the other one.
    relative = {"float32": 1e-5, "bfloat16": 2**-8}[arithmetic]
    for name, tensor in (("hidden", hidden), ("W", W)):
        largest = np.abs(expected[name]).max()
        assert tensor.grad.double().numpy() == pytest.approx(
            expected[name], rel=relative, abs=1e-6 * largest
        )


def test_the_gradient_of_W_is_summed_in_float32_and_rounded_once(block):
    """Each position adds 1 / 512 of 1: summed in bfloat16 it would stop growing at 1 / 2."""
    positions = 512
    hidden, targets = torch.ones(positions, 1), torch.zeros(positions, dtype=torch.int64)
    W = torch.tensor([[-100.0], [0.0]])
    hidden, W = hidden.bfloat16(), W.bfloat16().requires_grad_()
    predict(hidden, W, targets).loss.backward()
    assert W.grad.flatten().tolist() == [-1.0, 1.0]


def test_larger_logits_change_nothing_where_their_spread_is_constant():
    hidden, W, targets = operands(torch.float32)
    found, sharper = (predict(scale * hidden, W, targets, spread=1.0) for scale in (1, 64))
    torch.testing.assert_close(sharper.loss, found.loss)
    torch.testing.assert_close(sharper.probability, found.probability)
    torch.testing.assert_close(sharper.factor, found.factor / 64)
    assert predict(64 * hidden, W, targets).entropy < 0.1 * predict(hidden, W, targets).entropy


@pytest.mark.parametrize("value", [0.0, 0.1, -12345.678])
def test_logits_that_are_all_alike_stay_so(value):
    """The mean of many equal numbers is rounded: what is left of them is no spread."""
    hidden, W = torch.ones(3, 1), torch.full((4099, 1), value).requires_grad_()
    found = predict(hidden, W, torch.zeros(3, dtype=torch.int64), spread=0.16)
    found.loss.backward()
    assert found.factor.tolist() == [1, 1, 1]
    assert found.loss.item() == pytest.approx(math.log(4099), rel=1e-6)
    assert found.entropy.item() == pytest.approx(math.log(4099), rel=1e-6)
    assert W.grad[1:].flatten().numpy() == pytest.approx(np.full(4098, 1 / 4099), rel=1e-5)


def test_logits_too_large_for_a_spread_make_no_loss():
    hidden, W = torch.ones(1, 1), torch.tensor([[0.0], [1e30]])
    assert math.isnan(predict(hidden, W, torch.tensor([0]), spread=0.16).loss)


def test_a_certain_prediction_has_no_entropy():
    hidden, W = torch.ones(1, 1), torch.tensor([[0.0], [200.0]])
    assert predict(hidden, W, torch.tensor([1])).entropy == 0


def test_a_label_too_improbable_for_float32_still_has_its_loss():
    hidden, W = torch.ones(1, 1), torch.tensor([[0.0], [200.0]])
    found = predict(hidden, W, torch.tensor([0]))
    assert found.probability[0] == 0
    assert found.loss.item() == 200


@pytest.mark.parametrize("wild", [math.inf, math.nan])
@pytest.mark.parametrize("spread", [None, 0.16])
def test_what_is_not_finite_shows_in_the_loss(wild, spread):
    hidden, W, targets = operands(torch.float32)
    W[5, 3] = wild
    assert not math.isfinite(predict(hidden, W, targets, spread).loss)


def test_the_library_agrees():
    hidden, W, targets = operands(torch.float32)
    ours, theirs = ((hidden.clone().requires_grad_(), W.clone().requires_grad_()) for _ in range(2))
    found = predict(*ours, targets).loss
    expected = F.cross_entropy(theirs[0] @ theirs[1].T, targets)
    (3 * found).backward()
    (3 * expected).backward()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("spread", [None, 0.16])
def test_the_logits_of_all_positions_never_exist(spread):
    """No tensor of an update is as large as they would be."""
    positions, vocabulary = 4096, 500
    hidden = Products("float32").operand(torch.randn(positions, 8)).requires_grad_()
    W = torch.randn(vocabulary, 8).requires_grad_()
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    with Watch():
        predict(hidden, W, torch.zeros(positions, dtype=torch.int64), spread).loss.backward()
    assert 0 < largest < positions * vocabulary / 3
