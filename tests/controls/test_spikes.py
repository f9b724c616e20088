"""Known effects in control cells: sizes, means, what is tested; no effect gives no hits."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from programde.analysis.spike_tables import spike_table
from programde.analysis.spiked_controls import run_spikes
from programde.controls.control_sets import SetDrawer, set_size
from programde.controls.options import SpikeOptions
from programde.controls.spike_results import Spikes
from programde.controls.spikes import SHARES, spiked_usages
from programde.crt.options import RunOptions
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.errors import InputError, OptionError
from programde.screen.build import Parts, build_screen
from programde.screen.options import Floor
from programde.screen.screen import Screen

FOLDS = (1.5, 3.0)
SMALL = SpikeOptions(n_sets=3, n_unspiked_sets=4, fold_changes=FOLDS, most_programs=2)


def screen_of(floor: Floor | None = None, seed: int = 0, two_guides: bool = False) -> Screen:
    """600 cells, four programs with zeros, two batches; guides of three targets and of controls."""
    rng = np.random.default_rng(seed)
    n = 600
    usage = rng.dirichlet(np.full(4, 0.8), n)
    usage[rng.random(usage.shape) < 0.2] = 0.0
    usage[usage.sum(axis=1) == 0] = 0.25
    usage /= usage.sum(axis=1, keepdims=True)
    names = ["a", "b", "c", "C1", "C2"]
    held = rng.choice(5, n, p=[0.08, 0.08, 0.1, 0.37, 0.37])
    guides = (held[:, None] == np.arange(5)).astype(np.int8)
    if two_guides:
        guides |= (rng.random(guides.shape) < 0.15).astype(np.int8)
    covariates = np.column_stack([rng.normal(size=n), rng.normal(size=n)])
    targets = {g: "non-targeting" if g[0] == "C" else g for g in names}
    parts = Parts([f"c{i}" for i in range(n)], usage, covariates, guides, targets, names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_screen(parts, floor=floor or Floor("fixed", eps=1e-3))


def options(statistic: str = "ols", n_resamples: int = 0, **more: object) -> RunOptions:
    return RunOptions(
        make_statistic(statistic), make_sampler("bernoulli_index"), n_resamples, **more
    )


def spiked(screen: Screen, how: RunOptions | None = None, **words: object) -> Spikes:
    words = {"control": "nt_cells", **words}
    return run_spikes(screen, how or options(), SMALL, ntc_labels="non-targeting", **words)


@pytest.mark.parametrize("zeros", [0.0, 0.4])
def test_the_mean_changes_by_the_fold_whatever_the_share(zeros):
    rng = np.random.default_rng(3)
    pool = rng.gamma(0.7, size=2000)
    pool[rng.random(2000) < zeros] = 0.0
    usage = pool[:300]
    changed = spiked_usages(usage, pool[pool > 0], FOLDS, SHARES, rng)
    wanted = [fold**sign for sign, fold, _ in itertools.product((1, -1), FOLDS, SHARES)]
    np.testing.assert_allclose(changed.mean(axis=1) / usage.mean(), wanted, rtol=1e-12)


def test_a_share_of_the_change_is_cells_that_switch():
    rng = np.random.default_rng(4)
    pool = rng.gamma(5.0, size=40_000)
    pool[rng.random(pool.size) < 0.5] = 0.0
    changed = spiked_usages(pool, pool[pool > 0], (1.4,), SHARES, rng)
    on = (changed > 0).mean(axis=1) / (pool > 0).mean()
    wanted = [1.4 ** (sign * share) for sign in (1, -1) for share in SHARES]
    # 20,000 cells are on: four standard errors of their number are 0.03
    np.testing.assert_allclose(on, wanted, atol=0.03)
    scaled = changed[0]
    np.testing.assert_allclose(scaled, pool * 1.4, rtol=1e-12)


@pytest.mark.parametrize(("effective", "n_cells"), [(50.0, 1000), (250.0, 1000), (499.0, 1000)])
def test_size_of_a_set(effective, n_cells):
    size = set_size(effective, n_cells)
    if effective < 250:
        assert size * (n_cells - size) / n_cells == pytest.approx(effective, rel=0.01)
    else:
        assert size == n_cells / 2


@pytest.mark.parametrize("floor", [Floor("fixed", eps=0.01), Floor("none", transform="hellinger")])
@pytest.mark.parametrize("statistic", ["ols", "utest"])
def test_what_is_tested_is_the_spiked_outcome(floor, statistic):
    """A column's statistic is that of a screen in which the usages themselves were changed."""
    screen = screen_of(floor)
    found = spiked(screen, options(statistic))
    shape = (3, 2, 2, len(FOLDS), len(SHARES))
    effects = found.spiked.effect.reshape(shape)
    before = {name: found.unspiked.effect[:, k] for k, name in enumerate(screen.program_names)}
    for s, k in itertools.product(range(3), range(2)):
        moved = effects[s, k] - before[found.programs[s][k]][s]
        assert (moved[0] >= -1e-12).all()
        assert (moved[1] <= 1e-12).all()
        assert (np.abs(moved[:, 1]) >= np.abs(moved[:, 0]) - 1e-12).all()
    # a fold change of 1.000001 by scaling is the set as it is
    tiny = replace(SMALL, fold_changes=(1.000001, 3.0))
    same = run_spikes(screen, options(statistic), tiny, ntc_labels="non-targeting")
    scaled = same.spiked.effect.reshape(shape)[:, :, 0, 0, 0]
    wanted = [[before[name][s] for name in same.programs[s]] for s in range(3)]
    np.testing.assert_allclose(scaled, wanted, atol=2e-3 if statistic == "utest" else 1e-4)


