"""The numbers of an update, from a run's spec; its arithmetic, which needs torch, is apart."""

import math
from dataclasses import dataclass

from deadtokens.run.spec import RunSpec


@dataclass(frozen=True)
class Hyperparameters:
    """What an update needs besides the learning rate, which may change from update to update.

    SGD counts as Adam with a second moment of 1 and no eps: its denominator is 1.
    """

    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    optimizer: str = "adamw"

    @property
    def averages(self) -> bool:
        """Whether the first moment is an average of gradients; SGD's is their sum."""
        return self.optimizer != "sgd"


def hyperparameters(spec: RunSpec) -> Hyperparameters:
    """Return what an update needs of a run's spec."""
    beta2, eps = (0.0, 0.0) if spec.optimizer == "sgd" else (spec.beta2, spec.eps)
    return Hyperparameters(spec.beta1, beta2, eps, spec.weight_decay, spec.optimizer)


def learning_rate(spec: RunSpec, update: int) -> float:
    """Return the learning rate of `update` (from 1): constant after a linear rise."""
    return spec.lr * min(1.0, update / spec.warmup) if spec.warmup else spec.lr


def step_size(t: int, lr: float, hyper: Hyperparameters) -> float:
    """Return by what update t multiplies m over the denominator: lr / (1 - beta1 ** t), SGD lr."""
    return lr / (1 - hyper.beta1**t) if hyper.averages else lr


def gradient_weight(hyper: Hyperparameters) -> float:
    """Return by what the first moment takes in a gradient: 1 - beta1, SGD's 1."""
    return 1 - hyper.beta1 if hyper.averages else 1.0


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
