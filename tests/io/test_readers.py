import contextlib
import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError, OptionError, ProgramDEError, ProgramDEWarning
from programde.io import READERS
from programde.io.anndata import screen_from_anndata
from programde.io.cnmf import cnmf_usage, find_usages, read_cnmf
from programde.io.guide_tables import (
    long_assignment,
    read_guide_tables,
    targets_from_metadata,
)
from programde.io.mudata import read_h5mu, screen_from_mudata
from programde.io.text_tables import read_numbers, read_table
from programde.io.write_back import write_back_file
from tests.io.conversions import guide_modality, one_modality, write_cnmf, write_tables
from tests.screen.compare import assert_same_screen
from tests.screen.small_screens import small_adata

ORDER = np.random.default_rng(8).permutation(60)
SAME = np.arange(60)


def mudata_of(modalities):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces its own changes of defaults
        import mudata

        return mudata.MuData(modalities)


def write_h5mu(modalities, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mudata_of(modalities).write(path)
    return path


def test_the_registry():
    assert list(READERS) == ["h5ad", "h5mu", "cnmf", "folder", "perturbnmf", "guide_tables"]
    assert READERS["cnmf"] is read_cnmf
    with pytest.raises(OptionError, match=r"data.kind='h5mv' is not known; did you mean 'h5mu'"):
        READERS["h5mv"]


TWO = {"guide_threshold": 2}
COLUMNS = {"covar_columns": ["depth", "batch", "mito"]}


def test_h5mu_with_everything_in_one_modality(tmp_path):
    adata = small_adata()
    plain = screen_from_anndata(adata)
    path = write_h5mu(one_modality(adata, SAME), tmp_path / "s.h5mu")
    screen = read_h5mu(path, **COLUMNS)
    assert_same_screen(screen, plain)
    assert any(n.startswith("60 cells matched by name in") for n in screen.notes)
    assert_same_screen(screen_from_mudata(mudata_of(one_modality(adata, SAME)), **COLUMNS), plain)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("name", ["crispr", "library of that day"])
def test_the_modality_of_guides_is_found(tmp_path, name):
    """By its name, or as the only one whose variables have targets."""
    adata = small_adata()
    parts = guide_modality(adata, ORDER)
    parts[name] = parts.pop("guide")
    path = write_h5mu(parts, tmp_path / "s.h5mu")
    k = adata.obsm["cnmf_usage"].shape[1]
    write_cnmf(adata, tmp_path / "cnmf", SAME, f"k_{k}.dt_0_5")
    rest = {"covar_modality": "gene", "guide_layer": "assigned", "type_column": "kind"}
    usages = {"usage_modality": "gene", "usage_key": "cnmf_usage"}
    alone = read_h5mu(path, **rest, **usages)
    beside = read_cnmf(tmp_path / "cnmf", k, 0.5, screen=path, **rest)
    assert set(alone.guide_names) == {str(guide) for guide in adata.uns["guide_names"]}
    assert beside.guide_to_target == alone.guide_to_target
    parts["other"] = parts[name].copy()
    twice = write_h5mu(parts, tmp_path / "twice.h5mu")
    if name == "crispr":
        assert read_h5mu(twice, **rest, **usages).guide_names == alone.guide_names
    else:
        with pytest.raises(InputError, match="set guide_modality"):
            read_h5mu(twice, **rest, **usages)


def test_an_h5ad_has_no_modalities(tmp_path):
    adata = small_adata()
    k = adata.obsm["cnmf_usage"].shape[1]
    write_cnmf(adata, tmp_path, SAME, f"k_{k}.dt_0_5")
    adata.write_h5ad(tmp_path / "s.h5ad")
    with pytest.raises(OptionError, match="guide_modality"):
        read_cnmf(tmp_path, k, 0.5, screen=tmp_path / "s.h5ad", guide_modality="a")


def test_h5mu_with_a_guide_modality_in_another_order(tmp_path):
    adata = small_adata()
    adata.uns["guide2gene"] = {
        g: "non-targeting" if t == "NTC" else t for g, t in adata.uns["guide2gene"].items()
    }
    path = write_h5mu(guide_modality(adata, ORDER), tmp_path / "s.h5mu")
    keys = {"usage_modality": "gene", "usage_key": "cnmf_usage", "guide_layer": "assigned"}
    screen = read_h5mu(path, **keys, type_column="kind")
    assert_same_screen(screen, screen_from_anndata(adata))
    assert any("another order" in note for note in screen.notes)


@pytest.mark.slow
@pytest.mark.brief
def test_h5mu_columns_from_several_places(tmp_path):
    adata = small_adata()
    parts = one_modality(adata, SAME)
    table = parts["cNMF"].obs
    parts["rna"].obs = table[["depth"]].iloc[::-1].rename(columns={"depth": "n"})
    parts["rna"].obs_names = adata.obs_names[::-1]
    parts["cNMF"].obs = table[["batch"]]
    path = write_h5mu(parts, tmp_path / "s.h5mu")
    adata.obsm["covar"] = adata.obsm["covar"][["batch", "depth"]].rename(columns={"depth": "n"})
    for name in ("n", "rna:n"):
        screen = read_h5mu(path, covar_columns=["batch", name])
        np.testing.assert_allclose(
            screen.covariates, screen_from_anndata(adata).covariates, atol=1e-12
        )
    with pytest.raises(InputError, match="no obs table has a column 'm'"):
        read_h5mu(path, covar_columns=["m"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"usage_modality": "cnmf"},
            "usage_modality='cnmf' is not a modality; did you mean 'cNMF'",
        ),
        ({"guide_modality": "grna"}, "guide_modality='grna' is not a modality"),
        ({"guide_assignment_key": "calls"}, "no guides found: modality 'cNMF' has no 'calls'"),
        ({"usage_key": "u"}, r"usage \(modality 'cNMF'\) key 'u' is not in"),
        ({}, "covariate key 'covar' is in no modality .* columns are cNMF:batch, cNMF:depth"),
        ({"covar_columns": "depth"}, "covar_columns='depth' must be a list"),
    ],
)
def test_h5mu_errors_say_what_is_there(keys, message, tmp_path):
    path = write_h5mu(one_modality(small_adata(), SAME), tmp_path / "s.h5mu")
    with pytest.raises(ProgramDEError, match=message) as caught:
        read_h5mu(path, **keys)
    assert "\n" not in str(caught.value)


