"""What is known of two groups that do not overlap: all pairs agree, and their spread says nothing.

The bound is shared by Cliff's delta and the area under a ROC curve, which is (1 + delta) / 2.
"""

from deadtokens.statistics.correlation import Z


def separated(delta: float, fewest: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a Cliff's delta of -1 or 1.

    By the smaller group alone, as Feng and Cliff (2004), Journal of Modern Applied Statistical
    Methods 3 (2), 322, have it.

    Parameters
    ----------
    delta : float
        -1 or 1.
    fewest : int
        Members of the smaller group.
    """
    bound = (fewest - Z**2) / (fewest + Z**2)
    return (bound, 1.0) if delta > 0 else (-1.0, -bound)
