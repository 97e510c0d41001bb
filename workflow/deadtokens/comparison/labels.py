"""What the variables of ``outcomes.nc`` mean."""

from deadtokens.comparison.bootstrap import RESAMPLES
from deadtokens.comparison.intervals import LEVEL

_OF_EFFECTS = ("contrast", "outcome")
_OF_SETTINGS = ("level", "outcome")
_UNIT = "see `unit`"
_NONE = "NaN with fewer than two pairs: one seed gives no interval"
_T = f"{LEVEL:.0%} interval of the mean by Student's t over the pairs, n - 1 degrees of freedom"
_BOOTSTRAP = f"{LEVEL:.0%} percentile interval of the mean, the pairs drawn anew {RESAMPLES} times"

# Name: axes, long name, unit.
OF_RUNS = {
    "seed": (
        ("run",),
        "seed by which the run is paired: its own, or, where all runs share that, the seed of its "
        "batches; the attribute `unit` says which",
        "1",
    ),
    "label": (("run",), "what tells the run from the others"),
    "group": (("run",), "what tells the run from the others, the seeds left aside"),
    "regime": (("run",), "precision regime of the run"),
    "setting": (("run", "key"), "value of a varied key, as it is written"),
    "number": (
        ("run", "key"),
        "value of a varied key that the run uses, as a number; NaN: it is none",
        "see the key in config/README.md",
    ),
    "meaning": (("outcome",), "what the outcome is"),
    "unit": (("outcome",), "unit of the outcome"),
}
OF_CONTRASTS = {
    "kind": (("contrast",), "an effect, all else equal; a main effect; or an interaction"),
    "changed_key": (("contrast",), "the key that is changed; of an interaction both"),
    "changed_to": (("contrast",), "its value"),
    "changed_from": (("contrast",), "its baseline"),
    "context": (("contrast",), "the other varied settings"),
}
VARIABLES = {
    "value": (("run", "outcome"), "outcome of the run; NaN: see `reason`", _UNIT),
    "reason": (("run", "outcome"), "why there is no number; empty: there is one"),
    "setting_runs": (_OF_SETTINGS, "number of runs of a setting with the outcome", "1"),
    "setting_mean": (_OF_SETTINGS, "mean of the outcome over them", _UNIT),
    "setting_deviation": (
        _OF_SETTINGS,
        "standard deviation of the outcome over them, n - 1 degrees of freedom: how far seeds "
        "differ; NaN with fewer than two",
        _UNIT,
    ),
    "before": (
        ("contrast", "key"),
        "value of a varied key at the contrast's baseline; empty: the mean over all is taken",
    ),
    "after": (
        ("contrast", "key"),
        "value of a varied key with the change; the same as before where it is held",
    ),
    "at_baseline": (("contrast",), "whether the other varied settings are at their baselines", "1"),
    "difference": (
        (*_OF_EFFECTS, "pair"),
        "the contrast within a seed; NaN: a run or its outcome is missing",
        _UNIT,
    ),
    "pairs": (_OF_EFFECTS, "number of seeds with the contrast", "1"),
    "mean": (_OF_EFFECTS, "mean of the contrast over seeds", _UNIT),
    "low": (_OF_EFFECTS, f"lower end of the {_T}; {_NONE}", _UNIT),
    "high": (_OF_EFFECTS, f"upper end of the {_T}; {_NONE}", _UNIT),
    "bootstrap_low": (_OF_EFFECTS, f"lower end of the {_BOOTSTRAP}; {_NONE}", _UNIT),
    "bootstrap_high": (_OF_EFFECTS, f"upper end of the {_BOOTSTRAP}; {_NONE}", _UNIT),
}
COORDINATES = {
    "run": ("identity of the run, with its steps where it is given at several",),
    "outcome": (),
    "key": ("setting in which the runs differ",),
    "level": ("what tells the runs of a setting from the others, the seeds left aside",),
    "contrast": ("what is changed",),
    "pair": ("seed that the runs of a contrast share", "1"),
}
