"""Power of settings set by set, what is recommended, and which settings agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.sweep.agreement import agreement, hits_by_setting
from pipeline.sweep.power_order import Powers, powers_of
from pipeline.sweep.ranking_page import write_page
from pipeline.sweep.ranking_table import Ranking, _sorted
from pipeline.sweep.recommendation import by_other_shares, recommendation

FOLDS, SHARES = (1.1, 1.5, 2.7), (0.0, 0.5, 1.0)


def found(level: float, slope: float = 0.0, sets: range = range(10), seed: int = 0) -> pd.DataFrame:
    """Share found by set: what is common to all settings, a level, and a slope in the share."""
    noise = dict(zip(sets, np.random.default_rng(seed).normal(0, 0.1, len(sets)), strict=True))
    rows = [
        (s, share, fold, level + slope * (share - 0.4) + noise[s])
        for s in sets
        for share in SHARES
        for fold in FOLDS
    ]
    return pd.DataFrame(rows, columns=["set", "share", "fold", "found"])


def powers(**levels: float | tuple[float, float]) -> Powers:
    tables = {}
    for run, level in levels.items():
        mean, slope = level if isinstance(level, tuple) else (level, 0.0)
        tables[run] = found(mean, slope)
    return powers_of(tables, dict.fromkeys(levels, (0.0, 0.0)))


def test_one_share_for_all_settings_pooled_and_drawn_towards_the_usual_one() -> None:
    tables = {"a": found(0.5), "b": found(0.5)}
    made = powers_of(tables, {"a": (2.0, 4.0), "b": (4.0, 8.0)})
    assert made.share == pytest.approx((3 + 0.4 * 3) / (6 + 3))
    # more settings with the same hits are no more evidence
    assert powers_of(tables, {"a": (3.0, 6.0)}).share == pytest.approx(made.share)
    assert powers_of(tables, {"a": (np.nan, 1.0)}).share == pytest.approx(0.4)


def test_power_of_a_setting_at_the_share() -> None:
    made = powers_of({"a": found(0.5, 0.2)}, {})
    noise = found(0.0)["found"].mean()
    assert made.mean("a") == pytest.approx(0.5 + noise)
    assert made.scale["a"].mean() == pytest.approx(0.5 - 0.08 + noise)
    low, high = made.interval("a")
    assert low < made.mean("a") < high
    assert np.isnan(made.mean("unknown"))


def test_settings_are_compared_on_the_same_sets() -> None:
    """Sets differ by 0.1 from each other, which no unpaired comparison of 10 sees through."""
    made = powers(a=0.50, b=0.53, c=0.515)
    assert not made.alike("a", "b")
    assert made.alike("a", "c")  # 0.015 apart
    other = powers_of({"a": found(0.50), "b": found(0.53, sets=range(20, 30), seed=1)}, {})
    assert other.alike("a", "b")  # not the same sets
    assert not made.alike("a", "unknown")


def test_a_difference_by_chance_is_none() -> None:
    rng = np.random.default_rng(0)
    one, two = found(0.5), found(0.56)
    two["found"] += np.repeat(rng.normal(0, 0.3, 10), len(SHARES) * len(FOLDS))
    assert powers_of({"a": one, "b": two}, {}).alike("a", "b")


def settings(words: list[str], overlap: bool = True) -> pd.DataFrame:
    n = len(words)
    low = np.full(n, 0.8) if overlap else np.arange(n) + 0.5
    return pd.DataFrame(
        {
            "usage": list("xyzw")[:n],
            "verdict": words,
            "run": list("abcd")[:n],
            "ntc/lambda_mean_low": low,
            "ntc/lambda_mean_high": low + 0.4,
            "discoveries/bh10": 100.0 - np.arange(n),
        }
    )


def test_power_orders_what_controls_do_not_tell_apart() -> None:
    words = ["calibrated", "too few controls to tell", "inflated", "calibrated"]
    table = _sorted(settings(words), powers(a=0.5, b=0.6, c=0.9, d=0.51))
    assert table["run"].tolist() == ["b", "d", "a", "c"]
    assert table["rank"].tolist() == [1, 2, 2, 4]  # 0.51 and 0.5 are alike
    apart = _sorted(settings(words, overlap=False), powers(a=0.5, b=0.6, c=0.9, d=0.51))
    assert apart["run"].tolist() == ["d", "a", "b", "c"]


def test_discoveries_do_not_make_a_setting_first() -> None:
    table = _sorted(settings(["calibrated"] * 3), powers(a=0.5, b=0.5, c=0.6))
    assert table["run"].tolist() == ["c", "a", "b"]
    assert table["rank"].tolist() == [1, 2, 2]


def name(row: pd.Series) -> str:
    return f"usage {row['usage']}"


def advice(table: pd.DataFrame, made: Powers | None, word: str = "calibrated") -> str:
    return recommendation(table, made, name, word)


def test_a_recommendation_in_a_sentence() -> None:
    made = powers(a=0.5, b=0.6, c=0.61)
    table = _sorted(settings(["calibrated"] * 3), made)
    assert table["rank"].tolist() == [1, 1, 3]
    told = advice(table, made)
    assert told.startswith("Recommended: usage z finds 6")
    assert told.endswith("usage y cannot be told from it.")
    made = powers(a=0.5, b=0.7)
    assert advice(_sorted(settings(["calibrated"] * 2), made), made).endswith(
        "more than any other."
    )
    made = powers(a=0.5, b=0.51)
    told = advice(_sorted(settings(["calibrated"] * 2), made), made)
    assert told.startswith("Recommended: cannot be told among these 2 settings")


def test_nothing_is_recommended_that_is_not_sound_or_not_known() -> None:
    made = powers(a=0.5, b=0.7)
    table = _sorted(settings(["inflated"] * 2), made)
    assert advice(table, made, "inflated").startswith("Recommended: none")
    assert "cannot be told" in advice(table, None)
    assert "was not measured" in advice(table, powers(z=0.5))


def test_where_scaling_and_switching_disagree_both_are_told() -> None:
    made = powers(a=(0.6, 0.3), b=(0.55, -0.3))
    table = _sorted(settings(["calibrated"] * 2), made)
    told = by_other_shares(table, made, name)
    assert "none switched, usage y would find most" in told
    assert told.endswith("usage x.")
    assert by_other_shares(table, powers(a=0.5, b=0.4), name) == ""


def results(*pairs: str, **columns: object) -> pd.DataFrame:
    targets, programs = zip(*(pair.split("-") for pair in pairs), strict=True)
    q = [0.01 if pair.isupper() else 0.5 for pair in pairs]
    return pd.DataFrame({"target": targets, "program": programs, "q_value": q, **columns})


def test_hits_by_settings() -> None:
    tables = {
        "1": results("A-P", "A-Q", "b-p"),
        "2": results("A-P", "a-q", "B-P"),
        "3": results("A-P", "A-Q", "b-p"),
    }
    table = hits_by_setting(tables, 0.1)
    assert table["target"].tolist() == ["A", "A", "B"]
    assert table["settings"].tolist() == [3, 2, 1]
    assert table[["1", "2", "3"]].to_numpy().tolist() == [
        [True, True, True], [True, False, True], [False, True, False]]  # fmt: skip
    assert agreement(table, 3) == "1 of 3 hits are found by all 3 settings, 1 by one alone."
    none = hits_by_setting({"1": results("a-p"), "2": results("a-p")}, 0.1)
    assert none.empty
    assert agreement(none, 2) == "No setting has a hit."


def test_the_page_recommends_and_shows_who_agrees(tmp_path: Path) -> None:
    made = powers(a=0.5, b=0.6)
    table = _sorted(settings(["calibrated"] * 2), made)
    tables = {"1": results("A-P", "A-Q"), "2": results("A-P", "a-q")}
    hits = hits_by_setting(tables, 0.1)
    write_page(Ranking(table, ["usage"], ["b", "a"], "two", {}, made, hits), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "1 of 2 hits are found by all 2 settings, 1 by one alone." in page
    assert "known effects found" in page


#: Found of known effects by set, and the ends of inflation, of four settings on the small built-in
#: screen without effects: `-m experiment=quick data.frac_causal_genes=0.0 usage=quantile,hellinger
#: test=ols,utest`.
NULL = {
    "quantile ols": ([0.56, 0.62, 0.5667, 0.54, 0.6, 0.5667, 0.51, 0.56, 0.61, 0.5967], 0.77, 1.76),
    "hellinger utest": (
        [0.5633, 0.6233, 0.5867, 0.5233, 0.57, 0.55, 0.5133, 0.57, 0.59, 0.5867], 0.79, 1.83
    ),
    "quantile utest": (
        [0.5467, 0.62, 0.58, 0.53, 0.5867, 0.5533, 0.4967, 0.5667, 0.6033, 0.5833], 0.88, 1.79
    ),
    "hellinger ols": (
        [0.5367, 0.5767, 0.5833, 0.5, 0.58, 0.5333, 0.48, 0.5867, 0.5767, 0.5833], 0.82, 2.12
    ),
}  # fmt: skip


@pytest.mark.parametrize("discoveries", [(0, 0, 0, 0), (0, 3, 40, 1), (9, 0, 0, 200)])
def test_on_a_screen_without_effects_nobody_is_recommended_for_discoveries(discoveries) -> None:
    by_set = {name: pd.Series(found) for name, (found, _, _) in NULL.items()}
    made = Powers(0.4, by_set, by_set, by_set)
    table = pd.DataFrame(
        {
            "usage": list(NULL),
            "run": list(NULL),
            "verdict": "too few controls to tell",
            "ntc/lambda_mean_low": [low for _, low, _ in NULL.values()],
            "ntc/lambda_mean_high": [high for _, _, high in NULL.values()],
            "discoveries/bh10": np.array(discoveries, dtype=float),
            "truth/power_bh10": np.nan,
        }
    )
    ranked = _sorted(table, made)
    assert ranked["run"].tolist() == list(NULL)
    assert ranked["rank"].tolist() == [1, 1, 1, 1]
    told = advice(ranked, made, "too few controls to tell")
    assert told.startswith("Recommended: cannot be told among these 4 settings")
    assert "discover" not in told
    assert "hit" not in told
