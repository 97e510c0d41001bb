"""One run, update by update."""

import math

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
from deadtokens.training.batches import batch_of
from deadtokens.training.loss import Prediction
from deadtokens.training.model import initial_model
from deadtokens.training.optimizer import build_optimizer


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
        self.update = 0
        self.diverged_at: int | None = None
        self.dtypes: dict[str, str] = {}

    def advance(self) -> Outcome | None:
        """Apply the next update; None, with `diverged_at` set, if its loss is not finite.

        The gradients of the outcome are overwritten by the next update.
        """
        update = self.update + 1
        pathways = self._pathways()
        hidden, prediction = self._forward(update, **pathways)
        loss_value = prediction.loss.item()
        if not math.isfinite(loss_value):
            self.diverged_at = update
            return None
        self.optimizer.zero_grad(set_to_none=True)
        prediction.loss.backward()
        grad_norm = self._clip()
        lr = learning_rate(self.spec, update)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        if not self.dtypes:
            self.dtypes = self._check_dtypes(prediction.arithmetic)
        self.update = update
        h_mean = _as_they_score(hidden, prediction.factor).mean((0, 1))
        parts = {name: view.grad for name, view in pathways.items()}
        W = self.model.W
        if is_coupled(self.spec):
            parts["grad_sq_mean"] = self.optimizer.state[W]["grad_sq_mean"]
        said = prediction.entropy, h_mean, prediction.probability
        return Outcome(W.grad, loss_value, lr, grad_norm, *said, **parts)

    def state(self) -> dict[str, Tensor]:
        """Return W and what is carried beside it, zeros at first, each (vocabulary, width)."""
        W = self.model.W
        held = {"W": W.detach()} | self.optimizer.state.get(W, {})
        return {
            name: held.get(name, torch.zeros_like(W)).to(getattr(torch, format))
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

    def _forward(
        self, update: int, grad_input: Tensor | None = None, grad_output: Tensor | None = None
    ) -> tuple[Tensor, Prediction]:
        spec = self.spec
        batch = batch_of(spec, self.stream, update)
        inputs, targets = (torch.from_numpy(part).to(self.device) for part in batch)
        hidden = self.model(inputs, grad_input)
        return hidden, self.model.predict(hidden.flatten(0, 1), targets.flatten(), grad_output)

    def _clip(self) -> Tensor:
        """Return the whole gradient's norm, summed in float32; scale the gradient if too large."""
        gradients = [parameter.grad for parameter in self.model.parameters()]
        norms = [torch.linalg.vector_norm(grad, dtype=torch.float32) for grad in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms))
        if self.spec.clip is not None:
            scale = clip_scale(norm, self.spec.clip)
            for grad in gradients:
                grad.mul_(scale.to(grad.dtype))
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


def _as_they_score(hidden: Tensor, factor: Tensor) -> Tensor:
    """Return final hidden states (batch, context, width), each times the factor of its logits."""
    return hidden.detach().float() * factor.view(*hidden.shape[:2], 1)
