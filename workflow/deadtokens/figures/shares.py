"""Which term of the update moves the cloud of dead tokens, by ranges of updates.

The displacement of the dead tokens' centroid by each update is the sum of four terms: the present
gradient, momentum (past gradients), weight decay and rounding. Each is projected on the
displacement itself and summed over a range of updates. A bar is one high in all: what pushes along
the displacement stands above zero, what pulls back below, and the black line is what remains, the
displacement. The strip names, by its colour, the term that pushes most, and its share of the
displacement: more than 100 % where another term takes a part back, several times the displacement
(×) where rounding takes back most of it. Dotted: where momentum's part would end if the gradient
were the same at every update. It is beta1, from early on, an identity of Adam's first moment for
any gradient that changes slowly: a share of momentum near it is no finding, only its distance from
it is, and whether momentum drives the drift is shown by training without it (beta1 0). "At rest":
the centroid did not move at all. Runs that differ only in their seed are summed up. The figure says
which term of the optimizer's formula moved the cloud along the recorded gradients, not what would
have happened without that term.
"""

import numpy as np

from deadtokens.figures import bands

TYPES = bands.TYPES
MOTION = bands.Motion(
    share="centroid_share",
    axis="term",
    parts={
        "momentum": ("#1f3f77", "momentum (past gradients)"),
        "present": ("#6fb3e0", "present gradient"),
        "decay": ("#e8b04a", "weight decay"),
        "rounding": ("#b0304f", "rounding"),
    },
    ages={"momentum": (1, np.inf), "present": (0, 1)},
    of_all=True,
    ylabel="part of what acts along\nthe centroid's displacement",
    remains="the displacement",
)
RECIPE = MOTION.recipe("shares", "What moves the cloud of dead tokens")
