"""What determines a run's numbers: its spec, and the identity made from it."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from deadtokens.errors import UserError
from deadtokens.models import Model, canonical_json, short_digest
from deadtokens.run import layout
from deadtokens.run.precision import REGIMES

TENSORS = tuple(layout.TENSORS)
OPTIMIZERS = ("adamw", "sgd", "coupled-adam")
SMALLEST, LARGEST = 2.0**-126, (2 - 2.0**-23) * 2.0**127  # normal numbers of float32


def _as_float32(value: float) -> float:
    """Refuse what would be 0 or infinite in the format of every update."""
    if value and not SMALLEST <= value <= LARGEST:
        raise ValueError(
            f"{value:g} is too {'small' if value < 1 else 'large'} for float32, the format of the "
            f"update; take a number from {SMALLEST:.2g} to {LARGEST:.2g}"
        )
    return value


Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_as_float32)]
# abs: 0.0 and -0.0 are one value and must not be two runs.
NotNegative = Annotated[
    float, Field(ge=0, allow_inf_nan=False), AfterValidator(abs), AfterValidator(_as_float32)
]
Fraction = Annotated[float, Field(ge=0, lt=1), AfterValidator(abs)]


class Record(Model):
    """What is recorded, and in files of which length."""

    tensors: list[Literal[TENSORS]] = ["W", "grad", "exp_avg", "exp_avg_sq"]
    """Recorded at every update, as far as the run has them: W, its gradient, the optimizer's
    moments, the compensation of W. From `grad` the others are replayed on reading, bit for bit, so
    that `[grad]` alone gives all."""

    pathways: bool = False
    """Record also the two parts of a tied gradient, by way of the input embedding and of the
    logits; their sum is the gradient before clipping, bit for bit."""

    segment: Count = 500
    """Length of one file; a checkpoint follows it. [updates]"""

    @field_validator("tensors")
    @classmethod
    def _in_canonical_order(cls, tensors: list[str]) -> list[str]:
        if "W" not in tensors and "grad" not in tensors:
            raise ValueError("must contain 'W', or 'grad', from which W is replayed")
        return [name for name in TENSORS if name in tensors]

    @model_validator(mode="after")
    def _whole_beside_its_parts(self) -> "Record":
        if self.pathways and "grad" not in self.tensors:
            raise ValueError("pathways: are the parts of 'grad', which `tensors` must contain")
        return self


class RunSpec(Model):
    """Everything that determines the numbers of one run.

    Each field's description and unit make up config/README.md.
    """

    vocabulary: str = "english-thai"
    """Entry of `vocabularies`: what the run trains on."""

    precision: Literal[tuple(REGIMES)] = "pure-bf16"
    """Number formats of weights, moments and arithmetic: the regime."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the initial weights, of the batches, and of the noise of stochastic rounding."""

    batch_seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """Seed of the batches alone; `null`: as `seed`."""

    batch: Count = 16
    """Sequences in a batch. [sequences]"""

    context: Count = 64
    """Length of a sequence. [tokens]"""

    width: Count = 64
    """D, components of an embedding. [components]"""

    layers: Count = 2
    """Transformer blocks."""

    heads: Count = 2
    """Attention heads; they divide `width`."""

    activation: Literal["gelu", "relu"] = "gelu"
    """Activation of the MLP."""

    mlp_residual: bool = True
    """The MLP's result is added to what it was computed from; `false`: takes its place, in every
    block."""

    logit_spread: Literal["free", "constant"] = "free"
    """`constant`: at each position the logits are scaled to the standard deviation over the
    vocabulary that they are expected to have at the start, so that training cannot sharpen the
    prediction by their size."""

    tied: bool = True
    """Embedding and unembedding are one matrix W; else W is the unembedding."""

    init_std: Positive = 0.02
    """Standard deviation of the initial weights. [weight]"""

    embedding_std: Positive | None = None
    """The same for the rows of W; `null`: as `init_std`. [weight]"""

    bfloat16_start: bool = False
    """Round the initial weights to bfloat16 in every regime, so that all start alike."""

    optimizer: Literal[OPTIMIZERS] = "adamw"
    """AdamW; SGD, of which `beta1` is the momentum; Coupled Adam: the rows of W share the mean of
    their second moments. All decay by `weight_decay` alike."""

    lr: Positive = 0.001
    """Learning rate. [weight per update]"""

    warmup: Annotated[int, Field(ge=0)] = 0
    """Linear rise of the learning rate over so many updates. [updates]"""

    beta1: Fraction = 0.9
    """Decay of the first moment; 0 with `sgd`: no momentum. [per update]"""

    beta2: Fraction = 0.999
    """Decay of the second moment. [per update]"""

    eps: Positive = 1e-08
    """Added to the root of the second moment."""

    weight_decay: NotNegative = 0.0
    """Decoupled: each update multiplies every weight by 1 - lr * weight_decay."""

    clip: Positive | None = None
    """Largest norm of the whole gradient; `null`: no clipping."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes CUDA, else Apple's MPS, else the CPU."""

    threads: Count = 1
    """CPU threads of the training; another number gives other bits."""

    record: Record = Record()
    """What is recorded."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "RunSpec":
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} heads do not divide the width {self.width}")
        return self

    @model_validator(mode="after")
    def _sgd_has_no_second_moment(self) -> "RunSpec":
        for name in ("beta2", "eps") if self.optimizer == "sgd" else ():
            default = RunSpec.model_fields[name].default
            if getattr(self, name) != default:
                raise ValueError(
                    f"{name}: belongs to the second moment, which sgd has not; leave it at "
                    f"{default:g}, or take another optimizer"
                )
        return self

    @model_validator(mode="after")
    def _largest_step_is_finite(self) -> "RunSpec":
        if self.lr / (1 - self.beta1) > LARGEST:  # of the first update
            raise ValueError(
                f"lr: {self.lr:g} / (1 - beta1) is too large for float32, the format of the "
                f"update; take less than {LARGEST * (1 - self.beta1):.2g}"
            )
        return self

    @model_validator(mode="after")
    def _two_pathways(self) -> "RunSpec":
        if self.record.pathways and not self.tied:
            raise ValueError(
                "tied: must be true where record.pathways is (an untied W has one pathway, and "
                "`grad` is it)"
            )
        return self

    def content(self) -> dict[str, Any]:
        """Return what the run's name and text are made of: all fields, `LATER` ones if they say so.

        A key that came later does not rename the runs that were without it.
        """
        return self.model_dump(
            exclude={name for name, value in LATER.items() if getattr(self, name) == value}
        )

    def json_text(self) -> str:
        """Return the spec as JSON text that depends on its content alone."""
        return canonical_json(self.content())

    def identity(self) -> str:
        """Return the run's name: its differences from the package's defaults, and a short hash.

        The hash covers every field; the vocabulary shows only in it.
        """
        default = flat(DEFAULTS)
        words = [
            f"{name}-{_slug(value)}"
            for name, value in flat(self).items()
            if value != default[name] and name != "vocabulary"
        ]
        readable = "_".join(words)[:80] or "default"
        return f"{readable}_{short_digest(self.content())}"


def _slug(value: Any) -> str:
    text = "-".join(value) if isinstance(value, list) else str(value)
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in text)


def flat(spec: Model) -> dict[str, Any]:
    """Return the fields of a model by flat, dotted key (``record.segment``)."""
    fields = {}
    for name, value in spec:
        nested = flat(value) if isinstance(value, Model) else None
        if nested is None:
            fields[name] = value
        else:
            fields.update({f"{name}.{key}": item for key, item in nested.items()})
    return fields


def read_spec(text: str) -> RunSpec:
    """Return the spec written by `RunSpec.json_text`.

    Raises
    ------
    UserError
        If `text` is not the JSON of a spec.
    """
    try:
        return RunSpec.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"the spec is not that of a run: {' '.join(str(error).split())}") from None


# Fields that came after runs had names, and the value with which a run has the bits that it had
# before: with it they are no part of a run's name.
LATER = {
    "batch_seed": None,
    "bfloat16_start": False,
    "mlp_residual": True,
    "logit_spread": "free",
    "optimizer": "adamw",
}
DEFAULTS = RunSpec()
AS = {"batch_seed": "seed", "embedding_std": "init_std"}  # null: the value of that key


def used(key: str, spec: Mapping[str, Any]) -> Any:
    """Return the value that a run with these settings uses for a key that may be null."""
    value = spec.get(key)
    return spec.get(AS[key]) if value is None and key in AS else value


def batch_seed(spec: RunSpec) -> int:
    """Return the seed of the batches."""
    return used("batch_seed", vars(spec))


def embedding_std(spec: RunSpec) -> float:
    """Return the standard deviation of the rows of W at the start."""
    return used("embedding_std", vars(spec))


def initial_spread(spec: RunSpec) -> float:
    """Return the standard deviation over the vocabulary that logits are expected to have at first.

    Rows of independent components of standard deviation sigma score a hidden state of norm sqrt(D),
    as the last LayerNorm makes it, with a standard deviation of sigma sqrt(D).
    """
    return embedding_std(spec) * math.sqrt(spec.width)


def w_name(spec: RunSpec) -> str:
    """Return the name in the model of the recorded matrix W."""
    return "embedding.weight" if spec.tied else "unembedding.weight"
