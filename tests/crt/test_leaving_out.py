"""Effects of units that leave cells out of a shared population, against their own populations."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from programde.analysis.targets import run_targets
from programde.analysis.tested_units import units_to_test
from programde.crt import unit_blocks
from programde.crt.control_group import choose_control
from programde.crt.engine import run_tasks
from programde.crt.leaving_out import effects_alone
from programde.crt.options import RunOptions
from programde.crt.plan import plan
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from tests.crt.small import screen_of

OPTIONS = RunOptions(
    make_statistic("ols"),
    make_sampler("bernoulli_index"),
    n_resamples=0,
    tails=False,
    shifts=False,
    min_treated=2,
)


def both_ways(screen, options=OPTIONS, **how):
    """The same units sharing a population, and with their own."""
    units = units_to_test(screen, ["NTC"], kind="guide")
    control = choose_control(screen, "complement", ["NTC"])
    names = [unit.name for unit in units]
    return [
        run_tasks(
            plan(screen, units, control, sharing=sharing, **how),
            names,
            screen.program_names,
            options,
        )
        for sharing in (True, False)
    ]


def assert_same(shared, own):
    assert np.isfinite(own.effect).any()
    np.testing.assert_allclose(shared.effect, own.effect, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(shared.effect_se, own.effect_se, rtol=1e-9)
    np.testing.assert_array_equal(shared.n_treated, own.n_treated)
    np.testing.assert_array_equal(shared.n_control, own.n_control)
    assert shared.status == own.status
    for name in ("n_columns", "n_covariates"):
        np.testing.assert_array_equal(
            getattr(shared.probability, name), getattr(own.probability, name)
        )


@pytest.mark.parametrize(
    "made",
    [
        {"n": 400, "n_targets": 6, "share": 0.2},
        {"n": 5000, "k": 3, "n_targets": 3, "p": 0},
        {"n": 300, "n_targets": 5, "n_batches": 4, "share": 0.1, "confounding": 1.0},
    ],
    ids=["covariates", "several blocks of cells", "batches"],
)
@pytest.mark.parametrize("drop", [True, False])
def test_as_in_a_population_of_its_own(made, drop):
    assert_same(*both_ways(screen_of(**made, n_ntc=2), drop_empty_batches=drop))


def test_few_cells_batches_without_treated_cells_and_cells_of_no_call():
    screen = screen_of(n=250, n_targets=8, n_batches=5, share=0.02, n_ntc=2)
    between = np.zeros(screen.guides.shape, dtype=np.int8)
    between[7] = 1
    between[7:12, 3] = 1
    between *= 1 - screen.guides.toarray()
    screen = replace(screen, ambiguous=type(screen.guides)(between))
    shared, own = both_ways(screen, drop_empty_batches=True)
    assert any(shared.status)
    assert_same(shared, own)
    options = replace(OPTIONS, min_control=240)
    shared, own = both_ways(screen, options)
    assert any("control cells, fewer" in why for why in shared.status)
    assert_same(shared, own)


def test_a_level_that_goes_with_the_cells_left_out_and_many_of_them():
    """Where the covariates lose a column, or a unit most cells, it is tested on its own."""
    screen = screen_of(n=300, n_targets=3, n_batches=6, share=0.3, n_ntc=2)
    presence = screen.guides.toarray()
    last = np.flatnonzero(screen.batch == "B5")
    presence[last] = 0
    presence[last, 1] = 1  # the second guide of T0 alone: without it batch B5 is empty
    presence[:120, 3] = 1  # a sibling of T1's first guide in a third of the cells
    screen = replace(screen, guides=type(screen.guides)(presence))
    assert_same(*both_ways(screen, drop_empty_batches=False))


def test_against_least_squares_of_statsmodels():
    screen = screen_of(n=400, n_targets=3, share=0.3, n_ntc=2)
    shared, _ = both_ways(screen)
    presence = screen.guides.toarray()
    inside = (presence[:, 0] == 1) | (presence[:, 1] == 0)  # T0's guides are the first two
    design = np.column_stack([presence[inside, 0], screen.covariates[inside]])
    for k in range(screen.n_programs):
        fit = sm.OLS(screen.clr[inside, k], design).fit(cov_type="HC3")
        assert shared.effect[0, k] == pytest.approx(fit.params[0], rel=1e-9)
        assert shared.effect_se[0, k] == pytest.approx(fit.bse[0], rel=1e-9)


def test_collinear_with_the_covariates():
    screen = screen_of(n=200, n_targets=3, n_ntc=2)
    first = screen.guides.toarray()[:, 0].astype(float)
    screen = replace(
        screen,
        covariates=np.column_stack([screen.covariates, first]),
        covariate_names=[*screen.covariate_names, "guide"],
    )
    shared, own = both_ways(screen)
    assert shared.status[0] == own.status[0] == "collinear with the covariates"
    assert np.isnan(shared.effect[0]).all()
    assert np.isnan(shared.effect_se[0]).all()


def test_neither_threads_nor_subset_matter(monkeypatch):
    screen = screen_of(n=500, n_targets=6, share=0.2, n_ntc=2)
    whole, _ = both_ways(screen)
    monkeypatch.setattr(unit_blocks, "MOST", 1)
    one_by_one, _ = both_ways(screen, replace(OPTIONS, n_jobs=2))
    np.testing.assert_array_equal(one_by_one.effect, whole.effect)
    np.testing.assert_allclose(one_by_one.effect_se, whole.effect_se, rtol=1e-12)


def test_effects_alone_make_one_population(monkeypatch):
    screen = screen_of(n=500, n_targets=6, share=0.2, n_ntc=2)
    made = []
    real = unit_blocks.PreparedPopulation
    monkeypatch.setattr(unit_blocks, "PreparedPopulation", lambda *a: made.append(1) or real(*a))
    run_targets(screen, OPTIONS, ntc_labels="NTC", unit="guide", control="complement")
    assert len(made) == 1
    assert not effects_alone(replace(OPTIONS, tails=True))
    assert not effects_alone(replace(OPTIONS, n_resamples=10))
    assert not effects_alone(replace(OPTIONS, statistic=make_statistic("utest")))
