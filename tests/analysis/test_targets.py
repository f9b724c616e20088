"""Testing a screen's targets and its control groups: which units, and what comes back."""

import json
import os
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from programde.analysis.ntc_groups import NTCNull, ntc_units, run_ntc_groups
from programde.analysis.targets import (
    RunOptions,
    run_targets,
    units_to_test,
    warn_of_rank_strata,
)
from programde.calibration.empirical import empirical_p
from programde.controls.groups import group_unit_name
from programde.crt.null_summary import NullSummary
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.screen.cells import nt_only_cells
from tests.crt.small import screen_of


def options(statistic=None, sampler=None, **changes):
    defaults = {"n_resamples": 49, "seed": 5, "progress": False, "min_treated": 1, "min_control": 1}
    return RunOptions(statistic or OLS(), sampler or Bernoulli(), **{**defaults, **changes})


@pytest.fixture(scope="module")
def screen():
    return screen_of(n=500, k=4, n_targets=4, n_ntc=6, n_batches=2, one_guide=True, confounding=0.5)


def same(a, b):
    np.testing.assert_allclose(a.effect, b.effect, rtol=1e-12)
    for name in ("n_ge", "n_le", "n_abs_ge"):
        np.testing.assert_array_equal(getattr(a.null, name), getattr(b.null, name))
    np.testing.assert_allclose(a.null.mean, b.null.mean, rtol=1e-12, atol=1e-15)


def test_units_are_targets_or_single_guides(screen):
    targets = units_to_test(screen, ["NTC"])
    assert [u.name for u in targets] == ["T0", "T1", "T2", "T3"]
    assert targets[1].guides == ("T1_g2", "T1_g3")
    guides = units_to_test(screen, ["NTC"], ["T3", "T0"], "guide")
    assert [u.name for u in guides] == ["T3_g6", "T3_g7", "T0_g0", "T0_g1"]
    assert [u.name for u in units_to_test(screen, ["NTC"], ["T2"])] == ["T2"]
    assert len(units_to_test(screen)) == 5
    with pytest.raises(InputError, match=r"target 'T9' has no guide.*T0"):
        units_to_test(screen, ["NTC"], ["T9"])
    with pytest.raises(OptionError, match=r"unit='guides'.*guide"):
        units_to_test(screen, ["NTC"], None, "guides")
    with pytest.raises(InputError, match="every guide belongs to a control label"):
        units_to_test(screen, ["T0", "T1", "T2", "T3", "NTC"])


def test_targets_are_tested_without_the_controls(screen):
    how = {"ntc_labels": "NTC", "control": "complement"}
    result = run_targets(screen, options(), **how)
    assert result.units == ["T0", "T1", "T2", "T3"]
    assert result.programs == screen.program_names
    for row, unit in enumerate(screen.target_units(result.units)):
        n1 = screen.treated_cells(unit).size
        assert (result.n_treated[row], result.n_control[row]) == (n1, 500 - n1)
    some = run_targets(screen, options(), targets=["T2", "T0"], **how)
    assert some.units == ["T2", "T0"]
    np.testing.assert_array_equal(some.null.n_abs_ge, result.null.n_abs_ge[[2, 0]])
    with pytest.raises(InputError, match="ntc"):
        run_targets(screen, options(), ntc_labels="ntc")


def test_against_control_cells(screen):
    result = run_targets(screen, options(), ntc_labels="NTC", control="nt_cells")
    n_control = nt_only_cells(screen, ["NTC"]).sum()
    np.testing.assert_array_equal(result.n_control, n_control)
    assert (
        run_targets(screen, options(), ntc_labels="NTC", control="auto").n_control[0] == n_control
    )
    # the same as a screen that holds no other cell
    unit = screen.target_units(["T1"])[0]
    cells = np.union1d(screen.treated_cells(unit), np.flatnonzero(nt_only_cells(screen, ["NTC"])))
    part = type(screen)(
        **{
            **screen.__dict__,
            "usage": screen.usage[cells],
            "clr": screen.clr[cells],
            "covariates": screen.covariates[cells],
            "covariate_table": screen.covariate_table.iloc[cells],
            "batch": screen.batch[cells],
            "guides": screen.guides[cells].tocsc(),
        }
    )
    alone = run_targets(part, options(), ntc_labels="NTC", targets=["T1"])
    np.testing.assert_allclose(alone.effect[0], result.effect[1], rtol=1e-9)
    np.testing.assert_array_equal(alone.null.n_abs_ge[0], result.null.n_abs_ge[1])


