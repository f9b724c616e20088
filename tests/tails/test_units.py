"""Tails of units that wait for each other equal those of each alone, whatever the order."""

import numpy as np
import pytest

from programde.crt.engine import Bench, RunOptions
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.tails.units import TOGETHER, ExactTails, NoExactTails, tails_of
from tests.crt.small import population

N_UNITS = TOGETHER + 3


def units_of(statistic, sampler, n=300):
    """A bench, and (law, effect) of some units."""
    people = population(n=n, k=5, p=2, n_batches=2, confounding=0.6)
    bench = Bench(people, RunOptions(statistic, sampler, 0))
    rng = np.random.default_rng(4)
    treated = [np.sort(rng.choice(n, 12 + 4 * u, replace=False)) for u in range(N_UNITS)]
    effects = [bench.statistic.observed(places) for places in treated]
    return bench, [(law, t) for (law, _), t in zip(bench.laws(treated), effects, strict=True)]


@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
@pytest.mark.parametrize("sampler", [Bernoulli(), StratifiedPermutation()], ids=lambda s: s.name)
def test_who_waits_with_whom_changes_nothing(statistic, sampler):
    bench, units = units_of(statistic, sampler)
    other, others = units_of(statistic, sampler)
    alone = np.array([tails_of(bench, law, effect, "both").p_value for law, effect in units])
    for rows in (range(N_UNITS), reversed(range(N_UNITS))):
        tails = ExactTails((N_UNITS + 1, 5), "both")
        for row in rows:
            tails(row, bench, *units[row])
            if row == 2:  # a unit of another population comes between
                tails(N_UNITS, other, *others[0])
        found = tails.found()
        np.testing.assert_array_equal(found["p_value"][:N_UNITS], alone)
        np.testing.assert_array_equal(found["p_value"][N_UNITS], alone[0])
        assert (found["branch"] != "").all()


def test_untested_units_stay_empty_and_unknown_laws_are_refused():
    bench, units = units_of(OLS(), Bernoulli())
    tails = ExactTails((3, 5), "right")
    tails(1, bench, *units[0])
    with pytest.raises(NoExactTails, match="does not know the law str"):
        tails(2, bench, "a law", units[0][1])
    found = tails.found()
    assert np.isnan(found["p_value"][[0, 2]]).all()
    assert (found["branch"][[0, 2]] == "").all()
    assert np.isfinite(found["p_value"][1]).all()
    assert np.isfinite(found["p_moments"][1]).all()
