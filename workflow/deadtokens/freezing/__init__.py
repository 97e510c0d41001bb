"""When tokens stand still, and what drives and holds them.

`freezing` is the command: one pass over W in `moves` (each update's `steps`), each token's `lives`,
then `survival` (`lasting` says what counts as for good, `forecast` what that is worth), the
`onset`, the `order` in which tokens freeze by their `properties`, and a small picture, `strata`.
`sharpening` is a command of its own, with its `forces`. `labels` says what the variables mean.
"""
