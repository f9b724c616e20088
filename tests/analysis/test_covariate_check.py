"""Score tests of squares and products of covariates: against statsmodels, and their errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from programde.analysis.covariate_check import added_columns, check_covariates
from programde.screen.screen import Screen
from tests.analysis.curved import null_screen

#: Both models right, only one of them wrong, both wrong.
RIGHT = [("straight", "straight"), ("curved", "straight"), ("straight", "curved")]
WRONG = [("curved", "curved"), ("slopes", "slopes")]


@pytest.fixture(scope="module")
def wrong() -> Screen:
    return null_screen(1, "linear", treatment="curved", outcome="curved", n_treated=400)


@pytest.mark.slow
@pytest.mark.brief
def test_score_tests_agree_with_likelihood_ratios_and_white_s_test(wrong: Screen) -> None:
    check = check_covariates(wrong)
    added, _ = added_columns(wrong)
    both = np.hstack([wrong.covariates, added])
    np.testing.assert_allclose(wrong.covariates.T @ added, 0, atol=1e-8 * wrong.n_cells)
    units = {unit.name: unit for unit in wrong.target_units()}
    for row in check.targets.head(3).itertuples():
        x = np.zeros(wrong.n_cells)
        x[wrong.treated_cells(units[row.target])] = 1
        logit = [sm.Logit(x, m).fit(disp=0, method="newton") for m in (wrong.covariates, both)]
        ratio = 2 * (logit[1].llf - logit[0].llf)
        # two forms of one test: they agree to the first order, far out to a few tenths
        assert 0.7 < row.statistic / ratio < 1.4
        assert row.df == added.shape[1]
    for k in range(3):
        fit = sm.OLS(wrong.clr[:, k], wrong.covariates).fit()
        S, weighted = added.T @ fit.resid, added * np.asarray(fit.resid)[:, None]
        expected = S @ np.linalg.solve(weighted.T @ weighted, S)
        row = check.programs.iloc[k]
        assert row["statistic"] == pytest.approx(expected, rel=1e-8)
        assert row["p_value"] == pytest.approx(stats.chi2.sf(expected, len(S)), rel=1e-8)
        rich = sm.OLS(wrong.clr[:, k], both).fit()
        assert row["partial_r2"] == pytest.approx(1 - rich.ssr / fit.ssr, rel=1e-6)


@pytest.mark.slow
def test_the_shift_is_what_the_treated_sum_gains_by_the_added_columns(wrong: Screen) -> None:
    """The mean of sum x r under the richer model of treatment, less that under the straight one."""
    check = check_covariates(wrong)
    added, _ = added_columns(wrong)
    C = wrong.covariates
    r = wrong.clr - C @ np.linalg.lstsq(C, wrong.clr, rcond=None)[0]
    shifts = []
    for unit in wrong.target_units():
        x = np.zeros(wrong.n_cells)
        x[wrong.treated_cells(unit)] = 1
        p, rich = (
            sm.Logit(x, m).fit(disp=0, method="newton").predict()
            for m in (C, np.hstack([C, added]))
        )
        size = np.sqrt((p * (1 - p)).sum() * (r**2).mean(axis=0))
        shifts.append(np.abs((rich - p) @ r) / size)
    assert check.numbers["targets_checked"] == len(shifts)
    for name, level in (("shift_median", 0.5), ("shift_large", 0.95)):
        assert np.quantile(shifts, level) == pytest.approx(
            check.numbers[name], rel=0.06
        )  # G is not 0


@pytest.mark.slow
@pytest.mark.parametrize(("treatment", "outcome"), RIGHT)
def test_no_alarm_where_one_model_is_right(treatment: str, outcome: str) -> None:
    """6 screens of each kind, seeds 0 to 5. At p < .01 a 240th to a 20th of 240 targets rejects
    under truth (probability of more, were the rate .01: 1e-5); the sentence comes in none (its
    rate is below 1e-3 a screen, so below 2 % for these 18)."""
    rejecting = checked = 0
    for seed in range(6):
        screen = null_screen(seed, "linear", treatment=treatment, outcome=outcome)
        check = check_covariates(screen)
        assert check.sentence == ""
        rejecting += check.numbers["targets_rejecting"]
        checked += check.numbers["targets_checked"]
    assert checked == 240
    if treatment == "straight":
        assert rejecting <= 12
    else:
        assert rejecting > 200


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(("treatment", "outcome"), WRONG)
def test_what_is_missing_is_named_and_auto_cures_it(treatment: str, outcome: str) -> None:
    straight = null_screen(2, "linear", treatment=treatment, outcome=outcome)
    check = check_covariates(straight)
    assert "the covariates are too simple" in check.sentence
    assert "try covariates.formula=auto" in check.sentence
    named = "depth squared" if treatment == "curved" else "x depth"
    assert named in check.sentence
    cured = check_covariates(null_screen(2, "auto", treatment=treatment, outcome=outcome))
    assert cured.sentence == ""
    assert cured.numbers["targets_rejecting"] <= 4  # of 40, at .01: more once in 2,000 screens


def test_screens_without_anything_to_ask() -> None:
    screen = null_screen(0, "linear", n_cells=400, n_targets=5, n_treated=40)
    alone = replace(screen, covariates=screen.covariates[:, :1], covariate_names=["intercept"],
                    covariate_tiers=None, batch=None)  # fmt: skip
    check = check_covariates(alone)
    assert check.sentence == ""
    assert check.numbers["added_columns"] == check.numbers["targets_checked"] == 0
    assert len(check.programs) == screen.n_programs
    assert check_covariates(null_screen(0, "linear", n_cells=300, n_treated=5)).sentence == ""
