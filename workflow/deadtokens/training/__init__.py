"""The loop that trains and records a run.

`batches` says what is read, `model`, `products` and `loss` what is predicted, `optimizer` how the
weights change. `trainer` goes from update to update; on a GPU by those that are `captured`, with
their `numbers` on the device. `train` is the command, `segment` what it does, and `finished`
whether it was done before; `checkpoint` is what a segment leaves to the next one, `state` the model
as a checkpoint has it; `progress` and `size` are what is said meanwhile and before.
"""