def test_h5mu_that_is_none(tmp_path):
    small_adata().write_h5ad(tmp_path / "s.h5mu")
    with pytest.raises(InputError, match="has no modalities"):
        read_h5mu(tmp_path / "s.h5mu")
    with pytest.raises(InputError, match="a dict was given"):
        screen_from_mudata({})


@pytest.mark.slow
@pytest.mark.brief
def test_missing_cells_are_an_error_or_dropped_never_filled(tmp_path):
    adata = small_adata()
    parts = guide_modality(adata, ORDER)
    parts["guide"] = parts["guide"][:50].copy()
    path = write_h5mu(parts, tmp_path / "s.h5mu")
    keys = {"usage_modality": "gene", "usage_key": "cnmf_usage", "guide_layer": "assigned"}
    with pytest.raises(InputError, match=r"50 cells matched by name, not matched: 10 of 60 in usa"):
        read_h5mu(path, **keys)
    with pytest.warns(ProgramDEWarning, match="left out as not in every source: 10 of 60"):
        screen = read_h5mu(path, **keys, on_missing="drop")
    kept = np.sort(ORDER[:50])
    assert_same_screen(screen, screen_from_anndata(adata[kept]), tol=1e-12)
    with pytest.raises(OptionError, match="on_missing='fill' is not known"):
        read_h5mu(path, **keys, on_missing="fill")


def test_cnmf_folder(tmp_path):
    adata = small_adata()
    folder = tmp_path / "out" / "run"
    for k_dt in ("k_4.dt_0_5", "k_4.dt_2_0", "k_6.dt_0_5"):
        write_cnmf(adata, folder, SAME, k_dt)
    path = find_usages(tmp_path / "out", 4, 2)
    assert path.name == "run.usages.k_4.dt_2_0.consensus.txt"
    table = cnmf_usage(path)
    np.testing.assert_allclose(table, adata.obsm["cnmf_usage"], rtol=1e-14)
    with pytest.raises(InputError, match=r"k=9 dt=0\.5; there are run: k=4 dt=0\.5, run: k=4 dt=2"):
        find_usages(folder, 9, 0.5)
    with pytest.raises(InputError, match="no such folder"):
        find_usages(tmp_path / "none", 4, 0.5)
    with pytest.raises(InputError, match="k=6 holds 4 programs"):
        read_cnmf(folder, 6, 0.5, screen="s.h5ad")
    write_cnmf(adata, tmp_path / "out" / "two", SAME, "k_4.dt_0_5")
    with pytest.raises(InputError, match="has 2 usage files"):
        find_usages(tmp_path / "out", 4, 0.5)
    for wrong in ({"k": 1, "density_threshold": 1}, {"k": 4, "density_threshold": "x"}):
        with pytest.raises(OptionError):
            find_usages(folder, **wrong)


