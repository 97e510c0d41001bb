"""How old the gradients are that move the cloud of dead tokens.

Momentum is old gradients: the first moment is unrolled exactly into the gradients of which it is
the average, and what each age adds to the update of the centroid is projected on the centroid's
displacement and summed over a range of updates. A bar is one high in all: what pushes along the
displacement stands above zero, what pulls back below. The black line is what remains: the update
that the gradients, present and past, ask for. The recorded moment is rounded itself, and what that
adds is a part of its own. The strip names, by its colour, the part that pushes most, and its share
of what remains. Dotted: where the parts would meet if the gradient were the same at every update, 1
- beta1 to the power of an age: an identity for any gradient that changes slowly, and only what
differs from it says something of the gradients. "At rest": the centroid did not move at all. Runs
that differ only in their seed are summed up. Weight decay and the rounding of the weights are not
in this figure.
"""

import numpy as np

from deadtokens.figures import bands

TYPES = bands.TYPES
MOTION = bands.Motion(
    share="centroid_age_share",
    axis="age",
    parts={
        "0": ("#6fb3e0", "gradient of the update itself"),
        "1-9": ("#1f3f77", "1 to 9 updates old"),
        "10-99": ("#5a4b8a", "10 to 99 updates old"),
        ">=100": ("#a58bc7", "100 or more updates old"),
        "rounding of the moment": ("#b0304f", "rounding of the first moment"),
    },
    ages={"0": (0, 1), "1-9": (1, 10), "10-99": (10, 100), ">=100": (100, np.inf)},
    of_all=False,
    ylabel="part of what gradients do along\nthe centroid's displacement",
    remains="past + present",
)
RECIPE = MOTION.recipe("ages", "Age of the gradients behind the drift of dead tokens")
