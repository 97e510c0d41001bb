"""What an update gives to the record has the names of the layout."""

from dataclasses import fields

import torch

from deadtokens.run import layout
from deadtokens.run.outcome import Outcome


def test_an_outcome_has_what_a_layout_has_by_update():
    names = layout.UPDATE_TENSORS | layout.PATHWAYS | layout.PER_UPDATE | layout.COUPLING
    assert {field.name for field in fields(Outcome)} == set(names)


def test_of_a_gradient_alone_the_rest_is_zero():
    grad = torch.ones(5, 3)
    outcome = Outcome.of_gradient(grad)
    assert outcome.grad is grad
    assert (outcome.loss, outcome.lr, outcome.grad_norm) == (0, 0, 0)
    assert outcome.h_mean.tolist() == [0] * 3
    assert outcome.probability.tolist() == [0] * 5
    assert outcome.grad_input is outcome.grad_output is None
