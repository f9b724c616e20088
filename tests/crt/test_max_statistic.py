"""The max statistic against its definition and an exact enumeration, and its null law."""

import numpy as np
import pytest
from scipy.stats import binomtest

from programde.crt.max_statistic import max_statistic_p
from programde.errors import InputError


def by_hand(draws, observed):
    values = np.vstack([draws, observed])
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    largest = np.abs(z).max(axis=1)
    return np.mean(largest >= largest[-1] - 1e-9)


def test_equals_the_definition():
    rng = np.random.default_rng(1)
    for _ in range(30):
        draws = rng.normal(size=(99, 7)) * rng.gamma(1, size=7) + rng.normal(size=7)
        observed = draws[0] * 1.3
        assert max_statistic_p(draws, observed) == pytest.approx(by_hand(draws, observed))


def test_scale_of_a_program_does_not_matter():
    rng = np.random.default_rng(2)
    draws, observed = rng.normal(size=(200, 5)), rng.normal(size=5)
    scale, shift = np.array([1e-6, 1.0, 1e6, 3.0, 0.1]), np.array([0.0, 5.0, -1e6, 0.0, 1.0])
    rescaled = max_statistic_p(draws * scale + shift, observed * scale + shift)
    assert rescaled == max_statistic_p(draws, observed)


def test_programs_without_a_number_or_without_spread_are_left_out():
    rng = np.random.default_rng(3)
    draws, observed = rng.normal(size=(60, 4)), rng.normal(size=4)
    expected = max_statistic_p(draws[:, :1], observed[:1])
    draws[:, 1], observed[1] = 0.1, 0.1
    draws[5, 2] = np.nan
    observed[3] = np.inf
    assert max_statistic_p(draws, observed) == expected
    assert np.isnan(max_statistic_p(draws[:, 1:], observed[1:]))
    assert np.isnan(max_statistic_p(np.empty((0, 4)), observed))


def test_shapes_must_agree():
    with pytest.raises(InputError, match="same programs"):
        max_statistic_p(np.zeros((5, 3)), np.zeros(2))


def test_strongest_shift_gives_the_smallest_p():
    rng = np.random.default_rng(4)
    draws, observed = rng.normal(size=(1023, 70)), rng.normal(size=70)
    observed[11] = -40.0
    assert max_statistic_p(draws.astype(np.float32), observed) == 1 / 1024


def test_rank_of_the_observed_is_exact_at_small_b():
    # B + 1 = 10 vectors without ties: taking each as the observed one gives each rank once
    values = np.random.default_rng(5).standard_t(1.5, size=(10, 6))
    p = [max_statistic_p(np.delete(values, i, axis=0), values[i]) for i in range(10)]
    np.testing.assert_allclose(np.sort(p), np.arange(1, 11) / 10)


def test_draws_equal_to_the_observed_one_count_in_full():
    # few cells: many draws are the observed assignment again, up to the rounding of their sums
    rng = np.random.default_rng(7)
    atoms = rng.normal(size=(6, 4))
    which = rng.integers(6, size=120)
    noise = 1.0 + 1e-13 * rng.normal(size=(120, 4))
    for seen in range(6):
        draws, observed = atoms[which] * noise, atoms[seen]
        ties = np.count_nonzero(which == seen)
        p = max_statistic_p(draws, observed)
        assert p == pytest.approx(by_hand(atoms[which], observed))
        assert p >= (1 + ties) / 121


@pytest.mark.slow
@pytest.mark.brief
def test_null_rate_with_dependent_heavy_tailed_programs():
    # exact by exchangeability, so P(p <= 0.05) = 0.05 at B = 99; false-alarm rate 1e-3
    rng = np.random.default_rng(6)
    n = 4000
    common = rng.standard_t(3, size=(n, 100, 1))
    values = (common + rng.standard_t(3, size=(n, 100, 8))) * np.arange(1, 9)
    hits = sum(max_statistic_p(v[:-1], v[-1]) <= 0.05 for v in values)
    assert binomtest(hits, n, 0.05).pvalue > 1e-3
