"""The formulas of the gradient held against what autograd gave, each with its tolerance."""

import torch
from torch import Tensor

from deadtokens.gradients.formulas import Prediction, predict, rounding_bound, sum_over_vocabulary
from deadtokens.gradients.sides import Pass

CHECKS = {
    "output side": "output side against mean((p - y) h), in rounding bounds",
    "dead rows": "gradient of dead rows against mean(p h), in rounding bounds",
    "zero sum": "sum of the output side over the vocabulary, in rounding bounds",
    "dead input side": "components of dead rows' input side that are not exactly zero",
    "absent input side": "the same of rows that are not among the batch's inputs",
}
TOLERANCES = {name: 0.0 if name.endswith("input side") else 1.0 for name in CHECKS}


def check_pass(one: Pass, inputs: Tensor, dead: Tensor) -> tuple[dict[str, float], Prediction]:
    """Return how far each formula of `CHECKS` is from autograd, and what the formulas say.

    A check holds if its number is at most that of `TOLERANCES`. Without dead tokens the checks of
    dead rows hold at 0.

    Parameters
    ----------
    one : Pass
    inputs : int64 Tensor of shape (batch, context)
    dead : bool Tensor of shape (vocabulary,)
    """
    said = predict(one.logits, one.hidden, one.targets)
    bound = rounding_bound(said.error_rows, said.terms, one.logits, one.arithmetic)
    off = (one.output_side.double() - said.error_rows).abs() / bound
    dead_off = (one.grad[dead].double() - said.probability_rows[dead]).abs() / bound[dead]
    total = one.output_side.double().sum(0).abs() / bound.sum(0)
    absent = torch.ones_like(dead)
    absent[inputs.flatten()] = False
    deviations = {
        "output side": float(off.max()),
        "dead rows": float(dead_off.max()) if len(dead_off) else 0.0,
        "zero sum": float(total.max()),
        "dead input side": float(one.input_side[dead].count_nonzero()),
        "absent input side": float(one.input_side[absent].count_nonzero()),
    }
    return deviations, said


def relative_errors(one: Pass, said: Prediction) -> dict[str, float]:
    """Return the checks' quantities as plain ratios, for reading beside the bounds."""
    exact = said.error_rows
    return {
        "output_error": float((one.output_side.double() - exact).norm() / exact.norm()),
        "output_sum": sum_over_vocabulary(one.output_side),
        "whole_sum": sum_over_vocabulary(one.grad),
    }


def row_norm(grad: Tensor, rows: Tensor) -> float:
    """Return the root mean square over the chosen rows of their norms; NaN if there are none."""
    chosen = grad[rows].double()
    return float(chosen.square().sum(1).mean().sqrt())
