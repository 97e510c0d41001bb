"""The riddle of the vanished gradient: the softmax at the start, by the embedding's scale.

One batch forward and back at the initial weights, tied and untied, for standard deviations of the
embedding from 0.005 to 1; all other weights stay. Nothing is trained.
"""

import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from deadtokens.arguments import add_output, add_untrained_run
from deadtokens.gradients.draws import draw_probabilities
from deadtokens.gradients.sides import Pass, run_pass
from deadtokens.gradients.start import predict_start
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run.device import describe_device, make_deterministic
from deadtokens.run.spec import RunSpec, read_spec
from deadtokens.text.read import read_vocabulary
from deadtokens.training.batches import batch_of
from deadtokens.training.model import initial_weights

EMBEDDING_STDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.35, 0.5, 0.7, 1.0)
_AXES = ("tying", "embedding_std")
# Name: axes, long name, unit.
QUANTITIES = {
    "loss": (_AXES, "mean cross-entropy of the first batch", "nat"),
    "dead_probability": (_AXES, "predicted probability of a dead token, mean over positions", "1"),
    "typical_dead_probability": (_AXES, "the same, but behind the median of the input tokens", "1"),
    "dead_gradient": (
        _AXES,
        "norm of dL/dW of a dead token's row, not clipped, mean over tokens",
        "nat",
    ),
    "live_gradient": (
        _AXES,
        "the same of the tokens that stand in the batch, input or label",
        "nat",
    ),
    "mean_hidden": (_AXES, "norm of the mean final hidden state", "1"),
    "own_score": (_AXES, "logit of the input token, mean over positions", "nat"),
    "predicted_loss": (
        _AXES,
        "loss predicted from the sizes of model and vocabulary and the standard deviations of the "
        "weights: the input token's row has the part s^2 / (s^2 + tau^2) of the variance of the "
        "last stream, with s embedding_std and tau that of positions and MLPs",
        "nat",
    ),
    "predicted_own_score": (_AXES, "own_score predicted from the same", "nat"),
    "predicted_typical_dead_probability": (_AXES, "typical_dead_probability from the same", "1"),
    "predicted_dead_probability": (_AXES, "median of dead_probability over drawn weights", "1"),
    "predicted_dead_probability_low": (
        _AXES,
        "smallest of those draws: 95 % of seeds lie between",
        "1",
    ),
    "predicted_dead_probability_high": (_AXES, "largest of those draws", "1"),
}
COORDINATES = {
    "tying": (),
    "embedding_std": ("standard deviation of the rows of W", "weight"),
}


def measure_start(one: Pass, inputs: torch.Tensor, dead: torch.Tensor) -> dict[str, float]:
    """Return the measured ones of `QUANTITIES`; NaN for an empty population.

    No other batch has been seen: live are the tokens of this one. Those that it lacks receive what
    dead ones do, however often they occur in the text.

    Parameters
    ----------
    one : Pass
    inputs : int64 Tensor of shape (batch, context)
    dead : bool Tensor of shape (vocabulary,)
    """
    logits, grad = one.logits.double(), one.grad.double().norm(dim=1)
    live = torch.zeros_like(dead)
    live[torch.cat([inputs.flatten(), one.targets])] = True
    own = logits.gather(1, inputs.flatten()[:, None])
    probability = torch.softmax(logits, 1)[:, dead].mean(1)
    return {
        "loss": one.loss,
        "dead_probability": float(probability.mean()),
        "typical_dead_probability": _behind_median_token(probability, inputs.flatten()),
        "dead_gradient": float(grad[dead].mean()),
        "live_gradient": float(grad[live].mean()),
        "mean_hidden": float(one.hidden.double().mean(0).norm()),
        "own_score": float(own.mean()),
    }


def _behind_median_token(probability: torch.Tensor, inputs: torch.Tensor) -> float:
    """Return the median over input tokens of each one's mean over its positions."""
    tokens, place, counts = inputs.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(tokens), dtype=probability.dtype).index_add_(0, place, probability)
    return float((sums / counts).quantile(0.5))


def predict(spec: RunSpec, frequency: np.ndarray, dead: np.ndarray) -> dict[str, float]:
    """Return the predicted ones of `QUANTITIES`.

    Parameters
    ----------
    spec : RunSpec
    frequency : ndarray of shape (vocabulary,)
        Unigram frequencies.
    dead : bool ndarray of shape (vocabulary,)
    """
    said = vars(predict_start(spec, len(dead), np.count_nonzero(dead)))
    drawn = draw_probabilities(spec, frequency, dead)
    middle = {"": np.median(drawn), "_low": drawn.min(), "_high": drawn.max()}
    return {f"predicted_{name}": value for name, value in said.items()} | {
        f"predicted_dead_probability{end}": float(value) for end, value in middle.items()
    }


def scan_embedding_std(
    spec: RunSpec, stream: np.ndarray, dead: np.ndarray, stds: Sequence[float] = EMBEDDING_STDS
) -> xr.Dataset:
    """Return `QUANTITIES` over ``tying`` and ``embedding_std``.

    Parameters
    ----------
    spec : RunSpec
        Of the run whose embedding is varied; its first batch is used.
    stream : int32 ndarray of shape (tokens,)
    dead : bool ndarray of shape (vocabulary,)
    stds : sequence of float
    """
    batch = batch_of(spec, stream, update=1)
    inputs, targets = map(torch.from_numpy, batch)
    frequency = np.bincount(stream, minlength=len(dead)) / len(stream)
    values = np.empty((len(QUANTITIES), 2, len(stds)))
    for row, tied in enumerate((True, False)):
        for column, std in enumerate(stds):
            varied = spec.model_copy(update={"embedding_std": std, "tied": tied})
            one = run_pass(varied, initial_weights(varied, len(dead)), inputs, targets)
            measured = measure_start(one, inputs, torch.from_numpy(dead))
            measured |= predict(varied, frequency, dead)
            values[:, row, column] = [measured[name] for name in QUANTITIES]
    axes = {"tying": ["tied", "untied"], "embedding_std": list(stds)}
    return label(dict(zip(QUANTITIES, values, strict=True)) | axes, QUANTITIES, COORDINATES)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_untrained_run(parser)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``initial_softmax``."""
    spec = read_spec(options.spec)
    make_deterministic(spec.threads)
    stream, _, census = read_vocabulary(options.stream, options.census, spec.vocabulary)
    dead = census["dead"].values.astype(bool)
    start = scan_embedding_std(spec, stream, dead)
    about = {
        "run": options.name,
        "spec": spec.json_text(),
        "vocabulary_size": len(dead),
        "dead_tokens": int(dead.sum()),
        "device": describe_device(torch.device("cpu")),
    }
    write(start.assign_attrs(about), options.output)
    first, last = start.dead_gradient.sel(tying="tied")[[0, -1]].values
    logging.getLogger(__name__).info(
        f"initial_softmax {options.name}: dead gradients of {first:.2g} with embedding_std "
        f"{EMBEDDING_STDS[0]}, of {last:.2g} with {EMBEDDING_STDS[-1]}"
    )
