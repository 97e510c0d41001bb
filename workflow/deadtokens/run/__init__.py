"""A run: what determines its numbers, apart from how it is trained and how it is recorded.

`spec` has every setting, `precision` the regimes, `factors` tells them apart by their fields,
`hyperparameters` the numbers of the update; `layout` names the axes, tensors and chunks of its
record, `tensors` says which of them a run has, `outcome` is what an update gives to it; `formats`
has the two number formats, and `bits` the same for torch's tensors. The update of a weight:
`rule` (in which formats, with which numbers, of a run or of a recording), `clipping`, `update` (in
torch), `noise` (of stochastic rounding), and `compiled_update`, the same on any processor, rounded
as the device says that it rounds (`rounding`). `device` chooses it, `machine` describes it.
`known` says which optimizers of others move a weight by the same formulas.
"""
