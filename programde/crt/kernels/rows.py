"""Adding rows of float32 sixteen numbers at a time, whatever the compiler thinks of the loop.

A loop over a row whose length is known only at run time is vectorised with a scalar remainder and
alias checks; for rows of 80 numbers that costs a third of the sampler's time. These two
instructions load, add and store one vector of 16 floats (one AVX-512 register, two of AVX, four of
NEON); rows are therefore padded to a multiple of `LANES`.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

#: Floats per vector; the row length of everything that these functions touch is a multiple of it.
LANES = 16

#: Bytes.
CACHE_LINE = 64


def _pointer(context, builder, array_type, array, offset):
    data = context.make_array(array_type)(context, builder, array).data
    vector = ir.VectorType(ir.FloatType(), LANES)
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _load(builder, pointer):
    value = builder.load(pointer)
    value.align = 4
    return value


def padded(n: int) -> int:
    """The smallest multiple of `LANES` that holds `n` numbers."""
    return -(-n // LANES) * LANES


def aligned_zeros(n_rows: int, width: int) -> np.ndarray:
    """Zeros (n_rows, width) float32 that begin on a cache line.

    With rows of whole vectors every vector then lies in one cache line; where vectors straddle two,
    the samplers take a quarter longer.
    """
    lines = np.zeros(n_rows * width * 4 + CACHE_LINE, dtype=np.uint8)
    skip = -lines.ctypes.data % CACHE_LINE
    return lines[skip : skip + n_rows * width * 4].view(np.float32).reshape(n_rows, width)


@intrinsic
def add_vector(typingctx, target, at, source, start):
    """``target[at : at + 16] += source[start : start + 16]`` on flat float32 arrays."""

    def codegen(context, builder, signature, args):
        into = _pointer(context, builder, signature.args[0], args[0], args[1])
        one = _load(builder, _pointer(context, builder, signature.args[2], args[2], args[3]))
        builder.store(builder.fadd(_load(builder, into), one), into).align = 4
        return context.get_dummy_value()

    return types.void(target, at, source, start), codegen
