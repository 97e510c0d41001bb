"""The precision regimes: which number format each part of the training uses.

Formats are named by strings, so that reading a configuration does not import torch.
"""

from dataclasses import dataclass

BF16, FP32 = "bfloat16", "float32"
BYTES = {BF16: 2, FP32: 4}


@dataclass(frozen=True)
class Regime:
    """Formats of one precision regime.

    Attributes
    ----------
    weights, moments : {'bfloat16', 'float32'}
        Format of the parameters and of the optimizer's moments after every update.
    parameters : {'bfloat16', 'float32'}
        Format of the model's tensors that hold the weights, and of their gradients: that of the
        weights, or the wider one.
    arithmetic : {'bfloat16', 'float32'}
        Of the matrix products of forward and backward pass: bfloat16 operands, products and sums in
        float32, one rounding of the result. Softmax and loss are float32 in every regime; the rest
        has the parameters' format, which with float32 parameters is what bfloat16 autocast does.
    update : {'torch', 'rounded', 'stochastic'}
        'torch': as torch's optimizers do, every operation rounded to its tensor's format.
        'rounded': the update in float32, its results rounded once, to nearest-even, into weights
        and moments. 'stochastic': the same, the weights rounded stochastically.
    meaning : str
        What the regime stands for.
    compensation : {'bfloat16', 'float32'}, optional
        Format of what the weights could not take of the steps so far, if it is carried along.
    """

    weights: str
    moments: str
    parameters: str
    arithmetic: str
    update: str
    meaning: str
    compensation: str | None = None

    @property
    def bytes_per_parameter(self) -> int:
        """What a weight, its moments and its compensation carry from one update to the next."""
        carried = (self.weights, self.moments, self.moments, self.compensation)
        return sum(BYTES[format] for format in carried if format)


# The four that begin with float32 parameters and bfloat16 products differ in nothing but where the
# update's results are rounded: a factorial of weights and moments. `bf16-once` and `bf16-weights`
# differ from two of these in the model's format, and `pure-bf16` from `bf16-once` in the rounding
# of each operation of the update. `bf16-kahan` differs from `pure-bf16` in the compensation alone.
REGIMES = {
    "pure-bf16": Regime(BF16, BF16, BF16, BF16, "torch", "model.to(bfloat16) and torch's AdamW"),
    "bf16-once": Regime(
        BF16, BF16, BF16, BF16, "rounded", "the same formats, the update in float32"
    ),
    "bf16-weights": Regime(
        BF16, FP32, BF16, BF16, "rounded", "float32 update, rounded once to nearest-even"
    ),
    "bf16-stochastic": Regime(
        BF16, FP32, BF16, BF16, "stochastic", "the same, rounded stochastically"
    ),
    "bf16-kahan": Regime(
        BF16, BF16, BF16, BF16, "torch", "pure-bf16 whose lost steps are carried along", BF16
    ),
    "mixed-bf16": Regime(
        BF16, BF16, FP32, BF16, "rounded", "mixed, weights and moments rounded to bfloat16"
    ),
    "mixed-bf16-weights": Regime(
        BF16, FP32, FP32, BF16, "rounded", "mixed, the weights rounded to bfloat16"
    ),
    "bf16-moments": Regime(
        FP32, BF16, FP32, BF16, "rounded", "mixed, the moments rounded to bfloat16"
    ),
    "mixed": Regime(FP32, FP32, FP32, BF16, "torch", "float32 master weights, bfloat16 autocast"),
    "fp32": Regime(FP32, FP32, FP32, FP32, "torch", "the control"),
}
