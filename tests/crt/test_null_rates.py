"""No effects at all, confounded: raw p-values are uniform under both samplers and statistics.

One screen's usages and covariates are fixed; many units' cells are drawn from a logistic law of
the covariates on which the usages depend too. Given the usages the units are independent, so the
number of p-values at or below a level is binomial, program by program. Each of the two-sided
binomial tests below has a false-alarm rate of 1e-3 / (number of levels x programs), so each test
function one of 1e-3; seeds are fixed.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from scipy.stats import binomtest

from programde.calibration.empirical import empirical_p
from programde.crt.control_group import ControlGroup
from programde.crt.engine import RunOptions, run_tasks
from programde.crt.plan import plan
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from tests.crt.small import screen_of

pytestmark = pytest.mark.slow

N, K, G, B = 2000, 3, 2000, 199
LEVELS = (0.05, 0.01)


@pytest.fixture(scope="module")
def screen():
    """2,000 units of about 60 cells each; a slope of 0.8 on a covariate, and a batch."""
    made = screen_of(n=N, k=K, p=2, n_batches=2, confounding=0.8, zeros=0.3, seed=11)
    p = true_propensity(made.covariates)
    rng = np.random.default_rng(12)
    chosen = [np.flatnonzero(rng.random(N) < p) for _ in range(G)]
    indptr = np.concatenate([[0], np.cumsum([c.size for c in chosen])])
    guides = sparse.csc_matrix(
        (np.ones(indptr[-1], dtype=np.int8), np.concatenate(chosen), indptr), shape=(N, G)
    )
    names = [f"g{j}" for j in range(G)]
    return replace(
        made, guides=guides, guide_names=names, guide_to_target={g: f"T{g}" for g in names}
    )


def true_propensity(covariates):
    return expit(-3.9 + 0.8 * covariates[:, 1] + 0.5 * covariates[:, 3])


def p_values(screen, statistic, sampler, propensity=None):
    options = RunOptions(
        statistic, sampler, n_resamples=B, seed=13, propensity=propensity, progress=False,
        tails=False,  # the p-values here count draws
        given="covariates" if propensity is None else "propensity",
    )  # fmt: skip
    units = screen.target_units()
    tasks = plan(screen, units, ControlGroup("complement", "", None))
    names = [unit.name for unit in units]
    return run_tasks(tasks, names, screen.program_names, options)


def alarms(p, levels=LEVELS):
    """Smallest two-sided binomial p-value over programs and levels, times their number."""
    tests = [
        binomtest(int((p[:, k] <= level + 1e-12).sum()), len(p), level).pvalue
        for k in range(p.shape[1])
        for level in levels
    ]
    return min(tests) * len(tests)


@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
def test_with_the_true_propensity_p_values_are_uniform(screen, statistic):
    # exact at any B: the observed cells are one more draw
    result = p_values(screen, statistic, Bernoulli(), lambda C, x: true_propensity(C))
    p = empirical_p(result.null)
    assert alarms(p, (0.01, 0.05, 0.2, 0.5)) > 1e-3
    assert alarms(empirical_p(result.null, "left")) > 1e-3
    assert alarms(result.p_max[:, None]) > 1e-3


@pytest.mark.parametrize(
    ("statistic", "sampler"),
    [(OLS(), Bernoulli()), (OLS(), StratifiedPermutation()), (UTest(), Bernoulli())],
    ids=["ols-bernoulli", "ols-stratified", "utest-bernoulli"],
)
def test_with_the_fitted_propensity_p_values_are_uniform(screen, statistic, sampler):
    result = p_values(screen, statistic, sampler)
    assert alarms(empirical_p(result.null)) > 1e-3
    assert alarms(result.p_max[:, None]) > 1e-3


def test_ranks_within_strata_are_nearly_uniform(screen):
    # Ranks adjust for nothing themselves, and a bin of propensities leaves some confounding
    # inside: with 20,000 units the three rates at 0.05 are 0.054, 0.062 and 0.049.
    result = p_values(screen, UTest(), StratifiedPermutation())
    rates = (empirical_p(result.null) <= 0.05 + 1e-12).mean(axis=0)
    assert rates.min() > 0.035
    assert rates.max() < 0.08


def test_the_screen_is_confounded(screen):
    # what the tests above would be worth were nothing to be adjusted for
    share = np.diff(screen.guides.indptr).mean() / N
    result = p_values(screen, UTest(), Bernoulli(), lambda C, x: np.full(N, share))
    assert (empirical_p(result.null) <= 0.05).mean(axis=0).max() > 0.3
