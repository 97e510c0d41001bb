"""What the variables of drift.nc are: their axes, meanings and units."""

from deadtokens.drift.endpoint import NEAR
from deadtokens.trajectory.populations import MEMBERS

INDEPENDENT, PERSISTENT = WALKS = ("independent steps", "steps k apart alike by beta1^k")

STATE, UPDATE = ("state", "population"), ("update", "population")
SOURCE = ("source", "centring")
EFFECT = ("population", "property", "response")
LIKENESS = ("population", "likeness")
PLACE = ("population", "number", "place")
FORECAST = ("forecast", "span")

# Of `dependence`, and here because figures read these labels and would wait for its imports.
FEWEST = 10  # tokens
PAIRED_TOKENS = 300
PERMUTATIONS = 999
GRAMS = (1, 3)  # bytes

_EARLY_H = "h: mean hidden state of updates 1 to 10"

_P = "how often chance alone gives as much or more, for this test by itself"
_OF_DRAWS = f"(1 + random assignments with as much) / (1 + all {PERMUTATIONS})"
_BEYOND = (
    "beyond chance, by Benjamini and Hochberg over all tests of the file, effects and likenesses: "
    "of those marked, at most 5 % are expected to be chance"
)
_LINEAR = "linear between two neighbours"
_TOO_FEW = f"NaN: fewer than {FEWEST} tokens, or all alike"
_WINDOW = f"{_EARLY_H}, of the first decade of updates where none of these is recorded"

