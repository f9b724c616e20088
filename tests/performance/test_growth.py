"""How work and memory grow with the size of the question.

Work is counted in random numbers where it can be. Where it must be timed, the time is the
processor time of this thread, the smallest of several runs, and only ratios between runs of one
test are judged: each question is four times another, linear growth is a factor of 4, quadratic
one of 16, and the limit lies between.
"""

import gc
import time
import tracemalloc

import numpy as np
import pytest

from programde.analysis.targets import RunOptions, run_targets
from programde.crt import unit_blocks
from programde.crt.kernels import random_numbers as rn
from programde.crt.memory_need import BASE, memory_need
from programde.crt.population import population_of
from programde.crt.propensity import PropensitySolver
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.samplers.bernoulli import BernoulliLaw
from programde.crt.statistics import OLS, UTest
from programde.streams import stream_key
from tests.crt.small import screen_of

pytestmark = [pytest.mark.performance, pytest.mark.slow]

KEY = stream_key(0, "growth")
LIMIT = 7.0


def thread_seconds(work, repeats=5):
    """Smallest processor time of `work()`, after one call to warm up."""
    work()
    best = np.inf
    for _ in range(repeats):
        start = time.thread_time()
        work()
        best = min(best, time.thread_time() - start)
    return best


def peak_bytes(work):
    """Largest amount of memory held at once during `work()`, numpy's arrays included."""
    work()
    gc.collect()
    gc.freeze()  # what other tests left must not keep Python from looking for what is free
    seldom = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # as Python does, not as this suite
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.set_threshold(*seldom)


def random_numbers_used(p, n_draws):
    """Random numbers the Bernoulli sampler takes for cells of probability p, and inclusions."""
    counter, *numbers = rn.new_stream(np.uint64(KEY[0]))
    start, at, included = int(counter[0]), rn.END, 0
    for q in p:
        b, at = rn.next_holding(-1, -1.0 / np.log1p(-q), np.uint64(at), counter, *numbers)
        while b < n_draws:
            included += 1
            b, at = rn.next_holding(b, -1.0 / np.log1p(-q), np.uint64(at), counter, *numbers)
    blocks = ((int(counter[0]) - start) * pow(int(rn.GAMMA), -1, 2**64)) % 2**64
    return blocks - (rn.BLOCK - int(at)), included


@pytest.mark.parametrize("n_draws", [100, 1600])
@pytest.mark.parametrize("share", [1e-6, 0.01, 0.2])
def test_bernoulli_takes_one_random_number_per_inclusion_and_cell(share, n_draws):
    used, included = random_numbers_used(np.full(500, share), n_draws)
    assert used == included + 500


def test_bernoulli_work_follows_inclusions_not_cells_times_draws():
    sparse, _ = random_numbers_used(np.full(2000, 0.001), 1000)
    dense, _ = random_numbers_used(np.full(2000, 0.1), 1000)
    assert sparse < 2000 + 1.2 * 2000
    assert dense > 20 * sparse


def test_permutation_draws_the_treated_cells_and_no_more():
    people = population_of(screen_of(n=2000, n_batches=2))
    treated = np.arange(0, 2000, 40)
    law = StratifiedPermutation().prepare(people).law(np.full(2000, 0.1), treated)
    for n_draws in (50, 200):
        _, indices = law.indices(n_draws, KEY)
        assert indices.size == n_draws * treated.size


def bernoulli_time(n, n1, n_draws, width):
    rows = np.zeros((n, width), dtype=np.float32)
    law = BernoulliLaw(np.full(n, n1 / n))
    return thread_seconds(lambda: law.sums(rows, n_draws, KEY))


def stratified_time(n, n1, n_draws, width):
    rows = np.zeros((n, width), dtype=np.float32)
    rng = np.random.default_rng(0)
    people = population_of(screen_of(n=n, p=1, k=2))
    treated = np.sort(rng.choice(n, n1, replace=False))
    law = StratifiedPermutation().prepare(people).law(rng.random(n), treated)
    return thread_seconds(lambda: law.sums(rows, n_draws, KEY))


@pytest.mark.parametrize("timed", [bernoulli_time, stratified_time])
@pytest.mark.parametrize("what", ["n", "n1", "n_draws", "width"])
def test_sampling_grows_at_most_linearly(timed, what):
    small = {"n": 5000, "n1": 200, "n_draws": 300, "width": 32}
    large = {**small, what: 4 * small[what]}
    assert timed(**large) / timed(**small) < LIMIT


@pytest.mark.parametrize("n_units", [4, 16])
def test_propensities_of_a_block_cost_what_they_cost_one_by_one(n_units):
    screen = screen_of(n=4000, n_targets=n_units)
    solver = PropensitySolver(screen.covariates, 0)
    units = [screen.treated_cells(unit) for unit in screen.target_units()]
    together = thread_seconds(lambda: solver.fit(units))
    alone = sum(thread_seconds(lambda u=unit: solver.fit([u]), repeats=3) for unit in units)
    assert together < 1.5 * alone


def test_propensity_grows_linearly_with_cells():
    def seconds(n):
        screen = screen_of(n=n, n_targets=4)
        solver = PropensitySolver(screen.covariates, 0)
        units = [screen.treated_cells(unit) for unit in screen.target_units()]
        return thread_seconds(lambda: solver.fit(units))

    assert seconds(16_000) / seconds(4000) < LIMIT


def options(statistic=None, sampler=None, **changes):
    defaults = {"n_resamples": 500, "progress": False}
    return RunOptions(statistic or OLS(), sampler or Bernoulli(), **{**defaults, **changes})


@pytest.mark.parametrize("sampler", [Bernoulli(), StratifiedPermutation()], ids=lambda s: s.name)
@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
def test_memory_is_that_of_the_formula(statistic, sampler):
    # no array of cells x draws: 20,000 x 500 bytes alone would be 10 MB, as float64 80 MB
    n, k, n_targets, n_draws = 20_000, 12, 6, 500
    screen = screen_of(n=n, k=k, p=3, n_targets=n_targets, share=0.02)
    peak = peak_bytes(lambda: run_targets(screen, options(statistic, sampler)))
    need = memory_need(n, k, screen.covariates.shape[1], n_targets, n_draws)
    the_screen = n * (16 * k + 8 * screen.covariates.shape[1])
    assert peak < need.total(1) - BASE - the_screen


def test_memory_for_more_draws_is_that_of_the_accumulators():
    screen = screen_of(n=10_000, k=20, n_targets=3, share=0.02)
    few = peak_bytes(lambda: run_targets(screen, options(n_resamples=250)))
    many = peak_bytes(lambda: run_targets(screen, options(n_resamples=4000)))
    # sums as float32, statistics as float64, one working copy of them for the maximum
    assert many - few < 3750 * (4 * 32 + 4 * 8 * 20)


def test_memory_for_more_units_is_that_of_their_results(monkeypatch):
    # blocks of the largest size in both, as where there are a thousand units
    monkeypatch.setattr(unit_blocks, "PIECES", 2)
    few, many = (
        screen_of(n=5000, k=20, n_targets=n_targets, share=0.02) for n_targets in (128, 256)
    )
    fewer, more = (  # the least of three: when Python looks for what is free is chance
        min(peak_bytes(lambda one=one: run_targets(one, options())) for _ in range(3))
        for one in (few, many)
    )
    extra = more - fewer
    # in two and four blocks of 64 (what all units share is made in the first); 480 bytes per
    # test; per unit a name and the places of its 100 treated cells, held twice
    assert extra < 128 * (480 * 20 + 16 * 100 + 2000)
