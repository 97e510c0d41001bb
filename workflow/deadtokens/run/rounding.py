"""Where a device rounds within the operations of the update, found by asking it.

torch's kernels compute one formula on every device, but not the same bits: some multiply and add
with one rounding where others take two, some multiply by a reciprocal where others divide. A record
says how its device does it, so that its replay has its bits on any other.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

ATTRIBUTE = "update_rounding"
UNKNOWN = "unknown"
LANES = 72  # values in a question: whole vectors of every processor, and some left over
FLOAT = np.float32


class Question(NamedTuple):
    """An operation with numbers for which the known ways to round have different results."""

    ask: Callable[[Callable[..., Tensor]], Tensor]
    results: dict[str, np.float32]


def _fma(x: np.float32, y: np.float32, z: np.float32) -> np.float32:
    """Return x y + z, rounded once; for the numbers below float64 rounds nothing."""
    return FLOAT(float(x) * float(y) + float(z))


def _lerp() -> Question:
    m, g, w = map(FLOAT, (0.632, 0.544, 0.1))
    results = {"fma(w, g - m, m)": _fma(w, g - m, m), "m + w (g - m)": m + w * (g - m)}
    return Question(lambda full: full(m).lerp_(full(g), float(w)), results)


def _addcmul() -> Question:
    v, g, c = map(FLOAT, (-0.21675003, 0.85, 0.3))
    results = {
        "fma(c g, g, v)": _fma(c * g, g, v),
        "fma(c, g g, v)": _fma(c, g * g, v),
        "v + (c g) g": v + (c * g) * g,
    }
    return Question(lambda full: full(v).addcmul_(full(g), full(g), value=float(c)), results)


def _div() -> Question:
    r, s = map(FLOAT, (0.912, 0.504))
    return Question(lambda full: full(r) / float(s), {"r / s": r / s, "r (1 / s)": r * (1 / s)})


def _add() -> Question:
    d, eps = 0.2001953125, 0.01516
    results = {"eps as d": FLOAT(0.21484375), "eps in float32": FLOAT(0.2158203125)}
    return Question(lambda full: full(d, torch.bfloat16).add_(eps), results)


def _addcdiv() -> Question:
    W, m, d, a = map(FLOAT, (0.18773197, 0.607, 0.97, -0.3))
    results = {"W + (a m) / d": W + (a * m) / d, "fma(a, m / d, W)": _fma(a, m / d, W)}
    return Question(lambda full: full(W).addcdiv_(full(m), full(d), value=float(a)), results)


def _axpy() -> Question:
    W, m, a = map(FLOAT, (-0.967, 0.832, 0.83))
    results = {"fma(a, m, W)": _fma(a, m, W), "W + a m": W + a * m}
    return Question(lambda full: full(W).add_(full(m), alpha=float(a)), results)


def _sqrt() -> Question:
    """Square roots by a library that misses the nearest number at times: MKL on some processors."""
    v = torch.arange(1, 5000).float() / 5000

    def differing(full: Callable[..., Tensor]) -> Tensor:
        found = (v.to(full(0).device).sqrt().cpu() != v.double().sqrt().float()).any()
        return found.float()[None]

    return Question(differing, {"rounded once": FLOAT(0), "the library's": FLOAT(1)})


QUESTIONS = {
    "lerp": _lerp(),
    "addcmul": _addcmul(),
    "sqrt": _sqrt(),
    "div": _div(),
    "add": _add(),
    "addcdiv": _addcdiv(),
    "axpy": _axpy(),
}
WAYS = {operation: tuple(question.results) for operation, question in QUESTIONS.items()}


@dataclass(frozen=True)
class Rounding:
    """How each operation of the update rounds, in the words of QUESTIONS: fma rounds once.

    The result is then rounded to its tensor's format. Numbers that are no tensors are float32. A
    record from before an operation was asked for does not use it.
    """

    lerp: str = "fma(w, g - m, m)"
    addcmul: str = "fma(c g, g, v)"
    sqrt: str = "the library's"
    div: str = "r / s"
    add: str = "eps as d"
    addcdiv: str = "W + (a m) / d"
    axpy: str = "fma(a, m, W)"

    def as_attribute(self) -> str:
        """Return what a file says of it."""
        return json.dumps(asdict(self))

    @cached_property
    def choices(self) -> tuple[int, ...]:
        """For each operation, the place of its way in WAYS; of an unknown one the first, a try."""
        unknown = self.unknown()
        return tuple(
            0 if name in unknown else ways.index(getattr(self, name)) for name, ways in WAYS.items()
        )

    def unknown(self) -> list[str]:
        """Return the operations that round in none of the known ways."""
        return [name for name, ways in WAYS.items() if getattr(self, name) not in ways]


ON_CPU = Rounding()
ON_CUDA = Rounding(
    lerp="fma(w, g - m, m)",
    addcmul="fma(c, g g, v)",
    sqrt="rounded once",
    div="r (1 / s)",
    add="eps in float32",
    addcdiv="fma(a, m / d, W)",
    axpy="fma(a, m, W)",
)


def rounding_of(attributes: Mapping[str, Any]) -> Rounding:
    """Return how the update of a record's device rounds.

    An older record does not say: then as is usual on CUDA devices, or as this processor does.
    """
    if stated := attributes.get(ATTRIBUTE):
        return Rounding(**json.loads(stated))
    on_cuda = str(attributes.get("device", "")).startswith("cuda")
    return ON_CUDA if on_cuda else ask_rounding(torch.device("cpu"))


@cache
def ask_rounding(device: torch.device) -> Rounding:
    """Return how torch's kernels on a device round the operations of the update."""

    def full(value: float, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full((LANES,), float(value), dtype=dtype, device=device)

    return Rounding(**{name: _way(question, full) for name, question in QUESTIONS.items()})


def _way(question: Question, full: Callable[..., Tensor]) -> str:
    answers = question.ask(full).float().unique().tolist()
    ways = {float(result): way for way, result in question.results.items()}
    return ways.get(answers[0], UNKNOWN) if len(answers) == 1 else UNKNOWN
