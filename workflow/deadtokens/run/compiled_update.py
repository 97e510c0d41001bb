"""The update of `update.py` on any processor with the bits of any device: each rounding is stated.

A replay takes torch's operations one by one over a short stretch of weights that stays in the
cache, in float32, and rounds where the device of the record did (`rounding.Rounding`). bfloat16 is
float32 whose lower 16 bits are zero; the result of every operation is rounded to it.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from deadtokens.loops import compiled
from deadtokens.run.bits import bits_of, unsigned
from deadtokens.run.hyperparameters import (
    Hyperparameters,
    correction,
    hyperparameters,
    learning_rate,
    step_size,
)
from deadtokens.run.noise import Noise
from deadtokens.run.precision import REGIMES
from deadtokens.run.rounding import WAYS, Rounding
from deadtokens.run.spec import RunSpec, w_name
from deadtokens.run.update import round_into_

STRETCH = 1024  # weights that are taken through all operations together: they stay in L1
FLOAT = np.float32
UPPER = np.uint32(16)  # the half of a float32 that a bfloat16 keeps
LERP_FMA = WAYS["lerp"].index("fma(w, g - m, m)")
SQUARE_FIRST = WAYS["addcmul"].index("fma(c, g g, v)")
SQUARE_LAST = WAYS["addcmul"].index("fma(c g, g, v)")
BY_RECIPROCAL = WAYS["div"].index("r (1 / s)")
EPS_AS_FLOAT32 = WAYS["add"].index("eps in float32")
ROOT_ROUNDED = WAYS["sqrt"].index("rounded once")
QUOTIENT_FIRST = WAYS["addcdiv"].index("fma(a, m / d, W)")
LERP, ADDCMUL, SQRT, DIV, ADD, ADDCDIV = map(
    list(WAYS).index, ("lerp", "addcmul", "sqrt", "div", "add", "addcdiv")
)


@intrinsic
def fma(context, x, y, z):
    """Return x y + z of float32, rounded once."""

    def code(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), code


def update_W(
    spec: RunSpec,
    state: Mapping[str, Tensor],
    grad: Tensor,
    t: int,
    first: int,
    rounding: Rounding,
) -> None:
    """Take W and its moments from state t - 1 to state t in place, as a run's optimizer did.

    Parameters
    ----------
    spec : RunSpec
    state : mapping of 'W', 'exp_avg', 'exp_avg_sq' to Tensor of shape (tokens, width)
        All rows of W, or some that follow each other.
    grad : Tensor of shape (tokens, width)
    t : int
    first : int
        Row of W with which the tensors begin.
    rounding : Rounding
        Of the device of the run.
    """
    W, moments = state["W"], (state["exp_avg"], state["exp_avg_sq"])
    rule = t, learning_rate(spec, t), hyperparameters(spec), rounding
    update = REGIMES[spec.precision].update
    if update == "torch":
        replay_adamw_(W, grad, *moments, *rule)
        return
    exact = [tensor.float() for tensor in (W, *moments)]
    replay_adamw_(exact[0], grad.float(), *exact[1:], *rule)
    noise = Noise(spec.seed, w_name(spec), first * spec.width) if update == "stochastic" else None
    round_into_((W, *moments), exact, t, noise)


def replay_adamw_(
    W: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    t: int,
    lr: float,
    hyper: Hyperparameters,
    rounding: Rounding,
) -> None:
    """Take state t - 1 to state t in place, as `update.adamw_` does on a device with `rounding`.

    NaN stays NaN, of whatever sign and payload.

    Parameters
    ----------
    W, grad, exp_avg, exp_avg_sq : contiguous Tensor of one shape and one format
        bfloat16 or float32.
    t : int
        The update, from 1.
    lr : float
    hyper : Hyperparameters
    rounding : Rounding
    """
    narrow = W.dtype == torch.bfloat16
    choices, numbers = rounding.choices, _numbers(t, lr, hyper, rounding, narrow)
    w, g, m, v = (_flat(tensor) for tensor in (W, grad, exp_avg, exp_avg_sq))
    if narrow:
        _replay_bfloat16(w, g, m, v, choices, numbers)
        return
    _decay(w, numbers, False)
    _take_moments(g, m, v, choices, numbers, False)
    root = np.sqrt(v) if choices[SQRT] == ROOT_ROUNDED else _flat(torch.sqrt(exp_avg_sq))
    _take_step(w, m, root, choices, numbers, False)


def replay_moments_(
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    t: int,
    hyper: Hyperparameters,
    rounding: Rounding,
) -> None:
    """Take both float32 moments from state t - 1 to state t in place, as `replay_adamw_` does."""
    tensors = [_flat(tensor) for tensor in (grad, exp_avg, exp_avg_sq)]
    numbers = _numbers(t, 0.0, hyper, rounding, narrow=False)
    _take_moments(*tensors, rounding.choices, numbers, False)


def _flat(tensor: Tensor) -> np.ndarray:
    """Return a view of float32 numbers or of the patterns of bfloat16 ones, one axis."""
    if tensor.dtype == torch.bfloat16:
        return unsigned(bits_of(tensor)).reshape(-1, copy=False)
    return tensor.numpy().reshape(-1, copy=False)


@lru_cache(4096)  # a run is replayed a few rows at a time: its updates come again and again
def _numbers(
    t: int, lr: float, hyper: Hyperparameters, rounding: Rounding, narrow: bool
) -> tuple[np.float32, ...]:
    """Return the numbers that all weights share, as torch hands them to its kernels."""
    eps = FLOAT(hyper.eps)
    if narrow and rounding.choices[ADD] != EPS_AS_FLOAT32:
        eps = FLOAT(torch.tensor(hyper.eps, dtype=torch.bfloat16).item())
    root = correction(t, hyper)
    factors = (1 - lr * hyper.weight_decay, 1 - hyper.beta1, hyper.beta2, 1 - hyper.beta2)
    return (*map(FLOAT, (*factors, root, 1 / root)), eps, FLOAT(-step_size(t, lr, hyper)))


@compiled
def _replay_bfloat16(W, grad, exp_avg, exp_avg_sq, choices, numbers):
    # Arrays of one axis each: rows of one array are none that vectors are read from.
    wide_W, wide_g = np.empty(STRETCH, np.float32), np.empty(STRETCH, np.float32)
    wide_m, wide_v = np.empty(STRETCH, np.float32), np.empty(STRETCH, np.float32)
    root = np.empty(STRETCH, np.float32)
    for start in range(0, len(W), STRETCH):
        stop = min(start + STRETCH, len(W))
        size = stop - start
        _widen(W[start:stop], wide_W)
        _widen(grad[start:stop], wide_g)
        _widen(exp_avg[start:stop], wide_m)
        _widen(exp_avg_sq[start:stop], wide_v)
        _decay(wide_W[:size], numbers, True)
        _take_moments(wide_g[:size], wide_m[:size], wide_v[:size], choices, numbers, True)
        for i in range(size):
            root[i] = np.sqrt(wide_v[i])
        _round(root, True)
        _take_step(wide_W[:size], wide_m[:size], root[:size], choices, numbers, True)
        _narrow(wide_W, W[start:stop])
        _narrow(wide_m, exp_avg[start:stop])
        _narrow(wide_v, exp_avg_sq[start:stop])


@compiled
def _decay(W, numbers, narrow):
    """Take float32 weights through their decay."""
    for i in range(len(W)):
        W[i] *= numbers[0]
    _round(W, narrow)


@compiled
def _take_moments(g, m, v, choices, numbers, narrow):
    """Take both moments through the update."""
    _, w, beta2, c, _, _, _, _ = numbers
    _lerp(m, g, w, choices[LERP])
    _round(m, narrow)
    for i in range(len(v)):
        v[i] *= beta2
    _round(v, narrow)
    _addcmul(v, g, c, choices[ADDCMUL])
    _round(v, narrow)


@compiled
def _take_step(W, m, d, choices, numbers, narrow):
    """Move the weights; `d` holds sqrt(v), and the denominator then."""
    _, _, _, _, s, inverse, eps, a = numbers
    _div(d, s, inverse, choices[DIV])
    _round(d, narrow)
    for i in range(len(d)):
        d[i] += eps
    _round(d, narrow)
    _addcdiv(W, m, d, a, choices[ADDCDIV])
    _round(W, narrow)


@compiled
def _lerp(m, g, w, way):
    """Take m by the fraction w of the way to g, from the end that is nearer."""
    once, rest = way == LERP_FMA, np.float32(1) - w
    for i in range(len(m)):
        distance = g[i] - m[i]
        if w < np.float32(0.5):
            m[i] = fma(w, distance, m[i]) if once else m[i] + w * distance
        else:
            m[i] = fma(-rest, distance, g[i]) if once else g[i] - rest * distance


@compiled
def _addcmul(v, g, c, way):
    """Add c g g to v."""
    for i in range(len(v)):
        if way == SQUARE_FIRST:
            v[i] = fma(c, g[i] * g[i], v[i])
        elif way == SQUARE_LAST:
            v[i] = fma(c * g[i], g[i], v[i])
        else:
            v[i] = v[i] + (c * g[i]) * g[i]


@compiled
def _div(r, s, inverse, way):
    """Divide r by s, of which the inverse is given."""
    for i in range(len(r)):
        r[i] = r[i] * inverse if way == BY_RECIPROCAL else r[i] / s


@compiled
def _addcdiv(W, m, d, a, way):
    """Add a m / d to W."""
    for i in range(len(W)):
        if way == QUOTIENT_FIRST:
            W[i] = fma(a, m[i] / d[i], W[i])
        else:
            W[i] = W[i] + np.float32((a * m[i]) / d[i])


@compiled
def _round(values, narrow):
    """Round float32 to the numbers of bfloat16, to nearest-even, where they are narrow."""
    if not narrow:
        return
    bits = values.view(np.uint32)  # of which alone is read, so that the loop is one of vectors
    for i in range(len(bits)):
        odd = (bits[i] >> UPPER) & np.uint32(1)
        is_nan = (bits[i] & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
        rounded = bits[i] if is_nan else np.uint32(bits[i] + np.uint32(0x7FFF) + odd)
        bits[i] = rounded & np.uint32(0xFFFF0000)


@compiled
def _widen(patterns, values):
    bits = values.view(np.uint32)
    for i in range(len(patterns)):
        bits[i] = np.uint32(patterns[i]) << UPPER


@compiled
def _narrow(values, patterns):
    bits = values.view(np.uint32)
    for i in range(len(patterns)):
        patterns[i] = bits[i] >> UPPER
