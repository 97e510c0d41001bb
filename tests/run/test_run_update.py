"""The update rule: bit for bit torch's where torch has it, one rounding where it has not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.run.hyperparameters import Hyperparameters, learning_rate
from deadtokens.run.noise import Noise
from deadtokens.run.spec import RunSpec
from deadtokens.run.update import (
    Numbers,
    mean_square,
    round_stochastically,
    rounded_update_,
    update_,
)
from deadtokens.training.optimizer import build_optimizer

hypers = st.builds(
    Hyperparameters,
    beta1=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    beta2=st.sampled_from([0.9, 0.99, 0.997, 0.998, 0.999]),
    eps=st.sampled_from([1e-12, 1e-8, 1e-3]),
    weight_decay=st.sampled_from([0.0, 0.01, 0.1, 5.0]),
)
rates = st.sampled_from([1e-5, 3e-4, 1e-3, 0.1])
ADAM = ("exp_avg", "exp_avg_sq")


def gradients(seed: int, updates: int = 6) -> list[torch.Tensor]:
    """Gradients over many orders of magnitude, with zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    scales = 10.0 ** torch.randint(-12, 1, (updates, 40), generator=generator)
    values = torch.randn(updates, 40, generator=generator) * scales
    values[:, ::7] = 0
    return list(values)


def by_torch(W, grads, lr, hyper):
    parameter = torch.nn.Parameter(W.clone())
    optimizer = torch.optim.AdamW(
        [parameter],
        lr=lr,
        betas=(hyper.beta1, hyper.beta2),
        eps=hyper.eps,
        weight_decay=hyper.weight_decay,
        foreach=False,
        fused=False,
    )
    for grad in grads:
        parameter.grad = grad.to(W.dtype)
        optimizer.step()
    state = optimizer.state[parameter]
    return parameter.detach(), state["exp_avg"], state["exp_avg_sq"]


def by_us(W, grads, lr, hyper, rule=update_, carried=ADAM, format=None):
    """Return W and what is carried beside it, in order."""
    zeros = torch.zeros_like(W, dtype=format or W.dtype)
    state = {"W": W.clone()} | {name: zeros.clone() for name in carried}
    for t, grad in enumerate(grads, start=1):
        rule(state, grad.to(W.dtype), Numbers(t, lr, hyper))
    return tuple(state.values())


def start(seed: int, half: bool = False) -> torch.Tensor:
    W = torch.randn(40, generator=torch.Generator().manual_seed(seed)).mul(0.02)
    return W.bfloat16() if half else W


def same_bits(one, other):
    bits = {torch.float32: torch.int32, torch.bfloat16: torch.int16}[one.dtype]
    return torch.equal(one.view(bits), other.view(bits))


@settings(max_examples=60, deadline=None)
@given(hyper=hypers, lr=rates, seed=st.integers(0, 10_000), half=st.booleans())
def test_our_rule_is_torch_bit_for_bit(hyper, lr, seed, half):
    W, grads = start(seed, half), gradients(seed)
    for ours, theirs in zip(by_us(W, grads, lr, hyper), by_torch(W, grads, lr, hyper), strict=True):
        assert same_bits(ours, theirs)


def test_another_order_of_operations_is_noticed():
    """The control: the textbook's formula in bf16 differs in bits, so the test above can fail."""
    hyper, lr, grads = Hyperparameters(0.9, 0.999, 1e-8, 0.0), 1e-3, gradients(3)
    W = start(3, half=True)

    def textbook(state, g, numbers):
        t, W, m, v = numbers.t, *state.values()
        m.copy_(hyper.beta1 * m + (1 - hyper.beta1) * g)
        v.copy_(hyper.beta2 * v + (1 - hyper.beta2) * g * g)
        m_hat, v_hat = m / (1 - hyper.beta1**t), v / (1 - hyper.beta2**t)
        W.sub_(lr * m_hat / (v_hat.sqrt() + hyper.eps))

    one, other = by_us(W, grads, lr, hyper), by_us(W, grads, lr, hyper, rule=textbook)
    assert not all(same_bits(a, b) for a, b in zip(one, other, strict=True))


