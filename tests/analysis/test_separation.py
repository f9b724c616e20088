"""What stands behind each test, against direct counts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from programde.analysis.separation import CERTAIN, unit_support
from programde.analysis.targets import RunOptions, run_targets, units_to_test
from programde.crt.control_group import choose_control
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS
from tests.crt.small import screen_of

NTC = ["NTC"]


def screen_with_gaps():
    """Batch B0 has no cell of T0; batch B1 has cells of T1 and no control-only cell."""
    made = screen_of(n=600, k=4, n_targets=3, n_ntc=4, n_batches=4, one_guide=True)
    presence = made.guides.toarray()
    batch = np.asarray(made.batch)
    presence[np.ix_(batch == "B0", [0, 1])] = 0
    presence[np.ix_(batch == "B1", range(6, 10))] = 0
    return replace(made, guides=type(made.guides)(presence))


def table_of(screen, control, *, drop=True, sampler=None, levels=("",), given="covariates"):
    units = units_to_test(screen, NTC)
    how = RunOptions(OLS(), sampler or Bernoulli(), n_resamples=0, progress=False, given=given)
    result = run_targets(
        screen,
        how,
        ntc_labels=NTC,
        control=control,
        drop_empty_batches=drop,
        by_condition=levels != ("",),
    )
    group = choose_control(screen, control, NTC)
    return unit_support(
        screen, units, group, result.probability, levels=levels, drop_empty_batches=drop
    )


@pytest.mark.parametrize("drop", [True, False])
def test_batches_left_out_and_levels_without_cells(drop):
    screen = screen_with_gaps()
    table = table_of(screen, "nt_cells", drop=drop).set_index("target")
    batch = np.asarray(screen.batch)
    for unit in screen.target_units(["T0", "T1", "T2"]):
        treated = screen.treated_cells(unit)
        row = table.loc[unit.name]
        assert row["n_treated"] == treated.size
        assert row["batches"] == len(set(batch[treated]))
        assert row["batches_left_out"] == (1 if drop and unit.name == "T0" else 0)
        alone = treated[batch[treated] == "B1"]
        assert row["without_control"] == "batch=B1"
        assert row["treated_without_control"] == alone.size
        assert f"{alone.size:,} of {treated.size:,} treated cells have no control" in row["note"]
    assert table.loc["T0", "without_treated"] == ("" if drop else "batch=B0")
    assert table.loc["T2", "without_treated"] == ""


def test_the_complement_has_controls_in_every_batch():
    table = table_of(screen_with_gaps(), "complement")
    assert (table["without_control"] == "").all()
    assert (table["note"] == "").all()


def test_highest_probability_is_that_of_the_law():
    screen = screen_with_gaps()
    exact = table_of(screen, "nt_cells")
    # given covariates the cells of batch B1, all of them treated, are treated for certain
    assert (exact["highest_probability"] == 1).all()
    assert (exact["certain_cells"] == exact["treated_without_control"]).all()
    smooth = table_of(screen, "nt_cells", given="propensity")
    assert ((smooth["highest_probability"] > 0) & (smooth["highest_probability"] < 1)).all()
    strata = table_of(screen, "nt_cells", sampler=StratifiedPermutation(n_bins=5))
    # in batch B1 all cells of a stratum are treated: a permutation leaves them as they are
    assert (strata["highest_probability"] == 1).all()
    in_b1 = strata["treated_without_control"]
    assert (strata["certain_cells"] >= in_b1).all()
    assert strata["note"].str.contains(f"above {CERTAIN:g}").all()


def test_a_unit_of_few_cells_has_a_propensity_of_few_columns():
    screen = screen_of(n=400, k=4, n_targets=3, n_ntc=4, one_guide=True, p=30)
    tiers = np.repeat([0, 1, 2], [3, 8, 20]).astype(np.int8)
    for tiered in (replace(screen, covariate_tiers=tiers), screen):
        table = table_of(tiered, "complement")
        assert (table["covariate_columns"] == 31).all()
        assert ((table["n_treated"] > 33) & (table["n_treated"] <= 3 * 31)).all()
        wanted = 31 if tiered is screen else 11
        assert (table["propensity_columns"] == wanted).all()


def test_one_row_per_condition_and_unit():
    screen = screen_with_gaps()
    level = np.where(np.arange(screen.n_cells) % 3 == 0, "late", "early")
    screen = replace(screen, condition=level)
    table = table_of(screen, "complement", levels=("early", "late"))
    assert list(table["condition"]) == ["early"] * 3 + ["late"] * 3
    whole = table_of(screen, "complement")
    parts = table.groupby("target")["n_treated"].sum()
    pd.testing.assert_series_equal(parts, whole.set_index("target")["n_treated"], check_names=False)
