"""The two sides of W's gradient: bit for bit the training's, and what the formulas say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import LIVE, VOCABULARY, tiny_stream, tiny_trainer

from deadtokens.gradients.checks import CHECKS, TOLERANCES, check_pass
from deadtokens.gradients.formulas import predict, sum_over_vocabulary
from deadtokens.gradients.probe import clip
from deadtokens.gradients.sides import run_pass
from deadtokens.gradients.temperature import temperature
from deadtokens.run.precision import REGIMES
from deadtokens.training.batches import read_batch
from deadtokens.training.model import initial_weights

DEAD = torch.arange(VOCABULARY) >= LIVE


def batch_of(spec, update):
    return map(
        torch.from_numpy, read_batch(tiny_stream(), spec.batch, spec.context, spec.seed, update)
    )


def trained(updates=4, **fields):
    """Return a trainer, the weights before its last update, and that update's outcome."""
    trainer = tiny_trainer(lr=1e-2, **fields)
    for _ in range(updates - 1):
        trainer.advance()
    weights = {name: tensor.detach().clone() for name, tensor in trainer.model.named_parameters()}
    return trainer, weights, trainer.advance()


def one_pass(weights, spec, update=4):
    inputs, targets = batch_of(spec, update)
    return run_pass(spec, weights, inputs, targets), inputs


VARIANTS = [{}, {"tied": False}, {"mlp_residual": False}, {"logit_spread": "constant"}]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("precision", REGIMES)
def test_the_sides_sum_to_the_training_gradient_in_every_bit(precision, variant):
    trainer, weights, outcome = trained(precision=precision, **variant)
    one, _ = one_pass(weights, trainer.spec)
    assert one.loss == outcome.loss
    assert one.grad.dtype == outcome.grad.dtype
    assert torch.equal(one.grad, outcome.grad)
    assert not torch.equal(one.output_side, outcome.grad) or not trainer.spec.tied


def test_logits_of_a_constant_spread_are_the_recorded_hidden_states_with_W():
    """What scores is what is recorded: W h in every run, with the spread of the start."""
    trainer, weights, outcome = trained(precision="fp32", logit_spread="constant", updates=30)
    one, _ = one_pass(weights, trainer.spec, update=30)
    W = weights["embedding.weight"].double()
    products = one.hidden.double() @ W.T
    torch.testing.assert_close(one.logits.double(), products, rtol=1e-5, atol=1e-6)
    assert one.logits.numpy().std(axis=1) == pytest.approx(0.02 * 8**0.5, rel=1e-5)
    assert temperature(one.logits, torch.ones_like(DEAD)) == pytest.approx(1 / (0.02 * 8**0.5))
    torch.testing.assert_close(one.hidden.mean(0), outcome.h_mean)
    lengths = one.hidden.norm(dim=1)
    assert lengths.max() < 0.9 * 8**0.5  # W has grown since the start


def test_clipping_is_applied_as_in_training():
    trainer, weights, outcome = trained(clip=0.05, precision="pure-bf16")
    one, _ = one_pass(weights, trainer.spec)
    assert not torch.equal(one.grad, outcome.grad)
    assert torch.equal(clip(one.grad, outcome.grad_norm, trainer.spec), outcome.grad)


def test_initial_weights_are_those_of_the_run():
    for tied in (True, False):
        trainer = tiny_trainer(tied=tied, embedding_std=0.3)
        weights = initial_weights(trainer.spec, VOCABULARY)
        parameters = dict(trainer.model.named_parameters())
        assert weights.keys() == parameters.keys()
        assert all(torch.equal(weights[name], parameters[name]) for name in weights)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("precision", REGIMES)
def test_every_formula_holds(precision, variant):
    trainer, weights, _ = trained(precision=precision, embedding_std=0.2, **variant)
    deviations, _ = check_pass(*one_pass(weights, trainer.spec), DEAD)
    assert list(deviations) == list(CHECKS)
    for name, deviation in deviations.items():
        assert deviation <= TOLERANCES[name], name
    assert deviations["output side"] > 0  # rounding there is


