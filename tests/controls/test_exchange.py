"""Guide exchange: the kernel against its twin, exactness by enumeration, the t form."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from programde.calibration.combine import fisher
from programde.controls.exchange import GuideExchange
from programde.controls.exchange_kernel import TIE, count_exchanges
from programde.controls.guide_summaries import Batch, Sums
from programde.controls.matching import MatchingOptions
from programde.controls.options import ComparisonOptions, ControlUnitOptions

LOOSE = MatchingOptions(n_n1_bins=1, n_d_bins=1)


def twin(members, used, matched, matched_all, e, spread, precision, own, own_spread, scale, every):
    """The kernel's counts, written with whole arrays; standardised statistics only."""
    use = used & (spread > 0)
    sums = e[:, members].sum(axis=2)
    square = sums**2 * precision[:, None] / np.where(use, spread, np.nan)[:, :, None]
    own_square = (own**2 * precision) / own_spread[:, None]
    total = np.where(use[:, :, None], sums * precision[:, None], 0).sum(axis=0)
    variance = np.where(use[:, :, None], spread[:, :, None] * precision[:, None], 0).sum(axis=0)
    own_total = (own * precision).sum(axis=0) ** 2 / (own_spread[:, None] * precision).sum(axis=0)
    with np.errstate(invalid="ignore"):
        squares = [*square, total**2 / variance]
    masks = [*(matched & use), matched_all & use.any(axis=0)]
    own_squares, scales = [*own_square, own_total], [*scale, every]
    n = [int(m.sum()) for m in masks]
    reached, largest = [], []
    for s, m, o, c in zip(squares, masks, own_squares, scales, strict=True):
        reached.append((s[m] >= (1 - TIE) * o).sum(axis=0))
        own_largest = (1 - TIE) * (o / c).max()
        largest.append(int(((s[m] / c).max(axis=1) >= own_largest).sum()))
    return n, np.array(reached), largest


def test_kernel_equals_its_twin():
    rng = np.random.default_rng(0)
    n_batches, n_guides, n_programs, n_sets = 3, 10, 4, 60
    members = np.array([rng.permutation(n_guides)[:3] for _ in range(n_sets)])
    args = (
        members,
        rng.random((n_batches, n_sets)) < 0.8,
        rng.random((n_batches, n_sets)) < 0.6,
        rng.random(n_sets) < 0.7,
        rng.normal(size=(n_batches, n_guides, n_programs)),
        rng.uniform(0.5, 2, size=(n_batches, n_sets)),
        rng.uniform(0.5, 2, size=(n_batches, n_programs)),
        rng.normal(size=(n_batches, n_programs)),
        rng.uniform(0.5, 2, size=n_batches),
        rng.uniform(0.5, 2, size=(n_batches, n_programs)),
        rng.uniform(0.5, 2, size=n_programs),
    )
    n, reached, largest = count_exchanges(*args, False)
    expected = twin(*args)
    assert n.tolist() == expected[0]
    assert np.array_equal(reached, expected[1])
    assert largest.tolist() == expected[2]


def toy_batches(own_columns, n_batches=1, n_guides=6, n_programs=5, seed=0, uneven=True):
    """Strata with given guides; the unit tested is the union of `own_columns`."""
    rng = np.random.default_rng(seed)
    batches = []
    for s in range(n_batches):
        d = rng.uniform(20, 60, size=n_guides) if uneven else np.full(n_guides, 30.0)
        score = rng.normal(size=(n_guides, n_programs)) * np.sqrt(d)[:, None]
        guides = Sums(d + 1, d, score, np.zeros((n_guides, 1)), np.ones(n_guides))
        unit = Sums(
            *(x[own_columns].sum(axis=0)[None] for x in (guides.n1, d, score)),
            np.zeros((1, 1)),
            np.ones(1),
        )
        batches.append(Batch(f"b{s}", 10_000, np.full(n_programs, 1.0 + s), guides, unit))
    return batches


def run(batches, own, rules=None, ntc=None, **options):
    guides = np.arange(batches[0].guides.n1.size)
    ntc = np.setdiff1d(guides, own) if ntc is None else ntc
    rules = rules or ComparisonOptions(matching=LOOSE)
    test = GuideExchange(batches, ntc, [own], ControlUnitOptions(**options), rules, seed=0)
    return test.test([own], np.array([0]))


