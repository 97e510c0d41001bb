"""Recording the training of somebody else: a weight, its gradient and its moments.

`recorder` is what a training uses. `steps` hooks the optimizer's steps, `rule` says how the
optimizer moves a weight; `tokens` counts what the training meets, `forward` takes what it predicts.
Where a library owns the loop, `attach` finds these in its training: `trainer` for HuggingFace's,
`lightning` for Lightning's; each is imported only with its library.
`folder` is where the record goes, and where it goes on after a restart (`cut`); `checks` refuses.
`listing` writes beside it what it holds, and `contents` reads that.
"""
