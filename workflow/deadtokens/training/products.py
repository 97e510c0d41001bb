"""Products of matrices, one definition for every processor.

A product of bfloat16 matrices has bfloat16 operands, products and sums in float32, and one rounding
of the result. GPUs compute it so, and so do the processors that have instructions for it; on all
others the libraries fall back to loops that are tens of times slower than float32
(pytorch/pytorch#146508). On a CPU the operands are therefore widened, which loses nothing, the
product is one of float32, and the result is rounded once: fast everywhere, forward and backward,
since the gradient of a rounding is rounded in the same way.
"""

import platform

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ON_CPU = "bfloat16 products on a CPU: float32 products of the widened operands, rounded once"
ON_DEVICE = "torch's own products"


def describe_products(device: torch.device) -> str:
    """Return how products are computed on a device, as it is recorded."""
    return ON_CPU if device.type == "cpu" else ON_DEVICE


def slow_because(device: torch.device) -> str:
    """Return why products are slow on a device, '' if nothing is known to make them so."""
    capability = torch.backends.cpu.get_cpu_capability()
    if device.type == "cpu" and platform.machine() == "x86_64" and capability == "DEFAULT":
        return "this processor has no AVX2, or ATEN_CPU_CAPABILITY hides it"
    return ""


def widened(operand: Tensor) -> Tensor:
    """Return the same values as they are multiplied: on a CPU, bfloat16 as float32."""
    narrow = operand.dtype == torch.bfloat16 and operand.device.type == "cpu"
    return operand.float() if narrow else operand


class Products:
    """The products of a model, its operands first rounded to the arithmetic's format.

    float64 operands stay what they are, so that a model in double precision is one throughout.

    Parameters
    ----------
    arithmetic : str
        Format of the operands and of the results, 'bfloat16' or 'float32'.
    """

    def __init__(self, arithmetic: str):
        self.format = getattr(torch, arithmetic)

    def operand(self, values: Tensor) -> Tensor:
        """Return values as a product takes them."""
        return values if values.dtype == torch.float64 else values.to(self.format)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """Return a @ b: (..., n, k) and (..., k, m) to (..., n, m)."""
        a, b = self.operand(a), self.operand(b)
        return (widened(a) @ widened(b)).to(a.dtype)

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return x @ weight.T + bias, rounded once: (..., k) and (n, k) to (..., n)."""
        x, weight = self.operand(x), self.operand(weight)
        bias = None if bias is None else widened(self.operand(bias))
        return F.linear(widened(x), widened(weight), bias).to(x.dtype)


class Linear(nn.Linear):
    """An affine layer whose product is one of `Products`."""

    def __init__(self, inputs: int, outputs: int, products: Products):
        super().__init__(inputs, outputs)
        self.products = products

    def forward(self, x: Tensor) -> Tensor:
        return self.products.linear(x, self.weight, self.bias)
