"""MuData as labs have it: layers of calls, types of guides, prefixed columns, guides apart."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.io.anndata import read_h5ad, screen_from_anndata
from programde.io.cnmf import read_cnmf
from programde.io.guide_tables import read_guide_tables, targets_from_metadata
from programde.io.mudata import read_h5mu, screen_from_mudata
from tests.io.conversions import mudata_of, one_modality, program_names, write_cnmf
from tests.io.every_reader import guides_alone, long_tables
from tests.screen.compare import assert_same_screen
from tests.screen.small_screens import small_adata

SAME = np.arange(60)
COLUMNS = {"covar_columns": ["depth", "batch", "mito"]}


def with_guides(adata, X, layers=(), **columns):
    """MuData of usages and a modality of guides."""
    parts = one_modality(adata, SAME)
    del parts["cNMF"].obsm["guide_assignment"]
    guide = guides_alone(adata)
    guide.X = sparse.csr_matrix(X)
    for name, layer in layers:
        guide.layers[name] = sparse.csr_matrix(layer)
    guide.var = guide.var.assign(**columns).rename(columns={"target": "intended_target_name"})
    return mudata_of({**parts, "guide": guide})


def tables(adata):
    usage = pd.DataFrame(adata.obsm["cnmf_usage"], adata.obs_names, program_names(adata))
    return usage, *long_tables(adata)


@pytest.mark.slow
@pytest.mark.brief
def test_a_layer_of_calls_is_preferred_and_this_is_said(tmp_path):
    adata = small_adata()
    calls = adata.obsm["guide_assignment"].toarray()
    plain = screen_from_anndata(adata)
    umi = calls * 30 + (np.random.default_rng(1).random(calls.shape) < 0.2)
    whole = with_guides(adata, umi, [("guide_assignment", calls)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.write(tmp_path / "s.h5mu")
    for read in (
        lambda **keys: screen_from_mudata(whole, **keys),
        lambda **keys: read_h5mu(tmp_path / "s.h5mu", **keys),
    ):
        with pytest.warns(ProgramDEWarning, match="layer 'guide_assignment' is taken .* not the m"):
            assert_same_screen(read(**COLUMNS), plain)
        assert_same_screen(read(**COLUMNS, guide_layer="guide_assignment"), plain)  # in silence


def test_type_or_targeting_decides_who_is_a_control():
    adata = small_adata()
    calls = adata.obsm["guide_assignment"].toarray()
    adata.uns["guide2gene"] = dict.fromkeys(adata.uns["guide_names"], "X")
    for columns in (
        {"targeting": [True, True, True, False, False, True]},
        {"targeting": ["yes", "1", "TRUE", "no", "0", ""]},
        {"type": ["targeting", "", "targeting", "Non-targeting", "non-targeting", "targeting"]},
    ):
        screen = screen_from_mudata(with_guides(adata, calls, **columns), **COLUMNS)
        labels = [screen.guide_to_target[g].lower() for g in ("g3", "g4")]
        assert labels == ["non-targeting"] * 2
        assert [screen.guide_to_target[g] for g in ("g0", "g1", "g2", "g5")] == ["X"] * 4
    table = pd.DataFrame(
        {
            "guide_id": list("abcd"),
            "intended_target_name": ["A", "safe-targeting", "chr1:5", "neg ctrl 3"],
            "targeting": [True, False, False, False],
        }
    )
    targets = targets_from_metadata(table)
    assert targets.tolist() == ["A", "safe-targeting", "non-targeting", "non-targeting"]
    with pytest.raises(InputError, match="'targeting' must say yes or no, it holds STAT1"):
        targets_from_metadata(table.assign(targeting="STAT1"))
    with pytest.raises(InputError, match="no column 'is_target'"):
        targets_from_metadata(table, targeting_column="is_target")
    adata.uns["guide2gene"] = table.assign(guide_id=["g0", "g1", "g2", "g3"]).set_index("guide_id")
    with pytest.warns(ProgramDEWarning, match="2 of 6 guides have no target"):
        screen = screen_from_anndata(adata)
    assert list(screen.guide_to_target.values()) == targets.tolist()


def test_a_guide_in_two_rows_of_the_library():
    adata = small_adata()
    usage, calls, library = tables(adata)
    more = pd.DataFrame({"guide_id": ["g0"], "intended_target_name": ["T1"]})
    library = pd.concat([library, more])
    with pytest.raises(InputError, match=r"1 guide\(s\) have several targets: g0 \(T0, T1\)"):
        read_guide_tables(usage, calls, library)
    with pytest.warns(ProgramDEWarning, match="count for each of them"):
        screen = read_guide_tables(usage, calls, library, multi_target_guides="both")
    assert screen.target_columns()["T1"] == [0, 2, 3]


@pytest.mark.slow
@pytest.mark.brief
def test_the_batch_behind_the_name_of_its_modality(tmp_path):
    adata = small_adata()
    parts = one_modality(adata, SAME)
    parts["cNMF"].obs = parts["cNMF"].obs.rename(columns={"mito": "time"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mudata_of(parts).write(tmp_path / "s.h5mu")
    batch = adata.obsm["covar"]["batch"].tolist()
    named = {"covar_columns": ["cNMF:batch", "cNMF:depth"]}
    for keys in ({}, {"batch_key": "batch"}, {"batch_key": "cNMF:batch"}):
        screen = read_h5mu(tmp_path / "s.h5mu", **named, **keys)
        assert screen.batch.tolist() == batch
    assert read_h5mu(tmp_path / "s.h5mu", **named, batch_key=None).batch is None
    both = read_h5mu(tmp_path / "s.h5mu", **named, condition_key="cNMF:time")
    assert both.condition is not None
    flat = adata.copy()
    for name in ("batch", "depth"):
        flat.obs[f"cNMF:{name}"] = adata.obsm["covar"][name]
    flat.write_h5ad(tmp_path / "s.h5ad")
    assert read_h5ad(tmp_path / "s.h5ad", **named).batch.tolist() == batch
    assert screen_from_anndata(flat, **named, condition_key="batch").condition.tolist() == batch
    usage, calls, library = tables(adata)
    table = adata.obsm["covar"].add_prefix("rna:")
    assert read_guide_tables(usage, calls, library, table).batch.tolist() == batch
    table["cNMF:batch"] = table["rna:batch"]  # which of two is not for us to say
    with pytest.warns(ProgramDEWarning, match="linear combinations"):
        assert read_guide_tables(usage, calls, library, table).batch is None


def test_multiplicity_stated_in_a_modality():
    adata = small_adata()
    whole = with_guides(adata, adata.obsm["guide_assignment"])
    assert screen_from_mudata(whole, **COLUMNS).moi is None
    whole.uns["moi"] = "high"
    assert screen_from_mudata(whole, **COLUMNS).moi == "high"
    whole["guide"].uns["moi"] = np.array(["low"], dtype=object)  # nearer to the guides
    assert screen_from_mudata(whole, **COLUMNS).moi == "low"


@pytest.mark.slow
@pytest.mark.brief
def test_mudata_stored_as_zarr(tmp_path):
    adata = small_adata()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mudata_of(one_modality(adata, SAME)).write_zarr(tmp_path / "s.zarr")
    plain = screen_from_anndata(adata)
    assert_same_screen(read_h5mu(tmp_path / "s.zarr", **COLUMNS), plain)
    write_cnmf(adata, tmp_path, SAME, "k_4.dt_0_5")
    from_cnmf = read_cnmf(tmp_path, 4, 0.5, screen=tmp_path / "s.zarr", **COLUMNS)
    assert_same_screen(from_cnmf, plain, tol=1e-12)


def test_guides_apart_go_with_a_file(tmp_path):
    whole = mudata_of(one_modality(small_adata(), SAME))
    with pytest.raises(OptionError, match="guides_path goes with a MuData's path"):
        screen_from_mudata(whole, guides_path=tmp_path / "g.h5ad")


def test_guides_apart_in_obsm(tmp_path):
    adata = small_adata()
    parts = one_modality(adata, SAME)
    del parts["cNMF"].obsm["guide_assignment"], parts["cNMF"].uns["guide_names"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mudata_of(parts).write(tmp_path / "s.h5mu")
    adata[np.arange(60)[::-1]].copy().write_h5ad(tmp_path / "g.h5ad")
    screen = read_h5mu(tmp_path / "s.h5mu", guides_path=tmp_path / "g.h5ad", **COLUMNS)
    assert_same_screen(screen, screen_from_anndata(adata))
    with pytest.raises(InputError, match=r"absent\.h5ad: no such file"):
        read_h5mu(tmp_path / "s.h5mu", guides_path=tmp_path / "absent.h5ad", **COLUMNS)
