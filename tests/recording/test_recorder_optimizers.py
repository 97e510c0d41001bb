"""Optimizers whose options or moments are none that a record knows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import Model, train

from deadtokens import attribute_motion, audit_run, explain_stillness, measure_freezing
from deadtokens.errors import UserError
from deadtokens.recording.recorder import Recorder
from deadtokens.trajectory.reader import open_run

NUMBERS = ("lr", "beta1", "beta2", "eps", "weight_decay")


class Own(torch.optim.Optimizer):
    """Descends along a moment of its own format."""

    def __init__(self, parameters, moment: torch.dtype = torch.float32, **options):
        super().__init__(parameters, options)
        self.moment = moment

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for one in group["params"]:
                state = self.state[one]
                if not state:
                    state["exp_avg"] = torch.zeros_like(one, dtype=self.moment)
                state["exp_avg"].mul_(0.5).add_(one.grad.to(self.moment), alpha=0.5)
                one.sub_(state["exp_avg"].to(one.dtype), alpha=0.1)


OPTIMIZERS = {
    "Adafactor": (
        lambda of: torch.optim.Adafactor(of, lr=0.01, weight_decay=0.5),
        {"lr": 0.01, "weight_decay": 0.5},
    ),
    "three decays": (lambda of: Own(of, lr=0.25, betas=(0.5, 0.75, 0.875)), {"lr": 0.25}),
    "no pair": (lambda of: Own(of, lr=0.25, betas=0.5, eps=0.125), {"lr": 0.25, "eps": 0.125}),
    "no rate": (lambda of: Own(of, lr=None, betas=(0.5, 0.75)), {"beta1": 0.5, "beta2": 0.75}),
    "several rates": (lambda of: Own(of, lr=torch.ones(2), momentum=0.5), {"beta1": 0.5}),
}


def recorded(folder: Path, model: Model, optimizer) -> np.ndarray:
    """Record a training; return W as its loop saw it."""
    with Recorder(folder, model.embedding.weight, optimizer, embedding=model.embedding):
        return np.array(train(model, optimizer, range(5)).W)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_option_that_is_no_single_number_is_none(tmp_path, kind):
    make, known = OPTIMIZERS[kind]
    model = Model()
    W = recorded(tmp_path / "mine", model, make(model.parameters()))
    run = open_run(tmp_path / "mine")
    assert np.array_equal(run.W, W)
    for name in NUMBERS:
        expected = [known.get(name, np.nan)] * 5
        assert np.array_equal(run[name].values, expected, equal_nan=True), name


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_such_a_record_says_what_no_formula_takes(tmp_path, kind):
    make, _ = OPTIMIZERS[kind]
    model = Model()
    W = recorded(tmp_path / "mine", model, make(model.parameters()))
    still = (W[1:] == W[:-1]).all(2)
    found = measure_freezing(tmp_path / "mine")
    dead = found.dead.values
    assert np.array_equal(found.frozen_fraction.sel(population="dead"), still[:, dead].mean(1))
    for analysis in (audit_run, attribute_motion, explain_stillness):
        with pytest.raises(UserError, match=r"is no optimizer (of torch )?whose update is known"):
            analysis(tmp_path / "mine")


def test_a_training_with_such_options_goes_on_in_its_record(tmp_path):
    model = Model()
    optimizer = OPTIMIZERS["Adafactor"][0](model.parameters())
    first = recorded(tmp_path / "mine", model, optimizer)
    second = recorded(tmp_path / "mine", model, optimizer)
    assert np.array_equal(open_run(tmp_path / "mine").W, [*first, *second[1:]])


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        (torch.float32, True),
        (torch.bfloat16, True),
        (torch.float16, False),
        (torch.float64, False),
    ],
)
def test_a_moment_of_a_format_that_is_not_recorded_is_left_out(tmp_path, moment, kept):
    model = Model()
    optimizer = Own(model.parameters(), moment, lr=0.1)
    W = recorded(tmp_path / "mine", model, optimizer)
    run = open_run(tmp_path / "mine")
    assert np.array_equal(run.W, W)
    assert ("exp_avg" in run) == kept
    if kept:
        last = optimizer.state[model.embedding.weight]["exp_avg"].float()
        assert last.any()
        assert np.array_equal(run.exp_avg[-1], last)
