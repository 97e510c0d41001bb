"""The numbers of AdamW's update, from a run's spec; its arithmetic, which needs torch, is apart."""

import math
from dataclasses import dataclass

from deadtokens.run.spec import RunSpec


@dataclass(frozen=True)
class Hyperparameters:
    """What AdamW needs besides the learning rate, which may change from update to update."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float


def hyperparameters(spec: RunSpec) -> Hyperparameters:
    """Return what AdamW needs of a run's spec."""
    return Hyperparameters(spec.beta1, spec.beta2, spec.eps, spec.weight_decay)


def learning_rate(spec: RunSpec, update: int) -> float:
    """Return the learning rate of `update` (from 1): constant after a linear rise."""
    return spec.lr * min(1.0, update / spec.warmup) if spec.warmup else spec.lr


def step_size(t: int, lr: float, hyper: Hyperparameters) -> float:
    """Return lr / (1 - beta1 ** t), by which update t multiplies m over the denominator."""
    return lr / (1 - hyper.beta1**t)


def correction(t: int, hyper: Hyperparameters) -> float:
    """Return sqrt(1 - beta2 ** t), which divides sqrt(v) in the denominator of update t."""
    return math.sqrt(1 - hyper.beta2**t)


def denominator_of(root, correction, eps):
    """Return D = sqrt(v) / sqrt(1 - beta2 ** t) + eps, in the format of the root.

    Of numbers, of numpy's arrays and torch's tensors, and within compiled loops (`loops.inlined`).

    Parameters
    ----------
    root : float, ndarray or Tensor
        sqrt(v), with v after update t.
    correction, eps : float
    """
    return root / correction + eps
