"""The update with stated roundings: this processor's, a GPU's, and each way by exact arithmetic."""

import json
import math
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.audit.tally import Tally
from deadtokens.errors import UserError
from deadtokens.run import rounding
from deadtokens.run.compiled_update import STRETCH, replay_, replay_moments_
from deadtokens.run.hyperparameters import Hyperparameters, step_size
from deadtokens.run.rounding import ON_CPU, ON_CUDA, WAYS, Rounding, ask_rounding, rounding_of
from deadtokens.run.spec import RunSpec
from deadtokens.run.update import Numbers, mean_square, update_
from deadtokens.training.segment import ensure_replayable
from deadtokens.trajectory.proof import checksums, checksums_differ

CPU = torch.device("cpu")
ON_A_GPU = json.loads(Path(__file__).with_name("adamw_on_cuda.json").read_text(encoding="utf-8"))
HYPER = Hyperparameters(0.9, 0.999, 1e-8, 0.01)
hypers = st.builds(
    Hyperparameters,
    beta1=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99]),
    beta2=st.sampled_from([0.9, 0.95, 0.99, 0.999]),
    eps=st.sampled_from([1e-12, 1e-8, 1e-3]),
    weight_decay=st.sampled_from([0.0, 0.01, 5.0]),
)
formats = st.sampled_from([torch.float32, torch.bfloat16])


def numbers(seed, size, dtype):
    """Return W, g, m and v over many orders of magnitude, with zeros and subnormal numbers."""
    generator = torch.Generator().manual_seed(seed)
    W, g, m, v = (torch.randn(size, generator=generator) for _ in range(4))
    g, m, v = (x * 10.0 ** torch.randint(-14, 1, (size,), generator=generator) for x in (g, m, v))
    g[::7], m[::5], v[::11] = 0, 0, 0
    v[3::13], g[3::13] = 1e-40, 1e-22
    return [x.to(dtype) for x in (0.02 * W, g, m, v.abs())]


def bits(tensor):
    return tensor.view({torch.float32: torch.int32, torch.bfloat16: torch.int16}[tensor.dtype])


def same(one, other):
    return all(torch.equal(bits(a), bits(b)) for a, b in zip(one, other, strict=True))


@settings(max_examples=80, deadline=None)
@given(
    hyper=hypers,
    lr=st.sampled_from([1e-5, 1e-3, 0.1]),
    t=st.sampled_from([1, 2, 17, 1000]),
    seed=st.integers(0, 10_000),
    dtype=formats,
    size=st.sampled_from([1, 7, 64, STRETCH, STRETCH + 37]),
)
def test_a_replay_has_the_bits_of_torch_on_this_processor(hyper, lr, t, seed, dtype, size):
    assert_replayed(("exp_avg", "exp_avg_sq"), hyper, lr, t, seed, dtype, size)


CARRIED = {
    "kahan": ("adamw", ("exp_avg", "exp_avg_sq", "compensation")),
    "coupled": ("coupled-adam", ("exp_avg", "exp_avg_sq")),
    "coupled kahan": ("coupled-adam", ("exp_avg", "exp_avg_sq", "compensation")),
    "momentum": ("sgd", ("exp_avg",)),
    "momentum kahan": ("sgd", ("exp_avg", "compensation")),
    "plain": ("sgd", ()),
    "plain kahan": ("sgd", ("compensation",)),
}


