"""Cell Ranger's calls, and text tables as R, spreadsheets and people write them."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError, ProgramDEWarning
from programde.io.anndata import screen_from_anndata
from programde.io.cell_ranger import long_form
from programde.io.guide_tables import read_guide_tables
from programde.io.text_tables import neutral_csv, read_numbers, read_table
from tests.io.conversions import program_names
from tests.io.every_reader import long_tables
from tests.screen.compare import assert_same_screen
from tests.screen.small_screens import small_adata


def tables(adata):
    usage = pd.DataFrame(adata.obsm["cnmf_usage"], adata.obs_names, program_names(adata))
    return usage, *long_tables(adata)


def calls_per_cell(adata, counts, lane=""):
    """protospacer_calls_per_cell.csv of a screen; cells without a guide have no row."""
    held = sparse.csr_matrix(adata.obsm["guide_assignment"])
    rows = []
    for i, cell in enumerate(adata.obs_names):
        guides = [adata.uns["guide_names"][j] for j in held[i].indices]
        umis = [str(counts[i, j]) for j in held[i].indices]
        if guides:
            rows.append((f"{cell}{lane}", len(guides), "|".join(guides), "|".join(umis)))
    names = ["cell_barcode", "num_features", "feature_call", "num_umis"]
    return pd.DataFrame(rows, columns=names)


def test_protospacer_calls(tmp_path):
    adata = small_adata()
    usage, _, library = tables(adata)
    plain = screen_from_anndata(adata, covar_key=None)
    counts = np.random.default_rng(2).integers(3, 50, (60, 6))
    calls = calls_per_cell(adata, counts)
    n_empty = 60 - len(calls)
    assert n_empty > 0
    calls.to_csv(tmp_path / "protospacer_calls_per_cell.csv", index=False)
    for given in (calls, tmp_path / "protospacer_calls_per_cell.csv"):
        with pytest.warns(ProgramDEWarning, match=f"{n_empty} of 60 cells have no row, and so no"):
            screen = read_guide_tables(usage, given, library)
        assert_same_screen(screen, plain)
    with pytest.warns(ProgramDEWarning, match="have no row"):
        strict = read_guide_tables(usage, calls, library, guide_threshold=10)
    expected = (plain.guides.toarray() > 0) & (counts >= 10)
    np.testing.assert_array_equal(strict.guides.toarray(), expected)


def test_protospacer_calls_that_do_not_fit():
    adata = small_adata()
    usage, _, library = tables(adata)
    calls = calls_per_cell(adata, np.ones((60, 6), int), lane="-1")
    both = pd.concat([usage.add_suffix("-1", axis=0), usage.add_suffix("-2", axis=0)])
    with pytest.raises(InputError, match="no cell of lane 2 has a call"):
        read_guide_tables(both, calls, library)
    with pytest.raises(InputError, match="no cell name is in all of"):
        read_guide_tables(usage, calls, library)
    calls.loc[0, "num_umis"] += "|7"
    with pytest.raises(InputError, match=r"1 cell\(s\) have another number of guides than of UMI"):
        read_guide_tables(usage.add_suffix("-1", axis=0), calls, library)


def test_a_header_one_name_short(tmp_path):
    (tmp_path / "u.txt").write_text('"p1"\t"p2"\n"01"\t0.25\t0.75\n"NA"\t1\t0\n')
    table = read_numbers(tmp_path / "u.txt")
    assert (list(table.index), list(table)) == (["01", "NA"], ["p1", "p2"])
    assert table.to_numpy().tolist() == [[0.25, 0.75], [1, 0]]
    (tmp_path / "c.csv").write_text('"lane","n"\n"c1","01",3\n"c2","1",4\n')
    table = read_table(tmp_path / "c.csv")
    assert (list(table.index), list(table)) == (["c1", "c2"], ["lane", "n"])
    assert table["lane"].tolist() == ["01", "1"]
    assert table["n"].tolist() == [3, 4]
    (tmp_path / "g.csv").write_text('"cell","guide","value"\n"1","c1","g1",3\n"2","c2","g2",1\n')
    table = read_table(tmp_path / "g.csv", index=False)
    assert table.to_numpy().tolist() == [["c1", "g1", "3"], ["c2", "g2", "1"]]
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf,x\r\na,1\r\n")
    assert read_table(tmp_path / "bom.csv")["x"].tolist() == [1]


def test_text_stays_text(tmp_path):
    columns = {
        "lane": ["01", "1", "01"],
        "plain": ["1", "2", "10"],
        "float": ["1.5", "-2e3", ".5"],
        "hole": ["1", "", "NA"],
        "label": ["a", "NA", "b"],
        "flag": ["True", "False", "True"],
        "zero": ["0", "0.5", "-0"],
        "date": ["2020-01-01", "2020-01-02", "2020-01-01"],
    }
    pd.DataFrame(columns, index=["x", "y", "z"]).to_csv(tmp_path / "t.csv")
    table = read_table(tmp_path / "t.csv")
    assert table["lane"].tolist() == ["01", "1", "01"]
    assert table["plain"].tolist() == [1, 2, 10]
    assert table["float"].tolist() == [1.5, -2000, 0.5]
    assert table["hole"].isna().tolist() == [False, True, True]
    assert table["label"].isna().tolist() == [False, True, False]
    assert table["flag"].dtype == bool
    assert table["zero"].tolist() == [0, 0.5, 0]
    assert table["date"].tolist() == columns["date"]


def test_lanes_with_leading_zeros_are_lanes(tmp_path):
    adata = small_adata()
    usage, calls, library = tables(adata)
    covariates = adata.obsm["covar"].assign(batch=np.resize(["01", "1"], 60))
    covariates.to_csv(tmp_path / "c.csv")
    screen = read_guide_tables(usage, calls, library, tmp_path / "c.csv")
    assert screen.batch.tolist() == covariates["batch"].tolist()


def test_a_table_for_spreadsheets(tmp_path):
    table = pd.DataFrame(
        {"target": ["=1+1", "+A", "-B", "@c", "plain", "\tx"], "effect": [-1.0, 2, 3, 4, 5, 6]}
    )
    neutral = neutral_csv(table)
    assert neutral["target"].tolist() == ["'=1+1", "'+A", "'-B", "'@c", "plain", "'\tx"]
    assert neutral["effect"].tolist() == [-1, 2, 3, 4, 5, 6]
    assert list(neutral_csv(table.rename(columns={"target": "=t"}))) == ["'=t", "effect"]
    assert table["target"].iloc[0] == "=1+1"


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("cut", ["g2,T", "g2"])
def test_a_file_that_ends_within_a_row_is_refused(tmp_path, index, cut):
    path, rows = tmp_path / "guides.csv", 'guide_id,target,type\ng0,T0,a\ng1,,"a\nb"\n'
    many = "".join(f"h{i},T,a\n" for i in range(9000))
    for whole in (rows, rows + many):
        path.write_text(whole + cut)
        with pytest.raises(InputError, match=rf"has {cut.count(',') + 1} fields .*file whole"):
            read_table(path, index=index)
        path.write_text(whole)  # an empty field is one, and so is one of two lines
        assert len(read_table(path, index=index)) == whole.count("\n") - 2


def test_a_row_of_calls_that_is_not_whole_is_refused():
    table = pd.DataFrame(
        {"cell_barcode": ["a", "b"], "num_features": [1, 3], "feature_call": ["g0", "g0|g1"]}
    )
    with pytest.raises(InputError, match=r"1 cell.* than num_features says: b; is the file whole"):
        long_form(table)
