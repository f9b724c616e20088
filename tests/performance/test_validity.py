"""The simulation bench: its generators are what they say, its competitors their formulas, and an
interrupted run goes on."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.validity import blocks, page
from benchmarks.validity.__main__ import arguments, main
from benchmarks.validity.competitors import COMPETITORS, compare
from benchmarks.validity.counting import CLASSES, count, fair_threshold
from benchmarks.validity.generators import GENERATORS, Generator
from benchmarks.validity.settings import BEFORE, DEFAULT, SETTINGS, Screens
from benchmarks.validity.simulated import N_TARGETS, Simulated, high_moi, low_moi
from benchmarks.validity.summary import ratio, summarise, text_of

pytestmark = pytest.mark.slow


def small(rng: np.random.Generator) -> Simulated:
    return high_moi(rng, n_cells=600, n_targets=10, sizes=(20.0, 60.0))


def small_low(rng: np.random.Generator) -> Simulated:
    return low_moi(rng, n_cells=900, n_targets=10, sizes=(20.0, 60.0), second=0.1)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Generator]:
    """The bench with two small generators."""
    found = {"small": Generator("small", "few cells", small, "1"),
             "small_low": Generator("small_low", "one guide", small_low, "1")}  # fmt: skip
    for name in list(GENERATORS):
        monkeypatch.delitem(GENERATORS, name)
    for name, generator in found.items():
        monkeypatch.setitem(GENERATORS, name, generator)
    return found


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_are_what_they_say(name: str) -> None:
    one = GENERATORS[name].screen(0)
    G, K = one.truth.shape
    assert len(one.names) == G
    assert one.usage.shape == (len(one.covariates), K)
    assert np.allclose(one.usage.sum(axis=1), 1.0)
    assert one.held.shape == (len(one.covariates), len(one.targets))
    assert not one.covariates.isna().any(axis=None)
    # null targets are null in all programs; those that act are counted where they act alone
    acts = ~(one.truth == 0).all(axis=1)
    assert 0.1 < acts.mean() < 0.3
    moved = (np.nan_to_num(one.truth[acts]) != 0).sum(axis=1)
    if name == page.TOUCHED:  # asks for the programs that were touched
        assert (moved == 1).all()
        assert not np.isnan(one.truth).any()
    else:
        assert (moved == 6).all()
        assert np.allclose(np.nansum(one.truth, axis=1), 0.0)
    per_cell = one.held.sum(axis=1)
    assert (per_cell.max() <= 2) == (one.moi == "low")
    if one.moi == "high":
        assert G == N_TARGETS or G == 80
        assert "NTC" not in one.targets


def test_a_screen_is_the_same_at_any_time() -> None:
    a, b, other = (GENERATORS["straight"].screen(block) for block in (3, 3, 4))
    assert np.array_equal(a.usage, b.usage)
    assert np.array_equal(a.held, b.held)
    assert not np.array_equal(a.held, other.held)


def test_treated_cells_follow_their_expected_number() -> None:
    # 10 targets, expected 40 each; a sum of 400 has a standard deviation below 20
    one = high_moi(np.random.default_rng(1), n_cells=1000, n_targets=10, sizes=(40.0, 40.001))
    assert abs(one.held.sum() - 400) < 100


def test_what_a_target_does_not_touch_stays_in_log_ratios() -> None:
    def still(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
        return np.tile(np.linspace(-1, 1, k), (n, 1)) + 1e-9 * rng.standard_normal((n, k))

    one = high_moi(np.random.default_rng(2), n_cells=500, n_targets=5, sizes=(40.0, 60.0),
                   noise=still, into_programs=0.0)  # fmt: skip
    truth = np.where(np.isnan(one.truth), 0.0, one.truth)
    log = np.log(one.usage)
    clr = log - log.mean(axis=1, keepdims=True)
    expected = np.linspace(-1, 1, clr.shape[1]) + one.held @ truth
    assert np.allclose(clr, expected, atol=1e-7)


def test_zeros_are_where_the_generator_puts_them() -> None:
    one = GENERATORS["zero_inflated"].screen(0)
    share = (one.usage == 0).mean(axis=0)
    assert (share[1::2] == 0).all()
    assert 0.2 < share[::2].mean() < 0.5


def test_hidden_donors_are_hidden() -> None:
    assert "donor" not in GENERATORS["hidden_donors"].screen(0).covariates
    assert "donor" in GENERATORS["donor_as_covariate"].screen(0).covariates


def test_competitors_are_their_formulas() -> None:
    sm = pytest.importorskip("statsmodels.api")
    screens = Screens(small(np.random.default_rng(0)))
    comparison = screens.comparison("linear")
    p = {method: compare(method, comparison) for method in COMPETITORS}
    g = int(np.argmax(screens.sizes))
    x, y = comparison.held[:, g].astype(float), comparison.Y[:, 3]
    fit = sm.OLS(y, np.column_stack([x, comparison.C])).fit()
    assert p["ols_t"][g, 3] == pytest.approx(fit.pvalues[0], rel=1e-8)
    robust = fit.get_robustcov_results("HC3", use_t=True)
    assert p["hc3"][g, 3] == pytest.approx(robust.pvalues[0], rel=1e-8)
    ranked = stats.mannwhitneyu(y[x == 1], y[x == 0], method="asymptotic")
    assert p["mannwhitney"][g, 3] == pytest.approx(ranked.pvalue, rel=1e-8)
    # the ridge of our propensity is 1, as scikit-learn's default
    model = pytest.importorskip("sklearn.linear_model").LogisticRegression(C=1.0, tol=1e-10)
    chance = model.fit(comparison.C[:, 1:], x).predict_proba(comparison.C[:, 1:])[:, 1]
    product = (x - chance) * sm.OLS(y, comparison.C).fit().resid
    z = np.sqrt(len(y)) * product.mean() / product.std()
    assert p["gcm"][g, 3] == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-4)


def test_competitors_have_our_control_cells() -> None:
    one = small_low(np.random.default_rng(0))
    comparison = Screens(one).comparison("linear")
    controls = ~one.held[:, :10].any(axis=1)
    for cells in comparison.populations():
        ((g, treated),) = cells.units
        alone = one.held[:, g] & (one.held[:, :10].sum(axis=1) == 1)
        assert treated.size == alone.sum()
        assert len(cells.Y) == (alone | controls).sum()


def test_counts() -> None:
    truth = np.array([[0.0, 0, 0, 0], [1.0, -1.0, np.nan, np.nan]])
    p = np.array([[0.9, 0.045, 0.5, np.nan], [1e-6, 0.6, 1e-9, 1e-9]])
    found = count(p, truth, np.array([12, 60]))
    assert found["classes"]["10-14"] == {
        "null": 3, "below": [1, 0, 0, 0], "real": 0, "found": 0, "fair": 0
    }  # fmt: skip
    assert found["classes"]["50+"] == {
        "null": 0, "below": [0, 0, 0, 0], "real": 2, "found": 1, "fair": 1
    }  # fmt: skip
    assert (found["false"], found["share_false"]) == (0, 0.0)
    assert set(found["classes"]) == set(CLASSES)


def test_fair_threshold_against_trying_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        null, real = np.round(rng.random(60), 2), np.round(rng.random(40) ** 4, 2)
        every = np.unique(np.concatenate([null, real]))
        good = [t for t in every
                if (null <= t).sum() <= 0.1 * ((null <= t).sum() + (real <= t).sum())]  # fmt: skip
        assert fair_threshold(null, real) == max(good, default=-1.0)


def test_errors_over_screens_are_those_of_their_counts() -> None:
    # binomial counts of equal size: the error of the rate is sqrt(r (1 - r) / n)
    rng = np.random.default_rng(3)
    tests = np.full(4000, 200.0)
    rate, error = ratio(rng.binomial(200, 0.05, 4000).astype(float), tests)
    assert rate == pytest.approx(0.05, rel=0.02)
    assert error == pytest.approx(np.sqrt(0.05 * 0.95 / tests.sum()), rel=0.05)


def test_settings_are_all_combinations() -> None:
    names = [name for name in SETTINGS if not name.startswith(("seed", *COMPETITORS))]
    assert len(names) == 2 * 2 * 3 * 2  # statistics, covariates, laws, with draws or not
    assert {*DEFAULT.values(), *BEFORE.values()} <= set(SETTINGS)


def test_every_setting_gives_p_values(tiny: dict[str, Generator]) -> None:
    few = [replace(setting, n_resamples=min(setting.n_resamples, 39)) for setting in
           SETTINGS.values()]  # fmt: skip
    for generator in tiny.values():
        screens = Screens(generator.screen(0))
        for setting in few:
            found = setting.p_values(screens)
            assert found, setting.name
            for p in found.values():
                assert p.shape == screens.simulated.truth.shape
                assert np.nanmin(p) > 0
                assert np.nanmax(p) <= 1
                assert np.isnan(p).mean() < 0.2, setting.name


def test_an_interrupted_run_goes_on(tiny: dict[str, Generator], tmp_path: Path) -> None:
    name = DEFAULT["ols"]
    generators, settings = blocks.chosen(["small", name, "ols_t-linear"])
    assert [g.name for g in generators] == ["small"]
    assert [s.name for s in settings] == [name, "ols_t-linear"]
    later = time.monotonic() + 600
    assert blocks.run(tmp_path, generators, settings, range(2), until=0.0) == 0
    assert blocks.run(tmp_path, generators, settings, [0], later) == 2
    kept = blocks.path_of(tmp_path, "small", name, 0)
    first = kept.read_bytes()
    assert blocks.run(tmp_path, generators, settings, range(2), later) == 2
    assert kept.read_bytes() == first
    kept.write_text("{ cut off")
    assert blocks.run(tmp_path, generators, settings, range(2), later) == 1
    assert json.loads(kept.read_text())["calibrations"] == json.loads(first)["calibrations"]
    # what a stale revision left is open, and no more than that
    stale = [json.loads(first)["commit"]]
    assert not list(blocks.open_work(tmp_path, generators, settings, range(2), ["none"]))
    assert len(list(blocks.open_work(tmp_path, generators, settings, range(2), stale))) == 2
    # another source of the generator: nothing of it is there
    changed = [replace(generators[0], stamp="2")]
    assert len(list(blocks.open_work(tmp_path, changed, settings, range(2)))) == 2


def test_draws_take_part_in_some_blocks(tiny: dict[str, Generator], tmp_path: Path) -> None:
    _, settings = blocks.chosen(["-draws"])
    work = list(blocks.open_work(tmp_path, list(tiny.values()), settings, range(10)))
    assert [(g.name, block) for g, block, _ in work] == [
        (name, block) for block in (4, 9) for name in tiny
    ]


def test_one_command(
    tiny: dict[str, Generator],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "validity.md").read_text(encoding="utf-8")
    (tmp_path / "validity.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr("benchmarks.validity.__main__.DOCS", tmp_path)
    out = tmp_path / "results" / "validity.json"
    words = ["--only", *DEFAULT.values(), *BEFORE.values(), "ols_t-auto"]
    main(["--blocks", "2", "--folder", str(tmp_path / "b"), "--out", str(out), *words])
    table = capsys.readouterr().out
    assert "small_low" in table
    results = json.loads(out.read_text())
    assert out.read_text() == text_of(summarise(tmp_path / "b"))
    row = page.rows_of(results)["small", DEFAULT["ols"], "saddlepoint"]
    assert row["blocks"] == 2
    tests = row["null"]["all"]["tests"][0]
    rate, error = (row["null"]["15+"][key][0] for key in ("rate", "error"))
    assert tests == 2 * 8 * 20  # screens, null targets, programs
    assert abs(rate - 1) < 5 * error + 0.5  # a false alarm needs 5 errors and half the rate
    written = (tmp_path / "validity.md").read_text(encoding="utf-8")
    assert "| ols_t-auto" in written
    assert "direct" not in written[written.index("rates01") : written.index("fair: end")]
    assert (tmp_path / "validity.png").stat().st_size > 10_000


def test_wrong_words_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="curvy"):
        main(["--only", "curvy"])
    with pytest.raises(SystemExit):
        arguments(["--blocks", "0"])
    assert "at least 1" in capsys.readouterr().err


def test_errors_below_a_poisson_count_are_not_claimed(
    tiny: dict[str, Generator], tmp_path: Path
) -> None:
    truth, sizes = np.zeros((5, 20)), np.full(5, 30)
    for block in range(3):
        p = np.full(truth.shape, 0.5)
        stored = {"stamp": "1", "commit": "c", "seconds": 1.0,
                  "calibrations": {"saddlepoint": count(p, truth, sizes)}}  # fmt: skip
        blocks.write(blocks.path_of(tmp_path, "small", DEFAULT["ols"], block), stored)
    (row,) = summarise(tmp_path)["rows"]
    assert row["null"]["15+"]["rate"] == [0.0] * 4
    assert row["null"]["15+"]["error"][2] == pytest.approx(1 / 300 / 1e-3)
    assert pd.isna(row["power all"][0])
