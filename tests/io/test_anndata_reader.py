import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.io.anndata import (
    add_burden_covariate,
    get_covar_matrix,
    get_from_adata_any,
    get_program_names,
    read_h5ad,
    screen_from_anndata,
)
from programde.screen.chosen import is_stored
from programde.screen.composition import Floor, clr_from_usage
from tests.screen.compare import assert_same_screen
from tests.screen.small_screens import small_adata


def test_a_screen_from_anndata():
    adata = small_adata()
    screen = screen_from_anndata(adata, formula="linear")
    assert screen.n_cells == 60
    assert screen.n_programs == 4
    np.testing.assert_array_equal(screen.clr, clr_from_usage(adata.obsm["cnmf_usage"]))
    np.testing.assert_array_equal(
        screen.guides.toarray(), adata.obsm["guide_assignment"].toarray() > 0
    )
    assert screen.covariate_names == ["intercept", "depth", "batch_B", "batch_C", "mito"]
    assert screen.batch.tolist() == adata.obsm["covar"]["batch"].tolist()
    assert screen.target_columns() == {"T0": [0, 1], "T1": [2, 3], "NTC": [4, 5]}
    assert screen.notes == ()
    assert screen.cell_names[:2] == ["c0", "c1"]


def test_a_view_gives_what_its_copy_gives():
    adata = small_adata()
    rows = np.random.default_rng(0).permutation(60)[:50]
    view = adata[rows]
    assert view.is_view
    assert_same_screen(screen_from_anndata(view), screen_from_anndata(view.copy()))
    assert view.is_view


def test_the_anndata_is_not_modified():
    adata = small_adata()
    before = adata.copy()
    screen_from_anndata(adata)
    pd.testing.assert_frame_equal(adata.obsm["covar"], before.obsm["covar"])
    np.testing.assert_array_equal(adata.obsm["cnmf_usage"], before.obsm["cnmf_usage"])


def test_dataframes_carry_their_own_names():
    adata = small_adata()
    plain = screen_from_anndata(adata)
    names = adata.obs_names
    adata.obsm["cnmf_usage"] = pd.DataFrame(
        adata.obsm["cnmf_usage"], index=names, columns=["x", "y", "z", "w"]
    )
    guides = pd.DataFrame(
        adata.obsm["guide_assignment"].toarray(), index=names, columns=plain.guide_names
    )
    del adata.obsm["guide_assignment"], adata.uns["guide_names"]
    adata.uns["guide_assignment"] = guides.iloc[::-1]
    with pytest.warns(ProgramDEWarning, match=r"guide assignment .* 60 of 60 rows reordered"):
        screen = screen_from_anndata(adata, formula="linear")
    assert screen.program_names == ["x", "y", "z", "w"]
    assert (screen.guides != plain.guides).nnz == 0
    assert len(screen.notes) == 1


def test_covariates_as_array_or_absent():
    adata = small_adata()
    adata.obsm["covar"] = adata.obsm["covar"][["depth", "mito"]].to_numpy()
    screen = screen_from_anndata(adata)
    assert screen.batch is None
    assert screen.covariate_table is None
    assert screen.covariate_names == ["intercept", "covar_0", "covar_1"]
    assert screen_from_anndata(adata, covar_key=None).covariate_names == ["intercept"]