def test_sets_have_the_size_of_the_median_target_and_lie_among_control_cells():
    screen = screen_of()
    found = spiked(screen)
    columns = screen.target_columns()
    treated = [np.unique(screen.guides[:, columns[t]].nonzero()[0]).size for t in "abc"]
    control = int(screen.guides[:, columns["non-targeting"]].sum())
    assert found.n_treated == np.median(treated)
    sizes = [n * control / (n + control) for n in treated]
    assert found.effective_size == pytest.approx(np.median(sizes))
    n1, n0 = found.unspiked.n_treated, found.unspiked.n_control
    assert (n1 + n0 == control).all()
    np.testing.assert_allclose(n1 * n0 / control, found.effective_size, rtol=0.02)


def test_against_the_complement_cells_are_drawn_by_their_probability():
    found = spiked(screen_of(two_guides=True), control="complement")
    n1, n0 = found.unspiked.n_treated, found.unspiked.n_control
    assert (n1 + n0 == 600).all()
    assert len(set(n1.tolist())) > 1  # each cell on its own
    assert abs(n1.mean() - found.n_treated) < 4 * np.sqrt(found.n_treated / n1.size)


@pytest.mark.slow
@pytest.mark.brief
def test_same_sets_whatever_the_floor_the_statistic_and_the_threads():
    one = spiked(screen_of(Floor("fixed", eps=1e-4)))
    two = spiked(screen_of(Floor("fixed", eps=3e-2)), options("utest", n_jobs=2))
    again = spiked(screen_of(Floor("fixed", eps=1e-4)), options(n_jobs=2))
    assert one.programs == two.programs
    np.testing.assert_array_equal(one.unspiked.n_treated, two.unspiked.n_treated)
    np.testing.assert_array_equal(one.spiked.effect, again.spiked.effect)
    # the last digit goes with how arrays lie in memory
    np.testing.assert_allclose(one.spiked.tails.log_left, again.spiked.tails.log_left, rtol=1e-12)
    # a statistic of ranks knows no monotone change of scale
    roots = spiked(screen_of(Floor("none", transform="hellinger")), options("utest"))
    arcs = spiked(screen_of(Floor("none", transform="arcsine")), options("utest"))
    np.testing.assert_array_equal(roots.spiked.effect, arcs.spiked.effect)


