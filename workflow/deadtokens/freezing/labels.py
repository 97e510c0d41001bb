"""What the variables of ``freezing.nc`` mean."""

from deadtokens.freezing.lasting import LASTING
from deadtokens.freezing.survival import LEVEL
from deadtokens.trajectory.populations import MEMBERS

_ULP = "ulp"
_FOR_GOOD = f"for good: to the end of the record, over at least {LASTING} updates"
_QUANTILE = "quantiles over tokens of"

# Name: axes, long name, unit.
PER_UPDATE = {
    "frozen_fraction": (
        ("update", "population"),
        "fraction of the population's tokens bitwise unchanged by the update",
        "1",
    ),
    "phase_fraction": (
        ("update", "population", "phase", "grid"),
        "fraction of tokens that the update found in each phase: early, L2 distance above sqrt(D) "
        "ulp; midlife, some component above 1 ulp; late, all at most 1 ulp; frozen, no bit of the "
        "grid's numbers changed",
        "1",
    ),
    "hop_fraction": (
        ("update", "population", "grid"),
        "fraction of tokens that moved by one ulp in one component (L1 distance 1)",
        "1",
    ),
    "moved_fraction": (
        ("update", "population", "grid"),
        "fraction of the population's components of which a bit of the grid's number changed",
        "1",
    ),
    "moved_components_quantile": (
        ("update", "population", "grid", "quantile"),
        f"{_QUANTILE} the number of components of which a bit of the grid's number changed",
        "1",
    ),
    "ulp_distance_quantile": (
        ("update", "population", "norm", "grid", "quantile"),
        f"{_QUANTILE} the norm of the update's distances in ulps (difference of ordered bits)",
        _ULP,
    ),
    "displacement_quantile": (
        ("update", "population", "quantile"),
        f"{_QUANTILE} the L2 norm of W[t] - W[t-1]",
        "weight",
    ),
    "displacement_in_ulps_quantile": (
        ("update", "population", "quantile"),
        f"{_QUANTILE} the L2 norm of the displacements over bfloat16's ulp at their start",
        _ULP,
    ),
    "largest_displacement_in_ulps_quantile": (
        ("update", "population", "quantile"),
        f"{_QUANTILE} the largest component of displacements over bfloat16's ulp at their start",
        _ULP,
    ),
    "acceleration_quantile": (
        ("update", "population", "quantile"),
        f"{_QUANTILE} the L2 norm of W[t] - 2 W[t-1] + W[t-2]",
        "weight per update",
    ),
    "centroid_speed": (
        ("update", "population"),
        "L2 norm of the displacement of the population's centroid",
        "weight",
    ),
    "centroid_acceleration": (
        ("update", "population"),
        "L2 norm of the change of the centroid's displacement from one update to the next",
        "weight per update",
    ),
    "radius": (
        ("update",),
        "root of the dead tokens' mean squared distance from their centroid",
        "weight",
    ),
    "radius_velocity": (("update",), "change of the radius by the update", "weight per update"),
}
PER_TOKEN = {
    "last_change": (("token",), "last update that changed a bit of the token's row; 0: none", "1"),
    "censored": (
        ("token",),
        "the last recorded update moved the token: no freeze was seen",
        "1",
    ),
    "last_motion": (("token", "grid"), "last update that moved the token; 0: none", "1"),
    "unsettled": (
        ("token", "grid"),
        f"the last stillness is shorter than {LASTING} updates, or no longer than one that the "
        "token broke: no freeze was shown",
        "1",
    ),
    "last_in_phase": (
        ("token", "phase", "grid"),
        "last update that found the token in the phase; 0: none; the last of the run: censored",
        "1",
    ),
    "last_jitter": (
        ("token", "grid"),
        "last update that moved some component by more than 1 ulp (early or midlife); 0: none",
        "1",
    ),
    "thaws": (("token", "grid"), "how often the token moved again after standing still", "1"),
    "longest_still": (("token", "grid"), "longest stretch of stillness, in updates", "update"),
    "longest_broken": (
        ("token", "grid"),
        "longest stretch of stillness that ended with a motion, in updates",
        "update",
    ),
    "hops": (("token", "grid"), "updates that moved one component by one ulp", "1"),
}
_SURVIVAL = ("update", "population", "grid", "criterion")
_BAND = (
    f"of the pointwise {LEVEL:.0%} band of the surviving fraction: exponential Greenwood, on the "
    "log-log scale; [1, 1] before the first freeze, from 0 to its last upper end once all froze"
)
SURVIVAL = {
    "surviving_fraction": (
        _SURVIVAL,
        "Kaplan-Meier estimate of the fraction of tokens whose freezing is still to come",
        "1",
    ),
    "surviving_low": (_SURVIVAL, f"lower end {_BAND}", "1"),
    "surviving_high": (_SURVIVAL, f"upper end {_BAND}", "1"),
}
TRANSITION = {
    "transition_update": (
        ("transition", "grid", "level"),
        "last update that moved a token as before the transition (`jitter`: by more than 1 ulp), "
        f"for the fraction `level` of the dead tokens; 0: never moved so; NaN: not yet {_FOR_GOOD}",
        "1",
    ),
    "transition_width": (
        ("transition", "grid"),
        "updates from the first to the last level of the transition",
        "update",
    ),
}
ONSET = {
    "onset": (
        ("definition",),
        "first update at which the definition's condition held (of a last motion: the update that "
        "made it); NaN: never",
        "1",
    ),
    "onset_duration": (("definition",), "for how many updates it then held", "update"),
    "onset_ongoing": (
        ("definition",),
        "the record ended before that stretch did: the duration is a lower bound",
        "1",
    ),
    "onset_stretches": (
        ("definition",),
        "number of stretches over which the condition held",
        "1",
    ),
    "onset_longest": (
        ("definition",),
        "longest stretch over which the condition held",
        "update",
    ),
    "onset_lasting": (
        ("definition",),
        f"update from which the condition held {_FOR_GOOD}; NaN: it did not",
        "1",
    ),
}
_FORECAST = ("cut", "judgement", "grid")
FORECAST = {
    "forecast_update": (("cut",), "update after which the dead tokens were judged", "1"),
    "forecast_tokens": (_FORECAST, "dead tokens so judged by what was known then", "1"),
    "forecast_moved": (_FORECAST, "those of them that moved again before the record's end", "1"),
    "forecast_shift_quantile": (
        (*_FORECAST, "quantile"),
        f"{_QUANTILE} how much later their last motion is, of those that moved again",
        "update",
    ),
}
_EFFECT = ("transition", "property")
_END = (
    "end of the effect's 95 % interval over tokens of the run, for each effect alone: of Cliff's "
    "delta Feng and Cliff's asymmetric one with the consistent variance, of Spearman's correlation "
    "by Fisher's z with Bonett and Wright's error"
)
EFFECT = {
    "effect": (
        _EFFECT,
        "Cliff's delta of the group against the other dead tokens, or Spearman's correlation, of "
        "the time on bfloat16's grid; positive: later; tokens that did not make the transition for "
        "good are tied, later than all others",
        "1",
    ),
    "effect_low": (_EFFECT, f"lower {_END}", "1"),
    "effect_high": (_EFFECT, f"upper {_END}", "1"),
    "effect_tokens": (_EFFECT, "dead tokens in the group, or with the number", "1"),
    "effect_measure": (("property",), "what the effect is", "1"),
}
STRATA = {
    "strata": (
        ("row", "column"),
        "phase of dead tokens on bfloat16's grid: every k-th token in the order of last motion, at "
        "single updates evenly spaced on a logarithmic axis (nothing is averaged)",
        "1",
    ),
    "strata_update": (("column",), "the update shown", "1"),
    "strata_token": (("row",), "the token shown", "1"),
}
VARIABLES = (
    PER_UPDATE | PER_TOKEN | MEMBERS | SURVIVAL | TRANSITION | ONSET | FORECAST | EFFECT | STRATA
)
# Name: long name, unit; names have none.
COORDINATES = {
    "level": ("fraction of the dead tokens", "1"),
    "phase": ("how far an update moved a token",),
    "grid": (
        "numbers on which steps are counted: those of bfloat16, a float32 weight counting as "
        "the nearest one, ties to even; or those that were recorded",
    ),
    "norm": ("of the distances over the row's components",),
    "criterion": ("who is not seen to freeze: whom the last update moved; or who is unsettled",),
    "transition": (f"from one kind of motion to the next, {_FOR_GOOD}; `settled`: by `unsettled`",),
    "cut": ("fraction of the record's updates after which the tokens were judged", "1"),
    "judgement": (
        "settled: at rest, and not `unsettled` by what was known then; moving: by that update",
    ),
    "definition": (),
    "property": (),
}
