"""Control units: what is stored of a screen gives what the screen gives."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from programde.controls.control_units import control_units
from programde.controls.control_units_file import load_control_units, save_control_units
from programde.controls.crossfit import cross_fit, too_few_guides
from programde.controls.empirical_null import compare_targets, ntc_empirical_null
from programde.controls.groups import group_unit_name
from programde.controls.options import ComparisonOptions, ControlUnitOptions, CrossfitOptions
from programde.errors import InputError, OptionError
from tests.controls.simulate import null_screen

HOLD_OUT = CrossfitOptions(n_ntc_units=60, n_holdout_units=8)
FISHER = ComparisonOptions(combine_method="fisher", target_statistic="max_effect")


@pytest.fixture(scope="module")
def screen():
    return null_screen(12, 3, n_targets=6, n_programs=4, n_batches=2, uneven=0.3, seed=4)


def few(**options):
    return ControlUnitOptions(guides_per_unit=3, n_ntc_units=100, **options)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    "options",
    [
        few(),
        few(batch_mode="pooled"),
        few(use_pbar=True),
        few(finite_population_correction=False),
        few(finite_population_correction=False, use_pbar=True),
    ],
    ids=["exchange", "pooled", "pbar", "plain", "plain_pbar"],
)
def test_stored_units_give_what_the_screen_gives(screen, options, tmp_path):
    units = control_units(screen, "NTC", options, crossfit=HOLD_OUT, seed=9)
    save_control_units(tmp_path, units)
    back, why_not = load_control_units(tmp_path)
    assert why_not == ""
    for rules in (ComparisonOptions(), FISHER):
        whole = ntc_empirical_null(
            screen, None, options, rules, ntc_labels=["NTC"], crossfit=HOLD_OUT, seed=9
        )
        stored = compare_targets(back, None, rules, crossfit=True)
        for name in ("pvals", "pvals_t", "effects", "matching_info"):
            pd.testing.assert_frame_equal(
                getattr(stored, name), getattr(whole, name), check_exact=True
            )
        assert list(stored.per_batch) == list(whole.per_batch)
        assert stored.info == whole.info
        for part, other in zip(
            (stored.crossfit["meta"], *stored.crossfit["per_batch"].values()),
            (whole.crossfit["meta"], *whole.crossfit["per_batch"].values()),
            strict=True,
        ):
            for key, table in other.items():
                assert table.equals(part[key])
        assert stored.crossfit["info"] == whole.crossfit["info"]


def test_units_know_their_seed_and_what_was_left_open(screen):
    units = control_units(screen, "NTC", seed=9)
    assert units.seed == 9
    assert units.options.batch_mode == "meta"
    assert units.options.guides_per_unit == 3
    assert control_units(replace(screen, batch=None), "NTC").options.batch_mode == "pooled"
    other = control_units(screen, "NTC", few(), seed=10)
    same = control_units(screen, "NTC", few(), seed=9)
    assert not compare_targets(other).pvals.equals(compare_targets(same).pvals)


def test_targets_may_be_few_and_in_any_order(screen):
    units = control_units(screen, "NTC", few())
    whole = compare_targets(units)
    assert whole.pvals.index.tolist() == [f"t{t}" for t in range(6)]
    some = compare_targets(units, ["t5", "t2"], n_jobs=2)
    pd.testing.assert_frame_equal(some.pvals, whole.pvals.loc[["t5", "t2"]], check_exact=True)
    with pytest.raises(InputError, match=r"target 'T1' has no guide.*'t1'"):
        compare_targets(units, ["T1"])


def test_excluded_guides_are_in_no_unit(screen):
    units = control_units(
        screen, "NTC", few(), crossfit=HOLD_OUT, exclude_guides=["ntc3", "t1_0", "t2_0"]
    )
    out = set(units.columns(["ntc3", "t1_0", "t2_0"]).tolist())
    assert not out & set(np.concatenate([*units.members, units.ntc]).tolist())
    assert units.ntc.size == 11
    one = units.members[units.rows(["t1"])[0]]
    assert [units.guides[c] for c in one] == ["t1_1", "t1_2"]


def test_nothing_held_out_says_why(screen):
    units = control_units(screen, "NTC", few())
    assert cross_fit(units) is None
    assert units.why_none_held_out == "not asked for"
    big = ControlUnitOptions(guides_per_unit=12)
    units = control_units(screen, "NTC", big, crossfit=HOLD_OUT)
    assert cross_fit(units) is None
    why = r"more NTC guides \(12\) than guides_per_unit=12"
    with pytest.raises(InputError, match=why):
        ntc_empirical_null(screen, None, big, ntc_labels="NTC", crossfit=HOLD_OUT)
    assert too_few_guides(units, 12) == ""
    assert "12 non-targeting guides, fewer than crossfit.min_guides=13" in too_few_guides(units, 13)


def test_held_out_units_of_a_layer_share_no_guide(screen):
    units = control_units(screen, "NTC", few(), crossfit=HOLD_OUT)
    guides = {group_unit_name(unit): set(unit) for unit in units.held_out.split.units_B}
    layers = cross_fit(units)["meta"]["layer_holdout"]
    assert len(layers) == 8
    assert layers.nunique() > 1  # eight threes of six guides
    for _, layer in layers.groupby(layers):
        for one, two in itertools.combinations(layer.index, 2):
            assert not guides[one] & guides[two]


def test_held_out_units_meet_as_many_sets_as_the_cross_fit_asks_for(screen):
    units = control_units(screen, "NTC", few(), crossfit=CrossfitOptions(n_ntc_units=7))
    tables = cross_fit(units)["meta"]
    for key in ("pvals_real", "pvals_holdout"):
        ranks = 8 * tables[key].to_numpy()  # seven sets and the own one
        assert np.allclose(ranks, np.round(ranks))
        assert 0.5 < ranks.min() < ranks.max() < 8.5


def test_why_there_are_none_is_stored(tmp_path):
    save_control_units(tmp_path, None, "no batch has more cells than covariates")
    assert load_control_units(tmp_path) == (None, "no batch has more cells than covariates")
    (tmp_path / "control_units.json").write_text("{")
    with pytest.raises(InputError, match="no readable control units"):
        load_control_units(tmp_path)
    with pytest.raises(InputError, match="no readable control units"):
        load_control_units(tmp_path / "absent")


def test_options_name_their_key():
    for made, words in (
        (lambda: CrossfitOptions(frac_A=1.0), r"crossfit\.frac_A=1\.0"),
        (lambda: CrossfitOptions(min_guides=3), r"crossfit\.min_guides=3"),
        (lambda: ControlUnitOptions(batch_mode="metta"), r"batch_mode=metta.*'meta'"),
        (lambda: ComparisonOptions(target_statistic="max"), r"target_statistic=max .*'max_z'"),
        (lambda: ComparisonOptions.from_dict({"combine": 1}), r"no option 'combine'.*combine_meth"),
    ):
        with pytest.raises(OptionError, match=words):
            made()
