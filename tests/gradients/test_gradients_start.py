"""The softmax at the start: the prediction against drawn weights, and against the real model."""

import json
import math

import numpy as np
import pytest
import torch
import xarray as xr
from tiny import VOCABULARY, tiny_spec, tiny_stream, write_vocabulary

from deadtokens.cli import call
from deadtokens.gradients import initial_softmax
from deadtokens.gradients.draws import draw_probabilities
from deadtokens.gradients.initial_softmax import scan_embedding_std
from deadtokens.gradients.sides import run_pass
from deadtokens.gradients.start import other_std, predict_start
from deadtokens.run.spec import RunSpec
from deadtokens.training.batches import read_batch
from deadtokens.training.model import Transformer, initial_weights

STDS = (0.005, 0.02, 0.1, 0.2, 0.5, 1.0)
SPEC = RunSpec(precision="fp32", layers=1, batch=8)
SIZE = 2000


@pytest.fixture(scope="module")
def scanned():
    """Scan the default model over a text of 300 tokens, uniformly drawn; the others are dead."""
    stream = np.random.default_rng(3).integers(0, 300, 5000).astype(np.int32)
    return scan_embedding_std(SPEC, stream, np.arange(SIZE) >= 300, STDS)


def drawn(std, width, vocabulary, positions, rest, seed=1, tied=True):
    """Draw rows and streams, and compute the softmax of the module's assumptions outright.

    Returns the probability of a dead token at each position.
    """
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(vocabulary, width)) * std
    tokens = generator.choice(vocabulary // 2, positions, replace=False)
    stream = rows[tokens] + generator.normal(size=(positions, width)) * rest
    stream -= stream.mean(axis=1, keepdims=True)
    hidden = stream * math.sqrt(width) / np.linalg.norm(stream, axis=1, keepdims=True)
    scoring = rows if tied else generator.normal(size=(vocabulary, width)) * std
    scores = hidden @ scoring.T
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    return (p / p.sum(axis=1, keepdims=True))[:, vocabulary // 2 :].mean(axis=1)


@pytest.mark.parametrize(("std", "factor"), [(0.02, 1.01), (0.1, 1.03), (0.3, 1.2), (1.0, 2)])
@pytest.mark.parametrize("tied", [True, False])
def test_prediction_is_that_of_drawn_rows(std, factor, tied):
    spec = RunSpec(embedding_std=std, tied=tied)
    expected = np.median(drawn(std, spec.width, 2000, 1000, other_std(spec), tied=tied))
    predicted = predict_start(spec, 2000, 1000).typical_dead_probability
    assert 1 / factor < predicted / expected < factor


def test_draws_have_the_spread_of_seeds():
    """Forty outright computations, of which 95 % should lie in the range of the draws."""
    spec = RunSpec(embedding_std=0.5, batch=4, context=25)
    dead = np.arange(400) >= 200
    found = draw_probabilities(spec, np.where(dead, 0, 1 / 200), dead)
    rest = other_std(spec)
    expected = [drawn(0.5, spec.width, 400, 100, rest, seed).mean() for seed in range(40)]
    within = [found.min() <= one <= found.max() for one in expected]
    assert np.mean(within) > 0.8
    spread = np.log(found).std() / np.log(expected).std()
    assert 0.6 < spread < 1.7
    assert abs(np.median(np.log(found)) - np.median(np.log(expected))) < 1
    assert max(expected) > 3 * min(expected)  # there is a spread


def test_draws_know_the_frequencies_and_come_out_the_same_every_time():
    """A text of one token has one own score; of many, the shortest rows carry the mean."""
    spec = RunSpec(embedding_std=1.0, batch=4, context=25)
    dead = np.arange(400) >= 200
    many = draw_probabilities(spec, np.where(dead, 0, 1 / 200), dead)
    again = draw_probabilities(spec, np.where(dead, 0, 1 / 200), dead)
    one = draw_probabilities(spec, np.eye(400)[0], dead)
    assert (many == again).all()
    assert np.median(one) < np.median(many) / 100
    assert np.isnan(draw_probabilities(spec, np.ones(400) / 400, ~np.ones(400, bool))).all()


def test_prediction_follows_the_measurement_over_many_decades(scanned):
    tied = scanned.sel(tying="tied")
    ratio = tied.predicted_typical_dead_probability / tied.typical_dead_probability
    assert ratio[:4].values == pytest.approx(np.ones(4), rel=0.1)
    assert ratio[4:].values == pytest.approx(np.ones(2), abs=0.8)
    assert tied.typical_dead_probability[-1] * SIZE < 1e-12
    low, high = (tied[f"predicted_dead_probability_{end}"] for end in ("low", "high"))
    assert (tied.dead_probability[3:] > low[3:] / 3).all()
    assert (tied.dead_probability[3:] < high[3:] * 3).all()
    assert tied.dead_probability[0] * SIZE == pytest.approx(1, rel=1e-3)
    assert tied.dead_probability[-1] * SIZE < 1e-7
    assert tied.loss.values == pytest.approx(tied.predicted_loss.values, rel=0.02)
    assert tied.own_score.values == pytest.approx(tied.predicted_own_score.values, rel=0.1)


VARIANTS = {
    "constant spread": {"logit_spread": "constant"},
    "no path around the MLP": {"mlp_residual": False},
    "both, relu": {"logit_spread": "constant", "mlp_residual": False, "activation": "relu"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_prediction_follows_the_measurement_of_variants(variant):
    stream = np.random.default_rng(3).integers(0, 300, 5000).astype(np.int32)
    spec = SPEC.model_copy(update=VARIANTS[variant])
    found = scan_embedding_std(spec, stream, np.arange(SIZE) >= 300, (0.02, 0.2, 1.0))
    tied = found.sel(tying="tied")
    ratio = tied.predicted_typical_dead_probability / tied.typical_dead_probability
    assert ratio.values == pytest.approx([1, 1, 1], rel=0.5)
    assert tied.loss.values == pytest.approx(tied.predicted_loss.values, rel=0.03)
    if spec.mlp_residual:
        assert tied.own_score.values == pytest.approx(tied.predicted_own_score.values, rel=0.05)
        assert tied.dead_probability[-1] * SIZE < 1e-7
    else:  # the row that was read does not arrive, so nothing collapses, tied or not
        assert np.abs(tied.own_score).max() < 1
        assert tied.dead_probability.values * SIZE == pytest.approx([1, 1, 1], abs=0.1)
        low, high = (tied[f"predicted_dead_probability_{end}"] for end in ("low", "high"))
        assert (tied.dead_probability > 0.95 * low).all()
        assert (tied.dead_probability < 1.05 * high).all()


def test_untied_nothing_collapses(scanned):
    untied = scanned.sel(tying="untied")
    assert untied.dead_probability.values * SIZE == pytest.approx(np.ones(6), rel=0.5)
    assert untied.predicted_dead_probability.values * SIZE == pytest.approx(np.ones(6), rel=0.3)
    assert np.abs(untied.own_score).max() < 2
    assert untied.dead_gradient.min() > 1e-4


def test_live_are_the_tokens_of_the_one_batch(scanned):
    """Of the others of the text this batch says no more than of dead ones."""
    spec = SPEC.model_copy(update={"embedding_std": 0.02})
    stream = np.random.default_rng(3).integers(0, 300, 5000).astype(np.int32)
    inputs, targets = map(torch.from_numpy, read_batch(stream, spec.batch, spec.context, 0, 1))
    held = np.zeros(SIZE, bool)
    held[inputs] = held[targets] = True
    assert 0 < (~held[:300]).sum() < 300  # one batch has not all of them
    one = run_pass(spec, initial_weights(spec, SIZE), inputs, targets)
    norms = one.grad.double().norm(dim=1).numpy()
    live = scanned.live_gradient.sel(tying="tied", embedding_std=0.02)
    assert float(live) == pytest.approx(norms[held].mean(), rel=1e-9)
    assert norms[:300][~held[:300]].max() < 0.5 * norms[held].min()


def test_live_gradients_stay_where_dead_ones_collapse(scanned):
    tied = scanned.sel(tying="tied")
    assert tied.dead_gradient[0] / tied.dead_gradient[-1] > 1e7
    assert tied.live_gradient.max() / tied.live_gradient.min() < 4


def test_a_uniform_softmax_gives_the_gradient_that_the_seed_expects(scanned):
    smallest = scanned.sel(tying="tied", embedding_std=0.005)
    assert smallest.dead_gradient * SIZE == pytest.approx(float(smallest.mean_hidden), rel=0.01)
    assert smallest.loss == pytest.approx(math.log(SIZE), abs=0.02)


def test_without_the_own_score_the_prediction_fails():
    """The control: a prediction that forgets the residual stream misses by many decades."""
    spec = RunSpec(embedding_std=1.0)
    untied = spec.model_copy(update={"tied": False})
    ratio = (
        predict_start(untied, 4096, 1000).typical_dead_probability
        / predict_start(spec, 4096, 1000).typical_dead_probability
    )
    assert ratio > 1e12


def test_the_median_is_taken_over_tokens_and_not_over_positions():
    probability = torch.tensor([0.1, 0.3, 0.5, 0.6, 0.9], dtype=torch.float64)
    inputs = torch.tensor([7, 7, 2, 2, 4])
    assert initial_softmax._behind_median_token(probability, inputs) == pytest.approx(0.55)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_the_rest_of_the_stream_has_the_size_stated(activation):
    spec = RunSpec(precision="fp32", activation=activation, context=1, batch=256)
    model = Transformer(spec, 500).requires_grad_(False)
    tokens = torch.randint(0, 500, (256, 1), generator=torch.Generator().manual_seed(2))
    own = model.embedding(tokens)
    rest = torch.zeros_like(own) + model.positions.weight[:1]
    for block in model.blocks:  # attention left out, as the formula does
        rest = rest + block.contract(block.activation(block.expand(block.norm2(own + rest))))
    assert rest.std().item() == pytest.approx(other_std(spec), rel=0.15)


def test_no_dead_tokens_are_no_numbers():
    scan = scan_embedding_std(tiny_spec(), tiny_stream(), np.zeros(VOCABULARY, bool), (0.02,))
    assert np.isnan(scan.dead_gradient).all()
    assert np.isfinite(scan.live_gradient).all()


def test_the_command_writes_what_was_scanned(tmp_path):
    write_vocabulary(tmp_path)
    spec, output = tiny_spec(seed=7), tmp_path / "initial_softmax.nc"
    arguments = {
        "name": "tiny", "spec": spec.json_text(), "stream": tmp_path / "stream.nc",
        "census": tmp_path / "census.nc", "output": output,
    }  # fmt: skip
    call(
        "initial_softmax",
        [word for key, value in arguments.items() for word in (f"--{key}", str(value))],
    )
    written = xr.load_dataset(output, engine="h5netcdf")
    assert json.loads(written.attrs["spec"])["seed"] == 7
    inputs, targets = map(torch.from_numpy, read_batch(tiny_stream(), 3, 6, 7, 1))
    one = run_pass(spec, initial_weights(spec, VOCABULARY), inputs, targets)
    assert written.loss.sel(tying="tied", embedding_std=0.02) == one.loss
    assert all(variable.attrs["units"] for variable in written.data_vars.values())
