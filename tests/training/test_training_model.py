"""The model: its size, its start, its causality, its loss."""

import math

import numpy as np
import pytest
import torch
from tiny import VOCABULARY, tiny_spec, tiny_trainer

from deadtokens.run.spec import RunSpec
from deadtokens.training.model import Transformer


def parameters(spec: RunSpec, vocabulary_size: int) -> int:
    model = Transformer(spec, vocabulary_size)
    return sum(parameter.numel() for parameter in model.parameters())


def test_crucible_has_748288_parameters():
    assert parameters(RunSpec(batch=128, context=128), 10_000) == 748_288


def test_untied_has_one_matrix_more():
    tied, untied = parameters(tiny_spec(), 23), parameters(tiny_spec(tied=False), 23)
    assert untied - tied == 23 * 8


def test_every_initial_value_is_set():
    model = Transformer(RunSpec(embedding_std=0.5), 4096)
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        if "norm" in name:
            assert (values == (1.0 if name.endswith("weight") else 0.0)).all()
        elif name.endswith("bias"):
            assert (values == 0).all()
        else:
            expected = 0.5 if name == "embedding.weight" else 0.02
            assert values.std().item() == pytest.approx(expected, rel=0.05)
            assert abs(values.mean().item()) < 5 * expected / math.sqrt(values.numel())


def test_initial_directions_do_not_depend_on_their_size():
    small, large = Transformer(tiny_spec(), 23), Transformer(tiny_spec(embedding_std=1.0), 23)
    torch.testing.assert_close(small.W / 0.02, large.W)
    assert not torch.equal(small.W, Transformer(tiny_spec(seed=1), 23).W)


def test_a_token_sees_only_those_before_it():
    model = Transformer(tiny_spec(), VOCABULARY)
    tokens = torch.arange(6)[None]
    changed = tokens.clone()
    changed[0, 4] = 9
    before, after = model(tokens)[0], model(changed)[0]
    assert torch.equal(before[:4], after[:4])
    assert not torch.equal(before[4:], after[4:])


def test_first_loss_is_that_of_a_uniform_guess():
    trainer = tiny_trainer()
    outcome = trainer.advance()
    assert outcome.loss == pytest.approx(math.log(VOCABULARY), abs=0.02)
    assert outcome.probability.numpy() * VOCABULARY == pytest.approx(np.ones(VOCABULARY), abs=0.1)
