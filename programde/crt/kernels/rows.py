"""Adding rows of float32 sixteen numbers at a time, whatever the compiler thinks of the loop.

A loop over a row whose length is known only at run time is vectorised with a scalar remainder and
alias checks; for rows of 80 numbers that costs a third of the sampler's time. The instructions
below load, add and store vectors of 16 floats (one AVX-512 register, two of AVX, four of NEON);
rows are therefore padded to a multiple of `LANES`.

`add_vector` adds one vector to one in memory. `add_rows` adds several rows to one, the sum staying
in registers from the first row to the last; the result is that of adding one row after another.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from programde.compiled import njit

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


def _rows_adder(n_vectors):
    """An instruction that adds vectors 0 .. n_vectors - 1 of several rows."""

    @intrinsic
    def adder(typingctx, target, at, source, start, places, count):
        def codegen(context, builder, signature, args):
            types_of, (into, at, rows, start, places, count) = signature.args, args
            index = ir.IntType(64)

            def vectors(array_type, array, offset):
                shifts = [builder.add(offset, index(LANES * u)) for u in range(n_vectors)]
                return [_pointer(context, builder, array_type, array, s) for s in shifts]

            sums = vectors(types_of[0], into, at)
            before = [_load(builder, pointer) for pointer in sums]
            entry = builder.block
            loop = builder.append_basic_block("next_row")
            done = builder.append_basic_block("all_rows")
            builder.cbranch(builder.icmp_signed(">", count, index(0)), loop, done)

            builder.position_at_end(loop)
            j = builder.phi(index)
            held = [builder.phi(value.type) for value in before]
            list_of = context.make_array(types_of[4])(context, builder, places).data
            place = builder.load(builder.gep(list_of, [j]))
            row = vectors(types_of[2], rows, builder.add(place, start))
            after = [builder.fadd(h, _load(builder, r)) for h, r in zip(held, row, strict=True)]
            following = builder.add(j, index(1))
            j.add_incoming(index(0), entry)
            j.add_incoming(following, loop)
            for h, first, last in zip(held, before, after, strict=True):
                h.add_incoming(first, entry)
                h.add_incoming(last, loop)
            builder.cbranch(builder.icmp_signed("<", following, count), loop, done)

            builder.position_at_end(done)
            final = [builder.phi(value.type) for value in before]
            for value, first, last in zip(final, before, after, strict=True):
                value.add_incoming(first, entry)
                value.add_incoming(last, loop)
            for pointer, value in zip(sums, final, strict=True):
                builder.store(value, pointer).align = 4
            return context.get_dummy_value()

        return types.void(target, at, source, start, places, count), codegen

    return adder


_add1, _add2, _add3, _add4 = (_rows_adder(n) for n in (1, 2, 3, 4))
_add5, _add6, _add7, _add8 = (_rows_adder(n) for n in (5, 6, 7, 8))


@njit(inline="always")
def add_rows(target, at, source, places, count, width):  # pragma: no cover - compiled
    """``target[at : at + width] += sum over j < count of source[places[j] : places[j] + width]``.

    Flat float32 arrays, int64 places; `width` a multiple of `LANES`. Eight vectors at a time, which
    is what registers hold with AVX; the rest at once.
    """
    done = 0
    while width - done > 8 * LANES:
        _add8(target, at + done, source, done, places, count)
        done += 8 * LANES
    rest = (width - done) // LANES
    if rest == 1:
        _add1(target, at + done, source, done, places, count)
    elif rest == 2:
        _add2(target, at + done, source, done, places, count)
    elif rest == 3:
        _add3(target, at + done, source, done, places, count)
    elif rest == 4:
        _add4(target, at + done, source, done, places, count)
    elif rest == 5:
        _add5(target, at + done, source, done, places, count)
    elif rest == 6:
        _add6(target, at + done, source, done, places, count)
    elif rest == 7:
        _add7(target, at + done, source, done, places, count)
    elif rest == 8:
        _add8(target, at + done, source, done, places, count)
