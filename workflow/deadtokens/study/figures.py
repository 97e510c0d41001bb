"""What an experiment can have drawn, and from what: a row here and its module are a figure.

The module ``deadtokens.figures.NAME`` draws it, and begins with its caption.
"""

from enum import Enum
from typing import NamedTuple

from deadtokens.comparison.shapes import ANY, GRID, REGIMES, SEVERAL, SWEEP, Shape


class Scope(Enum):
    """Whose files a figure is drawn from."""

    RUNS = "each run of the experiment, as far as it goes"
    FIRST_RUN = "the first run of the experiment, whatever its length"
    FIRST_BENCHMARK = "what was measured with the first run of the experiment"
    VOCABULARIES = "each vocabulary of the experiment"
    EXPERIMENT = "the experiment, all runs together"


# The questions of the study, as figures and claims are grouped.
QUESTIONS = {
    1: "When do dead tokens freeze, and for how long?",
    2: "Why does a weight stand still?",
    3: "Where does the cloud of dead tokens go?",
    4: "What moves the cloud?",
    5: "What must be recorded, and at what cost?",
    6: "Where does the gradient come from, and what does the first update do with it?",
    7: "What does changing one setting do?",
}
FREEZE, CAUSES, DRIFT, MOTION, RECORD, GRADIENT, INTERVENTIONS = QUESTIONS


class Source(NamedTuple):
    """A derived file and whose it is.

    Attributes
    ----------
    file : str
    scope : Scope
    tensor : str
        What a run's record must give for it.
    shape : Shape
        Of a figure: what the experiment must vary.
    question : int
        Of a figure: the question that it answers.
    quantity : str
        What a recording must say of each update for it, if anything; a run says everything.
    """

    file: str
    scope: Scope = Scope.RUNS
    tensor: str = "W"
    shape: Shape = ANY
    question: int = INTERVENTIONS
    quantity: str = ""


OUTCOMES = Source("outcomes.nc", Scope.EXPERIMENT)
SCALARS = Source("scalars.nc")  # says of each run where it was made, and how it ended
FIGURES = {
    "loss": SCALARS._replace(quantity="loss"),
    "frozen": Source("freezing.nc", question=FREEZE),
    "still": Source("freezing.nc", question=FREEZE),
    "displacement": Source("freezing.nc", question=FREEZE),
    "phases": Source("freezing.nc", question=FREEZE),
    "survival": Source("freezing.nc", question=FREEZE),
    "forecast": Source("freezing.nc", question=FREEZE),
    "ulps": Source("freezing.nc", question=FREEZE),
    "strata": Source("freezing.nc", question=FREEZE),
    "sharpening": Source("sharpening.nc", question=CAUSES),
    "path": Source("drift.nc", question=DRIFT),
    "scree": Source("drift.nc", question=DRIFT),
    "directions": Source("drift.nc", question=DRIFT),
    "dependence": Source("drift.nc", question=DRIFT),
    "bulk": Source("drift.nc", question=DRIFT),
    "endpoint": Source("drift.nc", question=DRIFT),
    "indicator_history": Source("indicators.nc", question=DRIFT),
    "census": Source("census.nc", Scope.VOCABULARIES, question=DRIFT),
    "audit": Source("audit.json", tensor="grad", question=RECORD),
    "shares": Source("attribution.nc", tensor="grad", question=MOTION),
    "ages": Source("attribution.nc", tensor="grad", question=MOTION),
    "causes": Source("stillness.nc", tensor="grad", question=CAUSES),
    "gradient_flow": Source("backprop.nc", question=GRADIENT),
    "initial_softmax": Source("initial_softmax.nc", Scope.FIRST_RUN, question=GRADIENT),
    "firststep": Source("gradients.nc", tensor="grad", question=GRADIENT),
    "pathways": Source("gradients.nc", tensor="grad", question=GRADIENT),
    "second_moment": Source("gradients.nc", tensor="grad", question=GRADIENT),
    "prediction": Source("gradients.nc", tensor="grad", question=CAUSES),
    "storage": Source("storage.nc", Scope.FIRST_BENCHMARK, question=RECORD),
    "tensors": Source("tensors.nc", Scope.FIRST_BENCHMARK, question=RECORD),
    "outcomes": OUTCOMES,
    "effects": OUTCOMES,
    "factorial": OUTCOMES._replace(shape=GRID),
    "sweep": OUTCOMES._replace(shape=SWEEP),
    "remedies": OUTCOMES._replace(shape=REGIMES),
    "walls": OUTCOMES._replace(tensor="grad", shape=SEVERAL),
}
ANIMATION = "animation"

CLOUDS = "matrix_cloud"  # also of all of a study's matrices together
OF_CENSUSES = ("matrix_norms", "matrix_distances", "matrix_holes", "matrix_roc", CLOUDS)
# What is drawn of one file, whether or not a study made it: figure, and the file.
OF_MATRICES = {
    **dict.fromkeys(OF_CENSUSES, "census.nc of an examined matrix"),
    CLOUDS: "census.nc of an examined matrix, or of several",
}

# What an experiment's outcomes are read from.
OUTCOME_SOURCES = (
    SCALARS,
    Source("freezing.nc"),
    Source("drift.nc"),
    Source("stillness.nc", tensor="grad"),
    Source("attribution.nc", tensor="grad"),
)
