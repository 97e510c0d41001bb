"""The number formats, named by strings: their bits and their precision.

Runs are in bfloat16 and float32; of float16 there are matrices of other models. bfloat16 is the
upper half of float32. Nothing here needs torch; `bits` is the same for its tensors.
"""

import numpy as np

# Bits that a format keeps behind the leading one.
MANTISSA = {"bfloat16": 7, "float16": 10, "float32": 23}
# Largest relative error of one rounding to nearest: half an ulp of 1.
UNIT_ROUNDOFF = {name: 2.0 ** -(bits + 1) for name, bits in MANTISSA.items()}
# Of normal numbers; subnormals share its spacing.
SMALLEST_EXPONENT = {"bfloat16": -126, "float16": -14, "float32": -126}
UNSIGNED = {"bfloat16": np.uint16, "float32": np.uint32}  # of a number's bit pattern

# Of the pattern of a float32.
EXPONENT = np.uint32(0x7F800000)
FRACTION = np.uint32((1 << MANTISSA["float32"]) - 1)
SMALLEST_NORMAL = np.uint32(1 << MANTISSA["float32"])


def signed(bits: np.ndarray) -> np.ndarray:
    """Return unsigned bit patterns as signed integers of the same width, in place."""
    return bits.view(f"i{bits.itemsize}")
