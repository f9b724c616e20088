"""Keys of `controls`, `crossfit` and of the comparison with control guides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from programde.controls.control_units import control_units
from programde.controls.empirical_null import compare_targets
from programde.controls.options import ComparisonOptions, ControlUnitOptions, CrossfitOptions
from programde.controls.spike_results import Spikes

from .wires import (
    CONTROLS,
    CROSSFIT,
    GROUPS,
    LABELS,
    NTC_P_VALUES,
    P_VALUES,
    SEED,
    Runs,
    Wire,
    close,
    groups_of,
    judge,
    name_of,
    wire_into,
)
from .wiring import Run

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

WIRES: list[Wire] = []
wire = wire_into(WIRES)


@wire("controls.group_size", "controls.group_size=3", changes=GROUPS)
def group_size(before: Run, after: Run) -> None:
    for run, size in ((before, 2), (after, 3)):
        assert {len(guides) for guides in run.groups.guides.values()} == {size}
        assert run.groups.group_size == size


@wire("controls.min_groups", "controls.min_groups=4", base="free_groups", changes=GROUPS)
def min_groups(before: Run, after: Run) -> None:
    """Ten guides make no twenty groups of two, but five."""
    assert before.groups.group_size == 1
    assert after.groups.group_size == 2
    assert [len(part) for part in after.groups.partitions] == [5, 5]


@wire("controls.n_partitions", "controls.n_partitions=3", changes=GROUPS)
def n_partitions(before: Run, after: Run) -> None:
    assert len(after.groups.partitions) == 3
    assert after.groups.partitions[:2] == before.groups.partitions
    assert after.ntc["partition"].nunique() == 3


@wire("controls.n_bins", "controls.n_bins=1", changes=CONTROLS)
def group_bins(before: Run, after: Run) -> None:
    """Of single guides the order alone."""
    keys = ["group", "program"]
    one, other = (run.table("data/ntc_guide_p_values.parquet").sort_values(keys, ignore_index=True)
                  for run in (before, after))  # fmt: skip
    pd.testing.assert_frame_equal(one, other, rtol=1e-12)
    assert after.groups.partitions == groups_of(after, n_bins=1)
    assert before.groups.partitions == groups_of(before, n_bins=10)


def of_units(run: Run) -> None:
    """Stored units and the p-values of targets are those that the library makes of these words."""
    params = run.params
    options = ControlUnitOptions(**params["controls"]["units"])
    crossfit = CrossfitOptions(**params["crossfit"])
    made = control_units(run.screen, LABELS, options, crossfit=crossfit, seed=SEED)
    assert [m.tolist() for m in made.members] == [m.tolist() for m in run.units.members]
    assert made.options == run.units.options
    assert [b.label for b in made.batches] == [b.label for b in run.units.batches]
    rules = {k: v for k, v in params["calibrate"].items() if k != "kind"}
    wide = run.wide("p_value")
    expected = compare_targets(made, list(wide.index), ComparisonOptions.from_dict(rules)).pvals
    tested = [reason == "" for reason in run.crt.status]
    close(wide.to_numpy()[tested], expected.to_numpy()[tested])


def of_both(before: Run, after: Run) -> None:
    of_units(before)
    of_units(after)


FOUND = {*P_VALUES, "data/ntc_null"}
HELD_OUT = {*CROSSFIT, "data/ntc_p_values.parquet"}
for key, value, changes in (
    ("guides_per_unit", "3", HELD_OUT),  # each target is compared with sets of its own size
    ("batch_mode", "pooled", FOUND | HELD_OUT),
    ("min_control", "215", FOUND | HELD_OUT),
    ("min_treated", "32", FOUND | HELD_OUT),
    ("finite_population_correction", "false", FOUND | HELD_OUT),
    ("use_pbar", "true", FOUND | CROSSFIT),
    ("n_ntc_units", "30", FOUND),
):
    wire(f"controls.units.{key}", f"controls.units.{key}={value}", base="empirical",
         changes=changes)(of_both)  # fmt: skip

FINDS = {*P_VALUES, "data/crossfit", "data/ntc_p_values.parquet"}
for key, value in (("combine_method", "fisher"), ("matching.n_n1_bins", "1"),
                   ("matching.n_d_bins", "1"), ("matching.min_ntc_per_bin", "20")):  # fmt: skip
    wire(f"calibrate.ntc_empirical.{key}", f"calibrate.{key}={value}", base="empirical",
         changes=FINDS)(of_both)  # fmt: skip
wire("calibrate.ntc_empirical.matching.n_pbar_bins", "calibrate.matching.n_pbar_bins=1",
     base="with_pbar", changes=FINDS - NTC_P_VALUES)(of_both)  # fmt: skip
wire("calibrate=ntc_empirical", "calibrate=ntc_empirical",
     changes={*P_VALUES, "data/ntc_p_values.parquet"})(
    lambda before, after: of_units(after)
)  # fmt: skip


@wire("calibrate.ntc_empirical.target_statistic", "calibrate.target_statistic=max_effect",
      base="empirical", changes={"data/crossfit"})  # fmt: skip
def target_statistic(before: Run, after: Run) -> None:
    of_both(before, after)


def held_out(run: Run) -> dict[str, Any]:
    return dict(run.crossfit["info"])


@wire("crossfit.frac_A", "crossfit.frac_A=0.7", base="empirical",
      changes=HELD_OUT)  # fmt: skip
def frac_a(before: Run, after: Run) -> None:
    for run, share in ((before, 0.5), (after, 0.7)):
        assert held_out(run)["n_guides_A"] == round(10 * share)
        assert held_out(run)["n_guides_B"] == 10 - round(10 * share)


@wire("crossfit.seed", "crossfit.seed=1", base="empirical", changes=HELD_OUT)
def crossfit_seed(before: Run, after: Run) -> None:
    assert held_out(before)["guides_A"] != held_out(after)["guides_A"]
    of_units(after)


@wire("crossfit.n_holdout_units", "crossfit.n_holdout_units=4", base="empirical",
      changes=HELD_OUT)  # fmt: skip
def n_holdout_units(before: Run, after: Run) -> None:
    assert held_out(before)["n_units_holdout"] == 8
    assert held_out(after)["n_units_holdout"] == 4
    assert after.ntc.loc[after.ntc["ntc_empirical"].notna(), "group"].nunique() <= 4


@wire("crossfit.n_ntc_units", "crossfit.n_ntc_units=9", base="empirical",
      changes=HELD_OUT)  # fmt: skip
def crossfit_units(before: Run, after: Run) -> None:
    assert after.units.held_out.options.n_ntc_units == 9


@wire("crossfit.min_guides", "crossfit.min_guides=11", changes=CROSSFIT)
def min_guides(before: Run, after: Run) -> None:
    """Of ten guides none is held out then; for targets compared with them some are all the same."""
    assert before.json("data/crossfit/crossfit.json")["made"]
    assert not after.json("data/crossfit/crossfit.json")["made"]
    why = after.json("data/crossfit/crossfit.json")["info"]["why_not"]
    assert "10 non-targeting guides, fewer than crossfit.min_guides=11" in why


# --- known effects put into control cells


def spikes(run: Run) -> Spikes:
    return Spikes.load(run.folder / "data/ntc_null/spikes")


SPIKED = {"data/ntc_null", "data/spikes"}


@wire("spikes.n_sets", "spikes.n_sets=4", base="spiked", changes=SPIKED)
def n_sets(before: Run, after: Run) -> None:
    assert len(spikes(before).spiked.units) == len(spikes(before).programs) == 3
    assert len(spikes(after).spiked.units) == len(spikes(after).programs) == 4


@wire("spikes.n_unspiked_sets", "spikes.n_unspiked_sets=6", base="spiked", changes=SPIKED)
def n_unspiked_sets(before: Run, after: Run) -> None:
    """The sets that get effects are tested as they are too."""
    assert len(spikes(before).unspiked.units) == 3 + 4
    assert len(spikes(after).unspiked.units) == 3 + 6


@wire("spikes.fold_changes", "spikes.fold_changes=[1.5,2.0,4.0]", base="spiked", changes=SPIKED)
def fold_changes(before: Run, after: Run) -> None:
    assert spikes(after).fold_changes == [1.5, 2.0, 4.0]
    for run, n in ((before, 2), (after, 3)):
        of_set = len(spikes(run).programs[0]) * 2 * n * len(spikes(run).shares)
        assert spikes(run).spiked.effect.shape[1] == of_set


@wire("spikes.most_programs", "spikes.most_programs=2", base="spiked", changes=SPIKED)
def most_programs(before: Run, after: Run) -> None:
    assert {len(programs) for programs in spikes(before).programs} == {4}
    assert {len(programs) for programs in spikes(after).programs} == {2}


@wire("spikes.seed", "spikes.seed=1", base="spiked", changes=SPIKED)
def spike_seed(before: Run, after: Run) -> None:
    assert spikes(before).spiked.effect.shape == spikes(after).spiked.effect.shape
    assert not np.allclose(spikes(before).spiked.effect, spikes(after).spiked.effect)


@pytest.mark.parametrize("wire", WIRES, ids=name_of)
def test_a_key_does_what_it_says(wire: Wire, bases: Runs, tmp_path: Path) -> None:
    judge(wire, bases, tmp_path / "run")