@pytest.mark.parametrize("control", ["complement", "nt_cells"])
def test_threads_do_not_matter(screen, control):
    for sampler in (Bernoulli(), StratifiedPermutation(n_bins=4)):
        one = run_targets(screen, options(sampler=sampler), ntc_labels="NTC", control=control)
        two = run_targets(
            screen, options(sampler=sampler, n_jobs=2), ntc_labels="NTC", control=control
        )
        same(one, two)


def everything():
    """Results of a small screen, as text."""
    screen = screen_of(n=300, k=3, n_targets=3, n_ntc=4, n_batches=2)
    found = []
    for statistic, sampler in ((OLS(), Bernoulli()), (UTest(), StratifiedPermutation())):
        how = options(statistic, sampler, n_resamples=19)
        null = run_ntc_groups(screen, how, ntc_labels={"NTC"}, n_partitions=3)
        targets = run_targets(screen, how, ntc_labels="NTC")
        found += [targets.effect.tolist(), targets.null.n_ge.tolist(), null.result.units]
        found += [null.partitions, null.result.null.n_abs_ge.tolist()]
    return json.dumps(found)


@pytest.mark.slow
def test_the_hash_seed_of_python_does_not_matter():
    other = "1" if os.environ.get("PYTHONHASHSEED") == "4711" else "4711"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tests.analysis.test_targets import everything; print(everything())",
        ],
        env={**os.environ, "PYTHONHASHSEED": other},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == everything()


def test_control_groups_are_partitions_and_each_is_tested_once(screen):
    null = run_ntc_groups(
        screen, options(), ntc_labels="NTC", control="complement", group_size=3, n_partitions=8,
        seed=2,
    )  # fmt: skip
    assert null.group_size == 3
    assert len(null.partitions) == 8
    names = {name for part in null.partitions for name in part.values()}
    assert sorted(names) == sorted(null.result.units)
    assert len(set(null.result.units)) == len(null.result.units) <= 2 * 8
    for part in null.partitions:
        held = [g for name in part.values() for g in null.guides[name]]
        assert len(held) == len(set(held)) == 6
        assert all(screen.guide_to_target[g] == "NTC" for g in held)
    for name, guides in null.guides.items():
        assert name == group_unit_name(guides)
        row = null.result.units.index(name)
        held = screen.treated_cells(screen.unit(name, guides)).size
        assert null.result.n_treated[row] == held
        assert null.result.n_control[row] == 500 - held


def test_control_groups_against_the_remaining_control_cells(screen):
    null = run_ntc_groups(
        screen, options(), ntc_labels="NTC", control="nt_cells", group_size=2, n_partitions=3
    )
    total = nt_only_cells(screen, ["NTC"]).sum()
    np.testing.assert_array_equal(null.result.n_treated + null.result.n_control, total)
    assert np.isfinite(empirical_p(null.result.null)).all()


def test_default_group_size_and_wrong_sizes(screen):
    assert ntc_units(screen, "NTC", min_groups=2)[2] == 2  # as a target's two guides
    with pytest.raises(OptionError, match="n_partitions=0"):
        ntc_units(screen, "NTC", n_partitions=0)
    # where few guides are left single ones are the groups, and all partitions are the same
    units, partitions, size = ntc_units(screen, "NTC", min_groups=20, n_partitions=5)
    assert size == 1
    assert len(partitions) == 1
    assert sorted(partitions[0].values()) == sorted(unit.name for unit in units)
    with pytest.raises(InputError, match="cannot fill one group of group_size=7"):
        ntc_units(screen, "NTC", group_size=7)
    with pytest.raises(InputError, match="T0"):
        ntc_units(screen, "control")


def test_a_groups_draws_do_not_depend_on_the_other_groups(screen):
    few = run_ntc_groups(screen, options(), ntc_labels="NTC", group_size=2, n_partitions=2, seed=1)
    many = run_ntc_groups(screen, options(), ntc_labels="NTC", group_size=2, n_partitions=6, seed=1)
    assert few.partitions == many.partitions[:2]
    rows = [many.result.units.index(name) for name in few.result.units]
    np.testing.assert_array_equal(many.result.null.n_abs_ge[rows], few.result.null.n_abs_ge)


