"""The optimizer of a regime: torch's AdamW as it is where it applies, ours elsewhere."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from deadtokens.run.hyperparameters import Hyperparameters, hyperparameters
from deadtokens.run.noise import Noise
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.run.update import rounded_adamw_


class RoundedAdamW(torch.optim.Optimizer):
    """AdamW in float32 whose results are rounded once into the formats of weights and moments.

    State and groups are named as in `torch.optim.AdamW`, so that both are read alike.

    Parameters
    ----------
    parameters : dict of str to Parameter
        Their values are numbers of `weights`.
    lr : float
    hyper : Hyperparameters
    weights, moments : torch.dtype
    noise_seed : int or None
        Seed of stochastic rounding; None rounds to nearest-even.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        lr: float,
        hyper: Hyperparameters,
        weights: torch.dtype,
        moments: torch.dtype,
        noise_seed: int | None,
    ):
        super().__init__(parameters.values(), {"lr": lr})
        self.hyper, self.weights, self.moments = hyper, weights, moments
        self.noise = {
            parameter: None if noise_seed is None else Noise(noise_seed, name)
            for name, parameter in parameters.items()
        }

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter] or self._begin(parameter)
                state["step"] += 1
                weights = parameter.to(self.weights)  # itself, where it has that format
                rounded_adamw_(
                    weights,
                    parameter.grad,
                    state["exp_avg"],
                    state["exp_avg_sq"],
                    int(state["step"]),
                    group["lr"],
                    self.hyper,
                    self.noise[parameter],
                )
                parameter.copy_(weights)

    def _begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        zeros = torch.zeros_like(parameter, dtype=self.moments)
        self.state[parameter] = {
            "step": torch.tensor(0.0),
            "exp_avg": zeros,
            "exp_avg_sq": zeros.clone(),
        }
        return self.state[parameter]


def build_optimizer(spec: RunSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of `spec`'s regime; every parameter of the model decays alike.

    torch's foreach and fused paths differ in bits from its single-tensor path, which is the
    reference here.
    """
    regime = REGIMES[spec.precision]
    if regime.update != "torch":
        noise_seed = spec.seed if regime.update == "stochastic" else None
        formats = getattr(torch, regime.weights), getattr(torch, regime.moments)
        named = dict(model.named_parameters())
        return RoundedAdamW(named, spec.lr, hyperparameters(spec), *formats, noise_seed)
    return torch.optim.AdamW(
        model.parameters(),
        lr=spec.lr,
        betas=(spec.beta1, spec.beta2),
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        foreach=False,
        fused=False,
    )
