"""How dead tokens drift through embedding space and freeze.

The folders follow the data: ``text`` (corpora, vocabulary, census), ``run`` (what determines a
run's numbers), ``trajectory`` (its record, and how that is read back), ``training`` (model, loop),
``recording`` (the same record of somebody else's training); then what a record says: ``freezing``,
``drift``, ``audit``, ``attribution``, ``stillness``, ``gradients``, ``backprop``, with the
``statistics`` that they share; the ``comparison`` of runs, and what recording ``costs``;
``figures``; last what is said of a whole study, ``claims`` and ``paper``. What the variables of
their files are is said in tables, and written by `labels`. ``report`` says all of one record on a
page. ``study`` holds the configuration, which only claims and paper read besides. Each folder's
``__init__`` is a map of it.

Here is what a user's own code imports: ``from deadtokens import Recorder, open_run``, and the
analyses as functions from a run to a dataset. Each is found when it is asked for, so that the
import takes no time; the package's own modules name each other's.
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deadtokens.attribution.attribution import attribute_motion
    from deadtokens.audit.audit import audit_run
    from deadtokens.drift.drift import measure_drift
    from deadtokens.errors import UserError
    from deadtokens.freezing.freezing import measure_freezing
    from deadtokens.freezing.sharpening import measure_sharpening
    from deadtokens.matrices.history import follow_indicators
    from deadtokens.recording.recorder import Recorder
    from deadtokens.stillness.stillness import explain_stillness
    from deadtokens.trajectory.reader import open_run
    from deadtokens.verify import verify_results

__version__ = "0.1.0"
__all__ = [
    "Recorder",
    "UserError",
    "__version__",
    "attribute_motion",
    "audit_run",
    "explain_stillness",
    "follow_indicators",
    "measure_drift",
    "measure_freezing",
    "measure_sharpening",
    "open_run",
    "verify_results",
]

_MODULES = {
    "Recorder": "recording.recorder",
    "UserError": "errors",
    "attribute_motion": "attribution.attribution",
    "audit_run": "audit.audit",
    "explain_stillness": "stillness.stillness",
    "follow_indicators": "matrices.history",
    "measure_drift": "drift.drift",
    "measure_freezing": "freezing.freezing",
    "measure_sharpening": "freezing.sharpening",
    "open_run": "trajectory.reader",
    "verify_results": "verify",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent, unless the user listens


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
