"""Agreement of guides: against the formulas written out, and on a hit carried by one guide."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.controls.concordance import COLUMNS, guide_concordance
from programde.errors import InputError


def tables(effects, errors, guides=None, programs=None):
    effects = np.asarray(effects, dtype=float)
    guides = guides or [f"g{j}" for j in range(len(effects))]
    programs = programs or [f"p{k}" for k in range(effects.shape[1])]
    return pd.DataFrame(effects, guides, programs), pd.DataFrame(errors, guides, programs)


def test_equals_the_formulas():
    rng = np.random.default_rng(0)
    effects, errors = tables(rng.normal(size=(5, 3)), rng.uniform(0.2, 1.0, size=(5, 3)))
    mapping = {"g0": "A", "g1": "B", "g2": "A", "g3": "A"}
    table = guide_concordance(effects, errors, mapping)
    assert list(table.columns) == COLUMNS
    assert table["target"].tolist() == ["A"] * 3 + ["B"] * 3
    for k in range(3):
        row = table.iloc[k]
        b = effects.loc[["g0", "g2", "g3"], f"p{k}"].to_numpy()
        w = 1 / errors.loc[["g0", "g2", "g3"], f"p{k}"].to_numpy() ** 2
        mean = np.average(b, weights=w)
        q = np.sum(w * (b - mean) ** 2)
        assert row["effect"] == pytest.approx(mean, rel=1e-12)
        assert row["effect_se"] == pytest.approx(1 / np.sqrt(w.sum()), rel=1e-12)
        assert row["z"] == pytest.approx(mean * np.sqrt(w.sum()), rel=1e-12)
        assert row["heterogeneity_q"] == pytest.approx(q, rel=1e-12)
        assert row["heterogeneity_p"] == pytest.approx(stats.chi2.sf(q, 2), rel=1e-12)
        assert row["i_squared"] == pytest.approx(max(0.0, (q - 2) / q), abs=1e-12)
        assert row["n_same_sign"] == np.sum(np.sign(b) == np.sign(mean))
        keep = [np.delete(np.arange(3), j) for j in range(3)]
        left = [np.sum(w[i] * b[i]) / np.sqrt(w[i].sum()) for i in keep]
        lead = int(np.argmin(np.sign(mean) * np.array(left)))
        assert row["leading_guide"] == ["g0", "g2", "g3"][lead]
        assert row["z_without_leading"] == pytest.approx(left[lead], rel=1e-9)
    alone = table.iloc[3]
    assert alone["n_guides"] == 1
    assert alone["sign_agreement"] == 1.0
    assert alone[["heterogeneity_q", "heterogeneity_p", "z_without_leading"]].isna().all()


def test_a_hit_of_one_guide_is_seen():
    effects, errors = tables([[3.0], [0.02], [-0.03], [0.01]], np.full((4, 1), 0.1))
    row = guide_concordance(effects, errors, dict.fromkeys(effects.index, "A")).iloc[0]
    assert row["z"] > 10
    assert row["leading_guide"] == "g0"
    assert abs(row["z_without_leading"]) < 0.1
    assert row["i_squared"] > 0.95
    assert row["sign_agreement"] == 0.75
    together, errors = tables([[1.0], [1.1], [0.9], [1.0]], np.full((4, 1), 0.1))
    row = guide_concordance(together, errors, dict.fromkeys(together.index, "A")).iloc[0]
    assert row["z_without_leading"] > 10
    assert row["i_squared"] == 0.0


def test_heterogeneity_is_uniform_when_guides_agree():
    # 20,000 independent tests; the bound has a false-alarm rate of 1e-4
    rng = np.random.default_rng(1)
    errors = rng.uniform(0.5, 2.0, size=(4, 20_000))
    effects, errors = tables(0.7 + errors * rng.normal(size=errors.shape), errors)
    table = guide_concordance(effects, errors, dict.fromkeys(effects.index, "A"))
    assert stats.kstest(table["heterogeneity_p"], "uniform").pvalue > 1e-4


def test_missing_effects_do_not_count():
    effects, errors = tables([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan]], np.ones((3, 2)))
    errors.iloc[1, 0] = 0.0
    table = guide_concordance(effects, errors, dict.fromkeys(effects.index, "A"))
    assert table["n_guides"].tolist() == [1, 0]
    assert table["effect"].iloc[0] == 1.0
    assert table.loc[1, ["effect", "z", "sign_agreement"]].isna().all()
    assert table.loc[1, "leading_guide"] == ""
    assert len(guide_concordance(effects, errors, {})) == 0


def test_tables_that_do_not_fit():
    effects, errors = tables(np.ones((2, 2)), np.ones((2, 2)))
    with pytest.raises(InputError, match="same guides"):
        guide_concordance(effects, errors.iloc[::-1], {})
    with pytest.raises(InputError, match="same programs"):
        guide_concordance(effects, errors[["p1", "p0"]], {})
    twice, errors = tables(np.ones((2, 2)), np.ones((2, 2)), guides=["g", "g"])
    with pytest.raises(InputError, match="twice: g"):
        guide_concordance(twice, errors, {})
