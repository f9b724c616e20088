"""Targets of a screen that stays in its file, tested group by group: as if all were in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import programde.analysis.covariate_check as covariate_check
import programde.crt.study as study
import programde.screen.input_report as reports
import programde.screen.matrix_rows as matrix_rows
from programde.analysis.cost import plan_run
from programde.analysis.hit_cells import hit_cells
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.spiked_controls import run_spikes
from programde.analysis.switching import switching
from programde.analysis.targets import run_targets
from programde.controls.options import SpikeOptions
from programde.crt.control_group import choose_control
from programde.crt.gathering import groups_of, passes, with_fitting_threads
from programde.crt.memory_need import memory_need
from programde.crt.options import RunOptions
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.errors import InputError
from programde.io.anndata import read_h5ad
from programde.screen.chosen import held_bytes, in_parts, let_go, row_bytes
from tests.crt.same_bytes import assert_same_bytes

N, K, TARGETS, CONTROLS = 3000, 4, 40, 900


@pytest.fixture(scope="module")
def screens(tmp_path_factory):
    """One guide a cell but for some with two, three batches, two conditions; stored and held."""
    rng = np.random.default_rng(5)
    guide = rng.integers(0, 2 * TARGETS, N)
    guide[:CONTROLS] = 2 * TARGETS + np.arange(CONTROLS) % 12
    guide = rng.permutation(guide)
    held = sparse.lil_matrix((N, 2 * TARGETS + 12))
    held[np.arange(N), guide] = 1
    several = rng.choice(N, 60, replace=False)
    held[several, (guide[several] + 7) % (2 * TARGETS + 12)] = 1
    names = [f"g{j}" for j in range(2 * TARGETS + 12)]
    targets = [f"T{j // 2:02d}" for j in range(2 * TARGETS)] + ["NTC"] * 12
    cells = [f"c{i}" for i in range(N)]
    table = pd.DataFrame(
        {"depth": rng.normal(size=N), "batch": rng.choice(["x", "y", "z"], N)}, index=cells
    )
    adata = AnnData(
        obs=pd.DataFrame({"day": rng.choice(["D1", "D2"], N)}, index=cells),
        obsm={
            "covar": table,
            "cnmf_usage": rng.dirichlet(np.ones(K), N).astype(np.float32),
            "guide_assignment": held.tocsr(),
        },
        uns={"guide_names": names, "guide_targets": np.array(targets, dtype=object)},
    )
    path = tmp_path_factory.mktemp("gathering") / "s.h5ad"
    adata.write_h5ad(path)
    keys = {"condition_key": "day", "formula": "linear"}
    return read_h5ad(path, memory=1.0, **keys), read_h5ad(path, memory="1TB", **keys)


@pytest.fixture
def rooms(monkeypatch, screens):
    """Room for the cells of 16 targets and the controls; the groups that are made of it."""
    made = []
    stored = screens[0]

    def in_parts(screen, units, control, room, n_jobs):
        room = (CONTROLS + 1100) * row_bytes(stored)
        for group in groups_of(screen, units, control, room, 1):
            made.append((group.first, len(group.units), group.screen.n_cells))
            yield group

    monkeypatch.setattr(study, "groups_of", in_parts)
    return made


def how(statistic, sampler, **more):
    return RunOptions(statistic, sampler, n_resamples=31, progress=False, **more)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (how(OLS(), Bernoulli()), {}),
        (how(OLS(), StratifiedPermutation(), n_jobs=2), {"by_condition": True}),
        (how(UTest(), Bernoulli(), given="propensity"), {"cells_with_other_targets": "keep"}),
        (how(OLS(), Bernoulli(), tails=False, shifts=False), {"unit": "guide"}),
    ],
)
def test_targets_group_by_group(options, keys, screens, rooms):
    stored, held = screens
    found = run_targets(stored, options, ntc_labels="NTC", control="nt_cells", **keys)
    plain = run_targets(held, options, ntc_labels="NTC", control="nt_cells", **keys)
    assert_same_bytes(found, plain)
    assert len(rooms) > 1
    assert all(first % 16 == 0 for first, _, _ in rooms)
    assert max(cells for _, _, cells in rooms) < 0.75 * N


@pytest.mark.parametrize("tested", [True, False])
def test_the_next_group_comes_in_while_one_is_tested(screens, monkeypatch, tested):
    stored, groups = screens[0], []

    def in_parts(screen, units, control, *_):
        for group in groups_of(screen, units, control, (CONTROLS + 1100) * row_bytes(stored), 1):
            groups.append(group.screen.usage.source)
            yield group

    def tasks_of(screen, units, *_, **__):
        if tested:
            np.asarray(screen.usage[:1])
        yield from range(len(units))

    monkeypatch.setattr(study, "groups_of", in_parts)
    monkeypatch.setattr(study, "plan", tasks_of)
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    control = choose_control(stored, "nt_cells", ["NTC"])
    options = how(OLS(), Bernoulli())
    units = stored.target_units()
    try:
        every = study.Study(stored, units, control, options, [""], True, False).tasks()
        assert [next(every) for _ in range(16)] == list(range(16))
        assert [rows.there for rows in groups] == [tested, tested]  # the second is ahead
        assert next(every) == 0
        assert [rows.there for rows in groups] == [tested, tested]
    finally:
        let_go()


def test_a_group_needs_room_for_one_block(screens):
    stored, _ = screens
    options = replace(how(OLS(), Bernoulli()), memory="300MB", n_jobs=1)
    with pytest.raises(InputError, match=r"control cells and 16 targets are .* cells at once"):
        run_targets(stored, replace(options, memory=250e6 + held_bytes(stored)), ntc_labels="NTC",
                    control="nt_cells")  # fmt: skip


def test_groups_of_control_guides(screens):
    stored, held = screens
    options = how(OLS(), Bernoulli())
    keys = {"ntc_labels": "NTC", "control": "nt_cells", "group_size": 3, "n_partitions": 2}
    found = run_ntc_groups(stored, options, **keys)
    plain = run_ntc_groups(held, options, **keys)
    assert found.partitions == plain.partitions
    ours, theirs = found.result, plain.result
    assert (ours.n_control == theirs.n_control).all()
    for one, other in (
        (ours.effect, theirs.effect),
        (ours.effect_se, theirs.effect_se),
        (ours.null.sd, theirs.null.sd),
        (ours.tails.log_left, theirs.tails.log_left),
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    pd.testing.assert_frame_equal(found.correlation, plain.correlation, rtol=1e-10)


def test_the_complement_is_refused_with_the_figure_or_tested(screens):
    stored, held = screens
    options = how(OLS(), Bernoulli())
    with pytest.raises(
        InputError,
        match=r"compares with all 3,000 cells, which takes .* GB, and "
        r"0\.2 GB may be used: about 0 cells fit.*nt_cells",
    ):
        run_targets(stored, replace(options, memory="0.2GB"), ntc_labels="NTC",
                    control="complement")  # fmt: skip
    targets = ["T00", "T01"]
    keys = {"ntc_labels": "NTC", "control": "complement", "targets": targets}
    with pytest.warns(UserWarning, match="one target per cell"):
        found = run_targets(stored, options, **keys)
    with pytest.warns(UserWarning, match="one target per cell"):
        assert_same_bytes(found, run_targets(held, options, **keys))


def test_a_plan_of_a_stored_screen(screens):
    """The memory that may be used bounds what it says of memory; tests are those of the run."""
    stored, _ = screens
    options = how(OLS(), Bernoulli(), memory="0.4GB")
    plan = plan_run(stored, options, ntc_labels="NTC", control="nt_cells", budget=0.05)
    assert (plan.n_cells, plan.n_tests, plan.control) == (N, TARGETS * K, "nt_cells")
    assert 0.25e9 < plan.memory <= 0.4e9
    assert passes(stored, [], choose_control(stored, "nt_cells", ["NTC"]), options, 0) == 1


def test_cells_behind_hits_and_how_means_changed_part_by_part(screens):
    stored, held = screens
    control = choose_control(stored, "nt_cells", ["NTC"])
    names = [f"T{j:02d}" for j in (3, 17, 3, 0, 29, 11)]
    hits = pd.DataFrame({"target": names, "program": [f"program_{j % K}" for j in range(6)]})
    each = row_bytes(stored) + 24 * K + 8 * stored.covariates.shape[1]
    memory = 2 * (held_bytes(stored) + (CONTROLS + 150) * each)
    cells = {name: stored.treated_cells(stored.target_units([name])[0]) for name in set(names)}
    parts = list(in_parts(stored, cells, control.cells, memory))
    assert 1 < len(parts) < len(cells)
    assert sorted(name for _, some, _ in parts for name in some) == sorted(cells)
    found = hit_cells(stored, hits, control, memory=memory, exclude_guides=["g6"])
    plain = hit_cells(held, hits, control, exclude_guides=["g6"])
    for one, other in zip(found, plain, strict=True):
        assert (one.n_treated, one.n_control) == (other.n_treated, other.n_control)
        assert (one.treated == other.treated).all()
        assert (one.control == other.control).all()
        pd.testing.assert_frame_equal(one.batches, other.batches, rtol=1e-12)
    units = {name: stored.target_units([name])[0] for name in names}
    pairs = list(hits.itertuples(index=False, name=None))
    pd.testing.assert_frame_equal(
        switching(stored, units, pairs, control, memory), switching(held, units, pairs, control)
    )
    with pytest.raises(InputError, match=r"control cells and those of T03 take .* give more mem"):
        hit_cells(stored, hits, control, memory=1.0)


@pytest.mark.slow
@pytest.mark.brief
def test_known_effects_by_targets_that_fit(screens):
    """All targets where they fit, as in memory; else as many as there are sets, of all sizes."""
    stored, held = screens
    options = how(OLS(), Bernoulli(), memory="1GB")
    sets = SpikeOptions(n_sets=2, n_unspiked_sets=3, fold_changes=(1.5, 2.0))
    keys = {"ntc_labels": "NTC", "control": "nt_cells"}
    found = run_spikes(stored, options, sets, **keys)
    plain = run_spikes(held, options, sets, **keys)
    assert (found.n_treated, found.effective_size) == (plain.n_treated, plain.effective_size)
    np.testing.assert_allclose(found.spiked.effect, plain.spiked.effect, rtol=1e-9, atol=1e-12)
    own = CONTROLS + 80
    tests = memory_need(0, K, stored.covariates.shape[1], 0, 31, own_cells=own).total(1)
    room = (CONTROLS + 420) * (24 * K + 8 * stored.covariates.shape[1] + held_bytes(stored) / N)
    less = run_spikes(
        stored, replace(options, memory=tests + held_bytes(stored) + room), sets, **keys
    )
    assert less.n_treated == pytest.approx(plain.n_treated, abs=6)
    assert np.isfinite(less.spiked.effect).all()
    with pytest.raises(InputError, match="control cells and those of a target take"):
        run_spikes(stored, replace(options, memory="1MB"), sets, **keys)


@pytest.mark.filterwarnings("ignore::programde.errors.ProgramDEWarning")
def test_what_came_in_by_blocks_and_by_a_sample(screens, monkeypatch):
    stored, held = screens
    monkeypatch.setattr(matrix_rows, "BLOCK", 700)
    found, plain = (reports.input_report(one, ntc_labels=["NTC"]) for one in screens)
    assert found.numbers == pytest.approx(plain.numbers, rel=1e-9)
    pd.testing.assert_frame_equal(found.programs, plain.programs, rtol=1e-9)
    pd.testing.assert_frame_equal(found.targets, plain.targets)
    monkeypatch.setattr(covariate_check, "MOST_CELLS", 1200)
    monkeypatch.setattr(covariate_check, "MOST_TREATED", 40)
    monkeypatch.setattr(covariate_check, "MIN_TARGETS", 5)
    check = covariate_check.check_covariates(stored)
    assert check.numbers["cells_looked_at"] == 1200
    assert len(check.targets) == 6 - 1
    assert (check.targets["n_treated"] <= 40 + 3).all()  # some hold two targets
    assert check.sentence == covariate_check.check_covariates(held).sentence == ""


@pytest.mark.slow
@pytest.mark.brief
def test_fewer_threads_where_a_block_for_each_would_not_fit(screens):
    stored, held = screens
    options = how(OLS(), Bernoulli(), tails=False, n_jobs=3)
    control = choose_control(stored, "nt_cells", ["NTC"])
    units = stored.target_units([f"T{j:02d}" for j in range(TARGETS)])
    own = CONTROLS + 60
    tests = memory_need(0, K, stored.covariates.shape[1], TARGETS, 31, own_cells=own).total(1)
    memory = tests + held_bytes(stored) + 2 * (CONTROLS + 16 * 80) * row_bytes(stored)
    keys = {"ntc_labels": "NTC", "control": "nt_cells"}
    with pytest.warns(UserWarning, match="n_jobs reduced from 3 to 1, which is what fits"):
        found = run_targets(stored, replace(options, memory=memory), **keys)
    assert_same_bytes(found, run_targets(held, options, **keys))
    assert with_fitting_threads(held, units, control, options, TARGETS, memory) is options