def test_numbered_programs_get_a_name(tmp_path):
    file = tmp_path / "n.usages.k_2.dt_0_1.consensus.txt"
    file.write_text("\t1\t2\n007\t3\t1\nNA\t0\t0\n")
    table = cnmf_usage(file)
    assert list(table) == ["program_1", "program_2"]
    assert list(table.index) == ["007", "NA"]
    assert table.to_numpy().tolist() == [[0.75, 0.25], [0, 0]]


@pytest.mark.slow
@pytest.mark.brief
def test_cnmf_with_h5ad_h5mu_and_tables_give_the_same_screen(tmp_path):
    adata = small_adata()
    adata.uns["guide2gene"] = {
        g: "non-targeting" if t == "NTC" else t for g, t in adata.uns["guide2gene"].items()
    }
    plain = screen_from_anndata(adata)
    write_cnmf(adata, tmp_path, SAME, "k_4.dt_0_5")
    adata.write_h5ad(tmp_path / "s.h5ad")
    h5mu = write_h5mu(one_modality(adata, ORDER), tmp_path / "s.h5mu")
    tables = write_tables(adata, tmp_path, ORDER)
    from_h5ad = read_cnmf(tmp_path, 4, 0.5, screen=tmp_path / "s.h5ad")
    from_h5mu = read_cnmf(tmp_path, 4, 0.5, screen=h5mu, **COLUMNS)
    from_tables = read_cnmf(tmp_path, 4, 0.5, **tables, guide_threshold=2)
    for screen in (from_h5ad, from_h5mu, from_tables):
        assert_same_screen(screen, plain, tol=1e-12)


def test_cnmf_options(tmp_path):
    write_cnmf(small_adata(), tmp_path, SAME, "k_4.dt_0_5")
    for keys in (
        {},
        {"screen": "a", "assignments": "b"},
        {"assignments": "b"},
        {"screen": "a.h5ad", "covariates": "c"},
        {"screen": "a.h5ad", "usage_key": "c"},
    ):
        with pytest.raises(OptionError):
            read_cnmf(tmp_path, 4, 0.5, **keys)


def test_guide_tables_with_lost_cells(tmp_path):
    adata = small_adata()
    tables = write_tables(adata, tmp_path, SAME)
    usage = pd.DataFrame(adata.obsm["cnmf_usage"], index=adata.obs_names)
    calls = pd.read_csv(tables["assignments"])
    calls = calls[calls["cell"] != "c7"]
    with pytest.raises(InputError, match=r"1 of 60 in usages, 1 of 60 in covariates \(.* c7\)"):
        read_guide_tables(usage, calls, tables["guide_metadata"], tables["covariates"], **TWO)
    with pytest.warns(ProgramDEWarning, match="59 cells matched by name; left out"):
        screen = read_guide_tables(
            usage,
            calls,
            tables["guide_metadata"],
            tables["covariates"],
            on_missing="drop",
            **TWO,
        )
    assert screen.n_cells == 59
    with pytest.raises(InputError, match="no cell name is in all of"):
        read_guide_tables(usage.add_prefix("x", axis=0), calls, tables["guide_metadata"], **TWO)
    alone = read_guide_tables(usage.drop("c7"), calls, tables["guide_metadata"], **TWO)
    assert alone.covariate_names == ["intercept"]


def test_guide_metadata():
    table = pd.DataFrame(
        {
            "guide_id": ["a", "b", "c", "d", "e"],
            "intended_target_name": ["STAT1", "", "AAVS1", "NA", np.nan],
            "type": ["targeting", "non-targeting", "safe-targeting", "positive control", ""],
        }
    )
    targets = targets_from_metadata(table)
    assert targets.to_dict() == {
        "a": "STAT1", "b": "non-targeting", "c": "safe-targeting", "d": "NA"
    }  # fmt: skip
    with pytest.raises(InputError, match="no column 'target'"):
        targets_from_metadata(table, target_column="target")
    with pytest.raises(InputError, match="no column 'kind'"):
        targets_from_metadata(table, type_column="kind")
    with pytest.raises(InputError, match=r"1 guide\(s\) occur twice: a"):
        targets_from_metadata(pd.concat([table, table[:1]]))