@pytest.mark.parametrize("container", ["layers", "obsp", "uns", "obs"])
def test_every_container_is_searched(container):
    adata = small_adata(n=60, k=60) if container in ("layers", "obsp") else small_adata()
    usage = adata.obsm.pop("cnmf_usage")
    if container == "layers":
        adata = anndata.AnnData(
            np.zeros((60, 60)), obs=adata.obs, obsm=dict(adata.obsm), uns=dict(adata.uns)
        )
        adata.layers["cnmf_usage"] = usage
    elif container == "obs":
        adata.obsm["cnmf_usage"] = usage
        adata.obs["mito"] = adata.obsm["covar"]["mito"]
        assert screen_from_anndata(adata, covar_key="mito").covariate_names == ["intercept", "mito"]
        return
    else:
        getattr(adata, container)["cnmf_usage"] = usage
    assert screen_from_anndata(adata).n_programs == usage.shape[1]


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("usage_key", "usage"),
        ("covar_key", "covariate"),
        ("guide_assignment_key", "guide assignment"),
        ("guide_names_key", "guide names"),
        ("guide2gene_key", "guide -> gene map"),
    ],
)
def test_missing_keys_say_what_is_there(key, role, tmp_path):
    adata = small_adata()
    adata.write_h5ad(tmp_path / "s.h5ad")
    for read, source in ((screen_from_anndata, adata), (read_h5ad, tmp_path / "s.h5ad")):
        with pytest.raises(InputError) as caught:
            read(source, **{key: "cnmf_usages"})
        line = str(caught.value)
        assert f"{role} key 'cnmf_usages' is not in obsm, layers, obsp, uns, obs" in line
        assert "did you mean 'cnmf_usage'?" in line
        assert "obsm: covar, cnmf_usage, guide_assignment; uns: guide" in line or read is read_h5ad
        assert "obs: lane" in line
        assert "\n" not in line


def damage(adata, what):
    usage, guides = adata.obsm["cnmf_usage"], adata.obsm["guide_assignment"]
    if what == "rows":
        adata.uns["cnmf_usage"] = usage[:50]
        del adata.obsm["cnmf_usage"]
    elif what == "guide rows":
        adata.uns["guide_assignment"] = guides[:50]
        del adata.obsm["guide_assignment"]
    elif what == "transposed":
        adata.uns["cnmf_usage"] = np.ascontiguousarray(usage.T)
        del adata.obsm["cnmf_usage"]
    elif what == "nan":
        usage[3] = np.nan
    elif what == "empty":
        usage[3] = 0
    elif what == "one program":
        adata.obsm["cnmf_usage"] = np.ones((60, 1))
    elif what == "program names":
        adata.uns["program_names"] = ["a", "b"]
    elif what == "guide names":
        adata.uns["guide_names"] = ["g0"]
    elif what == "guide name twice":
        adata.uns["guide_names"] = ["g0", "g0", "g2", "g3", "g4", "g5"]
    elif what == "guide name text":
        adata.uns["guide_names"] = "g0"
    elif what == "batch":
        adata.obsm["covar"]["batch"] = adata.obsm["covar"]["batch"].where(
            np.arange(60) != 7, other=None
        )
    elif what == "covariate":
        adata.obsm["covar"].loc["c9", "depth"] = np.inf
    elif what == "covariate rows":
        adata.uns["covar"] = adata.obsm.pop("covar").rename({"c0": "x"})
    return adata


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("rows", "usage 'cnmf_usage' has 50 rows for 60 cells"),
        ("guide rows", "guide assignment 'guide_assignment' has 50 rows for 60 cells"),
        ("transposed", "usage 'cnmf_usage' has 4 rows for 60 cells; it looks transposed"),
        ("nan", r"4 NaN or infinite value\(s\) in 1 cell\(s\): c3"),
        ("empty", r"all usages are 0 in 1 of 60 cell\(s\): c3"),
        ("one program", "at least 2 programs"),
        ("program names", "2 program names for 4 programs"),
        ("guide names", "too few guide names: 1 names for 6 columns"),
        ("guide name twice", "more than once: g0"),
        ("guide name text", "'guide_names' must be a list of names"),
        ("batch", r"'batch': 1 of 60 values are missing \(first: c7\)"),
        ("covariate", r"'depth': 1 of 60 values are NaN or infinite \(first: c9\)"),
        ("covariate rows", r"covariates 'covar': 1 of 60 cells are not in its index \(first: c0"),
    ],
)
def test_damaged_input_is_refused_in_one_line(what, message, tmp_path):
    adata = damage(small_adata(), what)
    with pytest.raises(InputError, match=message) as caught:
        screen_from_anndata(adata)
    assert "\n" not in str(caught.value)
    adata.write_h5ad(tmp_path / "s.h5ad")
    with pytest.raises(InputError, match=message):
        read_h5ad(tmp_path / "s.h5ad")


