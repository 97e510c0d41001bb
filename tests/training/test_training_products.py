"""Products of matrices: bfloat16 operands, float32 sums, one rounding, forward and backward."""

import numpy as np
import pytest
import torch
from tiny import tiny_trainer

from deadtokens.training.products import Linear, Products

BF16 = torch.bfloat16


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rounded_once(exact: torch.Tensor) -> torch.Tensor:
    return exact.float().to(BF16)


def test_a_product_of_small_whole_numbers_is_exact_before_its_one_rounding():
    a = random(30, 64).mul(4).round().to(BF16)
    b = random(64, 50, seed=1).mul(4).round().to(BF16)
    exact = a.double() @ b.double()
    assert exact.abs().max() > 256  # whole numbers that bfloat16 does not hold
    assert torch.equal(Products("bfloat16").matmul(a, b), rounded_once(exact))


def test_gradients_of_a_product_are_rounded_once():
    a, b = (
        random(30, 64).to(BF16).requires_grad_(),
        random(64, 50, seed=1).to(BF16).requires_grad_(),
    )
    arriving = random(30, 50, seed=2).to(BF16)
    Products("bfloat16").matmul(a, b).backward(arriving)
    assert torch.equal(a.grad, rounded_once(arriving.float() @ b.detach().float().T))
    assert torch.equal(b.grad, rounded_once(a.detach().float().T @ arriving.float()))


def test_an_affine_layer_adds_its_bias_before_the_rounding():
    x, weight, bias = torch.ones(1, 1), torch.full((1, 1), 256.0), torch.tensor([1.5])
    # 257.5 lies nearer to 258; 256 + 1.5 rounded twice would do the same, 256.0 + 1 would not.
    assert Products("bfloat16").linear(x, weight, bias).item() == 258
    assert Products("bfloat16").linear(x, weight, torch.tensor([0.5])).item() == 256


@pytest.mark.parametrize(("arithmetic", "result"), [("bfloat16", BF16), ("float32", torch.float32)])
def test_float32_operands_are_rounded_to_the_arithmetic(arithmetic, result):
    x, weight = random(5, 16), random(7, 16, seed=1).requires_grad_()
    product = Products(arithmetic).linear(x, weight)
    assert product.dtype == result
    operands = x.to(result).double(), weight.detach().to(result).double()
    torch.testing.assert_close(product.double(), operands[0] @ operands[1].T, rtol=2**-8, atol=1e-5)
    product.sum().backward()
    assert weight.grad.dtype == torch.float32
    # The regime mixed: float32 gradients that were bfloat16 values on their way.
    assert torch.equal(weight.grad, weight.grad.to(result).float())


def test_double_precision_stays_double():
    layer = Linear(16, 7, Products("bfloat16")).double()
    x = random(5, 16).double()
    exact = x @ layer.weight.T + layer.bias
    assert torch.equal(layer(x), exact) or torch.allclose(layer(x), exact, rtol=1e-14)
    assert layer(x).dtype == torch.float64


def test_no_product_of_a_training_escapes():
    """Every matrix product of an update in pure bfloat16 has float32 operands on a CPU."""
    trainer, seen = tiny_trainer(precision="pure-bf16"), []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = function.overloadpacket._qualified_op_name.removeprefix("aten::")
            if name in {"mm", "bmm", "addmm", "addmm_", "baddbmm", "linear", "matmul"}:
                seen.append({value.dtype for value in args if isinstance(value, torch.Tensor)})
            return function(*args, **(kwargs or {}))

    with Watch():
        trainer.advance()
    assert len(seen) > 15
    assert all(types == {torch.float32} for types in seen)
    assert trainer.model.W.dtype == trainer.model.W.grad.dtype == BF16
    assert np.isfinite(trainer.model.W.detach().float().numpy()).all()
