"""What must not change a screen, for inputs drawn at random."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from programde.errors import InputError
from programde.io.anndata import screen_from_anndata
from programde.screen.composition import Floor, check_usage, clr, floor_and_close, floor_value
from programde.screen.covariates import encode_covariates, independent_columns
from programde.screen.guides import to_csc_matrix
from tests.screen.small_screens import small_adata

pytestmark = pytest.mark.slow

QUICK = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
SEEDS = st.integers(0, 2**32 - 1)


@QUICK
@given(SEEDS)
def test_permuting_cells_programs_and_guides_permutes_the_screen(seed):
    rng = np.random.default_rng(seed)
    adata = small_adata(seed=seed)
    adata.uns["program_names"] = [f"p{k}" for k in range(4)]
    plain = screen_from_anndata(adata)
    rows, programs, guides = rng.permutation(60), rng.permutation(4), rng.permutation(6)
    mixed = adata[rows].copy()
    mixed.obsm["cnmf_usage"] = mixed.obsm["cnmf_usage"][:, programs]
    mixed.uns["program_names"] = [f"p{k}" for k in programs]
    mixed.obsm["guide_assignment"] = mixed.obsm["guide_assignment"][:, guides]
    mixed.uns["guide_names"] = [adata.uns["guide_names"][j] for j in guides]
    screen = screen_from_anndata(mixed)
    np.testing.assert_allclose(screen.clr, plain.clr[rows][:, programs], atol=1e-12)
    np.testing.assert_allclose(screen.covariates, plain.covariates[rows], atol=1e-12)
    np.testing.assert_array_equal(screen.guides.toarray(), plain.guides.toarray()[rows][:, guides])
    assert screen.batch.tolist() == plain.batch[rows].tolist()
    for unit in plain.target_units():
        treated = screen.treated_cells(screen.target_units([unit.name])[0])
        assert sorted(rows[treated]) == plain.treated_cells(unit).tolist()


@QUICK
@given(st.sampled_from([-1, 1]), st.floats(-250, 250), st.floats(-3, 3), SEEDS)
def test_units_of_a_covariate_change_nothing(sign, exponent, shift, seed):
    factor = sign * 10.0**exponent
    adata = small_adata(seed=seed)
    plain = encode_covariates(adata.obsm["covar"])
    table = adata.obsm["covar"].copy()
    table["depth"] = (table["depth"] + shift) * factor
    moved = encode_covariates(table)
    assert moved.names == plain.names
    signs = np.array([1, sign, 1, 1, 1])
    np.testing.assert_allclose(moved.matrix, plain.matrix * signs, atol=1e-9)


@QUICK
@given(SEEDS)
def test_an_irrelevant_guide_and_new_batch_names_change_nothing_else(seed):
    adata = small_adata(seed=seed)
    plain = screen_from_anndata(adata)
    extra = adata.copy()
    more = np.random.default_rng(seed).random((60, 1)) < 0.2
    extra.obsm["guide_assignment"] = sparse.hstack([extra.obsm["guide_assignment"], more]).tocsr()
    extra.uns["guide_names"] = [*extra.uns["guide_names"], "more"]
    extra.uns["guide2gene"] = {**extra.uns["guide2gene"], "more": "OTHER"}
    batch = extra.obsm["covar"]["batch"]
    extra.obsm["covar"]["batch"] = batch.cat.rename_categories({"A": "a1", "B": "b1", "C": "c1"})
    screen = screen_from_anndata(extra)
    np.testing.assert_array_equal(screen.clr, plain.clr)
    np.testing.assert_array_equal(screen.covariates, plain.covariates)
    for unit in plain.target_units():
        twin = screen.target_units([unit.name])[0]
        assert screen.treated_cells(twin).tolist() == plain.treated_cells(unit).tolist()


USAGES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(2, 6)),
    elements=st.one_of(st.just(0.0), st.floats(1e-12, 1.0)),
)


@QUICK
@given(USAGES, st.floats(1e-8, 0.2))
def test_compositions_are_closed_and_log_ratios_centred(raw, eps):
    raw[:, 0] += 0.5
    U = floor_and_close(raw / raw.sum(axis=1, keepdims=True), eps)
    np.testing.assert_allclose(U.sum(axis=1), 1, atol=1e-12)
    assert U.min() > 0
    Y = clr(U)
    np.testing.assert_allclose(Y.sum(axis=1), 0, atol=1e-11)
    back = np.exp(Y) / np.exp(Y).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(back, U, rtol=1e-9)


@QUICK
@given(USAGES, st.sampled_from(["quantile", "positive_quantile"]), st.floats(0, 0.3))
def test_a_floor_is_positive_and_leaves_something(raw, kind, quantile):
    import warnings

    raw[:, 0] += 0.5
    raw /= raw.sum(axis=1, keepdims=True)
    checked = check_usage(raw, None, [f"c{i}" for i in range(len(raw))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            eps, _ = floor_value(checked.usage, Floor(kind, eps_quantile=quantile))
        except InputError:  # only where the quantile is the largest usage
            eps = None
    if eps is None:
        assert np.quantile(raw[raw > 0], quantile) >= raw.max()
        return
    assert 0 < eps < raw.max()
    assert np.isfinite(clr(floor_and_close(checked.usage, eps))).all()


@QUICK
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 15), st.integers(1, 7)),
               elements=st.integers(-3, 3).map(float)),
    st.integers(-100, 100),
)  # fmt: skip
def test_independent_columns_span_all_columns(C, exponent):
    kept = independent_columns(C * 10.0**exponent)
    assert len(kept) == np.linalg.matrix_rank(C)
    if len(kept):
        rest = C - C[:, kept] @ np.linalg.lstsq(C[:, kept], C, rcond=None)[0]
        np.testing.assert_allclose(rest, 0, atol=1e-9)


@QUICK
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 10), st.integers(1, 5)),
               elements=st.one_of(st.just(0.0), st.floats(1e-300, 1e300))),
    st.sampled_from(["dense", "csr", "csc", "coo", "frame"]),
)  # fmt: skip
def test_presence_is_nonzero_whatever_the_form(G, form):
    wrap = {
        "dense": np.asarray,
        "csr": sparse.csr_matrix,
        "csc": sparse.csc_array,
        "coo": sparse.coo_matrix,
        "frame": lambda a: pd.DataFrame(a, columns=[f"g{j}" for j in range(a.shape[1])]),
    }[form]
    csc, _ = to_csc_matrix(wrap(G))
    np.testing.assert_array_equal(csc.toarray(), (G != 0).astype(np.int8))
    assert (csc.data == 1).all()
