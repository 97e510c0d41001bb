"""The optimizer of a run: torch's AdamW as it is where it applies, our update rule elsewhere."""

from collections.abc import Mapping, Sequence
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
            self.move([name], Numbers(t, group["lr"], self.hyper), bits)

    def moved_together(self) -> list[list[str]]:
        """Return the names of the parameters, those in one list that can be moved as one."""
        apart = [name for name in self.named if self._has_shared_square(name)]
        rest = [name for name in self.named if name not in apart]
        return [[name] for name in apart] + [rest] * bool(rest)

    @torch.no_grad()
    def move(self, names: Sequence[str], numbers: Numbers, bits: Bits | None) -> None:
        """Take parameters, and what is carried beside them, through an update: as one tensor."""
        parameters = [self.named[name] for name in names]
        held = {part: [self.state[one][part] for one in parameters] for part in self.carried}
        # itself, where it is one and has that format
        weights = joined(parameters).to(getattr(torch, self.regime.weights))
        state = {"W": weights} | {part: joined(tensors) for part, tensors in held.items()}
        grad = joined([parameter.grad for parameter in parameters])
        rule = numbers, self._mean_square(names)
        if self.regime.update == "torch":
            update_(state, grad, *rule)
        else:
            rounded_update_(state, grad, *rule, bits)
        for part, tensors in ({"W": parameters} | held).items():
            share_out(state[part], tensors)

    def _begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        self.state[parameter] = {"step": torch.tensor(0.0)} | {
            name: torch.zeros_like(parameter, dtype=getattr(torch, format))
            for name, format in self.carried.items()
        }
        return self.state[parameter]

    def _has_shared_square(self, name: str) -> bool:
        return self.coupled and name in EMBEDDINGS

    def _mean_square(self, names: Sequence[str]) -> Tensor | None:
        """Return what the rows of an embedding matrix share under Coupled Adam, and keep it."""
        if not self._has_shared_square(names[0]):
            return None
        (parameter,) = [self.named[name] for name in names]
        self.state[parameter]["grad_sq_mean"] = mean_square(parameter.grad)
        return self.state[parameter]["grad_sq_mean"]

    def noise_of(self, name: str) -> Noise | None:
        """Return the noise that rounds a parameter, by its name in the model."""
        return Noise(self.spec.seed, name) if self.regime.update == "stochastic" else None


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Return the elements of tensors as one; of a single tensor itself."""
    if len(tensors) == 1:
        return tensors[0]
    return torch.cat([tensor.flatten() for tensor in tensors])


@torch.no_grad()
def share_out(whole: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy to tensors what `joined` made of them."""
    if len(tensors) == 1:
        tensors[0].copy_(whole)  # nothing, where it is itself
        return
    pieces = whole.to(tensors[0].dtype).split([tensor.numel() for tensor in tensors])
    shaped = [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]
    torch._foreach_copy_(tensors, shaped)


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