@pytest.mark.parametrize("kind", CARRIED)
@settings(max_examples=40, deadline=None)
@given(
    hyper=hypers,
    lr=st.sampled_from([1e-5, 1e-3, 0.1]),
    t=st.sampled_from([1, 2, 17, 1000]),
    seed=st.integers(0, 10_000),
    dtype=formats,
    rows=st.sampled_from([1, 7, STRETCH // 4, STRETCH // 4 + 9]),
)
def test_a_replay_of_every_optimizer_has_the_bits_of_torch(kind, hyper, lr, t, seed, dtype, rows):
    optimizer, carried = CARRIED[kind]
    assert_replayed(carried, replace(hyper, optimizer=optimizer), lr, t, seed, dtype, 4 * rows)


def assert_replayed(carried, hyper, lr, t, seed, dtype, size):
    W, grad, m, v = numbers(seed, size, dtype)
    beside = {"exp_avg": m, "exp_avg_sq": v, "compensation": m * 2**-9}
    state = {"W": W} | {name: beside[name].clone() for name in carried}
    replayed = {name: tensor.clone() for name, tensor in state.items()}
    square = None
    if hyper.optimizer == "coupled-adam":
        grad, square = grad.view(-1, 4), mean_square(grad.view(-1, 4))
        state, replayed = (
            {name: tensor.view(-1, 4) for name, tensor in one.items()} for one in (state, replayed)
        )
    update_(state, grad, Numbers(t, lr, hyper), square)
    squares = None if square is None else square.numpy()
    replay_(replayed, grad, t, lr, hyper, ask_rounding(CPU), squares)
    assert same(replayed.values(), state.values())


class TestGpu:
    """What torch.optim.AdamW left behind on a GPU, three updates of 48 weights."""

    @staticmethod
    def tensor(text, dtype):
        digits, view = (8, "<u4") if dtype == torch.float32 else (4, "<u2")
        patterns = np.array([int(text[i : i + digits], 16) for i in range(0, len(text), digits)])
        signed = patterns.astype(view).view(view.replace("u", "i"))
        return torch.from_numpy(signed.copy()).view(dtype)

    def replay(self, case, on):
        dtype = getattr(torch, case["format"])
        W = self.tensor(case["W"], dtype)
        m, v = torch.zeros_like(W), torch.zeros_like(W)
        for t, grad in enumerate(case["grads"], start=1):
            grad = self.tensor(grad, dtype)
            state = {"W": W, "exp_avg": m, "exp_avg_sq": v}
            replay_(state, grad, t, case["lr"], Hyperparameters(**case["hyper"]), on)
        after = [self.tensor(case["after"][name], dtype) for name in ("W", "exp_avg", "exp_avg_sq")]
        return [W, m, v], after

    @pytest.mark.parametrize("case", ON_A_GPU["cases"])
    def test_a_replay_has_its_bits(self, case):
        assert same(*self.replay(case, ON_CUDA))

    @pytest.mark.parametrize("way", ["addcmul", "div", "addcdiv"])
    def test_each_rounding_of_a_gpu_counts(self, way):
        """Negative control: with one operation as on a CPU, some of the cases differ."""
        other = replace(ON_CUDA, **{way: getattr(ON_CPU, way)})
        assert not all(same(*self.replay(case, other)) for case in ON_A_GPU["cases"])


def nearest(value, narrow):
    """Return the float32 or bfloat16 nearest to a fraction, ties to even, as a fraction."""
    if value == 0:
        return Fraction(0)
    kept = 8 if narrow else 24
    exponent = math.floor(math.log2(abs(value))) if abs(value) > Fraction(2) ** -1000 else -1000
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (max(exponent, -126) - kept + 1)
    return round(value / unit) * unit  # Python rounds ties to even


def by_fractions(values, t, lr, hyper, on, narrow):
    """Return W, m and v after an update of one weight, each operation in exact arithmetic."""
    W, g, m, v = map(Fraction, values)
    f32 = lambda x: nearest(Fraction(x), False)  # noqa: E731
    own = lambda x: nearest(f32(x), narrow)  # noqa: E731
    w, c, a = (f32(x) for x in (1 - hyper.beta1, 1 - hyper.beta2, -step_size(t, lr, hyper)))
    root, eps = math.sqrt(1 - hyper.beta2**t), f32(hyper.eps)
    W = own(W * f32(1 - lr * hyper.weight_decay))
    once = on.lerp.startswith("fma")
    distance = f32(g - m)
    if w < Fraction(1, 2):
        m = own(m + (w * distance if once else f32(w * distance)))
    else:
        part = f32(1 - w) * distance
        m = own(g - (part if once else f32(part)))
    v = own(v * f32(hyper.beta2))
    added = {
        "fma(c g, g, v)": f32(c * g) * g,
        "fma(c, g g, v)": c * f32(g * g),
        "v + (c g) g": f32(f32(c * g) * g),
    }
    v = own(v + added[on.addcmul])
    d = own(Fraction(float(np.sqrt(np.float32(float(v))))))
    d = own(d / f32(root) if on.div == "r / s" else d * f32(1 / root))
    d = own(d + (nearest(eps, narrow) if on.add == "eps as d" else eps))
    moved = {"W + (a m) / d": f32(f32(a * m) / d), "fma(a, m / d, W)": a * f32(m / d)}
    return own(W + moved[on.addcdiv]), m, v


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("beta1", [0.9, 0.3])
def test_every_way_is_its_formula_in_exact_arithmetic(narrow, beta1):
    hyper, t, lr = replace(HYPER, beta1=beta1), 7, 1e-3
    start = numbers(5, 12, torch.bfloat16 if narrow else torch.float32)
    start[3].clamp_(min=1e-20)
    choices = {name: ways for name, ways in WAYS.items() if name not in ("sqrt", "axpy")}
    for ways in product(*choices.values()):
        on = Rounding(**dict(zip(choices, ways, strict=True)), sqrt="rounded once")
        W, g, m, v = (tensor.clone() for tensor in start)
        replay_({"W": W, "exp_avg": m, "exp_avg_sq": v}, g, t, lr, hyper, on)
        for i in range(len(W)):
            values = [float(tensor[i]) for tensor in start]
            expected = by_fractions(values, t, lr, hyper, on, narrow)
            assert [float(x[i]) for x in (W, m, v)] == [float(x) for x in expected], on


def test_the_questions_tell_all_ways_apart():
    for operation, question in rounding.QUESTIONS.items():
        assert len({float(result) for result in question.results.values()}) == len(
            question.results
        ), operation


def test_this_processor_rounds_in_known_ways():
    assert ask_rounding(CPU).unknown() == []


def test_a_device_that_rounds_otherwise_is_told(monkeypatch):
    asked = rounding.QUESTIONS["addcdiv"]
    off = asked._replace(ask=lambda full: asked.ask(full) + 1)
    monkeypatch.setitem(rounding.QUESTIONS, "addcdiv", off)
    assert ask_rounding.__wrapped__(CPU).unknown() == ["addcdiv"]


def test_what_a_record_says_is_read_back():
    stated = {"update_rounding": ON_CUDA.as_attribute()}
    assert rounding_of(stated | {"device": "cpu x86_64"}) == ON_CUDA
    assert rounding_of({"device": "cuda NVIDIA"}) == ON_CUDA
    assert rounding_of({"device": "cpu x86_64 AVX2"}) == ask_rounding(CPU)


def test_a_way_that_is_unknown_is_tried_as_the_first():
    unknown = rounding_of({"update_rounding": replace(ON_CUDA, div="unknown").as_attribute()})
    assert unknown.unknown() == ["div"]
    assert unknown.choices == replace(ON_CUDA, div="r / s").choices


def test_such_a_device_must_record_all_tensors():
    unknown = replace(ON_CPU, div="unknown")
    ensure_replayable(RunSpec(), unknown)
    ensure_replayable(RunSpec(record={"tensors": ["grad"]}), ON_CPU)
    with pytest.raises(UserError, match="W, exp_avg, exp_avg_sq could not be"):
        ensure_replayable(RunSpec(record={"tensors": ["grad"]}), unknown)


def test_the_attribute_is_plain_json():
    assert json.loads(ON_CPU.as_attribute()) == asdict(ON_CPU)


class TestNotANumber:
    """Which of its patterns a NaN has is the processor's choice, and no difference."""

    def test_it_is_itself_for_an_audit(self):
        recorded = torch.tensor([[float("nan"), 1.0]])
        replayed = (recorded.view(torch.int32) ^ torch.tensor([[-(2**31), 0]]).int()).view(
            torch.float32
        )
        assert not torch.equal(bits(recorded), bits(replayed))
        tally = Tally()
        tally.compare(replayed, recorded, 1, 0)
        assert tally == Tally(compared=2)
        tally.compare(replayed + 1, recorded, 2, 0)
        assert tally.differing == 1

    def test_its_group_has_no_checksum(self):
        tensor = torch.arange(10.0).reshape(5, 2)
        stated = checksums(tensor, 2) + torch.tensor([0, 1, 1], dtype=torch.int32)
        assert checksums_differ(tensor, stated, 2).tolist() == [False, True, True]
        tensor[2, 1] = torch.nan
        assert checksums_differ(tensor, stated, 2).tolist() == [False, False, True]

    def test_a_replay_keeps_it(self):
        for dtype in (torch.float32, torch.bfloat16):
            W, g, m, v = numbers(0, 20, dtype)
            g[4], g[9] = torch.nan, torch.inf
            replay_({"W": W, "exp_avg": m, "exp_avg_sq": v}, g, 3, 1e-3, HYPER, ON_CUDA)
            assert torch.isnan(W).nonzero().flatten().tolist() == [4, 9]


def test_moments_alone_are_those_of_the_whole_update():
    W, g, m, v = numbers(4, 300, torch.float32)
    alone = {"exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    replay_moments_(alone, g, 5, HYPER, ON_CUDA)
    replay_({"W": W, "exp_avg": m, "exp_avg_sq": v}, g, 5, 1e-3, HYPER, ON_CUDA)
    assert same(alone.values(), [m, v])
