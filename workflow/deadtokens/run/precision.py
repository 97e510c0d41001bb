"""The precision regimes: which number format each part of the training uses.

Formats are named by strings, so that reading a configuration does not import torch.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Regime:
    """Formats of one precision regime.

    Attributes
    ----------
    weights, moments, arithmetic : {'bfloat16', 'float32'}
        Format of the parameters (and of their gradients), of Adam's two moments, and of the matrix
        products of forward and backward pass: bfloat16 operands, products and sums in float32, one
        rounding of the result. Softmax and loss are float32 in every regime.
    update : {'torch', 'rounded', 'stochastic'}
        'torch': `torch.optim.AdamW` as it is, every operation rounded to its tensor's format.
        'rounded': the update in float32, its result rounded once, to nearest-even, into the
        weights. 'stochastic': the same, rounded stochastically.
    meaning : str
        What the regime stands for.
    """

    weights: str
    moments: str
    arithmetic: str
    update: str
    meaning: str


REGIMES = {
    "pure-bf16": Regime(
        "bfloat16", "bfloat16", "bfloat16", "torch", "model.to(bfloat16) and torch.optim.AdamW"
    ),
    "bf16-weights": Regime(
        "bfloat16", "float32", "bfloat16", "rounded", "float32 update, rounded once to nearest-even"
    ),
    "bf16-stochastic": Regime(
        "bfloat16", "float32", "bfloat16", "stochastic", "the same, rounded stochastically"
    ),
    "mixed": Regime(
        "float32", "float32", "bfloat16", "torch", "float32 master weights, bfloat16 autocast"
    ),
    "fp32": Regime("float32", "float32", "float32", "torch", "the control"),
}