@pytest.mark.parametrize("n_batches", [1, 2])
def test_p_values_equal_the_definition(n_batches):
    own = np.array([1, 4])
    batches = toy_batches(own, n_batches)
    tests = run(batches, own)
    scores = {}
    for chosen in combinations(range(6), 2):
        e = v = 0.0
        for s in batches:
            g = s.guides
            centre = g.score.sum(axis=0) / g.d.sum()
            d = g.d[list(chosen)].sum()
            e = e + (g.score[list(chosen)].sum(axis=0) - d * centre) / s.variance
            v = v + d * (1 - d / g.d.sum()) / s.variance
        scores[chosen] = np.abs(e / np.sqrt(v))
    ranks = np.mean([z >= scores[1, 4] for z in scores.values()], axis=0)
    assert np.allclose(tests.p[-1, 0], ranks)
    assert tests.n_matched[-1, 0] == len(scores) - 1
    assert tests.floor[-1, 0] == 1 / len(scores)
    if n_batches == 1:
        assert np.allclose(tests.p[0, 0], ranks)


@pytest.mark.parametrize("statistic", ["max_z", "max_effect"])
def test_the_level_is_exact_over_all_labellings(statistic):
    # each choice of "the target's guides" is as likely under the null: p must be uniform on 1/15s
    rules = ComparisonOptions(matching=LOOSE, target_statistic=statistic)
    p, gene_p = [], []
    for own in combinations(range(6), 2):
        tests = run(toy_batches(np.array(own), 2), np.array(own), rules)
        p.append(tests.p[:, 0])
        gene_p.append(tests.unit_p[:, 0])
    grid = np.arange(1, 16) / 15
    p, gene_p = np.sort(p, axis=0), np.sort(gene_p, axis=0)
    assert np.allclose(p, grid[:, None, None])
    assert np.allclose(gene_p, grid[:, None])


def test_target_statistic_weighs_programs_by_their_spread():
    own = np.array([1, 4])
    noisy = toy_batches(own, uneven=False)
    noisy[0].guides.score[:, 0] *= 1000.0  # one program in which all guides scatter widely
    noisy[0].guides.score[own, 3] += 400.0  # and one in which only the target's do
    noisy[0].units.score[0] = noisy[0].guides.score[own].sum(axis=0)
    z, effect = (
        run(noisy, own, ComparisonOptions(matching=LOOSE, target_statistic=s))
        for s in ("max_z", "max_effect")
    )
    assert z.p[0, 0, 3] == 1 / 15
    assert z.unit_p[0, 0] == 1 / 15
    assert effect.unit_p[0, 0] == effect.p[0, 0, 0]  # decided by the noisy program alone


def test_matching_restricts_the_sets():
    own = np.array([0, 1])
    batches = toy_batches(own, uneven=False)
    g = batches[0].guides
    g.n1[:] = [30, 30, 30, 30, 300, 300]
    g.d[:] = g.n1
    rules = ComparisonOptions(matching=MatchingOptions(n_n1_bins=2, n_d_bins=2, min_ntc_per_bin=1))
    targets = [own, np.array([4, 5])]
    ntc = np.array([2, 3, 4, 5])
    test = GuideExchange(batches, ntc, targets, ControlUnitOptions(), rules, 0)
    tests = test.test([own], np.array([0]))
    # only the sets of guides 0 to 3 are in the bin of the own guides; five, without the own set
    assert tests.n_matched[0, 0] == 5
    assert tests.radius[0, 0] == 0


def test_min_treated_holds_for_sets_too():
    own = np.array([0, 1])
    batches = toy_batches(own, 2, uneven=False)
    batches[1].guides.n1[2:] = 1  # NTC guides hardly seen in the second batch
    tests = run(batches, own, min_treated=10)
    assert tests.n_matched[0, 0] == 14
    assert tests.n_matched[1, 0] == 8  # only sets with one of the own guides have 10 cells there
    assert tests.n_matched[2, 0] == 14


