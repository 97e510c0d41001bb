"""The gradient's streams: what comes by which path."""

import math

import pytest
import torch
from backprop.random_models import random_case

from deadtokens.backprop.streams import (
    branch_cosines,
    path_names,
    path_shares,
    paths,
    row_paths,
    stream_norms,
)
from deadtokens.backprop.symbols import OUTSIDE
from deadtokens.run.spec import RunSpec


def planted(**streams):
    """Gradients of one block with one position of two components."""
    named = {"x2": (3, 4), "x1_by_MLP": (0, 12), "x1": (3, 16), "x0_by_attention": (-3, -16)}
    named |= {"x0": (0, 0)} | streams
    return {
        (1, name.replace("_", " ")): torch.tensor([[value]], dtype=torch.float64)
        for name, value in named.items()
    }


def random_flow(**fields):
    case = random_case(**fields)
    return case.gradients(), case.inputs, case.spec


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("mlp_residual", [True, False])
def test_paths_add_up_to_what_the_rows_receive(layers, tied, mlp_residual):
    case = random_case(layers=layers, tied=tied, mlp_residual=mlp_residual)
    gradients = case.gradients()
    assert len(path_names(layers)) == 2 * layers + 1
    torch.testing.assert_close(paths(gradients, case.spec).sum(0), gradients[1, "x0"])
    rows = row_paths(gradients, case.inputs, case.spec)
    tokens = case.inputs.unique()
    received = gradients[OUTSIDE, "W as input" if tied else "E"]
    assert rows.shape == (2 * layers + 1, len(tokens), case.spec.width)
    torch.testing.assert_close(rows.sum(0), received[tokens])
    unread = torch.ones(len(received), dtype=torch.bool).index_fill(0, tokens, False)
    assert (received[unread] == 0).all()


def test_without_branches_everything_comes_straight():
    """Zero output weights cut the branches off: the rows receive g_x2 of the last block alone."""
    case = random_case()
    for name, weight in case.named.items():
        if name.endswith(("contract.weight", "attention.output.weight")):
            weight.zero_()
    rows = row_paths(case.gradients(), case.inputs, case.spec)
    part = path_shares(rows)
    assert (part[0] == 1).all()
    assert (part[1:] == 0).all()


def test_a_branch_that_is_cut_off_brings_nothing():
    case = random_case()
    case.named["blocks.1.contract.weight"].zero_()
    part = path_shares(row_paths(case.gradients(), case.inputs, case.spec).flatten(1))
    off = dict(zip(path_names(2), (part == 0).tolist(), strict=True))
    assert [name for name, zero in off.items() if zero] == ["MLP 2"]


def test_without_a_path_around_the_mlps_all_comes_through_the_first_block():
    part = path_shares(row_paths(*random_flow(mlp_residual=False)).flatten(1))
    off = dict(zip(path_names(2), (part == 0).tolist(), strict=True))
    assert [name for name, zero in off.items() if not zero] == ["MLP 1", "attention 1"]


def test_nothing_goes_past_an_mlp_without_a_path_around_it():
    gradients, _, spec = random_flow(mlp_residual=False)
    cosines = branch_cosines(gradients, spec)
    assert cosines[:, 0].isnan().all()
    assert (cosines[:, 1].abs() <= 1).all()


def test_shares_are_along_the_sum():
    parts = torch.tensor([[[3.0, 0.0]], [[1.0, 4.0]], [[0.0, -4.0]]])  # sum (4, 0)
    assert path_shares(parts)[:, 0].tolist() == [0.75, 0.25, 0.0]
    opposed = torch.tensor([[[3.0, 0.0]], [[-1.0, 0.0]]])
    assert path_shares(opposed)[:, 0].tolist() == [1.5, -0.5]
    assert all(math.isnan(share) for share in path_shares(torch.zeros(2, 3)))


def test_norms_and_cosines_of_planted_streams():
    gradients = planted()
    expected = [5, 12, math.hypot(3, 16), math.hypot(3, 16), 0]
    assert stream_norms(gradients, 1).tolist() == [pytest.approx(expected)]
    cosines = branch_cosines(gradients, RunSpec(layers=1))
    assert cosines.tolist() == [pytest.approx([0.8, -1.0])]


def test_a_branch_that_brings_nothing_has_no_direction():
    cosines = branch_cosines(planted(x1_by_MLP=(0, 0)), RunSpec(layers=1))
    assert math.isnan(cosines[0, 0])
