"""One run, update by update."""

import math
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deadtokens.run import layout
from deadtokens.run.clipping import clip_scale
from deadtokens.run.hyperparameters import learning_rate
from deadtokens.run.outcome import Outcome
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import carried_formats, is_coupled, state_formats
from deadtokens.training.batches import batches_of, to_device
from deadtokens.training.captured import CapturedUpdate, CudaGraph, capture
from deadtokens.training.loss import Prediction
from deadtokens.training.model import initial_model
from deadtokens.training.optimizer import UpdateRule, build_optimizer

# Updates whose losses are read together, by the kind of device; one at a time on the others. A read
# waits until a GPU has nothing left to do.
BLOCKS = {"cuda": 32}
# How updates are captured, by the kind of device; on the others they are not.
GRAPHS = {"cuda": CudaGraph}


class Forward(NamedTuple):
    """What the forward pass of an update gives to its backward pass and to the record."""

    hidden: Tensor
    prediction: Prediction
    pathways: dict[str, Tensor]


class Trainer:
    """Model, optimizer and the number of updates applied so far.

    Parameters
    ----------
    spec : RunSpec
    stream : ndarray of shape (tokens,)
        Token ids of the training corpus.
    vocabulary_size : int
    device : torch.device
    """

    def __init__(
        self, spec: RunSpec, stream: np.ndarray, vocabulary_size: int, device: torch.device
    ):
        self.spec, self.stream, self.device = spec, stream, device
        self.regime = REGIMES[spec.precision]
        self.model = initial_model(spec, vocabulary_size).to(device)
        self.optimizer = build_optimizer(spec, self.model)
        self.block = BLOCKS.get(device.type, 1)
        self.graph = GRAPHS.get(device.type)
        self.captured: CapturedUpdate | None = None
        self.ahead: tuple[range, Tensor] | None = None
        self.update = 0
        self.diverged_at: int | None = None
        self.dtypes: dict[str, str] = {}

    def advance(self) -> Outcome | None:
        """Apply the next update; None, with `diverged_at` set, if its loss is not finite.

        The gradients of the outcome are overwritten by the next update.
        """
        return next(self.advance_block(self.update + 1), None)

    def advance_block(self, last: int) -> Iterator[Outcome]:
        """Apply the updates until `last`, at most a block of them, and yield each one's outcome.

        The losses are read together, before the last of these updates is applied, whose outcome
        has its loss as a number. If one is not finite, `diverged_at` is set, the trainer returns to
        the state before that update, and the outcomes behind `update` are void.
        """
        updates = self._block_from(self.update + 1, last)
        start = _Snapshot(self) if len(updates) > 1 else None
        batches, losses = self._take_batches(updates), []
        self._prepare(updates, batches[0])
        for batch in batches:
            forward = self.captured.forward(batch) if self.captured else self.forward(batch)
            losses.append(forward.prediction.loss.detach().clone())
            if len(losses) == len(updates):
                if start:  # a GPU still has much of the block to do
                    self._bring_ahead(self._block_from(updates.stop, last))
                losses = torch.stack(losses).tolist()
                finite = len(list(takewhile(math.isfinite, losses)))
                if finite < len(losses):
                    self._diverge(updates[finite], start, batches[:finite])
                    return
            yield self._apply(forward, losses[-1])

    def _block_from(self, update: int, last: int) -> range:
        return range(update, min(update + self.block - 1, last) + 1)

    def _bring_ahead(self, updates: range) -> None:
        self.ahead = (updates, self.batches(updates)) if updates else None

    def _take_batches(self, updates: range) -> Tensor:
        """Return the batches of updates, which may have been brought to the device before."""
        known, self.ahead = self.ahead, None
        return known[1] if known and known[0] == updates else self.batches(updates)

    def batches(self, updates: range) -> Tensor:
        """Return the tokens of the updates' batches, see `batches_of`, on the device."""
        tokens = torch.from_numpy(batches_of(self.spec, self.stream, updates))
        return to_device(tokens, self.device)

    def _prepare(self, updates: range, batch: Tensor) -> None:
        """Capture an update, where that can be done and one has been applied; say what comes."""
        if self.graph and not self.captured and self.dtypes:
            rule = UpdateRule(dict(self.model.named_parameters()), self.spec)
            rule.state = self.optimizer.state
            self.captured = capture(rule, batch, self.forward, self.descend, self.graph)
            self.graph = None
        if self.captured:
            self.captured.prepare(updates)

    def forward(self, batch: Tensor) -> Forward:
        """Return what the model makes of a batch, its tokens (batch, context + 1)."""
        inputs, targets = batch[:, :-1], batch[:, 1:]
        pathways = self._pathways()
        hidden = self.model(inputs, pathways.get("grad_input"))
        rows = pathways.get("grad_output")
        prediction = self.model.predict(hidden.flatten(0, 1), targets.flatten(), rows)
        return Forward(hidden, prediction, pathways)

    def _diverge(self, update: int, start: "_Snapshot | None", batches: Tensor) -> None:
        """End before an update; if it has been applied, by repeating those before it from `start`.

        They give the same bits again: so no more than the state at a block's start is kept.
        """
        if self.update >= update:
            self.captured, self.graph = None, None  # what was captured moves tensors that are left
            start.restore(self)
            for batch in batches:
                forward = self.forward(batch)
                self._apply(forward, forward.prediction.loss.detach())
        self.diverged_at = update

    def _apply(self, forward: Forward, loss: Tensor | float) -> Outcome:
        """Apply the update whose forward pass is given, and return what it gives to the record."""
        self.update += 1
        lr = learning_rate(self.spec, self.update)
        if self.captured:
            given = self.captured.apply()
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            given = self.descend(forward, self.optimizer.step)
        if not self.dtypes:
            self.dtypes = self._check_dtypes(forward.prediction.arithmetic)
        return Outcome(loss=loss, lr=lr, **given)

    def descend(self, forward: Forward, step: Callable[[], None]) -> dict[str, Tensor]:
        """Find the gradients, take a step along them, and return what the record needs of it.

        Parameters
        ----------
        forward : Forward
        step : callable
            Moves the parameters by their gradients.

        Returns
        -------
        dict of str to Tensor
            By the names of `Outcome`.
        """
        hidden, prediction, pathways = forward
        self.optimizer.zero_grad(set_to_none=True)
        prediction.loss.backward()
        grad_norm = self._clip()
        step()
        W = self.model.W
        given = {"grad": W.grad, "grad_norm": grad_norm, "entropy": prediction.entropy}
        given["h_mean"] = _as_they_score(hidden, prediction.factor).mean((0, 1))
        given["probability"] = prediction.probability
        if is_coupled(self.spec):
            given["grad_sq_mean"] = self.optimizer.state[W]["grad_sq_mean"]
        return given | {name: view.grad for name, view in pathways.items()}

    def state(self) -> dict[str, Tensor]:
        """Return W and what is carried beside it, zeros at first, each (vocabulary, width)."""
        W = self.model.W
        held = {"W": W.detach()} | self.optimizer.state.get(W, {})
        return {
            name: (held[name] if name in held else torch.zeros_like(W)).to(getattr(torch, format))
            for name, format in state_formats(self.spec).items()
        }

    def _pathways(self) -> dict[str, Tensor]:
        """Return a view of W for each pathway that is recorded; each will keep its own gradient."""
        if not self.spec.record.pathways:
            return {}
        views = {name: self.model.W.view_as(self.model.W) for name in layout.PATHWAYS}
        for view in views.values():
            view.retain_grad()
        return views

    def _clip(self) -> Tensor:
        """Return the whole gradient's norm, summed in float32; scale the gradient if too large."""
        gradients = [parameter.grad for parameter in self.model.parameters()]
        norms = torch._foreach_norm(gradients, dtype=torch.float32)
        norm = torch.linalg.vector_norm(torch.stack(norms))
        if self.spec.clip is not None:
            scale = clip_scale(norm, self.spec.clip)
            torch._foreach_mul_(gradients, scale.to(gradients[0].dtype))
        return norm

    def _check_dtypes(self, arithmetic: torch.dtype) -> dict[str, str]:
        """Return the formats of the regime, once every tensor in use is found to have them."""
        regime, parameters = self.regime, list(self.model.parameters())
        states = [self.optimizer.state[parameter] for parameter in parameters]
        checks = {
            "parameters": (regime.parameters, [parameter.dtype for parameter in parameters]),
            "gradients": (regime.parameters, [parameter.grad.dtype for parameter in parameters]),
            "arithmetic": (regime.arithmetic, [arithmetic]),
        } | {
            name: (format, [state[name].dtype for state in states])
            for name, format in carried_formats(self.spec).items()
        }
        for part, (expected, used) in checks.items():
            wrong = set(used) - {getattr(torch, expected)}
            if wrong:
                raise AssertionError(f"{self.spec.precision}: {part} in {wrong}, not {expected}")
        return {part: expected for part, (expected, _) in checks.items()}


class _Snapshot:
    """A copy of a trainer's state."""

    def __init__(self, trainer: Trainer):
        self.update, self.dtypes = trainer.update, trainer.dtypes
        self.weights = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        self.beside = {
            parameter: {name: tensor.clone() for name, tensor in held.items()}
            for parameter, held in trainer.optimizer.state.items()
        }

    @torch.no_grad()
    def restore(self, trainer: Trainer) -> None:
        """Set a trainer to the copy, which becomes its own: only once."""
        trainer.update, trainer.dtypes = self.update, self.dtypes
        for parameter, weights in zip(trainer.model.parameters(), self.weights, strict=True):
            parameter.copy_(weights)
        trainer.optimizer.state.clear()
        trainer.optimizer.state.update(self.beside)
        for held in self.beside.values():
            held["step"].fill_(self.update)  # captured updates count none


def _as_they_score(hidden: Tensor, factor: Tensor) -> Tensor:
    """Return final hidden states (batch, context, width), each times the factor of its logits."""
    return hidden.detach().float() * factor.view(*hidden.shape[:2], 1)
