"""How W is moved: by which optimizer, in which formats, with which numbers at each update.

Of our own runs the spec says so, `RuleOfSpec`. A recording of another training holds it update by
update: `trajectory.rule` reads it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from deadtokens.run import layout
from deadtokens.run.hyperparameters import Hyperparameters, hyperparameters, learning_rate
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec, w_name
from deadtokens.run.tensors import is_coupled, state_formats

MOMENTS = ("exp_avg", "exp_avg_sq")


class Step(NamedTuple):
    """The numbers of one update.

    Attributes
    ----------
    t : int
        How often the optimizer has moved W with it, from 1; its corrections take it.
    lr : float
    hyper : Hyperparameters
    """

    t: int
    lr: float
    hyper: Hyperparameters


class NoiseSource(NamedTuple):
    """What the noise of stochastic rounding is made from.

    Attributes
    ----------
    seed : int
    name : str
        Of W in the model.
    width : int
        Components of a row.
    """

    seed: int
    name: str
    width: int


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """How W is moved.

    Attributes
    ----------
    states : mapping of str to str
        Number format of W, the first, and of what is carried beside it.
    gradients : str
        That of the gradient.
    arithmetic : {'torch', 'rounded', 'stochastic'}
        As `precision.Regime.update` has it.
    before : int
        Updates of W before the first recorded one.
    noise : NoiseSource or None
        Of stochastic rounding.
    coupled : bool
        Whether the rows of W share their second moments, whose mean squares are recorded.
    """

    states: Mapping[str, str]
    gradients: str
    arithmetic: str
    before: int = 0
    noise: NoiseSource | None = None
    coupled: bool = False

    @property
    def carried(self) -> dict[str, str]:
        """Number format of each tensor that is carried beside W."""
        return {name: format for name, format in self.states.items() if name != "W"}

    @property
    def moments(self) -> tuple[str, ...]:
        """What the optimizer remembers of the gradients."""
        return tuple(name for name in MOMENTS if name in self.states)

    @property
    def tensors(self) -> list[str]:
        """The tensors of an update: the states around it, and the gradient that it consumed."""
        return [name for name in layout.TENSORS if name in self.states or name == "grad"]

    @abstractmethod
    def step(self, update: int) -> Step:
        """Return the numbers of a recorded update, counted from 1."""

    @property
    @abstractmethod
    def fixed(self) -> Hyperparameters:
        """What is the same in every update; the decay of the weights may change.

        Raises
        ------
        UserError
            If one of the others changes.
        """


@dataclass(frozen=True, kw_only=True)
class RuleOfSpec(Rule):
    """How a run of ours moves W.

    Attributes
    ----------
    spec : RunSpec
    """

    spec: RunSpec

    def step(self, update: int) -> Step:
        return Step(update, learning_rate(self.spec, update), self.fixed)

    @cached_property
    def fixed(self) -> Hyperparameters:
        return hyperparameters(self.spec)


def rule_of(spec: RunSpec) -> RuleOfSpec:
    """Return how a run of ours moves W."""
    regime = REGIMES[spec.precision]
    return RuleOfSpec(
        states=state_formats(spec),
        gradients=regime.parameters,
        arithmetic=regime.update,
        noise=NoiseSource(spec.seed, w_name(spec), spec.width),
        coupled=is_coupled(spec),
        spec=spec,
    )
