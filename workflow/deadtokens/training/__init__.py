"""One run: what determines its numbers, and the loop that trains and records it.

`spec` has every setting, `precision` the regimes; `hyperparameters` are the numbers of the update.
`batches` says what is read, `model`, `products` and `loss` what is predicted, `clipping`,
`optimizer`, `update` and `noise` how the weights change. `trainer` goes from update to update,
`train` is the command, `checkpoint` what a segment leaves to the next one, `progress` and `size`
what is said meanwhile and before. `device` and `machine` say where it runs, `rounding` how that
rounds, and `replayed` gives the same update on any other.
"""
