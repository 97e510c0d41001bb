"""Hindcasts of runs whose gradients really are p h, and of others."""

import numpy as np
import pytest
import torch

from deadtokens.drift.hindcast import (
    EXACT,
    IN_FORMAT,
    SUMMED,
    describe_hindcasts,
    fraction_explained,
    hindcast_paths,
    path_explained,
    replay_centroid,
    summed_path,
)
from deadtokens.run.spec import RunSpec

UPDATES, TOKENS, WIDTH = 40, 6, 5
NOTHING_SHARED = [None] * UPDATES


def planted(precision="fp32", dtype=torch.float32, clip=None):
    """Return a run of torch's own AdamW on gradients p h, clipped by torch.

    Returns its spec, W[0], p, h, the gradients' norms, and the centroid's path.
    """
    generator = np.random.default_rng(0)
    spec = RunSpec(precision=precision, clip=clip)
    W = torch.from_numpy(0.02 * generator.normal(size=(TOKENS, WIDTH))).to(dtype)
    p = generator.uniform(1e-4, 1e-3, size=(UPDATES, TOKENS)).astype(np.float32)
    h = generator.normal(size=(UPDATES, WIDTH)) + 2
    weight = torch.nn.Parameter(W.clone())
    optimizer = torch.optim.AdamW([weight], lr=spec.lr, weight_decay=0.0, foreach=False)
    path, norms = [weight.detach().double().mean(dim=0).numpy()], []
    for update in range(UPDATES):
        weight.grad = torch.from_numpy(np.outer(p[update], h[update])).to(dtype)
        norms.append(float(torch.nn.utils.clip_grad_norm_([weight], clip or np.inf)))
        optimizer.step()
        path.append(weight.detach().double().mean(dim=0).numpy())
    return spec, W, p, h, np.array(norms, np.float32), np.stack(path)


def hindcasts(spec, W, p, h, norms, path):
    """Return the hindcast paths by name."""
    return hindcast_paths(path, W, p, h, np.full(UPDATES, spec.lr), norms, spec, NOTHING_SHARED)


@pytest.mark.parametrize(
    ("precision", "dtype", "clip"),
    [
        ("fp32", torch.float32, None),
        ("pure-bf16", torch.bfloat16, None),
        ("fp32", torch.float32, 0.005),
    ],
)
def test_a_run_driven_by_p_h_alone_is_hindcast_exactly(precision, dtype, clip):
    run = planted(precision, dtype, clip)
    path = run[-1]
    assert hindcasts(*run)[IN_FORMAT] == pytest.approx(path, abs=1e-12)


def test_clipping_is_part_of_what_is_hindcast():
    """Gradients of which a few are clipped lead elsewhere than the same ones unclipped."""
    run = spec, *_, norms, path = planted(clip=0.005)
    assert 0.2 < (norms > 0.005).mean() < 0.9
    aware, blind = (
        {name: path_explained(path, one) for name, one in hindcasts(spec_of, *run[1:]).items()}
        for spec_of in (spec, spec.model_copy(update={"clip": None}))
    )
    assert aware[IN_FORMAT] == pytest.approx(1)
    assert blind[IN_FORMAT] < 0.9999
    assert aware[EXACT] != blind[EXACT] and aware[SUMMED] != blind[SUMMED]


def test_formats_matter():
    run = planted("pure-bf16", torch.bfloat16)
    paths = hindcasts(*run)
    explained = describe_hindcasts(run[-1], paths)["hindcast_end_explained"]
    found = dict(zip(paths, explained, strict=True))
    assert found[IN_FORMAT] == pytest.approx(1)
    assert 0.5 < found[EXACT] < 0.9999
    assert list(paths) == [IN_FORMAT, EXACT, SUMMED]


def test_another_hidden_state_explains_nothing():
    """Negative control: turned about, the mean hidden state hindcasts worse than standing still."""
    spec, W, p, h, norms, path = planted()
    turned, true = (hindcasts(spec, W, p, one, norms, path)[IN_FORMAT] for one in (-h, h))
    assert fraction_explained(path, turned) < -1
    assert fraction_explained(path, true) == pytest.approx(1)


def test_one_token_is_torchs_adamw():
    spec, _, _, h, *_ = planted()
    weight = torch.nn.Parameter(torch.ones(WIDTH, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=spec.lr, weight_decay=0.0)
    for update in range(UPDATES):
        weight.grad = torch.from_numpy(h[update])
        optimizer.step()
    found = replay_centroid(np.ones(WIDTH), h, np.full(UPDATES, spec.lr), spec, NOTHING_SHARED)
    assert found[-1] == pytest.approx(weight.detach().numpy(), rel=1e-12)
    assert found[1] == pytest.approx(1 - spec.lr * np.sign(h[0]), abs=1e-9)


def test_fractions_by_hand():
    centroid = np.array([[0.0, 0], [1, 0], [2, 0]])
    hindcast = np.array([[0.0, 0], [0, 1], [2, 1]])
    assert fraction_explained(centroid, hindcast) == pytest.approx(0.75)
    assert path_explained(centroid, hindcast) == pytest.approx(1 - 3 / 5)
    assert fraction_explained(centroid, centroid) == 1
    assert fraction_explained(centroid, 0 * centroid) == 0
    assert np.isnan(fraction_explained(0 * centroid, hindcast))


def test_the_sum_has_the_best_length_and_no_negative_one():
    h = np.array([[-1.0, 0], [-1, 0]])
    lr = np.array([0.1, 0.3])
    diagonal = np.array([[5.0, 5], [5.5, 5.5], [6, 6]])
    path = summed_path(diagonal, h, lr)
    assert path == pytest.approx(np.array([[5, 5], [5.25, 5], [6, 5]]))
    assert fraction_explained(diagonal, path) == pytest.approx(0.5)  # the squared cosine
    assert summed_path(diagonal, -h, lr) == pytest.approx(np.full((3, 2), 5.0))
