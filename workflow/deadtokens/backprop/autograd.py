"""The reference: what autograd says of the model itself, and how far the hand's answer is off."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deadtokens.backprop.layers import split_heads
from deadtokens.backprop.symbols import INPUT_NAME, OUTSIDE, Tensors, parameters_by_symbol
from deadtokens.run.spec import RunSpec, initial_spread
from deadtokens.training.loss import scale_
from deadtokens.training.model import Transformer

TOLERANCE = 1e-10
# Intermediates that a part of a block gets as its argument, and those that it returns.
ARGUMENTS = {"x0": "", "x1": "norm2", "r": "contract", "C": "attention.output"}
RESULTS = {
    "x2": "",
    "m": "contract",
    "u": "expand",
    "v": "norm2",
    "a": "attention",
    "QKV": "attention.query_key_value",
    "X": "norm1",
}
# Result of each branch, the point at which it left the residual path, what it brings back there.
BRANCHES = (("m", "x1", "x1 by MLP"), ("a", "x0", "x0 by attention"))


class _Watch(TorchFunctionMode):
    """Keeps the argument and the result of every softmax, which no module holds, in order."""

    def __init__(self):
        super().__init__()
        self.scores: list[Tensor] = []
        self.weights: list[Tensor] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.softmax:
            self.scores.append(args[0])
            self.weights.append(result)
        return result


def autograd_gradients(
    named: Mapping[str, Tensor], b: Tensor, inputs: Tensor, targets: Tensor, spec: RunSpec
) -> Tensors:
    """Return what `deadtokens.backprop.model.backward` returns, found by autograd.

    Parameters
    ----------
    named : mapping of str to Tensor
        The model's parameters by their own names.
    b : Tensor of shape (vocabulary,)
        Output bias.
    inputs, targets : int64 Tensor of shape (batch, context)
    spec : RunSpec
    """
    model = Transformer(spec, len(b)).to(b.dtype)
    model.load_state_dict(dict(named))
    z, seen = _watched_logits(model, b, inputs)
    for tensor in seen.values():
        tensor.retain_grad()
    F.cross_entropy(_scores(z, spec), targets.flatten()).backward(retain_graph=True)
    gradients = {place: tensor.grad for place, tensor in seen.items()}
    gradients |= _branch_gradients(seen, gradients, spec.layers)
    own = {name: parameter.grad for name, parameter in model.named_parameters()}
    as_output = gradients.pop((OUTSIDE, "W as output"))
    if spec.tied:
        gradients[OUTSIDE, "W as output"] = as_output
        gradients[OUTSIDE, "W as input"] = own[INPUT_NAME] - as_output
    return _by_parts(gradients, spec) | parameters_by_symbol(own, spec.layers)


def _scores(z: Tensor, spec: RunSpec) -> Tensor:
    """Return the logits as the training's softmax gets them: scaled, or as they are."""
    if spec.logit_spread == "free":
        return z
    return z * scale_(z.detach().clone(), initial_spread(spec))[:, None]


def _watched_logits(model: Transformer, b: Tensor, inputs: Tensor) -> tuple[Tensor, Tensors]:
    """Return the logits, and every tensor on the way to them that is no parameter of the model."""
    b = b.clone().requires_grad_()
    W = model.W.clone()  # apart from W itself, so that what W receives as output can be seen
    seen: Tensors = {(OUTSIDE, "b"): b, (OUTSIDE, "W as output"): W}
    for block, module in enumerate(model.blocks, start=1):
        _watch_block(block, module, seen)
    with _Watch() as softmax:
        hidden = model(inputs)
    for block, (S, A) in enumerate(zip(softmax.scores, softmax.weights, strict=True), start=1):
        seen |= {(block, "S"): S, (block, "A"): A}
    z = F.linear(hidden.flatten(0, 1), W, b)
    return z, seen | {(OUTSIDE, "h"): hidden, (OUTSIDE, "z"): z}


def _watch_block(block: int, module: nn.Module, seen: Tensors) -> None:
    for symbol, part in ARGUMENTS.items():
        module.get_submodule(part).register_forward_pre_hook(_argument(seen, (block, symbol)))
    for symbol, part in RESULTS.items():
        module.get_submodule(part).register_forward_hook(_result(seen, (block, symbol)))


def _argument(seen: Tensors, place: tuple[int, str]) -> Callable:
    def keep(module: nn.Module, arguments: tuple[Tensor]) -> None:
        seen[place] = arguments[0]

    return keep


def _result(seen: Tensors, place: tuple[int, str]) -> Callable:
    def keep(module: nn.Module, arguments: tuple[Tensor], result: Tensor) -> None:
        seen[place] = result

    return keep


def _branch_gradients(seen: Tensors, gradients: Tensors, layers: int) -> Tensors:
    """Return what each branch alone brings back to the residual path."""
    found = {}
    for block in range(1, layers + 1):
        for result, start, symbol in BRANCHES:
            # Of a scalar: given what arrives, torch would first import its compiler.
            along = (seen[block, result] * gradients[block, result]).sum()
            (found[block, symbol],) = torch.autograd.grad(
                along, seen[block, start], retain_graph=True
            )
    return found


def _by_parts(gradients: Tensors, spec: RunSpec) -> Tensors:
    """Put Q, K and V, which the model computes as one, in place of the whole."""
    parts = {place: tensor for place, tensor in gradients.items() if place[1] != "QKV"}
    for block in range(1, spec.layers + 1):
        thirds = gradients[block, "QKV"].chunk(3, dim=-1)
        for symbol, third in zip("QKV", thirds, strict=True):
            parts[block, symbol] = split_heads(third, spec.heads)
    return parts


def norm_of(tensors: Tensors) -> float:
    """Return the norm of all tensors as one vector."""
    return (
        torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors.values()]).norm().item()
    )


def errors(
    gradients: Tensors, reference: Tensors, terms: Mapping[tuple[int, str], Tensor]
) -> dict[tuple[int, str], float]:
    """Return how far each gradient is off, relative to what two right ways to it can agree on.

    The norm of the difference, over the reference's norm, or over the size of the terms of which
    the gradient is the sum where that is larger: of what cancels only rounding is left, and that
    is in proportion to the terms. What is equal is off by 0, zeros too.

    Parameters
    ----------
    gradients, reference : Tensors
        Of the same symbols and shapes.
    terms : mapping of (block, symbol) to Tensor of shape ()
        As `deadtokens.backprop.rounding.term_sizes` gives them.

    Raises
    ------
    AssertionError
        If the two do not hold the same tensors.
    """
    if gradients.keys() != reference.keys():
        raise AssertionError(f"not in both: {gradients.keys() ^ reference.keys()}")
    return {
        place: _error(gradient, reference[place], terms[place])
        for place, gradient in gradients.items()
    }


def _error(gradient: Tensor, reference: Tensor, terms: Tensor) -> float:
    if gradient.shape != reference.shape:
        raise AssertionError(f"{tuple(gradient.shape)} is compared with {tuple(reference.shape)}")
    off = torch.linalg.vector_norm(gradient - reference)
    if off == 0:
        return 0.0
    return (off / torch.maximum(torch.linalg.vector_norm(reference), terms)).item()