def test_long_assignment():
    table = pd.DataFrame(
        {"cell": ["x", "x", "y", "z"], "guide": ["g", "h", "g", "h"], "value": [3, 1, "2", 0]}
    )
    matrix, cells, guides = long_assignment(table)
    assert (cells, guides) == (["x", "y", "z"], ["g", "h"])
    assert matrix.toarray().tolist() == [[3, 1], [2, 0], [0, 0]]
    assert long_assignment(table, value_column=None)[0].nnz == 4
    for change, message in (
        ({"value": ["a", 1, 1, 1]}, "1 values of 'value' are not numbers"),
        ({"guide": "g"}, r"1 pairs of cell and guide occur more than once \(first: x, g\)"),
    ):
        with pytest.raises(InputError, match=message):
            long_assignment(table.assign(**change))
    with pytest.raises(InputError, match="has no column 'barcode'"):
        long_assignment(table, cell_column="barcode")
    with pytest.raises(InputError, match="no rows"):
        long_assignment(table[:0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("a\nb\n", "one column only"),
        ("\tp\tp\nc\t1\t2\n", "same name: p"),
        ("\tp\tq\nc\t1\n", "cannot be read"),
        ("p\tq\nc\t1\t2\t3\n", "cannot be read"),
        ("\tp\tq\nc\t1\tlow\n", "cannot be read"),
    ],
)
def test_bad_number_tables(text, message, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_numbers(path)
    assert "\n" not in str(caught.value)
    assert "t.txt" in str(caught.value)


def test_tables_of_any_suffix(tmp_path):
    table = pd.DataFrame({"x": [1.5, 2.0], "y": ["a", "b"]}, index=["01", "02"])
    table.to_csv(tmp_path / "t.csv")
    table.to_csv(tmp_path / "t.tsv", sep="\t")
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        table.to_csv(file)
    table.to_parquet(tmp_path / "t.parquet")
    table.reset_index().to_parquet(tmp_path / "u.parquet")
    for name in ("t.csv", "t.tsv", "t.csv.gz", "t.parquet", "u.parquet"):
        back = read_table(tmp_path / name)
        assert list(back.index) == ["01", "02"]
        assert back.to_numpy().tolist() == table.to_numpy().tolist()
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "v.csv")


@pytest.mark.parametrize(
    ("path", "cure"),
    [("//server/lab/x.h5ad", "mount point"), ("me@server:/x.h5ad", "copy it here first"),
     ("s3://bucket/x.h5ad", "copy it here first"), ("x:y.h5ad", "no such f")],
)  # fmt: skip
def test_what_names_another_machine_is_told_so(path, cure):
    tables = dict.fromkeys(("usage", "assignments", "guide_metadata"), path)
    reads = [
        lambda: READERS["h5ad"](path), lambda: read_h5mu(path), lambda: read_table(path),
        lambda: READERS["guide_tables"](**tables, covariates=path),
        lambda: find_usages(path, 4, 0.5), lambda: READERS["folder"](path, day="D1", k=4),
        lambda: write_back_file(path, "out.h5ad", pd.DataFrame()),
    ]  # fmt: skip
    for read in reads:
        with pytest.raises(InputError, match=f"^{path}: .*{cure}"):
            read()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("part", ["obsm/cnmf_usage/c/0/0", "obsm/guide_assignment/data/c/0"])
def test_pieces_that_are_not_in_a_zarr_store_are_told(tmp_path, part):
    """zarr reads them as zeros: cells without programs or without guides."""
    adata = small_adata()
    adata.obsm["guide_assignment"] = sparse.csr_matrix(adata.obsm["guide_assignment"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata announces a change of zarr's format
        adata.write_zarr(tmp_path / "s.zarr")
    old = part.replace("/c/0/0", "/0.0").replace("/c/", "/")  # zarr's second format
    (piece,) = [p for p in (tmp_path / "s.zarr" / part, tmp_path / "s.zarr" / old) if p.is_file()]
    piece.unlink()
    told = pytest.warns(ProgramDEWarning, match="are not in the zarr store")
    with told, contextlib.suppress(InputError):  # cells without usages are refused besides
        READERS["h5ad"](tmp_path / "s.zarr")
