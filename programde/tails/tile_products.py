"""Sums of products of rows over a tile of cells, four rows by four, in the processor's vectors.

A loop over cells that the compiler turns into vectors reads two rows for each product, or four for
four of them, and uses half of the widest registers. Here sixteen sums are held in registers while
eight rows are read, and are added up across their lanes together, at the end. Rows lie in flat
arrays of float32 or float64; sums are added to float64 numbers in memory.

Products of the same rows have the same sums to the last bit, whatever else is computed.
"""

from __future__ import annotations

from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic

from programde.compiled import njit

#: Rows of a block; a block's sums are `BLOCK` numbers in memory, row by row.
ROWS = 4
BLOCK = ROWS * ROWS
#: Cells come in multiples of this; what a tile lacks is filled with zeros.
STEP = 16


def _vector_bytes() -> int:
    try:
        return 64 if binding.get_host_cpu_features().get("avx512f") else 32
    except RuntimeError:  # a platform that LLVM knows nothing of
        return 32


#: Bytes of a vector: a register with AVX-512 or AVX, two of NEON.
_BYTES = _vector_bytes()
#: Cells whose `add_lengths` are summed together, and rows.
TOGETHER, _LENGTHS = 2 * _BYTES // 4, 8
_FREE = ("contract", "reassoc", "nsz", "arcp")


@intrinsic
def add_block(typingctx, a, ia, sa, b, ib, sb, n, out, at):
    """``out[at + 4 r + c] += sum over k < n of a[ia + r sa + k] b[ib + c sb + k]``, r, c < 4.

    a and b flat arrays of one type, float32 or float64; n > 0 a multiple of `STEP`; out flat
    float64.
    """

    def codegen(context, builder, signature, args):
        double = signature.args[0].dtype == types.float64
        scalar, size = (ir.DoubleType(), 8) if double else (ir.FloatType(), 4)
        lanes = _BYTES // size
        vector, wide = ir.VectorType(scalar, lanes), ir.VectorType(ir.DoubleType(), lanes)
        index = ir.IntType(64)
        zero = ir.Constant(vector, [0.0] * lanes)

        def data(i):
            return context.make_array(signature.args[i])(context, builder, args[i]).data

        def at_vector(where, offset, kind):
            return builder.bitcast(builder.gep(where, [offset]), kind.as_pointer())

        def starts(base, stride):
            found = [base]
            for _ in range(ROWS - 1):
                found.append(builder.add(found[-1], stride))
            return found

        def load(where, offset):
            value = builder.load(at_vector(where, builder.add(offset, k), vector))
            value.align = size
            return value

        rows, columns = (data(0), starts(args[1], args[2])), (data(3), starts(args[4], args[5]))
        before = builder.block
        loop, done = builder.append_basic_block("next"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(index)
        sums = [builder.phi(vector) for _ in range(BLOCK)]
        left = [load(rows[0], offset) for offset in rows[1]]
        right = [load(columns[0], offset) for offset in columns[1]]
        products = [builder.fmul(x, y, flags=_FREE) for x in left for y in right]
        held = [builder.fadd(s, x, flags=_FREE) for s, x in zip(sums, products, strict=True)]
        following = builder.add(k, index(lanes))
        for phi, first, next_one in [(k, index(0), following)] + [
            (phi, zero, value) for phi, value in zip(sums, held, strict=True)
        ]:
            phi.add_incoming(first, before)
            phi.add_incoming(next_one, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[6]), loop, done)
        builder.position_at_end(done)

        def mask(lanes_of):
            return ir.Constant(ir.VectorType(ir.IntType(32), lanes), lanes_of)

        # halves of neighbours side by side, until each lane is one sum
        width = lanes
        while width > 1:
            half = width // 2
            low = [w + i for w in range(0, 2 * lanes, width) for i in range(half)]
            first, second = mask(low), mask([i + half for i in low])
            held = [
                builder.fadd(
                    builder.shuffle_vector(x, y, first), builder.shuffle_vector(x, y, second)
                )
                for x, y in zip(held[::2], held[1::2], strict=True)
            ]
            width = half
        for i, value in enumerate(held):
            place = at_vector(data(7), builder.add(args[8], index(i * lanes)), wide)
            old = builder.load(place)
            old.align = 8
            more = value if double else builder.fpext(value, wide)
            builder.store(builder.fadd(old, more), place).align = 8
        return context.get_dummy_value()

    return types.void(a, ia, sa, b, ib, sb, n, out, at), codegen


