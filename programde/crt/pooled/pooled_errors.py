"""HC3 standard errors of several units against one pool of controls, in one reading of it.

With x~ the residual indicator, h the leverages and e = R0 - Q (H - P beta) - x beta the residuals
of the full design (see `statistics.ols`), se^2 = sum x~^2 e^2 / (1 - h)^2 / d^2. In the controls
x~ and h are linear and quadratic in the features, and so is what e takes off R0:

    sum w e^2 = sum w R0^2 - 2 eta'(sum w u R0) + eta'(sum w u u') eta,   eta_b = M_b (H - P beta),

sums over cells that are matrix products for a block of units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pooled_unit import PooledUnit, Summed

#: Cells per block of the matrix products.
_CELLS = 2048
_ALONE = 1e-9


def pooled_errors(
    pool: ControlPool,
    outcome: PoolOutcome,
    units: Sequence[PooledUnit],
    found: Sequence[Summed],
) -> np.ndarray:
    """Standard errors (G, K) of the effects of G units; NaN of those that are collinear."""
    from programde.crt.kernels.by_batch import hc3_features
    from programde.crt.kernels.robust import squares

    K = outcome.residual.shape[0]
    which = [u for u, unit in enumerate(units) if not unit.collinear]
    out = np.full((len(units), K), np.nan)
    if not which:
        return out
    some = [units[u] for u in which]
    inverse_d = np.array([1.0 / unit.d for unit in some])
    total = np.stack([_treated(units[u], found[u]) for u in which])
    rest = [found[u].H - np.outer(units[u].P, found[u].effect) for u in which]
    G = len(which)
    square = np.empty((K, _CELLS))
    w = np.empty((G, _CELLS))
    wu = np.empty((G, int(pool.ranks.max(initial=0)), _CELLS))
    for b, (lo, hi) in enumerate(pool.segments):
        r = int(pool.ranks[b])
        if hi == lo or r == 0:
            continue
        here = np.array([g for g in range(G) if some[g].live[b]], dtype=np.int64)
        if here.size == 0:
            continue
        M = [some[g].M[b, :r] for g in here]  # units may differ in columns
        A = np.stack([one @ one.T for one in M])
        g_b = np.stack([one @ some[g].P for one, g in zip(M, here, strict=True)])
        eta = np.stack([one @ rest[g] for one, g in zip(M, here, strict=True)])
        own = [slots[(slots >= lo) & (slots < hi)] for slots in (some[g].slots for g in here)]
        own_first = np.cumsum([0, *(slots.size for slots in own)])
        treated = np.concatenate(own)
        products = np.zeros((here.size, r, r))
        cross = np.zeros((here.size * r, K))
        for begin in range(lo, hi, _CELLS):
            n = min(_CELLS, hi - begin)
            w_part, wu_part = w[: here.size, :n], wu[: here.size, :r, :n]
            hc3_features(
                pool.features, begin, n, r, A, g_b, inverse_d[here], treated, own_first,
                w_part, wu_part, products,
            )  # fmt: skip
            residual = outcome.residual[:, begin : begin + n]
            squares(residual, square[:, :n])
            total[here] += w_part @ square[:, :n].T
            cross += np.ascontiguousarray(wu_part).reshape(-1, n) @ residual.T
        products += np.tril(products, -1).transpose(0, 2, 1)
        total[here] += np.einsum("grk,grk->gk", eta, products @ eta)
        total[here] -= 2.0 * np.einsum("grk,grk->gk", eta, cross.reshape(here.size, r, K))
    with np.errstate(invalid="ignore"):
        out[which] = np.sqrt(np.maximum(total, 0.0)) * inverse_d[:, None]
    return out


def _treated(unit: PooledUnit, found: Summed) -> np.ndarray:
    """sum x~^2 e^2 / (1 - h)^2 (K,) over the treated cells."""
    base = np.einsum("ij,ij->i", unit.q, unit.q)
    x = 1.0 - unit.q @ unit.P
    left = 1.0 - base - x * x / unit.d
    with np.errstate(divide="ignore", invalid="ignore"):
        w = np.where(left > _ALONE, (x / left) ** 2, np.nan)
    w[base > 1.0 - _ALONE] = 0.0
    e = found.own - unit.q @ found.H - x[:, None] * found.effect
    return np.asarray(w @ (e * e))
