"""When what holds at the end of a record counts as for good."""

# Updates over which it must have held: as long as Adam's first moment remembers with beta1 = 0.9.
# Shorter ones are made by a change of sign.
LASTING = 10
