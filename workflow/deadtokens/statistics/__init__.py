"""Statistics that several analyses share.

`quantiles`, by a sort or by `selection` of one value among very many; `spread` of rows about their
mean; `cosines` between directions, `shares` of parts along their sum; rank `correlation` with its
interval; `roc`, how well a number tells what is known; `separation` of groups that do not overlap;
`entropy` of predictions; logarithmic `bins` of updates.
"""
