"""Targets of a screen that stays in its file, tested group by group: as if all were in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import programde.crt.study as study
from programde.analysis.cost import plan_run
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.targets import run_targets
from programde.crt.control_group import choose_control
from programde.crt.gathering import groups_of, passes
from programde.crt.options import RunOptions
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.errors import InputError
from programde.io.anndata import read_h5ad
from programde.screen.chosen import held_bytes, row_bytes
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
        (ours.shifts.usage, theirs.shifts.usage),
        (ours.shifts.present, theirs.shifts.present),
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
