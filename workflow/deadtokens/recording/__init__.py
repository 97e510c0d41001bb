"""Recording the training of somebody else: a weight, its gradient and its moments.

`recorder` is what a training uses. `steps` hooks the optimizer's steps, `rule` says how the
optimizer moves a weight, `continuity` whether anything else has; `schedule` says which updates are
taken. `tokens` counts what the training meets, `forward` takes what it predicts, both by hooks that
no copy of the model keeps (`watching`). `record` fills one segment while it finishes the one
before; `folder` is where they go, and where they go on after a restart (`cut`), `series` where
behind a gap, `sameness` whether that is of the same training. `forgotten` finishes the record of a
recorder that nobody closed. `size` tells beforehand how much it will be; `arguments` refuses what
is given wrongly, `checks` what is wrong by the first update.
Where a library owns the loop, `attach` finds these in its training: `trainer` for HuggingFace's,
`lightning` for Lightning's; each is imported only with its library.
`listing` writes beside the segments what they hold, and `contents` reads that.
"""
