"""Null rates of the stratified sampler by how its bins are cut, under confounding that is not
straight: the reason for bins of equal expectation.

One screen's usages are fixed and G units' cells drawn from a known law of the covariate, so given
the usages the units are independent and the number of p-values at or below a level is binomial.
The false-alarm rate of each test function is 1e-3; seeds are fixed.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from scipy.stats import binomtest

from programde.analysis.calibrate import calibrate
from programde.crt.control_group import ControlGroup
from programde.crt.engine import RunOptions, run_tasks
from programde.crt.plan import plan
from programde.crt.samplers import StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from tests.crt.small import screen_of

pytestmark = pytest.mark.slow

N, G = 4000, 1000


@cache
def confounded(curved: bool):
    """Units of about 150 to 190 cells, without effects; uptake and the two programs that are tested
    follow the covariate, straight or with its square; two more follow nothing. The covariates hold
    the square where it matters."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=N)
    square = z**2 - 1
    share = expit(-4.0 + z + 0.6 * square) if curved else expit(-3.5 + 0.8 * z)
    logits = rng.normal(size=(N, 4))
    driver = z + 0.7 * square if curved else z
    logits[:, 0] += 0.8 * driver
    logits[:, 1] -= 0.5 * driver
    usage = np.exp(logits)
    usage /= usage.sum(axis=1, keepdims=True)
    outcome = np.log(usage)
    chosen = [np.flatnonzero(rng.random(N) < share) for _ in range(G)]
    indptr = np.concatenate([[0], np.cumsum([c.size for c in chosen])])
    names = [f"g{j}" for j in range(G)]
    columns = [np.ones(N), z, square] if curved else [np.ones(N), z]
    return replace(
        screen_of(n=N, k=2, p=1),
        clr=(outcome - outcome.mean(axis=1, keepdims=True))[:, :2],
        usage=usage[:, :2],
        covariates=np.column_stack(columns),
        covariate_names=["intercept", "z", "z^2"][: len(columns)],
        covariate_table=None,
        guides=sparse.csc_matrix(
            (np.ones(indptr[-1], dtype=np.int8), np.concatenate(chosen), indptr), shape=(N, G)
        ),
        guide_names=names,
        guide_to_target={g: f"T{g}" for g in names},
    )


def counts(screen, statistic, bins_by, level=0.01):
    """P-values at or below `level`, by program."""
    sampler = StratifiedPermutation(bins_by=bins_by)
    options = RunOptions(statistic, sampler, n_resamples=0, progress=False, n_jobs=1)
    units = screen.target_units()
    tasks = plan(screen, units, ControlGroup("complement", "", None))
    result = run_tasks(tasks, [u.name for u in units], screen.program_names, options)
    return (calibrate(result, "saddlepoint").p_value <= level).sum(axis=0)


@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
def test_bins_of_equal_expectation_hold_their_level_under_curved_confounding(statistic):
    # what remains within bins is allowed for: 1.25 times the level
    found = counts(confounded(curved=True), statistic, "expected")
    for count in found:
        assert binomtest(int(count), G, 0.0125, "greater").pvalue > 0.5e-3
        assert binomtest(int(count), G, 0.0065, "less").pvalue > 0.5e-3


def test_bins_of_equal_count_do_not():
    for count in counts(confounded(curved=True), UTest(), "cells"):
        assert binomtest(int(count), G, 0.025, "greater").pvalue < 1e-3


@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
def test_under_straight_confounding_both_hold_it(statistic):
    screen = confounded(curved=False)
    for bins_by in ("cells", "expected"):
        for count in counts(screen, statistic, bins_by):
            assert binomtest(int(count), G, 0.0125, "greater").pvalue > 0.25e-3
            assert binomtest(int(count), G, 0.0065, "less").pvalue > 0.25e-3
