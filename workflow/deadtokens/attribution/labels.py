"""What the variables of ``attribution.nc`` mean."""

from deadtokens.trajectory.populations import MEMBERS

_AXES = ("update", "population")

# Name: axes, long name, unit.
CENTROID = {
    "centroid_displacement": (
        (*_AXES, "component"),
        "mean displacement of the population's tokens",
        "weight",
    ),
    "centroid_term": (
        (*_AXES, "term", "component"),
        "mean of each term over the population's tokens",
        "weight",
    ),
    "centroid_age": (
        (*_AXES, "age", "component"),
        "mean of present + momentum, by the age of the gradients",
        "weight",
    ),
    "centroid_displacement_norm": (_AXES, "norm of the centroid's displacement", "weight"),
    "centroid_intended_norm": (_AXES, "norm of the centroid's update without rounding", "weight"),
    "centroid_term_norm": ((*_AXES, "term"), "norm of the centroid's terms", "weight"),
    "centroid_share": (
        (*_AXES, "term"),
        "share of each term in the centroid's displacement, along it; momentum has beta1 of any "
        "gradient that changes slowly",
        "1",
    ),
    "centroid_age_share": (
        (*_AXES, "age"),
        "share of each age of gradients in the centroid's displacement, along it",
        "1",
    ),
    "centroid_cosine": (
        (*_AXES, "against"),
        "cosine of the centroid's displacement to minus the centroid of `against`",
        "1",
    ),
    "cumulated_share": (
        (*_AXES, "term"),
        "sum of each term until the update, as share of the centroid's net displacement over the "
        "whole run, along it: at the last update they sum to 1",
        "1",
    ),
    "cumulated_age_share": ((*_AXES, "age"), "the same for each age of gradients", "1"),
}
TOKENS = {
    "share_quantile": (
        (*_AXES, "term", "quantile"),
        "quantiles over moving tokens of a term's share, along the displacement",
        "1",
    ),
    "cosine_quantile": (
        (*_AXES, "against", "quantile"),
        "quantiles over moving tokens of cos(displacement, minus `against`); at the first update, "
        "-lr sign(g), sqrt(2/pi) = 0.80 against the gradient by geometry, if g is normal",
        "1",
    ),
    "tokens_at_rest": (
        _AXES,
        "number of tokens that the update did not move; left out of quantiles",
        "1",
    ),
    "intended_norm_at_rest": (
        _AXES,
        "their mean norm of the update that rounding took away",
        "weight",
    ),
    "net_share": (
        ("token", "term"),
        "share of each term, summed over the run, in the net displacement",
        "1",
    ),
    "net_displacement_norm": (("token",), "norm of the net displacement over the run", "weight"),
}
CHECKS = {
    "closure": (
        ("update",),
        "largest gap between a token's displacement and its terms' sum, of their sizes",
        "1",
    ),
    "bound_ratio": (
        ("update",),
        "largest |rounding| / bound over tokens and components, the bound by the half-ulps of the "
        "update's operations, without a look at the displacement; above 1 the analysis stops",
        "1",
    ),
}
VARIABLES = CENTROID | TOKENS | MEMBERS | CHECKS
# Name: long name, unit.
COORDINATES = {
    "term": ("what a displacement is the sum of", "1"),
    "age": ("updates since a gradient came; parts of present + momentum", "1"),
    "against": ("direction opposite to which the displacement is held", "1"),
}
