"""The softmax at the start: the prediction against drawn weights, and against the real model."""

import json
import math

import numpy as np
import pytest
import torch
import xarray as xr
from tiny import VOCABULARY, tiny_spec, tiny_stream, write_vocabulary

from deadtokens.gradients import initial
from deadtokens.gradients.initial import scan_embedding_std
from deadtokens.gradients.sides import initial_weights, run_pass
from deadtokens.gradients.start import other_std, predict_start
from deadtokens.training.batches import read_batch
from deadtokens.training.model import Transformer
from deadtokens.training.spec import RunSpec

STDS = (0.005, 0.02, 0.1, 0.2, 0.5, 1.0)
SPEC = RunSpec(precision="fp32", layers=1, batch=8)
SIZE = 2000


@pytest.fixture(scope="module")
def scanned():
    """Scan the default model over a text of 300 tokens, uniformly drawn; the others are dead."""
    stream = np.random.default_rng(3).integers(0, 300, 5000).astype(np.int32)
    return scan_embedding_std(SPEC, stream, np.arange(SIZE) >= 300, STDS)


def drawn(std, width, vocabulary, positions, rest):
    """Draw rows and streams, and compute the softmax of the module's assumptions outright."""
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(vocabulary, width)) * std
    tokens = generator.integers(0, vocabulary // 2, positions)
    stream = rows[tokens] + generator.normal(size=(positions, width)) * rest
    hidden = stream * math.sqrt(width) / np.linalg.norm(stream, axis=1, keepdims=True)
    scores = hidden @ rows.T
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    return (p / p.sum(axis=1, keepdims=True))[:, vocabulary // 2 :].mean()


@pytest.mark.parametrize(("std", "factor"), [(0.02, 1.01), (0.1, 1.05), (0.3, 1.5), (1.0, 30)])
def test_prediction_is_that_of_drawn_rows(std, factor):
    spec = RunSpec(embedding_std=std)
    expected = drawn(std, spec.width, 1000, spec.batch * spec.context, other_std(spec))
    predicted = predict_start(spec, 1000).dead_probability
    assert 1 / factor < predicted / expected < factor


def test_prediction_follows_the_measurement_over_eight_decades(scanned):
    tied = scanned.sel(tying="tied")
    ratio = tied.predicted_dead_probability / tied.dead_probability
    assert ratio[:4].values == pytest.approx(np.ones(4), rel=0.2)
    # Further on single draws carry the mean: another seed differs by a decade at 1.0.
    assert (np.abs(np.log10(ratio[4:])) < [1, 2.5]).all()
    assert tied.dead_probability[0] * SIZE == pytest.approx(1, rel=1e-3)
    assert tied.dead_probability[-1] * SIZE < 1e-7
    assert tied.loss.values == pytest.approx(tied.predicted_loss.values, rel=0.02)
    assert tied.own_score.values == pytest.approx(tied.predicted_own_score.values, rel=0.1)


def test_untied_nothing_collapses(scanned):
    untied = scanned.sel(tying="untied")
    assert untied.dead_probability.values * SIZE == pytest.approx(np.ones(6), rel=0.5)
    assert (untied.predicted_dead_probability == 1 / SIZE).all()
    assert np.abs(untied.own_score).max() < 2
    assert untied.dead_gradient.min() > 1e-4


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
        predict_start(untied, 4096).dead_probability / predict_start(spec, 4096).dead_probability
    )
    assert ratio > 1e6


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
    spec, output = tiny_spec(seed=7), tmp_path / "initial.nc"
    arguments = {
        "name": "tiny", "spec": spec.json_text(), "stream": tmp_path / "stream.nc",
        "census": tmp_path / "census.nc", "output": output,
    }  # fmt: skip
    initial.main([word for key, value in arguments.items() for word in (f"--{key}", str(value))])
    written = xr.load_dataset(output, engine="h5netcdf")
    assert json.loads(written.attrs["spec"])["seed"] == 7
    inputs, targets = map(torch.from_numpy, read_batch(tiny_stream(), 3, 6, 7, 1))
    one = run_pass(spec, initial_weights(spec, VOCABULARY), inputs, targets)
    assert written.loss.sel(tying="tied", embedding_std=0.02) == one.loss
    assert all(variable.attrs["units"] for variable in written.data_vars.values())