@settings(max_examples=30, deadline=None)
@given(hyper=hypers, lr=rates, seed=st.integers(0, 10_000))
def test_rounded_rule_is_torch_in_float32_rounded_once(hyper, lr, seed):
    W, grad = start(seed, half=True), gradients(seed, 1)[0].bfloat16()
    exact = by_torch(W.float(), [grad.float()], lr, hyper)
    W_ours, m, v = by_us(W, [grad], lr, hyper, rounded_update_, format=torch.float32)
    assert same_bits(W_ours, exact[0].bfloat16())
    assert same_bits(m, exact[1])
    assert same_bits(v, exact[2])


@settings(max_examples=60, deadline=None)
@given(
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    lr=rates,
    seed=st.integers(0, 10_000),
)
def test_sgd_is_torch_bit_for_bit_in_float32(momentum, lr, seed):
    W = start(seed)
    hyper = Hyperparameters(momentum, 0.0, 0.0, 0.0, "sgd")
    parameter = torch.nn.Parameter(W.clone())
    optimizer = torch.optim.SGD([parameter], lr, momentum, foreach=False, fused=False)
    for grad in gradients(seed):
        parameter.grad = grad.to(W.dtype)
        optimizer.step()
    carried = ("exp_avg",) if momentum else ()
    found = by_us(W, gradients(seed), lr, hyper, carried=carried)
    assert same_bits(found[0], parameter.detach())
    if momentum:
        assert same_bits(found[1], optimizer.state[parameter]["momentum_buffer"])


@settings(max_examples=30, deadline=None)
@given(lr=rates, seed=st.integers(0, 10_000), size=st.integers(1, 40))
def test_sgd_in_bfloat16_rounds_each_weight_alike_wherever_it_stands(lr, seed, size):
    hyper, grads = Hyperparameters(0.9, 0.0, 0.0, 0.0, "sgd"), gradients(seed)
    W, m = by_us(start(seed, half=True), grads, lr, hyper, carried=("exp_avg",))
    cut = [grad[-size:] for grad in grads]
    W_cut, m_cut = by_us(start(seed, half=True)[-size:], cut, lr, hyper, carried=("exp_avg",))
    assert same_bits(W_cut, W[-size:])
    assert same_bits(m_cut, m[-size:])


def test_sgd_in_bfloat16_rounds_the_step_once():
    hyper, (grad,) = Hyperparameters(0.0, 0.0, 0.0, 0.0, "sgd"), gradients(6, 1)
    (W,) = by_us(start(6, half=True), [grad], 0.3, hyper, carried=())
    exact = start(6, half=True).double() - float(np.float32(0.3)) * grad.bfloat16().double()
    assert same_bits(W, exact.float().bfloat16())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_all_optimizers_decay_alike(optimizer):
    """Without gradients W is multiplied by 1 - lr weight_decay, whatever the optimizer."""
    hyper = Hyperparameters(0.9, 0.0, 1e-8, 0.5, optimizer)
    (W, *_), none = by_us(start(1), [torch.zeros(40)] * 3, 0.1, hyper), 1 - 0.1 * 0.5
    assert same_bits(W, start(1).mul(none).mul(none).mul(none))


def kahan_step_by_step(W, grads, lr, hyper):
    """Write the remedy down once more: float64, rounded where a processor rounds.

    Within an operation it rounds to float32, but not a product that it adds at once; the result it
    rounds to bfloat16. Numbers that all weights share are float32.
    """

    def f32(values):
        return np.asarray(values, np.float64).astype(np.float32).astype(np.float64)

    def bf16(values):
        return torch.from_numpy(f32(values)).bfloat16().double().numpy()

    W = W.double().numpy()
    m, v, c = np.zeros((3, len(W)))
    beta2, w1, w2 = f32([hyper.beta2, 1 - hyper.beta1, 1 - hyper.beta2])
    eps = float(torch.tensor(hyper.eps).bfloat16())
    for t, grad in enumerate(grads, start=1):
        g = grad.bfloat16().double().numpy()
        W = bf16(W * f32(1 - lr * hyper.weight_decay))
        way = f32(g - m)
        m = bf16(m + w1 * way if w1 < 0.5 else g - f32(1 - w1) * way)
        v = bf16(bf16(v * beta2) + f32(w2 * g) * g)
        D = bf16(bf16(bf16(np.sqrt(v)) / f32(np.sqrt(1 - hyper.beta2**t))) + eps)
        c = bf16(c + f32(f32(f32(-lr / (1 - hyper.beta1**t)) * m) / D))
        taken = bf16(W + c)
        c = bf16(c + bf16(W - taken))
        W = taken
    return W, c


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="this processor rounds products before it adds them",
)
@settings(max_examples=40, deadline=None)
@given(hyper=hypers, lr=rates, seed=st.integers(0, 10_000))
def test_the_compensation_is_that_of_the_formula(hyper, lr, seed):
    W = start(seed, half=True)
    found = by_us(W, gradients(seed), lr, hyper, carried=(*ADAM, "compensation"))
    W_expected, c_expected = kahan_step_by_step(W, gradients(seed), lr, hyper)
    assert (found[0].double().numpy() == W_expected).all()
    assert (found[3].double().numpy() == c_expected).all()


