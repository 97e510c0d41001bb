"""Forecasts of runs whose gradients really are p h, and of others."""

import numpy as np
import pytest
import torch

from deadtokens.drift.forecast import (
    EXACT,
    IN_FORMAT,
    SUMMED,
    describe_forecasts,
    forecast_paths,
    fraction_explained,
    path_explained,
    replay_centroid,
    replay_tokens,
    summed_path,
)
from deadtokens.training.optimizer import hyperparameters
from deadtokens.training.spec import RunSpec

UPDATES, TOKENS, WIDTH = 40, 6, 5


def planted(precision="fp32", dtype=torch.float32):
    """Return a run of torch's own AdamW on gradients p h: spec, W[0], p, h, the centroid's path."""
    generator = np.random.default_rng(0)
    spec = RunSpec(precision=precision)
    W = torch.from_numpy(0.02 * generator.normal(size=(TOKENS, WIDTH))).to(dtype)
    p = generator.uniform(1e-4, 1e-3, size=(UPDATES, TOKENS)).astype(np.float32)
    h = generator.normal(size=(UPDATES, WIDTH)) + 2
    weight = torch.nn.Parameter(W.clone())
    optimizer = torch.optim.AdamW([weight], lr=spec.lr, weight_decay=0.0, foreach=False)
    path = [weight.detach().double().mean(dim=0).numpy()]
    for update in range(UPDATES):
        weight.grad = torch.from_numpy(np.outer(p[update], h[update])).to(dtype)
        optimizer.step()
        path.append(weight.detach().double().mean(dim=0).numpy())
    return spec, W, p, h, np.stack(path)


@pytest.mark.parametrize(
    "precision, dtype", [("fp32", torch.float32), ("pure-bf16", torch.bfloat16)]
)
def test_a_run_driven_by_p_h_alone_is_forecast_exactly(precision, dtype):
    spec, W, p, h, path = planted(precision, dtype)
    assert replay_tokens(W, p, h, spec) == pytest.approx(path, abs=1e-12)


def test_formats_matter():
    spec, W, p, h, path = planted("pure-bf16", torch.bfloat16)
    lr = np.full(UPDATES, spec.lr)
    paths = forecast_paths(path, W, p, h, lr, spec)
    found = dict(zip(paths, describe_forecasts(path, paths)["forecast_end_explained"], strict=True))
    assert found[IN_FORMAT] == pytest.approx(1)
    assert 0.5 < found[EXACT] < 0.9999
    assert list(paths) == [IN_FORMAT, EXACT, SUMMED]


def test_another_hidden_state_explains_nothing():
    """Negative control: turned about, the mean hidden state forecasts worse than standing still."""
    spec, W, p, h, path = planted()
    assert fraction_explained(path, replay_tokens(W, p, -h, spec)) < -1
    assert fraction_explained(path, replay_tokens(W, p, h, spec)) == pytest.approx(1)


def test_one_token_is_torchs_adamw():
    spec, _, _, h, _ = planted()
    weight = torch.nn.Parameter(torch.ones(WIDTH, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=spec.lr, weight_decay=0.0)
    for update in range(UPDATES):
        weight.grad = torch.from_numpy(h[update])
        optimizer.step()
    found = replay_centroid(np.ones(WIDTH), h, np.full(UPDATES, spec.lr), hyperparameters(spec))
    assert found[-1] == pytest.approx(weight.detach().numpy(), rel=1e-12)
    assert found[1] == pytest.approx(1 - spec.lr * np.sign(h[0]), abs=1e-9)


def test_fractions_by_hand():
    centroid = np.array([[0.0, 0], [1, 0], [2, 0]])
    forecast = np.array([[0.0, 0], [0, 1], [2, 1]])
    assert fraction_explained(centroid, forecast) == pytest.approx(0.75)
    assert path_explained(centroid, forecast) == pytest.approx(1 - 3 / 5)
    assert fraction_explained(centroid, centroid) == 1
    assert fraction_explained(centroid, 0 * centroid) == 0
    assert np.isnan(fraction_explained(0 * centroid, forecast))


def test_the_sum_has_the_best_length_and_no_negative_one():
    h = np.array([[-1.0, 0], [-1, 0]])
    lr = np.array([0.1, 0.3])
    diagonal = np.array([[5.0, 5], [5.5, 5.5], [6, 6]])
    path = summed_path(diagonal, h, lr)
    assert path == pytest.approx(np.array([[5, 5], [5.25, 5], [6, 5]]))
    assert fraction_explained(diagonal, path) == pytest.approx(0.5)  # the squared cosine
    assert summed_path(diagonal, -h, lr) == pytest.approx(np.full((3, 2), 5.0))
