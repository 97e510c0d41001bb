"""The ways to take an update: as the run's device did, as torch does here, as papers write it."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from deadtokens.run.compiled_update import update_W
from deadtokens.run.hyperparameters import gradient_weight
from deadtokens.run.rounding import Rounding
from deadtokens.run.rule import Rule

State = dict[str, Tensor]
# Of a state, in place: the gradient, the update's number, the first row, and what all rows share.
Move = Callable[[State, Tensor, int, int, np.ndarray | None], None]

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}
NOT_OF_CPUS = {"capturable", "differentiable"}  # torch takes the first on GPUs alone
IMPLIED = {"decoupled_weight_decay"}  # by AdamW


def own_move(rule: Rule, rounding: Rounding) -> Move:
    """Return the run's own update, as its device rounds."""

    def move(
        state: State, grad: Tensor, update: int, first: int, shared: np.ndarray | None
    ) -> None:
        update_W(rule, state, grad, update, first, rounding, shared)

    return move


def textbook(rule: Rule) -> Move:
    """Return the update as papers write it, in whatever format the state has."""

    def move(
        state: State, grad: Tensor, update: int, first: int, shared: np.ndarray | None
    ) -> None:
        (t, lr, hyper), g = rule.step(update), grad.to(state["W"].dtype)
        m = hyper.beta1 * state.get("exp_avg", 0) + gradient_weight(hyper) * g
        state["exp_avg"], step = m, lr * m
        if "exp_avg_sq" in state:
            squares = g * g if shared is None else torch.from_numpy(shared)
            state["exp_avg_sq"] = hyper.beta2 * state["exp_avg_sq"] + (1 - hyper.beta2) * squares
            v = state["exp_avg_sq"] / (1 - hyper.beta2**t)
            step = lr * (m / (1 - hyper.beta1**t)) / (v.sqrt() + hyper.eps)
        decayed = state["W"] - lr * hyper.weight_decay * state["W"]
        state["W"] = decayed - step

    return move


def torch_move(kind: str, implementation: str, options: Mapping[str, bool], rule: Rule) -> Move:
    """Return the update of one of torch's own optimizers, on the device of the state.

    Parameters
    ----------
    kind : {'adamw', 'adam', 'sgd'}
    implementation : {'single', 'foreach', 'fused'}
    options : mapping of str to bool or float
        Others that the optimizer was given.
    rule : Rule
        Of which the numbers of each update are taken.
    """
    chosen = {"foreach": implementation == "foreach", "fused": implementation == "fused"}
    others = {name: options[name] for name in options.keys() - NOT_OF_CPUS - IMPLIED}
    held: list[torch.optim.Optimizer] = []  # of the first update, and all after it

    def move(
        state: State, grad: Tensor, update: int, first: int, shared: np.ndarray | None
    ) -> None:
        if not held:
            weight = torch.nn.Parameter(state["W"])  # the same memory
            momentum = {"momentum": rule.step(update).hyper.beta1} if kind == "sgd" else {}
            held.append(OPTIMIZERS[kind]([weight], **momentum, **chosen, **others))
            _remember(held[0], weight, state, rule.before + update - 1)
        (optimizer,) = held
        (group,), (weight,) = optimizer.param_groups, optimizer.param_groups[0]["params"]
        group |= _numbers(rule, update, kind)
        weight.grad = grad.clone()  # SGD with Nesterov's momentum writes to it
        optimizer.step()
        if kind == "sgd" and "exp_avg" in state:
            state["exp_avg"].copy_(optimizer.state[weight]["momentum_buffer"])

    return move


def _numbers(rule: Rule, update: int, kind: str) -> dict[str, object]:
    """Return the numbers of an update by torch's names."""
    _, lr, hyper = rule.step(update)
    numbers = {"lr": lr, "weight_decay": hyper.weight_decay}
    if kind == "sgd":
        return numbers | {"momentum": hyper.beta1}
    return numbers | {"betas": (hyper.beta1, hyper.beta2), "eps": hyper.eps}


def _remember(
    optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter, state: State, done: int
) -> None:
    """Give an optimizer what it remembers of the updates before; SGD of none has nothing."""
    if "exp_avg_sq" in state:
        optimizer.state[weight] = {
            "step": torch.tensor(float(done), device=_device_of_steps(optimizer, weight)),
            "exp_avg": state["exp_avg"],
            "exp_avg_sq": state["exp_avg_sq"],
        }
    elif "exp_avg" in state and done:
        optimizer.state[weight] = {"momentum_buffer": state["exp_avg"].clone()}


def _device_of_steps(optimizer: torch.optim.Optimizer, weight: Tensor) -> torch.device:
    """Return where torch counts the updates: fused kernels do it themselves."""
    return weight.device if optimizer.param_groups[0]["fused"] else torch.device("cpu")