# name: axes, meaning, unit
VARIABLES = {
    "centroid": ((*STATE, "component"), "mean of W over the population's tokens", "weight"),
    "radius": (STATE, "root mean square distance of the tokens from their centroid", "weight"),
    "mean_norm": (STATE, "mean L2 norm of the tokens' rows", "weight"),
    "mean_embedding_ratio": (STATE, "norm of the centroid / mean norm of the rows", "1"),
    "mean_embedding_ratio_all": (
        ("state",),
        "norm of the mean of all rows / mean norm of all rows",
        "1",
    ),
    "path_length": (STATE, "sum of the norms of the centroid's steps so far", "weight"),
    "efficiency": (STATE, "centroid's distance from its start / path_length", "1"),
    "separation": (("state",), "distance between the dead and the live centroid", "weight"),
    "separation_in_radii": (("state",), "separation / radius of the dead cloud", "1"),
    "eigenvalue": (
        ("state", "rank"),
        "eigenvalues of the dead cloud's covariance, descending",
        "weight^2",
    ),
    "effective_dimension": (
        ("state",),
        "dead cloud: squared sum of the eigenvalues / sum of their squares",
        "1",
    ),
    "movers": (UPDATE, "tokens that the update displaced", "1"),
    "bulk_speed": (UPDATE, "norm of the mean displacement: the centroid's step", "weight"),
    "thermal_speed": (
        UPDATE,
        "root mean square displacement of the tokens relative to the centroid's",
        "weight",
    ),
    "bulk_share": (
        UPDATE,
        "bulk_speed^2 / mean squared displacement; 1/tokens for independent directions",
        "1",
    ),
    "resultant_length": (UPDATE, "norm of the mean of the movers' unit displacements", "1"),
    "pairwise_cosine": (UPDATE, "mean cosine between the displacements of two movers", "1"),
    "step_cosine": (UPDATE, "cosine between the centroid's step and the step before it", "1"),
    "marked_eigenvalue": (
        ("marked", "population", "rank"),
        "eigenvalues of the cloud's covariance at marked states, descending",
        "weight^2",
    ),
    "isotropy": (
        ("marked", "population"),
        "least over greatest sum over tokens of exp(c . W), c the unit eigenvectors of W's "
        "uncentred second moment, each with both signs (Mu & Viswanath 2018 take one); 1: no "
        "direction is special",
        "1",
    ),
    "share": ((*SOURCE, "rank"), "share of the variance of each principal component", "1"),
    "common_share": (
        ("source",),
        "share of the vectors' mean square that their mean alone explains; 1/vectors by chance",
        "1",
    ),
    "share_band": (
        (*SOURCE, "rank", "bound"),
        f"95 % basic bootstrap band of the share, tokens resampled, quantiles {_LINEAR}; NaN: not "
        "resampled",
        "1",
    ),
    "null_share": (
        (*SOURCE, "rank", "null_quantile"),
        f"quantiles ({_LINEAR}) of the share when the same lengths have random directions",
        "1",
    ),
    "components_above_null": (
        SOURCE,
        "leading components whose band lies above 97.5 % of the null",
        "1",
    ),
    "source_state": (("source",), "state of a source of positions, -1 for displacements", "1"),
    "principal_direction": (
        (*SOURCE, "leading", "component"),
        "leading principal components, unit vectors, each along the dead centroid's net "
        "displacement rather than against it",
        "1",
    ),
    "direction": (("candidate", "component"), "directions that mean something", "1"),
    "cosine": (
        (*SOURCE, "leading", "candidate"),
        "cosine between principal component and candidate",
        "1",
    ),
    "candidate_cosine": (
        ("candidate",),
        "cosine between the dead centroid's net displacement and the candidate",
        "1",
    ),
    "explained_alone": (
        (*SOURCE, "candidate"),
        "share of the sum of squares along the candidate alone; 1/components by chance",
        "1",
    ),
    "hidden_cosine": (
        ("lag",),
        "mean cosine between the mean hidden states of updates so far apart, nothing taken out",
        "1",
    ),
    "hidden_autocorrelation": (
        ("lag",),
        "autocorrelation of the mean hidden state after its mean over the run is taken out: the "
        "sum over the pairs so far apart over that of the squares of all updates, so towards 0 by "
        "1 - lag / updates",
        "1",
    ),
    "score": (
        ("token",),
        "component of the net displacement along that of the population's centroid",
        "weight",
    ),
    "residual": (("token",), "norm of the rest of the net displacement", "weight"),
    "effect": (
        EFFECT,
        "numbers: Spearman's rank correlation; classes: share of the variance between them; "
        f"{_EARLY_H}; {_TOO_FEW}",
        "1",
    ),
    "effect_range": (
        (*EFFECT, "bound"),
        "numbers: 95 % confidence interval (Fisher's z, Bonett and Wright's error); classes: 95 % "
        f"range of {PERMUTATIONS} times dealt at random; for each test by itself",
        "1",
    ),
    "effect_p": (
        EFFECT,
        f"{_P}; numbers: by the interval's normal deviate, both tails; classes: {_OF_DRAWS}",
        "1",
    ),
    "effect_beyond_chance": (EFFECT, _BEYOND, "1"),
    "effect_tokens": (EFFECT, "tokens behind the effect", "1"),
    "place_effect": (
        PLACE,
        "Spearman's rank correlation with the token's place along the drift; that at the start is "
        f"what tokens that keep their place would give at the end; {_EARLY_H}; {_TOO_FEW}",
        "1",
    ),
    "place_effect_range": ((*PLACE, "bound"), "95 % confidence interval, each by itself", "1"),
    "likeness_effect": (
        LIKENESS,
        "correlation over pairs of tokens of their likeness with the cosine between their net "
        f"displacements about the mean one; of {PAIRED_TOKENS} tokens of the population, drawn at "
        f"random, if it has more; {_TOO_FEW}",
        "1",
    ),
    "likeness_range": (
        (*LIKENESS, "bound"),
        f"95 % range of the same when tokens are shuffled, {PERMUTATIONS} times, for each test by "
        "itself",
        "1",
    ),
    "likeness_p": (LIKENESS, f"{_P}: twice the smaller tail, each {_OF_DRAWS}", "1"),
    "likeness_beyond_chance": (LIKENESS, _BEYOND, "1"),
    "likeness_tokens": (LIKENESS, "tokens behind the pairs", "1"),
    "hindcast_end_explained": (
        ("hindcast",),
        "1 - |final centroid - hindcast|^2 / |net displacement|^2; a hindcast takes p, h and "
        "clipping of every update from the record; those by the optimizer differ in whose p and "
        "start they take as well as in their formats",
        "1",
    ),
    "hindcast_path_explained": (
        ("hindcast",),
        "the same with both squares summed over all states",
        "1",
    ),
    "end_forecast_cosine": (
        FORECAST,
        "cosine between the dead centroid's displacement and its forecast",
        "1",
    ),
    "end_forecast_length": (
        FORECAST,
        "length of the dead centroid's displacement over that of its forecast, of the random walk "
        "its root mean square length",
        "1",
    ),
    "end_forecast_explained": (
        FORECAST,
        "1 - (expected squared error of the forecast) / |displacement|^2",
        "1",
    ),
    "end_clue_cosine": (
        ("clue",),
        "cosine between the dead centroid's final position and the clue",
        "1",
    ),
    "end_arrival": (
        (),
        f"state from which the dead centroid stays within {NEAR:.0%} of its net displacement of "
        "where it ends; NaN: it did not move",
        "1",
    ),
    "end_reach": (
        (),
        "dead centroid's distance from its start at end_arrival over that of steps of lr in every "
        "component until then",
        "1",
    ),
    "walk_efficiency": (
        (*STATE, "walk"),
        "root mean square efficiency of random walks with the centroid's step norms",
        "1",
    ),
    "path_share": (
        ("rank",),
        "share of the variance of the dead centroid's positions at all states of each principal "
        "component",
        "1",
    ),
    "walk_share": (
        ("rank", "null_quantile"),
        f"quantiles ({_LINEAR}) of the same of random walks with the centroid's step norms and "
        "independent directions",
        "1",
    ),
    "walk_plane_share": (
        ("null_quantile",),
        f"quantiles ({_LINEAR}) of the share that lies in the plane of each walk's own first two "
        "components",
        "1",
    ),
    "path_components_above_walk": (
        (),
        "leading components of the dead centroid's positions above 97.5 % of the walks'",
        "1",
    ),
    "plane": (
        ("axis", "component"),
        "first two principal components of the dead centroid's positions at all states",
        "1",
    ),
    "plane_share": (("axis",), "share of the variance of the centroid's positions", "1"),
    "path": (
        (*STATE, "axis"),
        "centroids in the plane; the dead one starts at the origin",
        "weight",
    ),
    "ellipse": (
        ("marked", "population", "axis", "other_axis"),
        "covariance of the cloud within the plane at marked states",
        "weight^2",
    ),
    "frame_position": (
        ("frame", "member", "axis"),
        "tokens in the plane at the states drawn in the animation",
        "weight",
    ),
    "frame_frozen": (
        ("frame", "member"),
        "the update that led to the state left every bit of the row as it was; false at state 0",
        "1",
    ),
    "member_dead": (("member",), "the drawn token is dead", "1"),
} | MEMBERS
# Name: long name, unit; names have none.
COORDINATES = {
    "rank": ("place by falling eigenvalue", "1"),
    "leading": ("place by falling eigenvalue", "1"),
    "marked": ("states of which more is known", "1"),
    "source": (),
    "centring": (),
    "bound": ("quantile: lower and upper end of a range", "1"),
    "null_quantile": (f"quantile over the null's draws, {_LINEAR}", "1"),
    "candidate": (),
    "lag": ("updates", "1"),
    "property": (f"what is known of a token; {_WINDOW}",),
    "response": (),
    "number": (f"properties that are numbers; {_WINDOW}",),
    "place": ("component of W along the drift of the token's population",),
    "likeness": (
        f"of two tokens; spelling: cosine of their counts of runs of {GRAMS[0]} to {GRAMS[1]} "
        "bytes, rare ones weighing more (tf-idf), among tokens that are spelt; initial position: "
        "cosine of their rows of W about the mean row of the tokens",
    ),
    "hindcast": (
        "what is played forward; h is the batch's mean hidden state, p a dead token's mean "
        "probability, the mean p that over all of them",
    ),
    "forecast": (
        "by what is known after the first tenth of the updates, and the learning rates to come",
    ),
    "span": ("of the centroid's way: after the first tenth of the updates, or all of it",),
    "clue": (),
    "walk": ("expected cosine of the directions of its steps",),
    "frame": ("states that are drawn in the animation", "1"),
    "member": ("tokens that are drawn in the animation", "1"),
}
