"""What an experiment can have drawn, and from what: a row here and its module are a figure.

The module ``deadtokens.figures.NAME`` draws it, and begins with its caption.
"""

from enum import Enum
from typing import NamedTuple


class Scope(Enum):
    """Whose files a figure is drawn from."""

    RUNS = "each run of the experiment, as far as it goes"
    FIRST_RUN = "the first run of the experiment, whatever its length"
    FIRST_BENCHMARK = "what was measured with the first run of the experiment"
    VOCABULARIES = "each vocabulary of the experiment"
    EXPERIMENT = "the experiment, all runs together"


class Source(NamedTuple):
    """A derived file, whose it is, and the tensor that a run's record must give for it."""

    file: str
    scope: Scope = Scope.RUNS
    tensor: str = "W"


FIGURES = {
    "loss": Source("scalars.nc"),
    "frozen": Source("freezing.nc"),
    "still": Source("freezing.nc"),
    "displacement": Source("freezing.nc"),
    "phases": Source("freezing.nc"),
    "survival": Source("freezing.nc"),
    "forecast": Source("freezing.nc"),
    "ulps": Source("freezing.nc"),
    "strata": Source("freezing.nc"),
    "sharpening": Source("sharpening.nc"),
    "path": Source("drift.nc"),
    "scree": Source("drift.nc"),
    "directions": Source("drift.nc"),
    "dependence": Source("drift.nc"),
    "bulk": Source("drift.nc"),
    "endpoint": Source("drift.nc"),
    "census": Source("census.nc", Scope.VOCABULARIES),
    "audit": Source("audit.json", tensor="grad"),
    "shares": Source("attribution.nc", tensor="grad"),
    "ages": Source("attribution.nc", tensor="grad"),
    "causes": Source("stillness.nc", tensor="grad"),
    "gradient_flow": Source("backprop.nc"),
    "initial_softmax": Source("initial_softmax.nc", Scope.FIRST_RUN),
    "firststep": Source("gradients.nc", tensor="grad"),
    "pathways": Source("gradients.nc", tensor="grad"),
    "second_moment": Source("gradients.nc", tensor="grad"),
    "prediction": Source("gradients.nc", tensor="grad"),
    "storage": Source("storage.nc", Scope.FIRST_BENCHMARK),
    "tensors": Source("tensors.nc", Scope.FIRST_BENCHMARK),
    "effects": Source("outcomes.nc", Scope.EXPERIMENT),
}
ANIMATION = "animation"

# What an experiment's outcomes are read from.
OUTCOME_SOURCES = (
    Source("scalars.nc"),
    Source("freezing.nc"),
    Source("drift.nc"),
    Source("stillness.nc", tensor="grad"),
    Source("attribution.nc", tensor="grad"),
)
