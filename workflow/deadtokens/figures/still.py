"""The fraction of components that an update left at rest, dead tokens' beside live ones'.

A component of a row of W is at rest at update t if that update left all of its bits as they were,
whatever the other components of its token do. A token is frozen where all of its components are at
rest (the figure "frozen"), so a token that is not frozen can have a single component that moved.
This fraction does not depend on the width of the model, and runs of different widths compare by it.
Of more than 100 updates bins are drawn: the median of a bin as a line, shaded the range of its
updates, over all runs of one colour. Runs that differ only in their seed share a colour: thin lines
are single runs, the other line is their mean. A cross marks the last update of a run that diverged.
"""

from deadtokens.figures.rest import Rest

REST = Rest(
    column="still_fraction",
    fraction=lambda freezing: 1 - freezing["moved_fraction"].sel(grid="recorded"),
    ylabel="fraction of components at rest\n(bitwise unchanged by the update)",
)
TYPES = REST.types
RECIPE = REST.recipe("still", "Components at rest", ["moved_fraction", "grid"])
