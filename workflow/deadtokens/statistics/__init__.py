"""Statistics that several analyses share.

`quantiles` of the values that are there, `selection` of one value among very many, `spread` of rows
about their mean.
"""
