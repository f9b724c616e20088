"""Results survive writing and reading in AnnData and MuData."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError, ProgramDEWarning
from programde.io.write_back import _untouched, wide, write_back, write_back_file


def results(conditions: tuple[str, ...] = ()) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = [
        {"condition": c, "target": g, "program": f"program_{k}"}
        for c in conditions or ("",)
        for g in ("B", "A")
        for k in range(3)
    ]
    table = pd.DataFrame(rows)
    for column in ("effect", "p_value", "q_value"):
        table[column] = rng.random(len(table))
    table.loc[1, "p_value"] = np.nan
    table["reason"] = ""
    return table if conditions else table.drop(columns="condition")


def blank(n_vars: int, names: list[str]) -> anndata.AnnData:
    data = anndata.AnnData(np.ones((4, n_vars), dtype=np.float32), var=pd.DataFrame(index=names))
    data.uns["guide2gene"] = {"g1": "A", "g2": "B", "g3": "non-targeting"}
    return data


def test_h5ad_round_trip_puts_matrices_into_uns(tmp_path):
    table = results()
    blank(2, ["g1", "g2"]).write_h5ad(tmp_path / "in.h5ad")
    write_back_file(tmp_path / "in.h5ad", tmp_path / "out.h5ad", table, table[["target", "effect"]])
    back = anndata.read_h5ad(tmp_path / "out.h5ad")
    stored = back.uns["programde_results"].reset_index(drop=True)
    pd.testing.assert_frame_equal(stored, table, check_dtype=False, check_categorical=False)
    assert list(back.uns["programde_effect"].columns) == ["B", "A"]
    assert back.uns["programde_p_value"].loc["program_1", "B"] != table.loc[0, "p_value"]
    assert np.isnan(back.uns["programde_p_value"].loc["program_1", "B"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.h5ad", "out.h5ad"]


def test_variables_that_are_programs_get_varm(tmp_path):
    table = results()
    data = blank(3, ["program_2", "program_0", "program_1"])
    write_back(data, table)
    effect = data.varm["programde_effect"]
    expected = table[(table.target == "A") & (table.program == "program_2")].effect.item()
    assert effect.loc["program_2", "A"] == expected


@pytest.mark.slow
@pytest.mark.brief
def test_mudata_modality_of_programs(tmp_path):
    import mudata

    with _untouched(".h5mu"):
        data = mudata.MuData(
            {"rna": blank(2, ["g1", "g2"]), "cNMF": blank(3, [f"program_{k}" for k in range(3)])}
        )
        data["rna"].obs["depth"] = 1.0
        data.write(tmp_path / "in.h5mu")
    write_back_file(tmp_path / "in.h5mu", tmp_path / "out.h5mu", results())
    with _untouched(".h5mu"):
        back = mudata.read_h5mu(tmp_path / "out.h5mu")
    assert list(back.obs.columns) == []  # as it came
    assert list(back["rna"].obs.columns) == ["depth"]
    assert back["cNMF"].varm["programde_q_value"].shape == (3, 2)
    assert "programde_results" in back.uns


def test_conditions_make_columns():
    assert list(wide(results(("early", "late")), "effect").columns) == [
        "B in early",
        "A in early",
        "B in late",
        "A in late",
    ]


def test_bad_input_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no column effect"):
        write_back(blank(1, ["g"]), results().drop(columns="effect"))
    (tmp_path / "broken.h5ad").write_bytes(b"not hdf5")
    with pytest.raises(InputError, match="cannot be read"):
        write_back_file(tmp_path / "broken.h5ad", tmp_path / "o.h5ad", results())
    with pytest.raises(InputError, match="both must end"):
        write_back_file(tmp_path / "broken.h5ad", tmp_path / "o.h5mu", results())


def test_results_of_another_screen_are_refused():
    table, own = results(), blank(2, ["g1", "g2"])
    other = blank(2, ["A", "B"])  # genes of that name are no targets
    other.uns["guide2gene"] = {"g1": "X", "g2": "Y"}
    other.uns["programde_results"] = table  # nor do results of another run tell
    with pytest.raises(InputError, match=r"none of the 2 targets of the results \(B, A\)"):
        write_back(other, table)
    own.uns["program_names"] = np.array(["p1", "p2", "p3"], dtype=object)
    with pytest.raises(InputError, match="none of the 3 programs"):
        write_back(own, table)
    write_back(own, table, check=False)
    assert "programde_effect" in own.uns


def test_targets_are_found_where_they_may_stand():
    table = results()
    for place in ("obs", "var", "uns"):
        data = blank(2, ["g1", "g2"])
        del data.uns["guide2gene"]
        if place == "obs":
            data.obs["target"] = pd.Categorical(["A", "B", "A", "A"])
        elif place == "var":
            data.var["intended_target_name"] = ["A", "B"]
        else:
            data.uns["guides"] = pd.DataFrame({"target": ["A", "B"]})
        write_back(data, table)
        assert "programde_effect" in data.uns
    guides = table.assign(guide=table["target"] + "_1")
    write_back(blank(1, ["g"]), guides)


def test_absent_names_are_counted():
    data = blank(2, ["g1", "g2"])
    data.uns["guide2gene"] = {"g1": "A", "g2": "C"}
    data.uns["program_names"] = ["program_0", "program_1", "program_9"]
    with pytest.warns(ProgramDEWarning) as warned:
        write_back(data, results())
    assert [str(w.message).split(" of the results ")[0] for w in warned] == [
        "1 of the 2 targets",
        "1 of the 3 programs",
    ]


def test_a_slash_in_a_target_s_name_survives_the_file(tmp_path):
    """A slash would open a folder in HDF5: the tidy table keeps it, the wide ones show a sign."""
    import anndata
    import pandas as pd

    from programde.errors import ProgramDEWarning

    names = [("A/B", "p1"), ("A/B", "p2"), ("C", "p1"), ("C", "p2")]
    results = pd.DataFrame(names, columns=["target", "program"]).assign(
        effect=[1.0, 2.0, 3.0, 4.0], p_value=0.5, q_value=0.5, n_treated=9
    )
    adata = anndata.AnnData(obs=pd.DataFrame(index=["c1", "c2"]))
    with pytest.warns(ProgramDEWarning, match=r"1 target\(s\) with a slash .*A/B"):
        write_back(adata, results, check=False)
    adata.write_h5ad(tmp_path / "out.h5ad")
    back = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert list(back.uns["programde_results"]["target"]) == ["A/B", "A/B", "C", "C"]
    assert back.uns["programde_effect"].loc["p2"].to_dict() == {"A\u2215B": 2.0, "C": 4.0}
