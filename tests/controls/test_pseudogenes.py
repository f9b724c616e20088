"""The plain comparison with pseudo-genes: its p-values, floors and combination."""

import numpy as np
import pytest

from programde.calibration.combine import stouffer
from programde.controls.guide_sets import pseudogene_sets
from programde.controls.pseudogenes import p_against_units
from tests.controls.against import null_of
from tests.controls.simulate import null_screen

PLAIN = {"finite_population_correction": False, "guides_per_unit": 2, "n_ntc_units": 40}
ONE_BIN = {"n_n1_bins": 1, "n_d_bins": 1}


def test_p_values_equal_the_definition():
    rng = np.random.default_rng(0)
    effects, ntc = rng.normal(size=(4, 3)), rng.normal(size=(30, 3))
    matched = rng.random((4, 30)) < 0.5
    matched[3] = False
    p, floor = p_against_units(effects, ntc, matched)
    for g in range(3):
        used = np.abs(ntc[matched[g]])
        assert np.allclose(p[g], (1 + (used >= np.abs(effects[g])).sum(axis=0)) / (len(used) + 1))
        assert floor[g] == 1 / (len(used) + 1)
    assert np.isnan(p[3]).all()
    assert np.isnan(floor[3])
    assert np.allclose(p_against_units(effects, ntc)[1], 1 / 31)


def test_ties_count_and_nan_does_not():
    ntc = np.array([[1.0], [-1.0], [0.5], [np.nan]])
    p, _ = p_against_units(np.array([[1.0], [np.nan], [0.7]]), ntc)
    assert p[0, 0] == 3 / 4
    assert np.isnan(p[1, 0])
    assert p[2, 0] == 3 / 4


def union_effect(screen, guides, cells):
    columns = [screen.guide_names.index(g) for g in guides]
    x = (screen.guides[cells][:, columns].toarray().sum(axis=1) > 0).astype(float)
    design = np.column_stack([x, screen.covariates[cells]])
    return np.linalg.lstsq(design, screen.clr[cells], rcond=None)[0][0]


@pytest.mark.parametrize("statistic", ["max_effect", "max_z"])
def test_the_whole_way_on_one_stratum(statistic):
    screen = null_screen(8, 2, n_targets=4, n_programs=3, uneven=0.3)
    options = PLAIN | {"batch_mode": "pooled", "target_statistic": statistic, "matching": ONE_BIN}
    found = null_of(screen, options=options, seed=5)
    ntc = [g for g in screen.guide_names if g.startswith("ntc")]
    units = pseudogene_sets(ntc, 2, 40, seed=5)
    everyone = np.arange(screen.n_cells)
    null = np.array([union_effect(screen, u, everyone) for u in units])
    spread = np.ones(3) if statistic == "max_effect" else null.std(axis=0)
    assert len(units) == 28  # all pairs of eight
    for target in found.pvals.index:
        effect = union_effect(screen, [f"{target}_0", f"{target}_1"], everyone)
        assert np.allclose(found.effects.loc[target], effect)
        p = (1 + (np.abs(null) >= np.abs(effect)).sum(axis=0)) / 29
        assert np.allclose(found.pvals.loc[target], p)
        largest = (np.abs(effect) / spread).max()
        reached = ((np.abs(null) / spread).max(axis=1) >= largest).sum()
        assert found.gene_pvals[target] == pytest.approx((1 + reached) / 29)
    assert found.matching_info["floor"].to_numpy() == pytest.approx(1 / 29)
    assert found.pvals_t.isna().all().all()


def test_stouffer_weighs_batches_by_their_information():
    screen = null_screen(8, 2, n_targets=3, n_programs=3, n_batches=3, uneven=0.3)
    options = PLAIN | {"combine_method": "stouffer", "matching": ONE_BIN, "min_treated": 1}
    found = null_of(screen, options=options)
    tables = list(found.per_batch.values())
    p = np.array([t["pvals"].to_numpy() for t in tables])
    effect = np.array([t["effects"].to_numpy() for t in tables])
    weight = np.empty_like(p)
    for b, label in enumerate(found.per_batch):
        cells = np.flatnonzero(screen.batch == label)
        C = np.column_stack([np.ones(cells.size), screen.covariates[cells, 1]])
        Q = np.linalg.qr(C)[0]
        residual = screen.clr[cells] - Q @ (Q.T @ screen.clr[cells])
        variance = (residual**2).sum(axis=0) / (cells.size - 2)
        for g, target in enumerate(found.pvals.index):
            columns = screen.target_columns()[target]
            x = (screen.guides[cells][:, columns].toarray().sum(axis=1) > 0).astype(float)
            weight[b, g] = np.sqrt((x @ x - np.sum((Q.T @ x) ** 2)) / variance)
    assert np.allclose(found.pvals, stouffer(p, effect, weight)[0])
    assert np.allclose(found.effects, np.average(effect, axis=0, weights=weight**2))


def test_min_treated_holds_for_pseudogenes():
    screen = null_screen(8, 2, n_targets=4, n_programs=3, cells_per_guide=20)
    few = screen.guides.tolil()
    few[:, screen.guide_names.index("ntc0")] = 0
    few[:, screen.guide_names.index("ntc1")] = 0
    object.__setattr__(screen, "guides", few.tocsc())
    options = PLAIN | {"batch_mode": "pooled", "matching": ONE_BIN, "min_treated": 10}
    found = null_of(screen, options=options)
    assert (found.matching_info["n_matched"] == 27).all()  # all pairs but the one without cells