def test_dropped_cells_leave_everything_aligned():
    adata = small_adata()
    adata.obsm["cnmf_usage"][[3, 8]] = 0
    with pytest.warns(ProgramDEWarning, match="dropped"):
        screen = screen_from_anndata(adata, on_empty="drop")
    keep = np.delete(np.arange(60), [3, 8])
    assert_same_screen(screen, screen_from_anndata(adata[keep]))


def test_batch_key():
    adata = small_adata()
    adata.obsm["covar"] = adata.obsm["covar"].rename(columns={"batch": "lane"})
    assert screen_from_anndata(adata).batch is None
    assert screen_from_anndata(adata, batch_key=None).batch is None
    assert set(screen_from_anndata(adata, batch_key="lane").batch) == {"A", "B", "C"}
    with pytest.raises(InputError, match=r"batch_key='lanes' is not a column .*mean 'lane'"):
        screen_from_anndata(adata, batch_key="lanes")


def test_h5ad_round_trip_and_options(tmp_path):
    adata = small_adata()
    adata.uns["program_names"] = ["p", "q", "r", "s"]
    path = tmp_path / "s.h5ad"
    adata.write_h5ad(path)
    floor = Floor("fixed", eps=0.01)
    screen = read_h5ad(path, floor=floor, standardize=False)
    assert_same_screen(screen, screen_from_anndata(adata, floor=floor, standardize=False))
    assert screen.floor == 0.01
    assert screen.program_names == ["p", "q", "r", "s"]
    with pytest.raises(OptionError, match="no option 'usagekey'; did you mean 'usage_key'"):
        read_h5ad(path, usagekey="x")


