"""When what holds at the end of a record counts as for good, and what tokens are judged to be."""

# Updates over which it must have held: as long as Adam's first moment remembers with beta1 = 0.9.
# Shorter ones are made by a change of sign.
LASTING = 10

# Parts of a record after which tokens are judged as at its end, and what they can be.
FRACTIONS = (0.25, 0.5)
SETTLED, UNSETTLED, MOVING = JUDGEMENTS = ("settled", "at rest, not settled", "moving")
