"""True nulls at p < 0.05: the exchange of guides holds its level, plain pseudo-genes do not.

Each bound is 0.05 +- 0.005 or a gap of many Monte Carlo standard errors, stated beside it.
"""

from itertools import combinations

import numpy as np
import pytest

from tests.controls.against import null_of
from tests.controls.rates import rate, results
from tests.controls.simulate import null_screen

pytestmark = pytest.mark.slow
POOLED = {"batch_mode": "pooled"}


@pytest.mark.parametrize(("n_ntc", "per_target"), [(12, 6), (12, 3), (60, 6)])
@pytest.mark.parametrize("guide_sd", [0.0, 0.3])
def test_level_of_the_exchange(n_ntc, per_target, guide_sd):
    screen = {"n_ntc": n_ntc, "per_target": per_target, "guide_sd": guide_sd, "n_programs": 400}
    found = results(5, screen, **POOLED)
    share, error = rate([e.pvals for e in found])
    assert error < 0.0020
    assert 0.045 <= share <= 0.055
    assert 0.045 <= rate([e.pvals_t for e in found])[0] <= 0.055
    assert rate([e.pvals_t for e in found], 0.01)[0] < 0.014


def test_plain_pseudogenes_find_too_much():
    screen = {"n_ntc": 12, "per_target": 6}
    plain = results(2, screen, finite_population_correction=False, **POOLED)
    share, error = rate([e.pvals for e in plain])
    assert share > 0.09
    assert error < 0.006


def test_level_where_ntc_guides_have_a_mean_of_their_own():
    screen = {"n_ntc": 12, "per_target": 6, "mean": 1.0, "uneven": 0.4}
    share, error = rate([e.pvals for e in results(5, screen, **POOLED)])
    assert error < 0.003
    assert 0.040 <= share <= 0.055  # unequal guides and few of them: slightly conservative


@pytest.mark.parametrize("shared", [0.0, 0.15])
def test_level_of_the_signed_combination_of_eight_batches(shared):
    screen = {"n_ntc": 12, "per_target": 3, "n_batches": 8, "n_targets": 10, "cells_per_guide": 15}
    screen |= {"guide_sd_shared": shared, "n_programs": 400}
    found = results(4, screen, combine_method="stouffer")
    share, error = rate([e.pvals for e in found])
    assert error < 0.0025
    assert 0.045 <= share <= 0.055
    if shared:  # taking batches for independent misses what a guide does in all of them
        plain = results(1, screen, finite_population_correction=False)
        assert rate([e.pvals for e in plain])[0] > 0.15


def test_level_of_fisher_on_eight_independent_batches():
    screen = {"n_ntc": 30, "per_target": 4, "n_batches": 8, "n_targets": 10, "cells_per_guide": 15}
    screen |= {"n_programs": 400}
    found = results(6, screen, combine_method="fisher", n_ntc_units=1500)
    share, error = rate([e.pvals for e in found])
    assert error < 0.0030
    assert 0.045 <= share <= 0.055


def test_level_of_the_target_statistic():
    # 80 screens of 10 programs: the level is that of screens, 0.05 +- 3.3 standard errors
    shares = []
    for seed in range(80):
        screen = null_screen(12, 3, n_targets=30, n_programs=10, cells_per_guide=10, seed=seed)
        found = null_of(screen, options={"guides_per_unit": 3} | POOLED)
        shares.append((found.gene_pvals <= 0.05).mean())
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert error < 0.009
    assert abs(np.mean(shares) - 0.05) < 3.3 * error + 0.002


def test_stretching_pseudogenes_is_not_enough():
    # guide effects N(0, 1), 12 NTC guides, targets of 6; 4,000 screens of 10 targets. Stretched by
    # 1 / sqrt(1 - m / M) about the NTC mean, pseudo-genes pass at 0.05 by luck and fail at 0.01
    rng = np.random.default_rng(0)
    sets = np.array(list(combinations(range(12), 6)))
    low = np.zeros((4000, 2))
    for screen in low:
        guides, targets = rng.normal(size=12), rng.normal(size=(10, 6)).mean(axis=1)
        units = guides[sets].mean(axis=1)
        stretched = guides.mean() + (units - guides.mean()) / np.sqrt(1 - 6 / 12)
        below = np.searchsorted(np.sort(np.abs(stretched)), np.abs(targets))
        p = (1 + len(sets) - below) / (len(sets) + 1)
        screen[:] = (p < 0.05).mean(), (p < 0.01).mean()
    share, error = low.mean(axis=0), low.std(axis=0) / np.sqrt(len(low))
    assert (error < [0.002, 0.0012]).all()
    assert abs(share[0] - 0.05) < 0.010
    assert share[1] > 0.014