def test_the_formulas_are_those_of_numpy():
    trainer, weights, _ = trained(precision="fp32", embedding_std=0.3)
    one, _ = one_pass(weights, trainer.spec)
    logits, h = one.logits.double().numpy(), one.hidden.double().numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.eye(VOCABULARY)[one.targets.numpy()]
    said = predict(one.logits, one.hidden, one.targets)
    mean = np.mean((p - y)[:, :, None] * h[:, None, :], axis=0)
    assert said.error_rows.numpy() == pytest.approx(mean, abs=1e-14)
    mean = np.mean(p[:, :, None] * h[:, None, :], axis=0)
    assert said.probability_rows.numpy() == pytest.approx(mean, abs=1e-14)
    mean = np.mean((p + y)[:, :, None] * np.abs(h)[:, None, :], axis=0)
    assert said.terms.numpy() == pytest.approx(mean, abs=1e-14)
    assert said.probability.numpy() == pytest.approx(p.mean(axis=0))
    assert said.entropy == pytest.approx(-(p * np.log(p)).sum(axis=1).mean())
    assert said.top_probability == pytest.approx(p.max(axis=1).mean())


def test_slices_of_positions_give_the_same(monkeypatch):
    trainer, weights, _ = trained(precision="fp32")
    one, _ = one_pass(weights, trainer.spec)
    whole = predict(one.logits, one.hidden, one.targets)
    monkeypatch.setattr("deadtokens.gradients.formulas.SLICE", 5)
    sliced = predict(one.logits, one.hidden, one.targets)
    torch.testing.assert_close(whole.error_rows, sliced.error_rows, rtol=1e-12, atol=1e-16)
    assert whole.entropy == pytest.approx(sliced.entropy)


MISTAKES = {
    "labels of the next position": lambda one: replace(one, targets=one.targets.roll(1)),
    "hidden states of the next position": lambda one: replace(one, hidden=one.hidden.roll(1, 0)),
    "a sum instead of a mean": lambda one: replace(one, output_side=one.output_side * 18),
    "two rows exchanged": lambda one: replace(one, output_side=one.output_side.roll(1, 0)),
}


@pytest.mark.parametrize("precision", ["fp32", "pure-bf16"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_formula_fails_the_check(mistake, precision):
    trainer, weights, _ = trained(precision=precision)
    one, inputs = one_pass(weights, trainer.spec)
    deviations, _ = check_pass(MISTAKES[mistake](one), inputs, DEAD)
    assert deviations["output side"] > 3


def test_a_forgotten_factor_fails_the_check():
    """The gradient of constant logits is not that of the hidden states before they were scaled."""
    trainer, weights, _ = trained(precision="fp32", logit_spread="constant", updates=30)
    one, inputs = one_pass(weights, trainer.spec, update=30)
    free = trainer.spec.model_copy(update={"logit_spread": "free"})
    unscaled = replace(one, hidden=one_pass(weights, free, update=30)[0].hidden)
    assert check_pass(one, inputs, DEAD)[0]["output side"] <= 1
    assert check_pass(unscaled, inputs, DEAD)[0]["output side"] > 100


def test_live_rows_fail_the_checks_of_dead_ones():
    trainer, weights, _ = trained(precision="fp32")
    one, inputs = one_pass(weights, trainer.spec)
    deviations, _ = check_pass(one, inputs, ~DEAD)
    assert deviations["dead rows"] > 1000
    assert deviations["dead input side"] > 0


def test_a_dead_row_with_an_input_side_is_seen():
    trainer, weights, _ = trained(precision="fp32")
    one, inputs = one_pass(weights, trainer.spec)
    one.input_side[LIVE, 3] = 1e-30
    deviations, _ = check_pass(one, inputs, DEAD)
    assert deviations["dead input side"] == deviations["absent input side"] == 1


def test_only_the_output_side_sums_to_zero():
    trainer, weights, _ = trained(precision="fp32")
    one, inputs = one_pass(weights, trainer.spec)
    assert sum_over_vocabulary(one.output_side) < 1e-6
    assert sum_over_vocabulary(one.grad) > 1e-3
    without_a_row = replace(one, output_side=one.output_side.clone())
    without_a_row.output_side[2] = 0
    assert check_pass(without_a_row, inputs, DEAD)[0]["zero sum"] > 100


def test_without_dead_tokens_the_checks_of_dead_rows_are_empty():
    trainer, weights, _ = trained(precision="fp32")
    deviations, _ = check_pass(*one_pass(weights, trainer.spec), torch.zeros_like(DEAD))
    assert deviations["dead rows"] == deviations["dead input side"] == 0
