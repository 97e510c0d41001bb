"""How long and how large what a study makes will be: formulas, with constants that were measured.

Times are of a command, its imports included; benchmarks/README.md says how they were measured. On
a typical core they hold to a factor of about two.
"""

import math
from typing import NamedTuple

from deadtokens.recording.contents import Contents
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import replayed

TYPICAL = "an AMD EPYC of 2022 (Zen 4)"
TYPICAL_CORE = 4e10  # operations a second
SLOW_CORE = 5e9  # operations a second; an idle core of 2021 does four times as many
START_MINUTES = 5  # of a job: the libraries from a shared disk, the text, the first update

TRAINING_START = 2.0  # seconds
UPDATE = 0.008  # seconds, besides its operations: what it calls, and recording
CORPUS_SECONDS = 0.2
TEXT_START = 1.0  # seconds
TEXT_BYTE = 0.4e-6  # seconds: of a text that is encoded, or that a tokenizer is trained on
FIGURE_SECONDS = 3.0
FETCH_SECONDS = 1.7  # of a pinned model, without what the network takes
EXAMINATION_START = 1.9  # seconds
EXAMINED_ROW = 60e-6  # seconds, of a matrix
EXAMINED_VALUE = 58e-9  # seconds

FIGURE_BYTES = 420_000  # PNG, PDF and CSV
ATTRIBUTION_BYTES = 190  # for each update and component
DERIVED_BYTES = 100  # of any other analysis, for each token
EXAMINED_BYTES = 217  # for each row of a matrix
SCALAR_BYTES = 200  # and for each update
VOCABULARY_BYTES = {"tokenizer.json": 70, "census.nc": 230}  # for each token
STREAM_BYTES = 0.33  # for each byte of text

# Where nobody has said how large a model's embedding is: it has about so many times the root of the
# model's number of weights, from BERT to models of 70 billion to a factor of two and a half.
EMBEDDED = 2500
USUAL_SHAPE = (100_000, 1000)  # rows, width
LEAST_WIDTH = 64


class Cost(NamedTuple):
    """What an analysis costs.

    Attributes
    ----------
    start : float
        Seconds, of any run.
    value : float
        Nanoseconds for each component of W at each update.
    passes : float
        Forward and backward passes of the training that take as long as its own.
    checkpoint_passes : float
        The same, for each checkpoint.
    most_logits : float
        Of a pass: a larger batch is cut.
    """

    start: float
    value: float = 0
    passes: float = 0
    checkpoint_passes: float = 0
    most_logits: float = math.inf


REPLAY = 20  # nanoseconds for each such value, where what is read is replayed from the gradients
BENCHMARK_UPDATES = 126  # the first ones of a run, of which storage and tensors are measured
ANALYSES = {
    "scalars": Cost(1.6),
    "freezing": Cost(2.3, 12),
    "sharpening": Cost(2.2, 10),
    "drift": Cost(4.8, 16),
    "indicators": Cost(2.1, 5),
    "audit": Cost(2.5, 22),
    "attribution": Cost(2.9, 33),
    "stillness": Cost(3.4, 20),
    "gradients": Cost(3.6, 13, passes=115),
    "backprop": Cost(2.8, passes=13, checkpoint_passes=21, most_logits=2**24),
    "initial_softmax": Cost(3.0, passes=180),
    "outcomes": Cost(3.8),
    "storage": Cost(3.2, 270),
    "tensors": Cost(3.7, 280),
}


def operations(spec: RunSpec, tokens: int) -> int:
    """Return the operations of an update, forward and backward.

    Matrix products are nearly all of the work: each weight of the model takes part in 6 operations
    a position (2 forward, 4 backward).

    Parameters
    ----------
    spec : RunSpec
    tokens : int
        Size of the vocabulary.
    """
    blocks = spec.layers * 12 * spec.width**2
    return 6 * (tokens * spec.width + blocks) * spec.batch * spec.context


def predicted_minutes(spec: RunSpec, tokens: int) -> int:
    """Return a time limit for the training of one segment, in minutes: what a slow core needs."""
    return minutes_on_slow_core(operations(spec, tokens) * spec.record.segment / TYPICAL_CORE)


