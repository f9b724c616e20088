"""What must not change a result, for screens drawn at random: the order of cells, programs and
guides, the units of a covariate, guides of other targets, the names of batches.

P-values are those of the law itself (saddlepoint, no draws), so that they are comparable where the
order of cells decides which draws are made.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from programde.analysis.calibrate import calibrate
from programde.analysis.tables import results_table
from programde.analysis.targets import RunOptions, run_targets
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.errors import ProgramDEWarning
from programde.io.anndata import screen_from_anndata
from tests.screen.small_screens import small_adata

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
WAYS = [
    (OLS(), Bernoulli(), "complement"),
    (OLS(), StratifiedPermutation(n_bins=3), "nt_cells"),
    (UTest(), Bernoulli(), "nt_cells"),
    (UTest(), StratifiedPermutation(n_bins=3), "complement"),
]
EACH_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda w: f"{w[0].name}-{w[1].name}-{w[2]}")
COLUMNS = ["effect", "effect_se", "p_value", "q_value", "n_treated", "n_control"]


def screen_like(seed):
    """200 cells, 4 programs, 3 targets, one of them the control; guides and programs have names."""
    adata = small_adata(n=200, seed=seed)
    rng = np.random.default_rng(seed)
    held = rng.integers(6, size=200)  # one guide per cell
    held[rng.random(200) < 0.1] = 6  # or none
    adata.obsm["guide_assignment"] = sparse.csr_matrix(held[:, None] == np.arange(6))
    adata.uns["program_names"] = [f"p{k}" for k in range(4)]
    return adata


def results(adata, way, **keys):
    """Results by target and program, in a fixed order."""
    statistic, sampler, control = way
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProgramDEWarning)  # an aliased covariate is named
        screen = screen_from_anndata(adata, **keys)
    how = RunOptions(statistic, sampler, n_resamples=0, progress=False)

    result = run_targets(screen, how, ntc_labels="NTC", control=control)
    table = results_table(result, calibrate(result, "saddlepoint"))
    return table.set_index(["target", "program"]).sort_index()[[*COLUMNS, "branch"]]


def same(found, expected):
    """Equal but for rounding, which may decide by which way a p-value near a switch is got."""
    sure = ["effect", "effect_se", "n_treated", "n_control"]
    pd.testing.assert_frame_equal(found[sure], expected[sure], rtol=1e-9, atol=1e-12)
    sharp = (found["branch"] == expected["branch"]).to_numpy()
    mine, theirs = found["p_value"].to_numpy(), expected["p_value"].to_numpy()
    np.testing.assert_allclose(mine[sharp], theirs[sharp], rtol=1e-6)
    np.testing.assert_allclose(mine, theirs, rtol=0.01)


@EACH_WAY
@FEW
@given(SEEDS)
def test_order_of_cells_programs_and_guides(way, seed):
    rng = np.random.default_rng(seed)
    adata = screen_like(seed)
    programs, guides = rng.permutation(4), rng.permutation(6)
    mixed = adata[rng.permutation(200)].copy()
    mixed.obsm["cnmf_usage"] = mixed.obsm["cnmf_usage"][:, programs]
    mixed.uns["program_names"] = [f"p{k}" for k in programs]
    mixed.obsm["guide_assignment"] = mixed.obsm["guide_assignment"][:, guides]
    mixed.uns["guide_names"] = [adata.uns["guide_names"][j] for j in guides]
    same(results(mixed, way), results(adata, way))


@EACH_WAY
@FEW
@given(SEEDS, st.floats(-6, 6))
def test_units_of_a_covariate(way, seed, exponent):
    adata = screen_like(seed)
    expected = results(adata, way)
    adata.obsm["covar"]["depth"] = adata.obsm["covar"]["depth"] * 10.0**exponent + 1
    same(results(adata, way), expected)


@EACH_WAY
@FEW
@given(SEEDS)
def test_a_guide_of_no_cell_and_one_of_another_target(way, seed):
    adata = screen_like(seed)
    expected = results(adata, way)
    held = np.asarray(adata.obsm["guide_assignment"].sum(axis=1)).ravel()
    more = np.column_stack([np.zeros(200), held == 0])  # in cells that held no guide
    adata.obsm["guide_assignment"] = sparse.hstack(
        [adata.obsm["guide_assignment"], sparse.csr_matrix(more)]
    ).tocsr()
    adata.uns["guide_names"] = [*adata.uns["guide_names"], "absent", "more"]
    adata.uns["guide2gene"] = {**adata.uns["guide2gene"], "absent": "T1", "more": "OTHER"}
    found = results(adata, way)
    alike = [c for c in expected.columns if c != "q_value"]  # there is one more hypothesis
    pd.testing.assert_frame_equal(
        found.loc[expected.index, alike], expected[alike], check_exact=True
    )


@EACH_WAY
@FEW
@given(SEEDS)
def test_batches_renamed_and_their_label_split(way, seed):
    adata = screen_like(seed)
    expected = results(adata, way)
    table = adata.obsm["covar"]
    batch = table["batch"].astype(str)
    # names in the same order: the first level is the reference of the ridge in the propensity
    table["batch"] = batch.map({"A": "plate 1, lane 1", "B": "plate 1, lane 2", "C": "plate 2"})
    # what follows from the batch adds nothing and is dropped
    table["plate"] = batch.map({"A": 1, "B": 1, "C": 2})
    table["lane"] = batch.map({"A": "1", "B": "2", "C": "none"})
    adata.obsm["covar"] = table
    same(results(adata, way), expected)
