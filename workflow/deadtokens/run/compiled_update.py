"""The update of `update.py` on any processor with the bits of any device: each rounding is stated.

A replay takes torch's operations one by one over a short stretch of weights that stays in the
cache, in float32, and rounds where the device of the record did (`rounding.Rounding`). bfloat16 is
float32 whose lower 16 bits are zero; the result of every operation is rounded to it.
"""

from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from deadtokens.loops import compiled
from deadtokens.run.bits import bits_of, unsigned
from deadtokens.run.hyperparameters import Hyperparameters, correction, step_size
from deadtokens.run.noise import Noise
from deadtokens.run.rounding import WAYS, Rounding
from deadtokens.run.rule import Rule
from deadtokens.run.update import Bits, State, round_into_

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
MULTIPLIED_FIRST = WAYS["axpy"].index("W + a m")
LERP, ADDCMUL, SQRT, DIV, ADD, ADDCDIV, AXPY = map(
    list(WAYS).index, ("lerp", "addcmul", "sqrt", "div", "add", "addcdiv", "axpy")
)


class Numbers(NamedTuple):
    """The numbers that all weights of an update share, float32, as torch hands them to its kernels.

    Attributes
    ----------
    decayed : 1 - lr weight_decay
    beta1, beta2, rest1, rest2 : the decays of the moments, and 1 less each
    correction, inverse : what divides sqrt(v), and 1 over it
    eps
    step : by what m over the denominator is multiplied, negative
    """

    decayed: np.float32
    beta1: np.float32
    beta2: np.float32
    rest1: np.float32
    rest2: np.float32
    correction: np.float32
    inverse: np.float32
    eps: np.float32
    step: np.float32


class Arrays(NamedTuple):
    """The gradient and a state, one axis each: float32 numbers, or patterns of bfloat16 ones.

    What an optimizer has not is empty; `squares` are always float32 numbers, one a weight.
    """

    W: np.ndarray
    grad: np.ndarray
    exp_avg: np.ndarray
    exp_avg_sq: np.ndarray
    compensation: np.ndarray
    squares: np.ndarray


@intrinsic
def fma(context, x, y, z):
    """Return x y + z of float32, rounded once."""

    def code(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), code


def update_W(
    rule: Rule,
    state: State,
    grad: Tensor,
    update: int,
    first: int,
    rounding: Rounding,
    grad_sq_mean: np.ndarray | None = None,
) -> None:
    """Take W and what is carried beside it through an update in place, as its optimizer did.

    Parameters
    ----------
    rule : Rule
    state : mapping of str to Tensor of shape (tokens, width)
        What `rule.states` names: all rows of W, or some that follow each other.
    grad : Tensor of shape (tokens, width)
    update : int
    first : int
        Row of W with which the tensors begin.
    rounding : Rounding
        Of the device of the run.
    grad_sq_mean : float32 ndarray of shape (width,), optional
        Of all rows of W under Coupled Adam.
    """
    step = rule.step(update)
    if rule.arithmetic == "torch":
        replay_(state, grad, *step, rounding, grad_sq_mean)
        return
    exact = {name: tensor.float() for name, tensor in state.items()}
    replay_(exact, grad.float(), *step, rounding, grad_sq_mean)
    round_into_(state, exact, _noise(rule, step.t, first))


def _noise(rule: Rule, t: int, first: int) -> Bits | None:
    """Return the noise of the rows of W from one on, if they are rounded stochastically."""
    if rule.arithmetic != "stochastic":
        return None
    seed, name, width = rule.noise
    return partial(Noise(seed, name, first * width).bits, t)


