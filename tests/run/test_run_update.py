"""The update rule: bit for bit torch's where torch has it, one rounding where it has not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.run.hyperparameters import Hyperparameters, learning_rate
from deadtokens.run.noise import Noise
from deadtokens.run.spec import RunSpec
from deadtokens.run.update import adamw_, round_stochastically, rounded_adamw_
from deadtokens.training.optimizer import build_optimizer

hypers = st.builds(
    Hyperparameters,
    beta1=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    beta2=st.sampled_from([0.9, 0.99, 0.997, 0.998, 0.999]),
    eps=st.sampled_from([1e-12, 1e-8, 1e-3]),
    weight_decay=st.sampled_from([0.0, 0.01, 0.1, 5.0]),
)
rates = st.sampled_from([1e-5, 3e-4, 1e-3, 0.1])


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


def by_us(W, grads, lr, hyper, rule=adamw_, moments=None):
    W = W.clone()
    m = torch.zeros_like(W, dtype=moments or W.dtype)
    v = torch.zeros_like(m)
    for t, grad in enumerate(grads, start=1):
        rule(W, grad.to(W.dtype), m, v, t, lr, hyper)
    return W, m, v


def same_bits(one, other):
    bits = {torch.float32: torch.int32, torch.bfloat16: torch.int16}[one.dtype]
    return torch.equal(one.view(bits), other.view(bits))


@settings(max_examples=60, deadline=None)
@given(hyper=hypers, lr=rates, seed=st.integers(0, 10_000), half=st.booleans())
def test_our_rule_is_torch_bit_for_bit(hyper, lr, seed, half):
    dtype = torch.bfloat16 if half else torch.float32
    W = torch.randn(40, generator=torch.Generator().manual_seed(seed)).mul(0.02).to(dtype)
    grads = gradients(seed)
    for ours, theirs in zip(by_us(W, grads, lr, hyper), by_torch(W, grads, lr, hyper), strict=True):
        assert same_bits(ours, theirs)


def test_another_order_of_operations_is_noticed():
    """The control: the textbook's formula in bf16 differs in bits, so the test above can fail."""
    hyper, lr, grads = Hyperparameters(0.9, 0.999, 1e-8, 0.0), 1e-3, gradients(3)
    W = torch.randn(40, generator=torch.Generator().manual_seed(3)).mul(0.02).bfloat16()

    def textbook(W, g, m, v, t, lr, hyper):
        m.copy_(hyper.beta1 * m + (1 - hyper.beta1) * g)
        v.copy_(hyper.beta2 * v + (1 - hyper.beta2) * g * g)
        m_hat, v_hat = m / (1 - hyper.beta1**t), v / (1 - hyper.beta2**t)
        W.sub_(lr * m_hat / (v_hat.sqrt() + hyper.eps))

    one, other = by_us(W, grads, lr, hyper), by_us(W, grads, lr, hyper, rule=textbook)
    assert not all(same_bits(a, b) for a, b in zip(one, other, strict=True))


@settings(max_examples=30, deadline=None)
@given(hyper=hypers, lr=rates, seed=st.integers(0, 10_000))
def test_rounded_rule_is_torch_in_float32_rounded_once(hyper, lr, seed):
    W = torch.randn(40, generator=torch.Generator().manual_seed(seed)).mul(0.02).bfloat16()
    grad = gradients(seed, 1)[0].bfloat16()
    exact = by_torch(W.float(), [grad.float()], lr, hyper)
    W_ours, m, v = by_us(W, [grad], lr, hyper, rounded_adamw_, torch.float32)
    assert same_bits(W_ours, exact[0].bfloat16())
    assert same_bits(m, exact[1])
    assert same_bits(v, exact[2])


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


REGIMES = ["pure-bf16", "bf16-weights", "bf16-stochastic", "mixed", "fp32"]


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
