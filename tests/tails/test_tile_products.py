"""Sums of products over tiles of cells, against matrix products."""

import numpy as np
import pytest

from programde.tails.tile_products import BLOCK, add_block, add_squares, blocks, n_sums, squares


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 4, 10])
def test_squares_of_rows_are_their_products(kind, m):
    rng = np.random.default_rng(3)
    Z = np.zeros((4 * blocks(m), 96), dtype=kind)
    Z[:m] = rng.standard_normal((m, 96))
    sums = np.zeros(n_sums(m))
    add_squares(Z, 96, sums)
    add_squares(Z, 16, sums)  # is added to what is there
    found = np.full((m + 1, m + 1), 2.0)
    squares(sums, m, found)
    exact = Z[:m].astype(float)
    want = exact @ exact.T + exact[:, :16] @ exact[:, :16].T
    low = np.tril_indices(m)
    np.testing.assert_allclose(found[:m, :m][low], 2.0 + want[low], atol=200 * np.finfo(kind).eps)
    assert (found[np.triu_indices(m + 1, 1)] == 2.0).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_block_is_four_rows_by_four_wherever_they_lie(kind):
    from numba import njit

    @njit
    def block(a, b, out):
        add_block(a, 5, 100, b, 2, 50, 32, out, 3)

    rng = np.random.default_rng(4)
    a, b = rng.standard_normal(400).astype(kind), rng.standard_normal(200).astype(kind)
    out = np.zeros(3 + BLOCK)
    block(a, b, out)
    rows = np.stack([a[5 + 100 * r :][:32] for r in range(4)]).astype(float)
    columns = np.stack([b[2 + 50 * c :][:32] for c in range(4)]).astype(float)
    expected = (rows @ columns.T).ravel()
    np.testing.assert_allclose(out[3:], expected, atol=100 * np.finfo(kind).eps)
    assert (out[:3] == 0.0).all()


def test_leverages_are_lengths_of_solved_rows():
    from programde.tails.first_order_kernels import _leverages

    rng = np.random.default_rng(5)
    X = rng.standard_normal((14, 300)).astype(np.float32)
    rows = np.array([0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13])
    T = np.zeros((16, 16), dtype=np.float32)
    T[:12, :12] = np.tril(rng.standard_normal((12, 12)))
    h = np.full(200, 7.0, dtype=np.float32)
    _leverages(X, rows, 100, 150, T, h)
    wanted = np.square(T[:12, :12].astype(float) @ X[rows, 100:250]).sum(axis=0)
    np.testing.assert_allclose(h[:150], wanted, rtol=1e-5)
    assert (h[150:] == 7.0).all()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_processor_with_narrower_vectors(kind, monkeypatch):
    from numba import njit

    from programde.tails import tile_products

    monkeypatch.setattr(tile_products, "_BYTES", 32)
    narrow = njit(add_squares.py_func)
    Z = np.random.default_rng(6).standard_normal((8, 64)).astype(kind)
    sums, found = np.zeros(n_sums(8)), np.zeros((8, 8))
    narrow(Z, 64, sums)
    squares(sums, 8, found)
    wanted = np.tril(Z.astype(float) @ Z.T.astype(float))
    np.testing.assert_allclose(found, wanted, atol=200 * np.finfo(kind).eps)