def test_unreadable_files(tmp_path):
    whole = tmp_path / "s.h5ad"
    small_adata(n=400).write_h5ad(whole)
    data = whole.read_bytes()
    for k, cut in enumerate((0, 10, 1000, len(data) // 2, len(data) - 1)):
        part = tmp_path / f"{k}.h5ad"
        part.write_bytes(data[:cut])
        with pytest.raises(InputError, match=r"\.h5ad"):
            read_h5ad(part)
    with pytest.raises(InputError, match="no such file"):
        read_h5ad(tmp_path / "absent.h5ad")
    with pytest.raises(InputError, match="is a folder"):
        read_h5ad(tmp_path)
    import h5py

    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["x"] = [1]
    with pytest.raises(InputError, match="has no 'obs' table; at the top are: x"):
        read_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(InputError, match="a dict was given"):
        screen_from_anndata({})


def test_counts_and_stored_zeros_in_guides():
    adata = small_adata()
    plain = screen_from_anndata(adata)
    counts = adata.obsm["guide_assignment"].copy()
    counts.data = np.arange(1.0, counts.nnz + 1)
    dense = counts.toarray()
    stored = sparse.csr_matrix(np.ones_like(dense))
    stored.data[:] = dense.ravel()
    for G in (counts, dense, stored):
        adata.obsm["guide_assignment"] = G
        screen = screen_from_anndata(adata, guide_threshold=1)
        assert (screen.guides != plain.guides).nnz == 0
        assert screen.guides.nnz == plain.guides.nnz


def test_seed_helpers():
    adata = small_adata()
    assert get_from_adata_any(adata, "lane").tolist() == adata.obs["lane"].tolist()
    assert get_program_names(adata, 2) == ["program_0", "program_1"]
    adata.uns["program_names"] = np.array(["a", "b"], dtype=object)
    assert get_program_names(adata, 2) == ["a", "b"]
    with pytest.raises(InputError, match="2 'program_names' for 3"):
        get_program_names(adata, 3)
    C, names = get_covar_matrix(adata)
    assert C.shape == (60, len(names))


def test_burden_becomes_a_covariate():
    adata = small_adata()
    old = adata.obsm["covar"]
    table = add_burden_covariate(adata, ntc_labels=["NTC", "SAFE"])
    targeting = adata.obsm["guide_assignment"].toarray()[:, :4]
    np.testing.assert_allclose(
        table["log1p_non_ntc_guides_per_cell"], np.log1p(targeting.sum(axis=1))
    )
    pd.testing.assert_frame_equal(adata.obsm["covar"], table)
    assert "log1p_non_ntc_guides_per_cell" not in old
    adata.obsm["covar"] = old[["depth"]].to_numpy()
    with pytest.warns(ProgramDEWarning, match="were an array"):
        add_burden_covariate(adata, burden_key="n", include_ntc=True, use_log1p=False)
    assert list(adata.obsm["covar"]) == ["covar_0", "n"]
    with warnings.catch_warnings(), pytest.raises(InputError, match="control label 'NT'"):
        add_burden_covariate(adata, ntc_labels="NT")


def test_targets_as_a_list_parallel_to_the_guides(tmp_path):
    adata = small_adata()
    plain = screen_from_anndata(adata)
    adata.uns["guide_targets"] = np.array(list(adata.uns.pop("guide2gene").values()), dtype=object)
    adata.write_h5ad(tmp_path / "s.h5ad")
    assert_same_screen(screen_from_anndata(adata), plain)
    assert_same_screen(read_h5ad(tmp_path / "s.h5ad"), plain)
    adata.uns["guide_targets"] = ["T0"]
    with pytest.raises(InputError, match="1 guide targets for 6 guides"):
        screen_from_anndata(adata)


def test_covariates_from_obs_columns(tmp_path):
    adata = small_adata()
    table = adata.obsm["covar"]
    adata.obs["counts"] = np.expm1(table["depth"])
    adata.obs["batch"] = table["batch"]
    adata.obsm["covar"] = table[["batch"]].assign(log1p_counts=table["depth"])
    plain = screen_from_anndata(adata)
    keys = {"covar_columns": ["batch", "counts"], "log1p_columns": ["counts"]}
    assert_same_screen(screen_from_anndata(adata, **keys), plain, tol=1e-12)
    adata.write_h5ad(tmp_path / "s.h5ad")
    assert_same_screen(read_h5ad(tmp_path / "s.h5ad", **keys), plain, tol=1e-12)
    for wrong, message in (
        ({"covar_columns": ["count"]}, "obs has no column 'count'; did you mean 'counts'"),
        ({"covar_columns": []}, "no covariate columns"),
        ({"log1p_columns": ["batch"]}, "'batch': it does not hold numbers"),
    ):
        with pytest.raises(InputError, match=message):
            screen_from_anndata(adata, **wrong)
    with pytest.raises(OptionError, match="covar_columns='counts' must be a list"):
        screen_from_anndata(adata, covar_columns="counts")
    adata.obs["counts"] -= 1e9
    with pytest.raises(InputError, match="60 values are negative"):
        screen_from_anndata(adata, **keys)


def test_what_does_not_fit_into_memory_is_refused_with_the_figure(tmp_path, monkeypatch):
    adata = small_adata()
    adata.write_h5ad(tmp_path / "s.h5ad")
    monkeypatch.setattr("programde.memory.free_memory", lambda: 5000.0)
    assert is_stored(read_h5ad(tmp_path / "s.h5ad"))
    # by columns a matrix cannot be read row by row
    columns = adata.copy()
    columns.obsm["cnmf_usage"] = sparse.csc_matrix(columns.obsm["cnmf_usage"])
    columns.write_h5ad(tmp_path / "columns.h5ad")
    with pytest.raises(InputError, match="preparing 60 cells x 4 programs needs about"):
        read_h5ad(tmp_path / "columns.h5ad")
    with pytest.raises(InputError, match="preparing 60 cells x 4 programs needs about"):
        screen_from_anndata(adata)
    monkeypatch.setattr("programde.memory.free_memory", lambda: None)
    assert screen_from_anndata(adata).n_cells == 60
