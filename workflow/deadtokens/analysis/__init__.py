"""What several analyses share, and small measurements of the record itself.

Shared: `origin` (what a derived file says of its run), `populations` (dead, live, never sampled),
`checkpoints`, `quantiles`, `spread`. Commands: `scalars`, `storage` and `tensors`.
"""
