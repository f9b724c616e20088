"""The t form: Student's t for equal guides, its level for unequal ones."""

import numpy as np
import pytest
from scipy import stats

from programde.controls.t_form import t_form


def test_t_form_equals_students_t():
    rng = np.random.default_rng(0)
    b = rng.normal(size=(9, 3))  # nine guides of the same information, the last two the target's
    d = np.full((1, 9), 40.0)
    p = t_form(b[None] * 40.0, d, 7, np.ones(1), np.ones((1, 3)))
    ntc, own = b[:7], b[7:].mean(axis=0)
    t = (own - ntc.mean(axis=0)) / (ntc.std(axis=0, ddof=1) * np.sqrt(1 / 2 + 1 / 7))
    assert np.allclose(p[0], 2 * stats.t.sf(np.abs(t), 6))
    assert np.allclose(p[0], p[1])


def test_t_form_is_uniform_for_unequal_guides():
    # 20,000 null tests each in one stratum and over two; false-alarm rate 1e-4 each
    rng = np.random.default_rng(1)
    d = rng.uniform(10, 60, size=(2, 11))
    score = rng.normal(size=(2, 11, 20_000)) * np.sqrt(d)[:, :, None] + 3.0 * d[:, :, None]
    p = t_form(score, d, 8, np.ones(2), np.ones((2, 20_000)))
    assert stats.kstest(p[0], "uniform").pvalue > 1e-4
    assert abs((p[2] < 0.05).mean() - 0.05) < 3.9 * np.sqrt(0.05 * 0.95 / 20_000) + 0.002


def test_t_form_needs_two_ntc_guides():
    p = t_form(np.ones((1, 2, 1)), np.ones((1, 2)), 1, np.ones(1), np.ones((1, 1)))
    assert np.isnan(p).all()


@pytest.mark.parametrize("guide_sd", [0.0, 0.1, 0.5])
def test_level_where_guides_differ_and_are_unequally_frequent(guide_sd):
    # 20,000 null tests: Monte Carlo standard error 0.0016 at 0.05 and 0.0007 at 0.01
    rng = np.random.default_rng(2)
    d = np.round(100 * np.exp(0.4 * rng.normal(size=(1, 30))))
    effect = guide_sd * rng.normal(size=(1, 30, 20_000)) + 1.0
    noise = rng.normal(size=effect.shape) / np.sqrt(d)[:, :, None]
    p = t_form((effect + noise) * d[:, :, None], d, 25, np.ones(1), np.ones((1, 20_000)))
    assert abs((p < 0.05).mean() - 0.05) < 0.006
    assert abs((p < 0.01).mean() - 0.01) < 0.003


def test_formula_written_out():
    rng = np.random.default_rng(3)
    d, score = rng.uniform(10, 90, size=9), rng.normal(size=9) * 30
    p = t_form(score[None, :, None], d[None], 6, np.array([1.3]), np.array([[0.5]]))[0, 0]
    info, b = d * 0.5, score / d
    w, x = info[:6], b[:6]
    q = np.sum(w * (x - np.average(x, weights=w)) ** 2)
    tau2 = max(0.0, (q - 5) / (w.sum() - (w**2).sum() / w.sum()))
    assert tau2 > 0
    w = 1 / (1 / w + tau2)
    mean = np.average(x, weights=w)
    phi = np.sum(w * (x - mean) ** 2) / 5
    own = info[6:]
    v = (1.3 * own.sum() + tau2 * (own**2).sum()) / own.sum() ** 2
    t = (np.average(b[6:], weights=own) - mean) / np.sqrt(phi * (v + 1 / w.sum()))
    assert p == pytest.approx(2 * stats.t.sf(abs(t), 5), rel=1e-10)