def test_the_table_says_what_was_put_where(tmp_path):
    found = spiked(screen_of(), options(n_resamples=63))
    found.save(tmp_path)
    table = spike_table(Spikes.load(tmp_path), "none")
    assert len(table) == 7 * 4 + 3 * 2 * 2 * len(FOLDS) * len(SHARES)
    plain = table[table["fold"] == 1]
    assert (plain["share"].isna() & (plain["direction"] == "") & (plain["shift"] == 0)).all()
    changed = table[table["fold"] > 1]
    assert (
        np.sign(changed["shift"]) == changed["direction"].map({"up": 1, "down": -1})
    ).mean() > 0.9
    strongest = changed[(changed["fold"] == 3) & (changed["share"] == 1)]
    assert strongest["p_value"].mean() < 0.05 < plain["p_value"].mean()
    right = spike_table(found, "skew_normal", "right")
    assert set(right["direction"]) == {"", "up"}
    with pytest.raises(InputError, match="sets of control guides"):
        spike_table(found, "ntc_empirical")


@pytest.mark.slow
@pytest.mark.brief
def test_sets_as_they_are_give_no_more_hits_than_chance():
    """500 sets of 4 programs: 100 of p <= 0.05 are expected; the bounds have a chance of 1e-3 to
    be left by programs that depend fully on each other within a set."""
    many = SpikeOptions(n_sets=1, n_unspiked_sets=499, fold_changes=FOLDS, most_programs=1)
    found = run_spikes(screen_of(), options(), many, ntc_labels="non-targeting")
    p = spike_table(found, "saddlepoint").query("fold == 1")["p_value"]
    low, high = stats.binom.ppf([5e-4, 1 - 5e-4], 500, 0.05) / 500
    assert low <= (p <= 0.05).mean() <= high


def test_sets_within_conditions_and_seeds():
    screen = screen_of()
    condition = np.where(np.arange(600) % 2, "day", "night").astype(object)
    found = spiked(replace(screen, condition=condition), by_condition=True)
    columns = screen.target_columns()["non-targeting"]
    controls = np.asarray(screen.guides[:, columns].sum(axis=1)).ravel() > 0
    sizes = (found.unspiked.n_treated + found.unspiked.n_control).tolist()
    by_level = [int((controls & (condition == level)).sum()) for level in ("day", "night")]
    assert sizes == [by_level[s % 2] for s in range(7)]
    other = run_spikes(
        screen, options(), replace(SMALL, seed=1), ntc_labels="non-targeting", control="nt_cells"
    )
    assert not np.array_equal(other.unspiked.effect, spiked(screen).unspiked.effect)


def test_an_empty_set_is_not_tested(monkeypatch):
    drawn = iter([0, *range(1, 99)])
    draw = SetDrawer.draw

    def first_is_empty(self, rng):
        cells = draw(self, rng)
        return cells[:0] if next(drawn) == 0 else cells

    monkeypatch.setattr(SetDrawer, "draw", first_is_empty)
    found = spiked(screen_of())
    assert found.spiked.status == ["no treated cells", "", ""]
    table = spike_table(found, "saddlepoint")
    assert table[table["set"] == 0]["p_value"].isna().all()
    assert table[table["set"] > 0]["p_value"].notna().all()


def test_what_cannot_be_done_is_said():
    scores = screen_of(Floor("none", transform="none"))
    with pytest.raises(InputError, match="program scores are no usages"):
        spiked(scores)
    with pytest.raises(InputError, match="no target has 500 treated cells"):
        spiked(screen_of(), options(min_treated=500))
    with pytest.raises(OptionError, match="two fold changes at least"):
        SpikeOptions(fold_changes=(1.5,))
    with pytest.raises(OptionError, match="fold_changes"):
        SpikeOptions(fold_changes=(0.5, 2.0))