def replay_(
    state: State,
    grad: Tensor,
    t: int,
    lr: float,
    hyper: Hyperparameters,
    rounding: Rounding,
    grad_sq_mean: np.ndarray | None = None,
) -> None:
    """Take state t - 1 to state t in place, as `update.update_` does on a device with `rounding`.

    NaN stays NaN, of whatever sign and payload.

    Parameters
    ----------
    state : mapping of str to contiguous Tensor of one shape and one format
        bfloat16 or float32.
    grad : contiguous Tensor of that shape and format
    t : int
        The update, from 1.
    lr : float
    hyper : Hyperparameters
    rounding : Rounding
    grad_sq_mean : float32 ndarray of shape (components,), optional
    """
    narrow = grad.dtype == torch.bfloat16
    choices, numbers = rounding.choices, _numbers(t, lr, hyper, rounding, narrow)
    arrays = _arrays(state, grad, grad_sq_mean)
    if narrow:
        _replay_bfloat16(arrays, t, choices, numbers)
        return
    _decay(arrays.W, numbers, False)
    _take_moments(arrays, t, choices, numbers, False)
    _take_step(arrays, _root(state, rounding), choices, numbers, False)


def replay_moments_(
    moments: State,
    grad: Tensor,
    t: int,
    hyper: Hyperparameters,
    rounding: Rounding,
    grad_sq_mean: np.ndarray | None = None,
) -> None:
    """Take float32 moments from state t - 1 to state t in place, as `replay_` does."""
    numbers = _numbers(t, 0.0, hyper, rounding, narrow=False)
    _take_moments(_arrays(moments, grad, grad_sq_mean), t, rounding.choices, numbers, False)


def _arrays(state: State, grad: Tensor, grad_sq_mean: np.ndarray | None) -> Arrays:
    none = grad.new_empty(0)
    names = ("exp_avg", "exp_avg_sq", "compensation")
    carried = (_flat(state.get(name, none)) for name in names)
    squares = np.empty(0, np.float32)
    if grad_sq_mean is not None:
        squares = np.tile(grad_sq_mean, len(grad))
    return Arrays(_flat(state.get("W", none)), _flat(grad), *carried, squares)


def _flat(tensor: Tensor) -> np.ndarray:
    """Return a view of float32 numbers or of the patterns of bfloat16 ones, one axis."""
    if tensor.dtype == torch.bfloat16:
        return unsigned(bits_of(tensor)).reshape(-1, copy=False)
    return tensor.numpy().reshape(-1, copy=False)


def _root(state: State, rounding: Rounding) -> np.ndarray:
    """Return sqrt(v) of float32 numbers, empty without any."""
    v = state.get("exp_avg_sq", torch.empty(0))
    if rounding.choices[SQRT] == ROOT_ROUNDED:
        return np.sqrt(_flat(v))
    return _flat(torch.sqrt(v))


@lru_cache(4096)  # a run is replayed a few rows at a time: its updates come again and again
def _numbers(
    t: int, lr: float, hyper: Hyperparameters, rounding: Rounding, narrow: bool
) -> Numbers:
    eps = FLOAT(hyper.eps)
    if narrow and rounding.choices[ADD] != EPS_AS_FLOAT32:
        eps = FLOAT(torch.tensor(hyper.eps, dtype=torch.bfloat16).item())
    root, decayed = correction(t, hyper), 1 - lr * hyper.weight_decay
    betas = (hyper.beta1, hyper.beta2, 1 - hyper.beta1, 1 - hyper.beta2)
    numbers = map(FLOAT, (decayed, *betas, root, 1 / root))
    return Numbers(*numbers, eps, FLOAT(-step_size(t, lr, hyper)))


