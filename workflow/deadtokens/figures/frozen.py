"""The fraction of tokens that an update left frozen, dead tokens beside live ones.

Dead tokens never occur in the training text; live ones stood in a batch of the run; those that
stood in none, where there are any, were never sampled. A token is frozen at update t if that update
left all components of its row bitwise unchanged; a falling line is a thaw. All of its components
have to rest, so the wider a model is the fewer tokens are frozen, and widths do not compare: the
figure "still" counts components. Of more than 100 updates bins are drawn: the median of a bin as a
line, shaded the range of its updates, over all runs of one colour. A fraction that jumps from one
update to the next is a high band. Runs that differ only in their seed share a colour: thin lines
are single runs, the other line is their mean. A cross marks the last update of a run that diverged.
"""

from deadtokens.figures.rest import Rest

REST = Rest(
    column="frozen_fraction",
    fraction=lambda freezing: freezing["frozen_fraction"],
    ylabel="fraction of tokens frozen\n(bitwise unchanged by the update)",
)
TYPES = REST.types
RECIPE = REST.recipe("frozen", "Frozen tokens", ["frozen_fraction"])