def minutes_on_slow_core(seconds: float) -> int:
    """Return a time limit for what takes a typical core so many seconds, in minutes."""
    return START_MINUTES + math.ceil(seconds * TYPICAL_CORE / SLOW_CORE / 60)


def training_seconds(spec: RunSpec, tokens: int, core: float = TYPICAL_CORE) -> float:
    """Return the CPU time of training and recording one segment.

    Parameters
    ----------
    spec : RunSpec
    tokens : int
        Size of the vocabulary.
    core : float
        Operations a second.
    """
    update = UPDATE + operations(spec, tokens) / TYPICAL_CORE
    return TRAINING_START + spec.record.segment * update * TYPICAL_CORE / core


def analysis_seconds(analysis: str, spec: RunSpec, tokens: int, updates: int) -> float:
    """Return the CPU time of an analysis on a typical core.

    Parameters
    ----------
    analysis : str
        A key of `ANALYSES`.
    spec : RunSpec
    tokens : int
        Size of the vocabulary.
    updates : int
        That it reads.
    """
    cost = ANALYSES[analysis]
    replay = REPLAY if cost.value and replayed(spec) else 0
    recorded = 1e-9 * (cost.value + replay) * tokens * spec.width * updates
    passes = cost.passes + cost.checkpoint_passes * (updates // spec.record.segment)
    whole = min(1, cost.most_logits / (tokens * spec.batch * spec.context))
    update = UPDATE + whole * operations(spec, tokens) / TYPICAL_CORE
    return cost.start + recorded + passes * update


def analysis_bytes(analysis: str, spec: RunSpec, tokens: int, updates: int) -> int:
    """Return how large the files of an analysis will be, roughly: they are small beside a record.

    The parameters are those of `analysis_seconds`.
    """
    return _bytes(analysis, spec.width, tokens, updates)


def seconds_of_recording(analysis: str, contents: Contents) -> float:
    """Return the CPU time of an analysis of a recording on a typical core."""
    cost, values = ANALYSES[analysis], contents.rows * contents.width * contents.updates
    return cost.start + 1e-9 * cost.value * values


def bytes_of_recording(analysis: str, contents: Contents) -> int:
    """Return how large the file of an analysis of a recording will be, roughly."""
    return _bytes(analysis, contents.width, contents.rows, contents.updates)


def _bytes(analysis: str, width: int, tokens: int, updates: int) -> int:
    if analysis == "attribution":
        return ATTRIBUTION_BYTES * width * updates
    return DERIVED_BYTES * tokens + SCALAR_BYTES * updates


def encoding_seconds(text: int) -> float:
    """Return the CPU time in which a typical core takes `text` bytes into tokens."""
    return TEXT_START + TEXT_BYTE * text


def vocabulary_bytes(file: str, tokens: int, text: int) -> int:
    """Return how large a file of a vocabulary will be.

    Parameters
    ----------
    file : str
    tokens : int
        Size of the vocabulary.
    text : int
        Bytes of the training text.
    """
    return round(STREAM_BYTES * text) if file == "stream.nc" else VOCABULARY_BYTES[file] * tokens


def likely_shape(size: int) -> tuple[int, int]:
    """Return rows and width that the embedding of a model probably has, by its files' bytes.

    Of 0 bytes nothing is known.
    """
    if size == 0:
        return USUAL_SHAPE
    weights = size / 2
    values = min(weights, EMBEDDED * math.sqrt(weights))
    rows = min(USUAL_SHAPE[0], math.ceil(values / LEAST_WIDTH))
    return rows, math.ceil(values / rows)


def examination_seconds(rows: int, width: int) -> float:
    """Return the CPU time in which a typical core examines a matrix."""
    return EXAMINATION_START + EXAMINED_ROW * rows + EXAMINED_VALUE * rows * width


def examination_bytes(rows: int) -> int:
    """Return how large what an examined matrix gives will be."""
    return EXAMINED_BYTES * rows
