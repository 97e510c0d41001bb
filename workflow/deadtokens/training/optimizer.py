"""The optimizer of a run: torch's AdamW as it is where it applies, our update rule elsewhere."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from deadtokens.run.hyperparameters import hyperparameters
from deadtokens.run.noise import Noise
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import carried_formats, is_coupled
from deadtokens.run.update import Bits, Numbers, mean_square, rounded_update_, update_

EMBEDDINGS = ("embedding.weight", "unembedding.weight")  # whose rows are the vocabulary's


class UpdateRule(torch.optim.Optimizer):
    """The update of `run.update` for every parameter, in the regime of a run.

    State and groups are named as in `torch.optim.AdamW`, so that both are read alike.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        Their values are numbers of the regime's weights.
    spec : RunSpec
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], spec: RunSpec):
        super().__init__(parameters.values(), {"lr": spec.lr})
        self.named, self.spec, self.hyper = dict(parameters), spec, hyperparameters(spec)
        self.regime, self.carried = REGIMES[spec.precision], carried_formats(spec)
        self.coupled = is_coupled(spec)

    @torch.no_grad()
    def step(self) -> None:
        (group,) = self.param_groups
        for name, parameter in self.named.items():
            kept = self.state[parameter] or self._begin(parameter)
            kept["step"] += 1
            t, noise = int(kept["step"]), self.noise_of(name)
            bits = None if noise is None else partial(noise.bits, t)
            self.move(name, Numbers(t, group["lr"], self.hyper), bits)

    @torch.no_grad()
    def move(self, name: str, numbers: Numbers, bits: Bits | None) -> None:
        """Take a parameter, and what is carried beside it, through an update."""
        parameter = self.named[name]
        # itself, where it has that format
        weights = parameter.to(getattr(torch, self.regime.weights))
        state = {"W": weights} | {part: self.state[parameter][part] for part in self.carried}
        rule = numbers, self._mean_square(name, parameter)
        if self.regime.update == "torch":
            update_(state, parameter.grad, *rule)
        else:
            rounded_update_(state, parameter.grad, *rule, bits)
        parameter.copy_(weights)

    def _begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        self.state[parameter] = {"step": torch.tensor(0.0)} | {
            name: torch.zeros_like(parameter, dtype=getattr(torch, format))
            for name, format in self.carried.items()
        }
        return self.state[parameter]

    def _mean_square(self, name: str, parameter: nn.Parameter) -> Tensor | None:
        """Return what the rows of an embedding matrix share under Coupled Adam, and keep it."""
        if not (self.coupled and name in EMBEDDINGS):
            return None
        self.state[parameter]["grad_sq_mean"] = mean_square(parameter.grad)
        return self.state[parameter]["grad_sq_mean"]

    def noise_of(self, name: str) -> Noise | None:
        """Return the noise that rounds a parameter, by its name in the model."""
        return Noise(self.spec.seed, name) if self.regime.update == "stochastic" else None


def build_optimizer(spec: RunSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of a run; every parameter of the model decays alike.

    torch's foreach and fused paths differ in bits from its single-tensor path, which is the
    reference here.
    """
    regime = REGIMES[spec.precision]
    if spec.optimizer != "adamw" or regime.update != "torch" or regime.compensation:
        return UpdateRule(dict(model.named_parameters()), spec)
    return torch.optim.AdamW(
        model.parameters(),
        lr=spec.lr,
        betas=(spec.beta1, spec.beta2),
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        foreach=False,
        fused=False,
    )
