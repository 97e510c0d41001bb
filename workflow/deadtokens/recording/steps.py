"""What each step of an optimizer consumes, and when it has moved one of its weights.

Hooks on the optimizer see the gradient as the step takes it: after accumulation, clipping and
unscaling, whoever did these. A step that does not reach the weight is none: a `GradScaler` that
met an infinity does not call the optimizer, or has it do nothing; a weight without a gradient is
passed over.
"""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

Group = Mapping[str, Any]
HOOKED = Optimizer.profile_hook_step(lambda: None).__code__  # what calls the hooks around a step


class Listener(Protocol):
    """What is told of the steps, in this order."""

    def begins(self) -> None:
        """Take note of the weight as it is before the step."""

    def consumes(self, grad: Tensor, group: Group | None) -> None:
        """Take note of the gradient that the step consumes, and of the options of its group."""

    def moved(self) -> None:
        """Take note of the weight as it is after the step."""

    def passed_over(self) -> None:
        """Take note of a step that did not reach the weight, instead of the last two."""


class Steps:
    """Tells a listener of an optimizer's steps.

    Parameters
    ----------
    optimizer : Optimizer
    weight : Parameter
        One of the optimizer's.
    listener : Listener
    """

    def __init__(self, optimizer: Optimizer, weight: Parameter, listener: Listener):
        self.weight, self.listener = weight, listener
        # Where the step is compiled, what listens to it is not.
        self.handles = [
            optimizer.register_step_pre_hook(torch.compiler.disable(self._before)),
            optimizer.register_step_post_hook(torch.compiler.disable(self._after)),
        ]
        self._reached = False

    def remove(self) -> None:
        """Stop listening."""
        for handle in self.handles:
            handle.remove()

    def _before(
        self, optimizer: Optimizer, args: tuple, options: dict[str, Any]
    ) -> tuple[tuple, dict[str, Any]] | None:
        if _within_another(optimizer):
            return None
        self.listener.begins()
        self._reached = False
        if options.get("closure") is not None:
            return args, options | {"closure": self._told(optimizer, options["closure"])}
        if len(args) > 1 and args[1] is not None:
            return (args[0], self._told(optimizer, args[1]), *args[2:]), options
        if not _unscales(optimizer):
            # Not after the step: torch's SGD adds Nesterov's momentum to the gradient in place.
            self._reach(optimizer)
        return None

    def _told(self, optimizer: Optimizer, closure: Callable) -> Callable:
        """Return a closure behind which the gradient is taken, where it is called first."""

        @wraps(closure)
        def computed() -> Any:
            result = closure()
            self._reach(optimizer)
            return result

        return computed

    def _after(self, optimizer: Optimizer, args: tuple, options: dict[str, Any]) -> None:
        if _within_another(optimizer):
            return
        if _unscales(optimizer) and not _found_infinity(optimizer):
            self._reach(optimizer)
        if self._reached:
            self.listener.moved()
        else:
            self.listener.passed_over()

    def _reach(self, optimizer: Optimizer) -> None:
        if not self._reached and self.weight.grad is not None:
            self._reached = True
            self.listener.consumes(self.weight.grad, group_of(optimizer, self.weight))


def bare(optimizer: Any) -> Optimizer:
    """Return an optimizer without what a library wraps it in, which passes on what it has."""
    while "param_groups" not in getattr(optimizer, "__dict__", ()) and hasattr(
        optimizer, "optimizer"
    ):
        optimizer = optimizer.optimizer
    return optimizer


def group_of(optimizer: Optimizer, weight: Tensor) -> Group | None:
    """Return the group of an optimizer's parameters that a weight is in, None if it is in none."""
    groups = optimizer.param_groups
    return next((group for group in groups if any(one is weight for one in group["params"])), None)


def _within_another(optimizer: Optimizer) -> bool:
    """Return whether the hooks are called by a step that a step of the same optimizer calls.

    So it is where a class has a step of its own, which calls that of its base: torch may have both
    call the hooks. The stack tells it, and no count of begun steps, which an exception may end.
    """
    frame, steps = sys._getframe(), 0
    while frame is not None and steps < 2:
        steps += frame.f_code is HOOKED and frame.f_locals.get("self") is optimizer
        frame = frame.f_back
    return steps == 2


def _unscales(optimizer: Optimizer) -> bool:
    """Return whether the gradient is only itself after the step.

    Fused kernels unscale it there: a `GradScaler` sets `grad_scale` for them, and `found_inf`, by
    which they do nothing.
    """
    scaled = (getattr(optimizer, name, None) for name in ("grad_scale", "found_inf"))
    return any(one is not None for one in scaled)


def _found_infinity(optimizer: Optimizer) -> bool:
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)
