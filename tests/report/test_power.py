"""Power from known effects against what the numbers must be by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.report.power import (
    Missed,
    Power,
    at_share,
    controls,
    inflation,
    needed,
    shrunk_share,
    smallest_fold,
    treated_cells,
)
from programde.report.power_plots import power_figure
from programde.report.style import png_bytes
from programde.report.what_was_missed import missed_section

FOLDS = np.array([1.1, 1.5, 2.7])
SHARES = np.array([0.0, 0.5, 1.0])


def made_up(inflated: float = 1.0, n_sets: int = 12, seed: int = 0) -> pd.DataFrame:
    """Spikes whose shift is 5 (1 + 2 share) log fold; the statistic is normal with this sd."""
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(n_sets):
        for program in "abcdef":
            z = inflated * rng.normal()
            rows += [(s, program, "", 1.0, np.nan, z, 0.0)]
            for sign, direction in ((1, "up"), (-1, "down")):
                for fold in FOLDS:
                    for share in SHARES:
                        shift = sign * 5 * (1 + 2 * share) * np.log(fold)
                        rows += [(s, program, direction, fold, share, z + shift, shift)]
    columns = ["set", "program", "direction", "fold", "share", "p_value", "shift"]
    table = pd.DataFrame(rows, columns=columns)
    table["p_value"] = 2 * stats.norm.sf(table["p_value"].abs())
    plain = pd.DataFrame({"set": 0, "program": "a", "direction": "", "fold": 1.0, "shift": 0.0,
                          "p_value": null_p(inflated)})  # fmt: skip
    return pd.concat([table, plain], ignore_index=True)


def null_p(inflated: float, n: int = 2000) -> np.ndarray:
    return 2 * stats.norm.sf(inflated * stats.norm.isf((np.arange(n) + 0.5) / n / 2))


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_inflation_is_the_factor_on_normal_deviates_and_moves_the_threshold(factor):
    assert inflation(null_p(factor)) == pytest.approx(factor, abs=0.003)
    power = Power(made_up(factor))
    assert power.inflation == pytest.approx(factor, abs=0.05)
    expected = 2 * stats.norm.sf(stats.norm.isf(5e-4) * power.inflation)
    assert power.threshold == pytest.approx(expected, rel=1e-9)


def test_p_values_that_are_too_large_are_not_rewarded_either():
    assert inflation(null_p(0.7)) == 1.0
    assert inflation(np.empty(0)) == 1.0


def test_inflation_earns_nothing():
    """The same statistic with too small a standard error finds more, and is given nothing for it:
    z and its threshold are both multiplied."""
    honest, inflated = made_up(1.0), made_up(1.0)
    z = stats.norm.isf(inflated["p_value"] / 2)
    inflated["p_value"] = 2 * stats.norm.sf(1.4 * z)
    assert (inflated["p_value"] < 1e-3).mean() > (honest["p_value"] < 1e-3).mean() + 0.03
    assert Power(inflated).curve(0.5).mean == pytest.approx(Power(honest).curve(0.5).mean, abs=0.02)


def test_curve_is_the_share_found_and_lies_within_its_interval():
    table = made_up()
    power = Power(table)
    curve = power.curve(0.5)
    spikes = table[(table["share"] == 0.5)]
    by_hand = (spikes["p_value"] < power.threshold).groupby(spikes["fold"]).mean()
    np.testing.assert_allclose(curve.power, by_hand)
    assert (curve.low <= curve.power).all()
    assert (curve.power <= curve.high).all()
    assert curve.mean_low < curve.mean < curve.mean_high
    between = power.curve(0.25).power
    np.testing.assert_allclose(between, (power.curve(0).power + curve.power) / 2)
    assert set(power.found.columns) == {"set", "share", "fold", "found"}


@pytest.mark.slow
def test_intervals_cover_what_many_sets_say():
    """95 % intervals of 12 sets: of 60 at most 9 miss, which has a chance of 4e-3 to fail."""
    truth = Power(made_up(n_sets=400), n_boot=10).curve(0.25).mean
    curves = [Power(made_up(seed=s + 1), n_boot=200).curve(0.25) for s in range(60)]
    missed = sum(not c.mean_low <= truth <= c.mean_high for c in curves)
    assert missed <= 9


@pytest.mark.parametrize(
    ("power", "fold"),
    [
        ([0.9, 1.0, 1.0], 1.1),
        ([0.1, 0.2, 0.7], np.inf),
        ([0.0, 0.8, 1.0], 1.5),
        ([0.0, 0.4, 1.2], np.sqrt(1.5 * 2.7)),
        ([0.0, 0.9, 0.7], np.exp(np.log(1.1) + 8 / 9 * np.log(1.5 / 1.1))),
    ],
)
def test_smallest_fold(power, fold):
    assert smallest_fold(FOLDS, np.array(power)) == pytest.approx(fold)


def test_between_shares_power_is_linear():
    cube = np.arange(9.0).reshape(1, 3, 3)
    np.testing.assert_allclose(at_share(cube, SHARES, 0.3), 0.4 * cube[:, 0] + 0.6 * cube[:, 1])
    np.testing.assert_allclose(at_share(cube, SHARES, 1.0), cube[:, 2])


def test_share_of_hits_is_drawn_towards_the_usual_one():
    assert shrunk_share(0, 0) == pytest.approx(0.4)
    assert shrunk_share(3 * 0.8, 3) == pytest.approx(0.6)
    assert shrunk_share(900, 1000) == pytest.approx(0.9, abs=0.002)


def test_planned_power_is_that_of_a_normal_statistic():
    power = Power(made_up())
    z = stats.norm.isf(power.threshold / 2)
    for size in (0.25, 1.0, 4.0):
        shift = 10 * np.log(FOLDS) * np.sqrt(size)
        wanted = stats.norm.sf(z - shift) + stats.norm.cdf(-z - shift)
        np.testing.assert_allclose(power.planned(0.5, [size])[0], wanted, rtol=1e-9)


def test_cells_that_are_needed_have_the_power_that_is_wanted():
    power = Power(made_up())
    n, n_control = 100, 900.0
    effective = n * n_control / (n + n_control)
    assert controls(n, effective) == pytest.approx(n_control)
    assert treated_cells(effective, n_control) == pytest.approx(n)
    cells = needed(power, 0.5, n, effective, 1.5)
    multiple = cells * n_control / (cells + n_control) / effective
    assert power.planned(0.5, [multiple])[0][1] == pytest.approx(0.8, abs=0.005)
    # with as few controls as this no number of treated cells is enough
    assert needed(power, 0.0, 10, 5.0, 1.1) == np.inf


def test_raw_p_values_that_cannot_get_there_are_no_lack_of_power():
    assert "take more draws" in Power(made_up(1.3), smallest_p=1 / 1024).why_not
    assert Power(made_up(), smallest_p=1 / 1e5).why_not == ""
    nothing = made_up().assign(p_value=np.nan)
    assert Power(nothing).why_not == "no set with known effects could be tested"
    missed = Missed(made_up(1.3), "", 50, 45.0, 1 / 1024)
    assert (missed.power, missed.metrics()) == (None, {})


def test_the_page_says_what_would_have_been_missed():
    seen = pd.DataFrame({"target": ["SPI1"], "n_treated": [55], "mde80": [np.log(5)]})
    missed = Missed(made_up(), "", 638, 500.0, 0.0, 4.0, 10.0)
    section = missed_section(missed, seen, "log-ratio", [])
    assert section.lead.startswith("In a target of 638 cells, the median, a 1.")
    words = [block for block in section.blocks if isinstance(block, str)]
    assert "SPI1 (55 cells): only shifts above 5-fold would have been seen." in words
    assert "40% of a change" in words[0]
    assert words[0].endswith("Found means p below 0.001.")  # nothing was lowered
    inflated = missed_section(Missed(made_up(1.3), "", 638, 500.0), seen, "log-ratio", []).blocks
    assert "below 0.001, lowered to 2e-05 for what" in next(b for b in inflated if "Known" in b)
    other = missed_section(missed, seen, "square root of usage", []).blocks
    assert "1.6 (square root of usage)" in next(b for b in other if str(b).startswith("SPI1"))
    none = missed_section(Missed(None, "spikes.n_sets is 0"), None, "log-ratio", [])
    assert none.lead == "Power was not measured: spikes.n_sets is 0."
    assert none.blocks == []


def test_metrics_and_picture():
    missed = Missed(made_up(), "", 638, 500.0)
    numbers = missed.metrics()
    assert numbers["scale"] < numbers["mix"] < numbers["switch"]
    assert numbers["mde80_scale"] > numbers["mde80_mix"] > numbers["mde80_switch"]
    assert numbers["share"] == pytest.approx(0.4)
    picture = power_figure(missed.power, missed.share, 638, missed.planned())
    assert png_bytes(picture).startswith(b"\x89PNG")
    assert [cells for cells, _ in missed.planned()] == [64, 191, 638, 1914]
    assert dict(missed.planned())[638] == pytest.approx(1.0)
