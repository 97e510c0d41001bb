"""Which part of every displacement is gradient, momentum, decay or rounding?

`attribution` is the command. `terms` splits a displacement, `bound` says how large its rounding may
be, `ages` how old the gradients are; `sums` is the compiled loop, `accumulator` adds up a run;
`tokens`, `centroids` and `summary` say what came out, `labels` what the variables mean.
"""