def test_steps_below_half_an_ulp_are_not_lost():
    """A thousand steps of an eighth of half an ulp each: W alone stands still, with c it moves."""
    grads, hyper = [torch.full((3,), 1.0)] * 1000, Hyperparameters(0.0, 0.0, 1e-30, 0.0)
    W, lr = torch.tensor([1.0, -1.0, 1.5], dtype=torch.bfloat16), 2.0**-12
    alone, *_ = by_us(W, grads, lr, hyper)
    assert torch.equal(alone, W)
    moved, *_, left = by_us(W, grads, lr, hyper, carried=(*ADAM, "compensation"))
    assert (moved.double() + left.double()).tolist() == pytest.approx(
        (W.double() - 1000 * lr).tolist(), rel=2**-9
    )


class TestMeanSquare:
    def test_it_is_the_mean_of_squares(self):
        grad = torch.stack(gradients(4, 37))
        exact = np.square(grad.double().numpy()).mean(axis=0)
        assert mean_square(grad).numpy() == pytest.approx(exact.astype(np.float32), rel=2**-23)
        assert mean_square(grad).dtype == torch.float32

    @pytest.mark.parametrize("rows", [1, 2, 3, 7, 23, 64])
    def test_the_order_of_the_sum_is_fixed(self, rows):
        """Row i and the one half the rows further on, the odd one out in the middle, again."""
        grad = torch.stack(gradients(rows, rows)).bfloat16()
        squares = list(np.square(grad.double().numpy()))
        while len(squares) > 1:
            half = (len(squares) + 1) // 2
            pairs = zip(squares[:half], [*squares[half:], 0.0], strict=False)
            squares = [one + other for one, other in pairs]
        assert (mean_square(grad).numpy() == (squares[0] / rows).astype(np.float32)).all()

    def test_the_gradient_stays(self):
        grad = torch.stack(gradients(1, 5)).double()
        before = grad.clone()
        mean_square(grad)
        assert torch.equal(grad, before)


@pytest.mark.parametrize("half", [False, True])
def test_coupled_rows_share_the_mean_of_their_second_moments(half):
    """v is what AdamW's v would be on average, but for its rounding; all rows have one."""
    hyper, rows = Hyperparameters(0.9, 0.9, 1e-8, 0.0, "coupled-adam"), 8
    W = start(2, half).view(rows, 5)
    state = {"W": W.clone()} | {name: torch.zeros_like(W) for name in ADAM}
    of_adam = {name: tensor.clone() for name, tensor in state.items()}
    plain = Hyperparameters(0.9, 0.9, 1e-8, 0.0)
    for t, grad in enumerate(gradients(2), start=1):
        grad = grad.view(rows, 5).to(W.dtype)
        update_(state, grad, Numbers(t, 1e-3, hyper), mean_square(grad))
        update_(of_adam, grad, Numbers(t, 1e-3, plain))
    v = state["exp_avg_sq"]
    assert torch.equal(v, v[:1].expand(rows, 5))
    mean = of_adam["exp_avg_sq"].double().mean(0)
    torch.testing.assert_close(v[0].double(), mean, rtol=0.02 if half else 1e-5, atol=0)
    assert same_bits(state["exp_avg"], of_adam["exp_avg"])
    assert not torch.equal(state["W"], of_adam["W"])


