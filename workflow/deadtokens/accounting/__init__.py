"""What moved each token, to the bit. Three questions, a command each.

`audit`: does the replayed optimizer give every recorded bit? Counted by `tally`.

`attribution`: which part of every displacement is momentum, gradient, decay or rounding? `terms`
splits it, `bound` says how large the rounding may be, `ages` how old the gradients are; `sums` is
the compiled loop, `accumulator` adds up a run; `tokens`, `centroids` and `motion` say what came
out.

`stillness`: why did a component stand still? `causes` names one cause for each, `findings` what one
update did, `selection` its quantiles.
"""