def test_min_control_holds_for_sets_too():
    own = np.array([0, 1])
    batches = toy_batches(own, 2, uneven=False)
    batches[1].guides.n1[2] = 300  # one NTC guide in most cells of the second batch
    batches[1] = replace(batches[1], n_cells=400)
    tests = run(batches, own, min_control=100)
    assert tests.n_matched[:, 0].tolist() == [14, 9, 14]  # sets without that guide, in the second
    assert run(batches, own, min_control=69).n_matched[:, 0].tolist() == [14, 14, 14]


def test_the_log_odds_of_a_set_over_batches_weigh_batches_by_their_cells():
    # matching on pbar alone, the nearest bin alone: sets whose log odds lie in the own bin
    rng = np.random.default_rng(5)
    own, n_guides = np.array([0, 1]), 8
    batches = []
    for batch, cells in zip(
        toy_batches(own, 2, n_guides, uneven=False), (1_000, 9_000), strict=True
    ):
        guides = replace(batch.guides, pbar=rng.normal(-4.0, 1.0, size=n_guides))
        batches.append(replace(batch, n_cells=cells, guides=guides))
    matching = MatchingOptions(n_n1_bins=1, n_d_bins=1, n_pbar_bins=4, min_ntc_per_bin=1)
    targets = [np.array(pair) for pair in ((0, 1), (2, 3), (4, 5), (6, 7), (0, 7))]
    options = ControlUnitOptions(use_pbar=True)
    rules = ComparisonOptions(matching=matching)
    ntc = np.arange(2, n_guides)
    tests = GuideExchange(batches, ntc, targets, options, rules, 0).test([own], np.array([0]))

    def places(odds):
        whole = {c: np.log(np.exp(odds[list(c)]).sum()) for c in combinations(range(n_guides), 2)}
        edges = np.quantile([whole[tuple(t)] for t in targets], [0.25, 0.5, 0.75])
        return {c: np.searchsorted(edges, value, side="right") for c, value in whole.items()}

    odds = [batch.guides.pbar for batch in batches]
    for s, of_guides in enumerate([*odds, 0.1 * odds[0] + 0.9 * odds[1]]):
        where = places(of_guides)
        same = sum(at == where[0, 1] for at in where.values()) - 1
        assert same > 0
        assert tests.n_matched[s, 0] == same
        assert tests.radius[s, 0] == 0


def test_a_unit_of_ntc_guides_is_compared_with_the_others():
    own = np.array([1, 4])
    batches = toy_batches(own)
    apart = run(batches, own)
    inside = run(batches, own, ntc=np.arange(6))
    assert np.array_equal(apart.p, inside.p)
    none_left = run(batches, own, ntc=own)
    assert np.isnan(none_left.p).all()
    assert none_left.reason[0] == "no NTC guide is left to compare with"


def test_fisher_combines_the_strata():
    own = np.array([1, 4])
    rules = ComparisonOptions(matching=LOOSE, combine_method="fisher")
    tests = run(toy_batches(own, 3), own, rules)
    for k in range(5):
        assert tests.p[3, 0, k] == pytest.approx(fisher(tests.p[:3, 0, k], step=1 / 15))
        expected = stats.combine_pvalues(tests.p_t[:3, 0, k], "fisher").pvalue
        assert tests.p_t[3, 0, k] == pytest.approx(expected)
    assert tests.unit_p[3, 0] == pytest.approx(fisher(tests.unit_p[:3, 0], step=1 / 15))
    assert tests.floor[3, 0] == pytest.approx(fisher(np.full(3, 1 / 15), step=1 / 15))


def test_a_constant_program_is_not_tested():
    own = np.array([1, 4])
    batches = toy_batches(own, 2)
    batches[0].variance[2] = 0.0
    tests = run(batches, own)
    assert np.isnan(tests.p[0, 0, 2])
    assert np.isfinite(tests.p[1:, 0]).all()
    assert np.isfinite(np.delete(tests.p[0, 0], 2)).all()


def test_overlap_makes_the_test_weaker():
    own = np.array([1, 4])
    batches = toy_batches(own, seed=3)
    before = run(batches, own)
    batches[0].units.overlap[:] = 2.0
    after = run(batches, own)
    assert (after.p >= before.p).all()
    assert (after.p_t > before.p_t).all()
