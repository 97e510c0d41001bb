"""Backpropagation by hand: the model's whole backward pass, without autograd, and what it shows.

`symbols` names every tensor; `layers` has each formula, forward and backward; `model` strings them
together; `autograd` is what they are compared with, and `rounding` how closely they can agree;
`streams` follows the gradient through the blocks. `backprop` is the command: all this at the
`states` of a run, its start and its checkpoints.
"""
