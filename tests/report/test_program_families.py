"""Programs followed across factorisations by their spectra."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError, OptionError
from programde.report.program_families import followed, program_families

GENES = [f"g{i}" for i in range(200)]


def planted(noise: float = 0.3) -> dict[str, pd.DataFrame]:
    """Programs A to E: all at K = 5, A to C at K = 3, and A split at K = 6 into two alike."""
    rng = np.random.default_rng(0)
    true = {name: rng.normal(size=200) for name in "ABCDE"}

    def made(*names: str) -> pd.DataFrame:
        rows = [true[name[0]] + noise * rng.normal(size=200) for name in names]
        return pd.DataFrame(rows, [f"p{i}" for i in range(len(names))], GENES)

    return {"K=3": made("B", "A", "C"), "K=5": made(*"ABCDE"), "K=6": made("A", "A2", *"EDCB")}


def members(table: pd.DataFrame, program: tuple[str, str]) -> set[tuple[str, str]]:
    one = table.set_index(["factorisation", "program"])["family"]
    return set(one.index[one == one[program]])


def test_programs_are_followed() -> None:
    table = program_families(planted())
    assert members(table, ("K=5", "p1")) == {("K=3", "p0"), ("K=5", "p1"), ("K=6", "p5")}
    assert members(table, ("K=5", "p4")) == {("K=5", "p4"), ("K=6", "p2")}
    of_a = members(table, ("K=5", "p0"))
    assert len(of_a & {("K=6", "p0"), ("K=6", "p1")}) == 1  # one of the two that it splits into
    assert table.groupby("family")["factorisation"].nunique().equals(table.groupby("family").size())
    assert table["size"].tolist() == table.groupby("family")["family"].transform("size").tolist()
    sizes = table.drop_duplicates("family").sort_values("family")["size"]
    assert sizes.is_monotonic_decreasing
    stable = followed(table)
    assert stable["K=3"] == 1.0
    assert stable["K=5"] == pytest.approx((3 * 2 + 2 * 1) / (5 * 2))


def test_the_cosine_is_that_of_scores() -> None:
    tables = planted()
    table = program_families(tables)
    a, b = tables["K=5"].loc["p4"], tables["K=6"].loc["p2"]
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    row = table[(table["factorisation"] == "K=5") & (table["program"] == "p4")].iloc[0]
    assert row["cosine"] == pytest.approx(cosine)
    assert (program_families(tables, 1.0)["size"] == 1).all()
    assert program_families(tables, 1.0)["cosine"].isna().all()


def test_genes_that_all_have_and_weights() -> None:
    """What is abundant in all programs makes none of them alike."""
    tables = planted(noise=0.1)
    tables["K=3"] = tables["K=3"].iloc[:, ::-1].drop(columns="g7")
    scores = program_families(tables)
    weights = {name: np.exp(table.div(2)) for name, table in tables.items()}
    weights = {
        name: table * (1 + 1000 * (table.columns == "g3")) for name, table in weights.items()
    }
    by_weight = program_families(weights)
    assert by_weight["family"].tolist() == scores["family"].tolist()


def test_what_cannot_be_followed() -> None:
    with pytest.raises(InputError, match="no gene in common"):
        program_families({"a": planted()["K=3"], "b": planted()["K=3"].add_prefix("x")})
    with pytest.raises(OptionError, match="least=0"):
        program_families(planted(), 0)
    alone = program_families({"a": planted()["K=3"]})
    assert alone["family"].tolist() == [0, 1, 2]
    assert followed(alone).isna().all()
