"""A small screen with batches, effects and enough control guides for every door."""

from __future__ import annotations

import matplotlib
import pytest

import programde as pde
from programde.screen.synthetic import make_sceptre_style_synth

matplotlib.use("Agg")


def small_screen(seed: int = 0, n_cells: int = 900):
    """900 cells x 5 programs, 8 targets of 6 guides, 20 control guides, 2 batches."""
    adata = make_sceptre_style_synth(
        N=n_cells,
        K=5,
        n_target_genes=8,
        guides_per_gene=6,
        ntc_frac_guides=0.3,
        moi_mean=4.0,
        frac_causal_genes=0.25,
        effect_size=1.0,
        n_cov_extra=2,
        seed=seed,
    )
    adata.obsm["cnmf_usage"] = adata.obsm["usage"]
    return adata


@pytest.fixture
def adata():
    return small_screen()


@pytest.fixture(scope="session")
def shared_inputs():
    """Inputs that no test changes."""
    return pde.prepare_crt_inputs(small_screen())


@pytest.fixture
def inputs(shared_inputs):
    return shared_inputs


@pytest.fixture(scope="session")
def ntc_groups(shared_inputs):
    """Three partitions of the control guides into groups of six."""
    guides, freq, to_bin, signatures = pde.build_ntc_group_inputs(
        shared_inputs, "non-targeting", group_size=6, n_bins=5
    )
    return pde.make_ntc_groups_ensemble(
        guides, freq, signatures, to_bin, n_ensemble=3, seed0=7, group_size=6
    )
