"""Tails of units that wait for each other equal those of each alone, whatever the order."""

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import pytest

from programde.analysis.calibrate import calibrate
from programde.crt.control_group import ControlGroup
from programde.crt.engine import PreparedPopulation, RunOptions, run_tasks
from programde.crt.plan import plan
from programde.crt.samplers import Bernoulli, BernoulliLaw, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.crt.unit_tails import TOGETHER, UnitTails, no_tails, tails_of
from programde.errors import OptionError
from programde.tails.log_tails import NOT_COMPUTED, LogTails
from tests.crt.small import population, screen_of

N_UNITS = TOGETHER + 3
COMPLEMENT = ControlGroup("complement", "", None)


def units_of(statistic, sampler, n=300):
    """A prepared population, and (law, effect) of some units."""
    people = population(n=n, k=5, p=2, n_batches=2, confounding=0.6)
    prepared = PreparedPopulation(people, RunOptions(statistic, sampler, 0))
    rng = np.random.default_rng(4)
    treated = [np.sort(rng.choice(n, 12 + 4 * u, replace=False)) for u in range(N_UNITS)]
    effects = [prepared.statistic.observed(places) for places in treated]
    laws = [law for law, _ in prepared.laws(treated)]
    return prepared, list(zip(laws, effects, strict=True))


def same(a, b, rtol=0.0):
    for item in fields(LogTails):
        np.testing.assert_allclose(getattr(a, item.name), getattr(b, item.name), rtol=rtol)


@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
@pytest.mark.parametrize("sampler", [Bernoulli(), StratifiedPermutation()], ids=lambda s: s.name)
def test_who_waits_with_whom_changes_nothing(statistic, sampler):
    prepared, units = units_of(statistic, sampler)
    for rows in (range(N_UNITS), reversed(range(N_UNITS))):
        found = {}
        together = UnitTails(prepared, found.__setitem__)
        for row in rows:
            together.add(row, *units[row])
        assert len(found) == TOGETHER  # the rest is still waiting
        together.finish()
        assert sorted(found) == list(range(N_UNITS))
        for row, (law, effect) in enumerate(units):
            same(found[row], tails_of(prepared, law, effect))


def run(sampler, units=None, **options):
    screen = screen_of(n=300, k=4, n_targets=7)
    units = screen.target_units() if units is None else [screen.target_units()[u] for u in units]
    how = RunOptions(OLS(), sampler, **{"n_resamples": 0, "progress": False, **options})
    names = [unit.name for unit in units]
    return run_tasks(plan(screen, units, COMPLEMENT), names, screen.program_names, how)


@pytest.mark.parametrize("sampler", [Bernoulli(), StratifiedPermutation()], ids=lambda s: s.name)
def test_tails_of_a_run_depend_on_nothing_but_the_unit(sampler):
    reference = run(sampler).tails
    assert reference.log_left.shape == (7, 4)
    # propensities are fitted by blocks of units, which may move their last digit
    same(run(sampler, n_jobs=2).tails, reference, 1e-10)
    same(run(sampler, n_resamples=49, seed=5).tails, reference)
    same(run(sampler, [6, 1, 3]).tails, reference.rows(np.array([6, 1, 3])), 1e-10)


def test_tails_are_left_out_where_not_asked_for():
    result = run(Bernoulli(), tails=False)
    assert result.tails is None
    with pytest.raises(OptionError, match=r"not asked for.*tails=true"):
        calibrate(result, "saddlepoint")


@dataclass(frozen=True)
class CoinToss:
    """A third sampler, of a law without exact tails: what the Protocols ask for and no more."""

    name = "coin_toss"

    def prepare(self, population):
        return self

    def law(self, p, treated):
        return CoinLaw(treated.size / p.size, p.size)


@dataclass(frozen=True)
class CoinLaw:
    """Every cell is treated with the same probability."""

    share: float
    n: int

    def indices(self, n_draws, key):
        drawn = np.random.default_rng(key).random((n_draws, self.n)) < self.share
        counts = drawn.sum(axis=1)
        return np.concatenate([[0], np.cumsum(counts)]), np.nonzero(drawn)[1]

    def sums(self, rows, n_draws, key):
        starts, cells = self.indices(n_draws, key)
        sums = [rows[cells[a:b]].sum(axis=0) for a, b in pairwise(starts)]
        return np.array(sums, dtype=np.float32), np.diff(starts)

    def mean(self):
        return np.full(self.n, self.share)

    def count_moments(self):
        return self.n * self.share, self.n * self.share * (1 - self.share)

    def covariance_trace(self, basis, squares=None):
        return self.share * (1 - self.share) * float((basis**2).sum())


def test_a_third_sampler_needs_no_exact_tails():
    result = run(CoinToss(), n_resamples=99)
    assert result.status == [""] * 7
    assert np.isfinite(calibrate(result, "none").p_value).all()
    assert result.tails is None
    with pytest.raises(OptionError, match=r"the law CoinLaw has none.*calibrate=skew_normal"):
        calibrate(result, "saddlepoint")
    np.testing.assert_array_equal(result.probability.lowest, result.probability.highest)


class Either(CoinToss):
    """Exact tails for units of few cells alone."""

    def law(self, p, treated):
        return BernoulliLaw(p) if treated.size < 30 else super().law(p, treated)


def test_units_without_tails_stand_beside_units_with_tails():
    result = run(Either())
    few = result.n_treated < 30
    assert few.any()
    assert not few.all()
    calibrated = calibrate(result, "saddlepoint")
    np.testing.assert_array_equal(np.isfinite(calibrated.p_value).all(axis=1), few)
    assert (result.tails.branch[~few] == NOT_COMPUTED).all()
    assert (calibrated.branch[~few] == "").all()
    assert result.no_tails == "the law CoinLaw has none"


def test_which_laws_have_exact_tails():
    assert no_tails(BernoulliLaw(np.full(3, 0.2))) == ""
    assert no_tails(CoinLaw(0.2, 3)) == "the law CoinLaw has none"
