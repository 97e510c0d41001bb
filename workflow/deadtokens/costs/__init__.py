"""What recording costs, measured on a run's own record.

Commands: `storage` (formats and compressions), `tensors` (which of them are kept).
"""
