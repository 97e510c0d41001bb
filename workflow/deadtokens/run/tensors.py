"""The tensors of a run: what its optimizer carries on, what is recorded, what a replay gives back.

The one place that says which a run has; `layout` says what each means.
"""

from deadtokens.run import layout
from deadtokens.run.precision import REGIMES
from deadtokens.run.spec import RunSpec


def moments(spec: RunSpec) -> tuple[str, ...]:
    """Return the names of what the optimizer remembers of the gradients."""
    if spec.optimizer == "sgd":
        return ("exp_avg",) if spec.beta1 else ()
    return ("exp_avg", "exp_avg_sq")


def carried_formats(spec: RunSpec) -> dict[str, str]:
    """Return the number format of each tensor that an optimizer carries beside its weights."""
    regime = REGIMES[spec.precision]
    formats = dict.fromkeys(moments(spec), regime.moments)
    return formats | ({"compensation": regime.compensation} if regime.compensation else {})


def state_formats(spec: RunSpec) -> dict[str, str]:
    """Return each state tensor's number format: W's, and of what is carried beside it."""
    return {"W": REGIMES[spec.precision].weights} | carried_formats(spec)


def formats(spec: RunSpec) -> dict[str, str]:
    """Return the number format of each tensor that a record of the run can hold."""
    gradients = dict.fromkeys(("grad", *layout.PATHWAYS), REGIMES[spec.precision].parameters)
    return state_formats(spec) | gradients


def stored(spec: RunSpec) -> list[str]:
    """Return the tensors of which every update is in the files: of those asked for what there is.

    The default asks for `exp_avg_sq`, which SGD has not.
    """
    wanted = [*spec.record.tensors, *(layout.PATHWAYS if spec.record.pathways else ())]
    return [name for name in wanted if name in formats(spec)]


def replayed(spec: RunSpec) -> list[str]:
    """Return the state tensors that are not stored, but that stored gradients give back."""
    names = stored(spec)
    return [name for name in state_formats(spec) if "grad" in names and name not in names]


def readable(spec: RunSpec) -> list[str]:
    """Return the tensors that the record gives: those in it, and those that are replayed."""
    given = {*stored(spec), *replayed(spec)}
    return [name for name in layout.TENSORS if name in given]


def of_update(spec: RunSpec) -> list[str]:
    """Return the tensors of an update: the states around it, and the gradient that it consumed."""
    return [name for name in layout.TENSORS if name in formats(spec)]


def contents(spec: RunSpec) -> layout.Contents:
    """Return what the segments of the run hold."""
    coupling = layout.COUPLING if is_coupled(spec) else ()
    return layout.Contents(stored(spec), replayed(spec), (*layout.PER_UPDATE, *coupling))


def is_coupled(spec: RunSpec) -> bool:
    """Return whether the rows of W share their second moments, whose mean squares are recorded."""
    return spec.optimizer == "coupled-adam"
