"""The analysis repeated by condition: each level as if it were alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from programde.analysis import targets as testing
from programde.analysis.calibrate import calibrate
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.tables import ntc_table, omnibus_table, results_table
from programde.analysis.targets import (
    RunOptions,
    condition_levels,
    run_targets,
)
from programde.calibration.empirical import empirical_p
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS
from programde.errors import InputError, ProgramDEWarning
from programde.screen.covariates import independent_columns
from tests.crt.small import screen_of


def options(**changes):
    defaults = {"n_resamples": 49, "seed": 5, "progress": False, "min_treated": 1, "min_control": 1}
    return RunOptions(OLS(), Bernoulli(), **{**defaults, **changes})


@pytest.fixture(scope="module")
def screen():
    made = screen_of(n=400, k=3, n_targets=3, n_ntc=4)
    level = np.array(["late", "early"], dtype=object)[np.arange(400) % 3 // 2]
    presence = made.guides.toarray()
    presence[level == "early", 0:2] = 0  # T0 is in no early cell
    return replace(made, guides=type(made.guides)(presence), condition=level)


def part_of(screen, keep):
    """The screen of some cells, as if there were no others."""
    cells = np.flatnonzero(keep)
    columns = independent_columns(screen.covariates[cells])  # a batch may be absent from them
    return replace(
        screen,
        usage=screen.usage[cells],
        clr=screen.clr[cells],
        covariates=screen.covariates[cells][:, columns],
        covariate_table=screen.covariate_table.iloc[cells],
        batch=None if screen.batch is None else screen.batch[cells],
        guides=screen.guides[cells].tocsc(),
        condition=None,
    )


def test_a_row_per_level_and_unit(screen):
    assert condition_levels(screen) == ["early", "late"]
    result = run_targets(
        screen, options(), ntc_labels="NTC", control="complement", by_condition=True,
        drop_empty_batches=False,
    )  # fmt: skip
    assert result.units == ["T0", "T1", "T2"] * 2
    assert result.condition == ["early"] * 3 + ["late"] * 3
    assert result.status == ["no treated cells"] + [""] * 5
    for number, level in enumerate(("early", "late")):
        n = (screen.condition == level).sum()
        rows = slice(3 * number, 3 * number + 3)
        np.testing.assert_array_equal((result.n_treated + result.n_control)[rows], n)
    with pytest.raises(InputError, match="no condition"):
        run_targets(replace(screen, condition=None), options(), ntc_labels="NTC", by_condition=True)


def test_effects_are_those_of_the_levels_cells_alone(screen):
    result = run_targets(screen, options(), ntc_labels="NTC", by_condition=True)
    alone = part_of(screen, screen.condition == "late")
    expected = run_targets(alone, options(), ntc_labels="NTC")
    np.testing.assert_allclose(result.effect[3:], expected.effect, rtol=1e-9)
    # levels have random streams of their own, or their p-values would be dependent
    assert (result.null.mean[3:] != expected.null.mean).all()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("control", ["complement", "nt_cells"])
def test_batches_without_treated_cells_are_left_out_level_by_level(control):
    made = screen_of(n=900, k=3, n_targets=3, n_ntc=4, n_batches=3, one_guide=True)
    level = np.array(["early", "late"])[np.arange(900) % 2]
    presence = made.guides.toarray()
    gap = (level == "early") & (made.batch == "B0")
    presence[gap, 0:2] = 0  # T0 is in no early cell of B0, and in late ones
    screen = replace(made, guides=type(made.guides)(presence), condition=level)
    how = {"ntc_labels": "NTC", "control": control}
    result = run_targets(screen, options(), by_condition=True, drop_empty_batches=True, **how)
    assert result.status == [""] * 6
    for row, keep in ((0, (level == "early") & ~gap), (3, level == "late")):
        alone = run_targets(part_of(screen, keep), options(), targets=["T0"], **how)
        assert result.n_control[row] == alone.n_control[0]
        np.testing.assert_allclose(result.effect[row], alone.effect[0], rtol=1e-9)
        np.testing.assert_allclose(result.effect_se[row], alone.effect_se[0], rtol=1e-9)
    whole = run_targets(screen, options(), by_condition=True, drop_empty_batches=False, **how)
    assert (whole.n_control - result.n_control).tolist() == [
        whole.n_control[0] - result.n_control[0], 0, 0, 0, 0, 0
    ]  # fmt: skip
    assert whole.n_control[0] > result.n_control[0]
    np.testing.assert_array_equal(whole.null.n_abs_ge[1:], result.null.n_abs_ge[1:])


def test_tables_tell_the_level_and_both_q_values(screen):
    result = run_targets(screen, options(), ntc_labels="NTC", by_condition=True)
    calibrated = calibrate(result, "none")
    table = results_table(result, calibrated)
    assert list(table.columns[:3]) == ["condition", "target", "program"]
    assert list(table["condition"].unique()) == ["early", "late"]
    tested = table[table["p_value"].notna()]
    assert len(tested) == 15
    across = false_discovery_control(tested["p_value"].to_numpy())
    np.testing.assert_allclose(tested["q_value"], across)
    for _, part in tested.groupby("condition"):
        within = false_discovery_control(part["p_value"].to_numpy())
        np.testing.assert_allclose(part["q_value_within"], within)
    units = omnibus_table(result, calibrated)
    assert list(units["condition"]) == result.condition
    for kind in ("max", "acat"):
        for _, part in units.dropna(subset=f"p_{kind}").groupby("condition"):
            expected = false_discovery_control(part[f"p_{kind}"].to_numpy())
            np.testing.assert_allclose(part[f"q_{kind}_within"], expected)


def test_control_groups_by_level(screen):
    null = run_ntc_groups(
        screen, options(), ntc_labels="NTC", by_condition=True, group_size=2, n_partitions=2
    )
    assert set(null.result.condition) == {"early", "late"}
    table = ntc_table({"raw": empirical_p(null.result.null)}, null.result, null.partitions)
    assert len(table) == 2 * 2 * 2 * 3
    for row in table.itertuples():
        at = [
            i
            for i, key in enumerate(zip(null.result.condition, null.result.units, strict=True))
            if key == (row.condition, row.group)
        ]
        assert len(at) == 1
        k = null.result.programs.index(row.program)
        assert row.raw == empirical_p(null.result.null)[at[0], k]


def test_fewer_threads_are_taken_where_memory_is_short(screen, monkeypatch):
    monkeypatch.setattr(testing, "fitting_threads", lambda need, asked: 1)
    with pytest.warns(ProgramDEWarning, match="n_jobs reduced from 2 to 1"):
        less = run_targets(screen, options(n_jobs=2), ntc_labels="NTC")
    np.testing.assert_array_equal(
        less.null.n_ge, run_targets(screen, options(), ntc_labels="NTC").null.n_ge
    )