@intrinsic
def add_lengths(typingctx, t, it, st, count, x, rows, width, ix, h, ih):
    """``h[ih + i] += sum over r < 8 of y[r, i]^2``, i < `TOGETHER`, with
    ``y[r, i] = sum over j < count of t[it + r st + j] x[rows[j] width + ix + i]``.

    t, x and h flat float32, count > 0.
    """

    def codegen(context, builder, signature, args):
        lanes = _BYTES // 4
        vector, index = ir.VectorType(ir.FloatType(), lanes), ir.IntType(64)
        zero = ir.Constant(vector, [0.0] * lanes)
        first_lane = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

        def data(i):
            return context.make_array(signature.args[i])(context, builder, args[i]).data

        def at_vector(where, offset):
            return builder.bitcast(builder.gep(where, [offset]), vector.as_pointer())

        def load(where, offset):
            value = builder.load(at_vector(where, offset))
            value.align = 4
            return value

        factors = [builder.add(args[1], builder.mul(args[2], index(r))) for r in range(_LENGTHS)]
        of_t, of_x, of_rows, of_h = data(0), data(4), data(5), data(8)
        before = builder.block
        loop, done = builder.append_basic_block("next"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        j = builder.phi(index)
        sums = [builder.phi(vector) for _ in range(2 * _LENGTHS)]
        row = builder.mul(builder.load(builder.gep(of_rows, [j])), args[6])
        base = builder.add(row, args[7])
        cells = [load(of_x, builder.add(base, index(v * lanes))) for v in range(2)]
        held = []
        for r, offset in enumerate(factors):
            one = builder.load(builder.gep(of_t, [builder.add(offset, j)]))
            spread = builder.insert_element(ir.Constant(vector, ir.Undefined), one, index(0))
            spread = builder.shuffle_vector(spread, spread, first_lane)
            for v, cell in enumerate(cells):
                product = builder.fmul(spread, cell, flags=_FREE)
                held.append(builder.fadd(sums[2 * r + v], product, flags=_FREE))
        following = builder.add(j, index(1))
        j.add_incoming(index(0), before)
        j.add_incoming(following, loop)
        for phi, value in zip(sums, held, strict=True):
            phi.add_incoming(zero, before)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[3]), loop, done)
        builder.position_at_end(done)
        for v in range(2):
            offset = builder.add(args[9], index(v * lanes))
            total = load(of_h, offset)
            for y in held[v::2]:
                total = builder.fadd(total, builder.fmul(y, y, flags=_FREE), flags=_FREE)
            builder.store(total, at_vector(of_h, offset)).align = 4
        return context.get_dummy_value()

    return types.void(t, it, st, count, x, rows, width, ix, h, ih), codegen


@njit(inline="always")
def steps(n):  # pragma: no cover - compiled
    """n as a multiple of `STEP`."""
    return (n + STEP - 1) // STEP * STEP


@njit(inline="always")
def blocks(m):  # pragma: no cover - compiled
    """Blocks of rows that hold m of them."""
    return (m + ROWS - 1) // ROWS


@njit(nogil=True, cache=True, error_model="numpy")
def add_squares(Z, n, sums):  # pragma: no cover - compiled
    """Add to `sums` the products of all rows of Z (4 b, tile) with each other over n cells, n > 0 a
    multiple of `STEP`: `BLOCK` numbers for each block of rows by each one up to it."""
    flat, width = Z.reshape(Z.size), Z.shape[1]
    at = 0
    for i in range(0, Z.shape[0], ROWS):
        for j in range(0, i + ROWS, ROWS):
            add_block(flat, i * width, width, flat, j * width, width, n, sums, at)
            at += BLOCK


@njit(nogil=True, cache=True, error_model="numpy")
def squares(sums, m, H):  # pragma: no cover - compiled
    """Add what `add_squares` summed to the lower triangle of the leading (m, m) of H."""
    at = 0
    for i in range(0, m, ROWS):
        for j in range(0, i + ROWS, ROWS):
            for r in range(min(ROWS, m - i)):
                for c in range(min(ROWS, m - j)):
                    if j + c <= i + r:
                        H[i + r, j + c] += sums[at + ROWS * r + c]
            at += BLOCK


@njit(nogil=True, cache=True, error_model="numpy")
def n_sums(m):  # pragma: no cover - compiled
    """Numbers that `add_squares` takes for m rows."""
    b = blocks(m)
    return b * (b + 1) // 2 * BLOCK