def test_groups_written_and_read(screen, tmp_path):
    null = run_ntc_groups(screen, options(UTest()), ntc_labels="NTC", min_groups=2, n_partitions=3)
    null.save(tmp_path)
    again = NTCNull.load(tmp_path)
    assert again.partitions == null.partitions
    assert again.guides == null.guides
    assert again.group_size == null.group_size
    for item in fields(NullSummary):
        np.testing.assert_array_equal(
            getattr(again.result.null, item.name), getattr(null.result.null, item.name)
        )
    (tmp_path / "groups.json").write_text("{}")
    with pytest.raises(InputError, match="no readable control groups"):
        NTCNull.load(tmp_path)
    (tmp_path / "groups.json").unlink()
    with pytest.raises(InputError, match="no readable control groups"):
        NTCNull.load(tmp_path)


def test_batches_without_treated_cells_can_be_left_out(screen):
    presence = screen.guides.toarray()
    presence[screen.batch == "B0", 0:2] = 0
    gap = type(screen)(**{**screen.__dict__, "guides": type(screen.guides)(presence)})
    how = {"ntc_labels": "NTC", "control": "complement"}
    whole = run_targets(gap, options(), drop_empty_batches=False, **how)
    within = run_targets(gap, options(), **how)
    n_b1 = (screen.batch == "B1").sum()
    assert whole.n_treated[0] + whole.n_control[0] == 500
    assert within.n_treated[0] + within.n_control[0] == n_b1
    np.testing.assert_array_equal(within.null.n_abs_ge[1:], whole.null.n_abs_ge[1:])


def test_the_wrong_control_group_is_told(screen):
    with pytest.warns(ProgramDEWarning, match="compare with cells of non-targeting guides"):
        run_targets(screen, options(n_resamples=9), ntc_labels=["NTC"], control="complement")


def test_strata_of_burden_that_hold_no_control_cell(screen):
    """Control cells carry no burden of other guides: nothing could be permuted."""
    burden = np.log1p(screen.guides[:, :8].sum(axis=1)).A1
    table = screen.covariate_table.assign(burden=burden)
    told = replace(screen, covariate_table=table)
    sampler = StratifiedPermutation(burden_key="burden")
    with pytest.raises(OptionError, match="burden_key=burden is above 0 in every treated cell"):
        run_targets(told, options(sampler=sampler), ntc_labels="NTC", control="nt_cells")
    how = {"ntc_labels": "NTC", "control": "complement"}
    assert set(run_targets(told, options(sampler=sampler), **how).status) == {""}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"control": "nt_cell"}, "control=nt_cell is not known; did you mean 'nt_cells'"),
        ({"by_condition": 1}, "by_condition=1 is not allowed: must be true or false"),
        ({"drop_empty_batches": None}, "drop_empty_batches=None is not allowed"),
        ({"targets": "T1"}, "targets=T1 is not allowed: must be a list"),
        ({"exclude_guides": [3]}, r"exclude_guides=\[3\] is not allowed"),
        ({"unit": "gene"}, "unit=gene is not known"),
    ],
)
def test_words_are_checked(screen, words, said):
    with pytest.raises(OptionError, match=said):
        run_targets(screen, options(), ntc_labels="NTC", **words)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_resamples": 2.5}, {"n_resamples": -1}, {"n_resamples": True}, {"seed": None},
        {"n_jobs": "2"}, {"n_jobs": 0}, {"min_treated": 0}, {"tails": "yes"}, {"progress": 1},
    ],
)  # fmt: skip
def test_run_options_are_checked_when_made(changes):
    with pytest.raises(OptionError, match=f"{next(iter(changes))}="):
        options(**changes)


def test_ranks_of_small_units_permuted_within_strata_are_warned_of():
    screen = screen_of(n=100, k=2)
    tiers = np.zeros(screen.covariates.shape[1], dtype=np.int8)
    tiers[-1] = 1
    curved = replace(screen, covariate_tiers=tiers)
    units = screen.target_units()
    ranks = RunOptions(UTest(), StratifiedPermutation(), progress=False)
    with pytest.warns(ProgramDEWarning, match="fewer than 50 treated cells.*sampler=bernoulli"):
        warn_of_rank_strata(curved, units, ranks)
    # straight covariates, other statistics and other samplers are none of it
    warn_of_rank_strata(screen, units, ranks)
    warn_of_rank_strata(curved, units, replace(ranks, statistic=OLS()))
    warn_of_rank_strata(curved, units, replace(ranks, sampler=Bernoulli()))
