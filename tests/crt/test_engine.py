"""The engine: p-values against brute force, and results that depend on nothing but the question."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import binomtest

from programde.calibration.empirical import empirical_p
from programde.crt import unit_blocks
from programde.crt.control_group import ControlGroup, choose_control
from programde.crt.engine import PreparedPopulation, RunOptions, run_tasks
from programde.crt.max_statistic import max_statistic_p
from programde.crt.plan import plan
from programde.crt.population import population_of
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.errors import OptionError
from tests.crt.small import screen_of

COMPLEMENT = ControlGroup("complement", "", None)
STATISTICS = [OLS(), UTest()]
SAMPLERS = [Bernoulli(), StratifiedPermutation(n_bins=2)]
BOTH = pytest.mark.parametrize(
    ("statistic", "sampler"),
    list(product(STATISTICS, SAMPLERS)),
    ids=[f"{t.name}-{s.name}" for t in STATISTICS for s in SAMPLERS],
)


def options(statistic=None, sampler=None, **changes):
    defaults = {
        "n_resamples": 199,
        "seed": 1,
        "progress": False,
        "min_treated": 1,
        "min_control": 1,
    }
    return RunOptions(statistic or OLS(), sampler or Bernoulli(), **{**defaults, **changes})


def run(screen, opts, units=None, watch=None, **how):
    units = [u for u in screen.target_units() if u.name != "NTC"] if units is None else units
    tasks = plan(screen, units, COMPLEMENT, **how)
    return run_tasks(tasks, [u.name for u in units], screen.program_names, opts, watch)


def assert_equal(a, b, rows=slice(None)):
    """Effects and moments to 1e-12, counts exactly; `rows` of `a` against all of `b`."""
    for name in ("effect", "effect_se"):
        np.testing.assert_allclose(getattr(a, name)[rows], getattr(b, name), rtol=1e-12)
    np.testing.assert_array_equal(a.n_treated[rows], b.n_treated)
    np.testing.assert_allclose(a.p_max[rows], b.p_max, rtol=1e-12)
    part = a.null.rows(rows)
    for name in ("n_ge", "n_le", "n_abs_ge"):
        np.testing.assert_array_equal(getattr(part, name), getattr(b.null, name))
    for name in ("mean", "sd", "skewness", "minimum", "maximum", "median", "lower", "upper"):
        np.testing.assert_allclose(
            getattr(part, name), getattr(b.null, name), rtol=1e-12, atol=1e-15
        )


def all_assignments(law, n):
    """Every assignment of n cells that the law allows, and its probability."""
    if hasattr(law, "p"):
        x = np.array(list(product([0, 1], repeat=n)), dtype=float)
        return x, np.prod(np.where(x == 1, law.p, 1 - law.p), axis=1)
    choices = [
        list(combinations(law.order[law.starts[s] : law.starts[s + 1]], m))
        for s, m in enumerate(law.totals)
    ]
    x = np.zeros((int(np.prod([len(c) for c in choices])), n))
    for row, chosen in zip(x, product(*choices), strict=True):
        row[[cell for part in chosen for cell in part]] = 1.0
    return x, np.full(len(x), 1.0 / len(x))


def textbook_statistic(statistic, people, x):
    """One assignment at a time: least squares with x, or ranks compared pair by pair."""
    treated = x == 1
    n1, n = int(treated.sum()), x.size
    if statistic.name == "utest":
        if n1 in (0, n):
            return np.zeros(people.n_programs)
        above, below = people.outcome[treated], people.outcome[~treated]
        sign = np.sign(above[:, None] - below[None]).mean(axis=(0, 1))
        return sign
    design = np.column_stack([x, people.covariates])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return np.zeros(people.n_programs)
    return np.linalg.lstsq(design, people.outcome, rcond=None)[0][0]


@BOTH
def test_p_values_equal_those_of_all_assignments(statistic, sampler):
    # Monte Carlo of 20,000 draws against the exact probability; 24 tests at rate 1e-4 each
    n, n_draws = 11, 20_000
    screen = screen_of(n=n, k=3, p=1, n_targets=2, seed=4, share=0.6)
    assert all(2 <= screen.treated_cells(u).size <= 7 for u in screen.target_units())
    exact = {}

    def watch(row, population, law, effect):
        people = population.population
        x, probability = all_assignments(law, n)
        T = np.array([textbook_statistic(statistic, people, one) for one in x])
        tie = 1e-9
        exact[row] = {
            "both": probability @ (np.abs(T) >= np.abs(effect) - tie),
            "right": probability @ (effect - tie <= T),
            "left": probability @ (effect + tie >= T),
            "mean": probability @ T,
            "sd": np.sqrt(probability @ (T - probability @ T) ** 2),
        }

    how = options(statistic, sampler, n_resamples=n_draws, given="propensity")
    result = run(screen, how, watch=watch)
    assert sorted(exact) == [0, 1]
    for side in ("both", "right", "left"):
        counts = np.rint(empirical_p(result.null, side) * (n_draws + 1)).astype(int) - 1
        for row, k in product(range(2), range(3)):
            p = min(exact[row][side][k], 1.0)
            assert binomtest(int(counts[row, k]), n_draws, p).pvalue > 1e-4
    for row in range(2):
        error = (result.null.mean[row] - exact[row]["mean"]) / exact[row]["sd"]
        assert np.abs(error).max() < 4.5 / np.sqrt(n_draws)
        np.testing.assert_allclose(result.null.sd[row], exact[row]["sd"], rtol=0.05)


@BOTH
def test_results_do_not_depend_on_threads_order_subset_or_blocks(statistic, sampler, monkeypatch):
    screen = screen_of(n=400, k=6, n_targets=9, n_batches=2, confounding=0.5, zeros=0.3)
    units = screen.target_units()
    opts = options(statistic, sampler)
    reference = run(screen, opts, units)
    assert reference.status == [""] * 9
    assert_equal(run(screen, options(statistic, sampler, n_jobs=2), units), reference)
    order = np.random.default_rng(0).permutation(9)
    shuffled = run(screen, opts, [units[i] for i in order])
    assert shuffled.units == [units[i].name for i in order]
    assert_equal(reference, shuffled, order)
    some = np.array([7, 2, 3])
    assert_equal(reference, run(screen, opts, [units[i] for i in some]), some)
    assert_equal(reference, run(screen, opts, [units[5]]), [5])
    for block in (1, 4):
        monkeypatch.setattr(unit_blocks, "MOST", block)
        assert_equal(run(screen, options(statistic, sampler, n_jobs=3), units), reference)


def test_results_depend_on_seed_and_name():
    screen = screen_of(n=300, n_targets=3)
    first = run(screen, options())
    other = run(screen, options(seed=2))
    np.testing.assert_array_equal(first.effect, other.effect)
    assert (first.null.mean != other.null.mean).all()
    units = screen.target_units()
    renamed = [type(u)("other " + u.name, u.guides, u.columns) for u in units]
    named = run(screen, options(), renamed)
    np.testing.assert_array_equal(first.effect, named.effect)
    assert (first.null.mean != named.null.mean).all()


@BOTH
def test_null_and_omnibus_are_those_of_the_units_own_draws(statistic, sampler):
    screen = screen_of(n=300, n_targets=3, n_batches=2)
    opts = options(statistic, sampler, given="propensity")
    seen = {}

    def watch(row, population, law, effect):
        seen[row] = population.null_statistics(law, screen.target_units()[row].name), effect

    result = run(screen, opts, watch=watch)
    for row, (draws, effect) in seen.items():
        np.testing.assert_allclose(result.null.mean[row], draws.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(result.null.sd[row], draws.std(axis=0), rtol=1e-10)
        np.testing.assert_array_equal(result.effect[row], effect)
        assert result.p_max[row] == max_statistic_p(draws, effect)


def test_no_resamples_leaves_effects_alone():
    screen = screen_of(n=300, n_targets=3)
    rows = []
    result = run(screen, options(n_resamples=0), watch=lambda row, *_: rows.append(row))
    assert sorted(rows) == [0, 1, 2]
    np.testing.assert_array_equal(result.effect, run(screen, options()).effect)
    assert np.isfinite(result.effect_se).all()
    assert result.null.n_draws == 0
    assert np.isnan(result.null.mean).all()
    assert np.isnan(result.p_max).all()
    assert np.isnan(empirical_p(result.null)).all()


def test_units_that_cannot_be_tested_say_why():
    screen = screen_of(n=90, n_targets=4, n_batches=3, share=0.2)
    presence = screen.guides.toarray()
    presence[:, 0:2] = 0  # T0: nobody
    presence[:, 2] = 1  # T1: everybody
    presence[:, 3] = 0
    presence[:, 4:6] = 0
    presence[:3, 4] = 1  # T2: three cells
    presence[:, 6] = screen.batch == "B1"  # T3: exactly one batch
    presence[:, 7] = 0
    screen = type(screen)(**{**screen.__dict__, "guides": type(screen.guides)(presence)})
    watched = []
    result = run(
        screen,
        options(min_treated=4, min_control=2),
        watch=lambda row, *_: watched.append(row),
    )
    assert result.status == [
        "no treated cells",
        "no control cells",
        "3 treated cells, fewer than 4",
        "collinear with the covariates",
    ]
    assert watched == []
    np.testing.assert_array_equal(result.n_treated, [0, 90, 3, 30])
    np.testing.assert_array_equal(result.n_control, [90, 0, 87, 60])
    for array in (result.effect, result.effect_se, result.null.mean, result.null.lower):
        assert np.isnan(array).all()
    assert np.isnan(empirical_p(result.null)).all()
    assert np.isnan(result.p_max).all()
    few = run(screen, options(min_control=88))
    assert few.status[2] == "87 control cells, fewer than 88"
    assert run(screen, options()).status[2] == ""
    ranks = run(screen, options(UTest()))
    assert ranks.status[2:] == ["", ""]


@pytest.mark.parametrize("kind", ["nt_cells", "complement"])
def test_rows_hold_the_cells_of_their_own_unit(kind):
    # against control cells every unit has a population of its own, in which it is the first
    screen = screen_of(n=300, n_targets=4, n_ntc=5, n_batches=3, one_guide=True)
    units = [u for u in screen.target_units() if u.name != "NTC"]
    level = np.arange(300) % 3 == 0
    control = choose_control(screen, kind, ["NTC"])
    for cells in (None, level):
        tasks = plan(screen, units, control, cells=cells, drop_empty_batches=True)
        few = options(n_resamples=0, min_treated=8 if cells is None else 1)
        result = run_tasks(tasks, [u.name for u in units], screen.program_names, few)
        kept = np.ones(300, dtype=bool) if cells is None else cells
        treated = [int(kept[screen.treated_cells(u)].sum()) for u in units]
        assert len(set(treated)) > 1
        np.testing.assert_array_equal(result.n_treated, treated)
        if kind == "nt_cells":
            controls = int((control.cells & kept).sum())
            np.testing.assert_array_equal(result.n_control, [controls] * 4)
        else:
            np.testing.assert_array_equal(result.n_control, kept.sum() - np.array(treated))
        np.testing.assert_array_equal(
            [status == "" for status in result.status], np.isfinite(result.effect).all(axis=1)
        )


def test_populations_without_cells_are_no_error():
    screen = screen_of(n=60, n_targets=2)
    result = run(screen, options(), cells=np.zeros(60, dtype=bool))
    assert result.status == ["no treated cells"] * 2
    assert np.isnan(result.effect).all()


def test_a_propensity_of_the_users_own_is_the_law():
    screen = screen_of(n=200, n_targets=2)
    p = np.random.default_rng(0).uniform(0.05, 0.3, 200)
    laws = {}
    result = run(
        screen,
        options(propensity=lambda C, x: (p, "model"), given="propensity"),
        watch=lambda row, population, law, effect: laws.setdefault(row, law),
    )
    for law in laws.values():
        np.testing.assert_array_equal(law.p, p)
    assert result.status == ["", ""]
    fitted = run(screen, options(given="propensity"))
    np.testing.assert_array_equal(result.effect, fitted.effect)
    assert (result.null.mean != fitted.null.mean).all()
    with pytest.raises(OptionError, match="must return 200 probabilities"):
        run(screen, options(propensity=lambda C, x: p[:-1], given="propensity"))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_in_a_thread_reaches_the_caller(n_jobs):
    screen = screen_of(n=200, n_targets=40)
    calls = []

    def fails(C, x):
        calls.append(x.sum())
        raise ZeroDivisionError("in the user's model")

    with pytest.raises(ZeroDivisionError, match="user's model"):
        run(screen, options(propensity=fails, n_jobs=n_jobs, given="propensity"))
    assert len(calls) <= 2 * n_jobs

    def watch(row, population, law, effect):
        raise KeyError("watcher")

    with pytest.raises(KeyError, match="watcher"):
        run(screen, options(n_jobs=n_jobs), watch=watch)


def test_an_error_while_planning_reaches_the_caller():
    screen = screen_of(n=100, n_targets=2)

    def tasks():
        yield from plan(screen, screen.target_units(), COMPLEMENT)
        raise RuntimeError("while planning")

    with pytest.raises(RuntimeError, match="while planning"):
        run_tasks(tasks(), ["T0", "T1"], screen.program_names, options())


def test_a_unit_whose_propensity_fails_is_reported(monkeypatch):
    from programde.crt import propensity

    monkeypatch.setattr(propensity, "MAX_STEPS", 1)
    screen = screen_of(n=200, n_targets=2, confounding=1.0)
    result = run(screen, options())
    assert result.status == ["propensity did not converge in 1 steps"] * 2
    assert np.isfinite(result.effect).all()
    assert np.isnan(empirical_p(result.null)).all()
    assert np.isnan(result.p_max).all()


def test_wrong_options_are_refused():
    with pytest.raises(OptionError, match="n_resamples=-1"):
        options(n_resamples=-1)
    with pytest.raises(OptionError, match="n_jobs=0"):
        options(n_jobs=0)
    with pytest.raises(OptionError, match=r"given=p .*covariates"):
        options(given="p")
    with pytest.raises(OptionError, match="say given='propensity'"):
        options(propensity=lambda C, x: x)


def test_progress_counts_every_unit(capsys):
    screen = screen_of(n=100, n_targets=5)
    run(screen, options(progress=True, n_resamples=9))
    assert "5/5" in capsys.readouterr().err
    run(screen, options(progress=None, n_resamples=9))
    assert capsys.readouterr().err == ""


def blas_threads() -> list[int]:
    """Threads of the linear algebra libraries; OpenMP's count is each thread's own affair."""
    from threadpoolctl import threadpool_info

    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_linear_algebra_threads_are_restored():
    from threadpoolctl import threadpool_limits

    screen = screen_of(n=100, n_targets=2)
    inside = []
    with threadpool_limits(limits=2):
        before = blas_threads()
        run(screen, options(n_resamples=9), watch=lambda *_: inside.extend(blas_threads()))
        assert blas_threads() == before
    assert before
    assert set(inside) == {1}


def test_a_prepared_population_is_shared_by_its_units(monkeypatch):
    made = []
    original = PreparedPopulation.__init__

    def counting(self, *args):
        made.append(1)
        original(self, *args)

    monkeypatch.setattr(PreparedPopulation, "__init__", counting)
    screen = screen_of(n=200, n_targets=50)
    run(screen, options(n_resamples=5))
    assert len(made) == 1
    assert population_of(screen).n_cells == 200