class TestStochasticRounding:
    def test_the_mean_is_kept(self):
        """Rounded a hundred thousand times, a value a quarter of the way up goes up a quarter."""
        low, high = 1.0, 1.0 + 2**-7
        values = torch.full((100_000,), low + (high - low) / 4)
        noise = Noise(0, "W").bits(1, values)
        for sign in (1, -1):
            rounded = round_stochastically(sign * values, noise).float()
            assert set(rounded.tolist()) == {sign * low, sign * high}
            up = (rounded == sign * high).float().mean().item()
            assert up == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 100_000) ** 0.5)

    def test_what_bfloat16_can_hold_stays(self):
        patterns = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
        values = patterns.view(torch.bfloat16)
        noise = torch.full((2**16,), 2**16 - 1, dtype=torch.int32)
        rounded = round_stochastically(values.float(), noise)
        number = ~torch.isnan(values)
        assert torch.equal(rounded.view(torch.int16)[number], patterns[number])
        assert torch.isnan(rounded[~number]).all()

    def test_the_extremes_of_the_noise_round_down_and_up(self):
        values = torch.tensor([1.0 + 2**-20, -1.0 - 2**-20])
        down, up = (torch.full((2,), n, dtype=torch.int32) for n in (0, 2**16 - 1))
        assert round_stochastically(values, down).tolist() == [1.0, -1.0]
        assert round_stochastically(values, up).tolist() == [1 + 2**-7, -1 - 2**-7]


class TestNoise:
    LIKE = torch.empty(64, 500)

    def test_it_is_uniform_in_every_bit(self):
        noise = Noise(3, "W").bits(7, self.LIKE)
        assert noise.min() >= 0
        assert noise.max() < 2**16
        for bit in range(16):
            ones = ((noise >> bit) & 1).float().mean().item()
            assert ones == pytest.approx(0.5, abs=5 * 0.5 / 32_000**0.5)
        counts = torch.bincount((noise >> 8).flatten(), minlength=256).double()
        chi_squared = float(((counts - 125) ** 2 / 125).sum())
        assert 255 - 5 * 510**0.5 < chi_squared < 255 + 5 * 510**0.5

    def test_neighbours_are_not_correlated(self):
        values = torch.stack([Noise(0, "W").bits(t, self.LIKE).flatten() for t in (1, 2)]).double()
        shifted = torch.stack([values[0, :-1], values[0, 1:]])
        for pair in (values, shifted):
            assert abs(torch.corrcoef(pair)[0, 1].item()) < 5 / 32_000**0.5

    @given(first=st.integers(0, 400), rows=st.integers(1, 20), t=st.integers(1, 10**6))
    def test_a_part_has_the_bits_of_the_whole(self, first, rows, t):
        whole = Noise(5, "W").bits(t, torch.empty(500, 4))
        part = Noise(5, "W", first * 4).bits(t, torch.empty(rows, 4))
        assert torch.equal(part, whole[first : first + rows])

    @pytest.mark.parametrize("other", [Noise(6, "W"), Noise(5, "V")])
    def test_seed_parameter_and_update_count(self, other):
        one = Noise(5, "W").bits(9, self.LIKE)
        assert (one != other.bits(9, self.LIKE)).float().mean() > 0.99
        assert (one != Noise(5, "W").bits(10, self.LIKE)).float().mean() > 0.99


REGIMES = ["pure-bf16", "bf16-weights", "bf16-stochastic", "bf16-kahan", "mixed", "fp32"]


@pytest.mark.parametrize("precision", REGIMES)
def test_first_update_moves_every_weight_by_the_learning_rate(precision):
    spec = RunSpec(precision=precision)
    dtype = torch.bfloat16 if "bf16" in precision else torch.float32
    parameter = torch.nn.Parameter(torch.zeros(4, dtype=dtype))
    parameter.grad = torch.tensor([1e-3, -1e-3, 5.0, -7.0], dtype=dtype)
    model = torch.nn.ParameterDict({"W": parameter})
    build_optimizer(spec, model).step()
    expected = -1e-3 * np.sign([1, -1, 1, -1])
    assert parameter.detach().float().numpy() == pytest.approx(expected, rel=2**-7)


def test_learning_rate_rises_and_stays():
    spec = RunSpec(lr=0.5, warmup=4)
    assert [learning_rate(spec, t) for t in (1, 2, 3, 4, 5)] == [0.125, 0.25, 0.375, 0.5, 0.5]
    assert {learning_rate(RunSpec(lr=0.5), t) for t in (1, 10, 10_000)} == {0.5}
