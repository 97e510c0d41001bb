"""The anatomy of the gradient of W, from probabilities to the first update.

`gradients` is the command: the `recorded` gradients of a whole run (`summaries`, `pathways`), and
`probe` at chosen `states`, where the two `sides` of W are kept apart and the `formulas` are held
against autograd (`checks`); `firststep` and `temperature` besides. `initial_softmax` is a command
of its own: the softmax before training (`start`, by `draws` of the weights).
"""