@compiled
def _replay_bfloat16(narrow, t, choices, numbers):
    # Arrays of one axis each: rows of one array are none that vectors are read from.
    wide_W, wide_g = np.empty(STRETCH, np.float32), np.empty(STRETCH, np.float32)
    wide_m, wide_v = np.empty(STRETCH, np.float32), np.empty(STRETCH, np.float32)
    wide_c, root = np.empty(STRETCH, np.float32), np.empty(STRETCH, np.float32)
    for start in range(0, len(narrow.W), STRETCH):
        stop = min(start + STRETCH, len(narrow.W))
        part = Arrays(
            _widened(narrow.W[start:stop], wide_W),
            _widened(narrow.grad[start:stop], wide_g),
            _widened(narrow.exp_avg[start:stop], wide_m),
            _widened(narrow.exp_avg_sq[start:stop], wide_v),
            _widened(narrow.compensation[start:stop], wide_c),
            narrow.squares[start:stop],
        )
        _decay(part.W, numbers, True)
        _take_moments(part, t, choices, numbers, True)
        for i in range(len(part.exp_avg_sq)):
            root[i] = np.sqrt(part.exp_avg_sq[i])
        _round(root[: stop - start], True)
        _take_step(part, root[: stop - start], choices, numbers, True)
        _narrow(part.W, narrow.W[start:stop])
        _narrow(part.exp_avg, narrow.exp_avg[start:stop])
        _narrow(part.exp_avg_sq, narrow.exp_avg_sq[start:stop])
        _narrow(part.compensation, narrow.compensation[start:stop])


@compiled
def _decay(W, numbers, narrow):
    """Take float32 weights through their decay."""
    for i in range(len(W)):
        W[i] *= numbers.decayed
    _round(W, narrow)


@compiled
def _take_moments(arrays, t, choices, numbers, narrow):
    """Take the moments, those there are, through update t."""
    g, m, v = arrays.grad, arrays.exp_avg, arrays.exp_avg_sq
    if len(v):
        _lerp(m, g, numbers.rest1, choices[LERP])
        _round(m, narrow)
        _scale(v, numbers.beta2)
        _round(v, narrow)
        if len(arrays.squares):
            _axpy(v, arrays.squares, numbers.rest2, choices[AXPY])
        else:
            _addcmul(v, g, numbers.rest2, choices[ADDCMUL])
        _round(v, narrow)
    elif t == 1:
        m[:] = g[: len(m)]
    else:
        _scale(m, numbers.beta1)
        _round(m, narrow)
        _add(m, g)
        _round(m, narrow)


@compiled
def _take_step(arrays, d, choices, numbers, narrow):
    """Move the weights; `d` holds sqrt(v), and the denominator then."""
    W, c = arrays.W, arrays.compensation
    m = arrays.exp_avg if len(arrays.exp_avg) else arrays.grad
    target = c if len(c) else W
    if len(arrays.exp_avg_sq):
        _div(d, numbers.correction, numbers.inverse, choices[DIV])
        _round(d, narrow)
        for i in range(len(d)):
            d[i] += numbers.eps
        _round(d, narrow)
        _addcdiv(target, m, d, numbers.step, choices[ADDCDIV])
    else:
        _axpy(target, m, numbers.step, choices[AXPY])
    _round(target, narrow)
    if len(c):
        _compensate(W, c, narrow)


@compiled
def _compensate(W, c, narrow):
    """Let W take what it can of c; the rest stays."""
    taken = W.copy()
    _add(W, c)
    _round(W, narrow)
    for i in range(len(W)):
        taken[i] -= W[i]
    _round(taken, narrow)
    _add(c, taken)
    _round(c, narrow)


@compiled
def _scale(values, factor):
    """Multiply by a number."""
    for i in range(len(values)):
        values[i] *= factor


@compiled
def _add(values, others):
    """Add to each value its other."""
    for i in range(len(values)):
        values[i] += others[i]


@compiled
def _axpy(W, m, a, way):
    """Add a m to W."""
    for i in range(len(W)):
        W[i] = W[i] + np.float32(a * m[i]) if way == MULTIPLIED_FIRST else fma(a, m[i], W[i])


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
def _widened(patterns, values):
    """Return patterns as float32 numbers, in the first of `values`."""
    bits = values.view(np.uint32)
    for i in range(len(patterns)):
        bits[i] = np.uint32(patterns[i]) << UPPER
    return values[: len(patterns)]


@compiled
def _narrow(values, patterns):
    bits = values.view(np.uint32)
    for i in range(len(patterns)):
        patterns[i] = bits[i] >> UPPER
