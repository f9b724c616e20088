"""One AnnData screen behind every door: name of the reader -> a function of further keywords."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from programde.compat.inputs import prepare_crt_inputs
from programde.io.anndata import read_h5ad, screen_from_anndata
from programde.io.cnmf import read_cnmf
from programde.io.guide_tables import read_guide_tables
from programde.io.mudata import read_h5mu, screen_from_mudata
from programde.screen.screen import Screen
from tests.io.conversions import one_modality, program_names, write_cnmf

Door = Callable[..., Screen]

DOORS = (
    "AnnData", "h5ad", "zarr", "h5mu", "h5mu, guides apart", "MuData of guides", "cnmf, h5ad",
    "cnmf, h5mu", "guide tables", "text tables", "original",
)  # fmt: skip


def doors(adata: AnnData, folder: Path, only: str) -> Door:
    """The door `only` to a screen; what it reads is written into `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of mudata and zarr, about themselves
        return _doors(adata, folder, only)


def _doors(adata: AnnData, folder: Path, only: str) -> Door:
    columns = {"covar_columns": list(adata.obsm["covar"].columns)}
    same = np.arange(adata.n_obs)
    if only == "AnnData":
        return lambda **keys: screen_from_anndata(adata, **keys)
    if only == "original":
        return lambda **keys: prepare_crt_inputs(adata, clamp_threads=False, **keys).screen
    if only == "h5ad":
        adata.write_h5ad(folder / "s.h5ad")
        return lambda **keys: read_h5ad(folder / "s.h5ad", **keys)
    if only == "zarr":
        adata.write_zarr(folder / "s.zarr")
        return lambda **keys: read_h5ad(folder / "s.zarr", **keys)
    if only == "h5mu":
        _mudata(one_modality(adata, same)).write(folder / "s.h5mu")
        return lambda **keys: read_h5mu(folder / "s.h5mu", **columns, **keys)
    if only == "h5mu, guides apart":
        parts = one_modality(adata, same)
        del parts["cNMF"].obsm["guide_assignment"]
        _mudata(parts).write(folder / "s.h5mu")
        guides_alone(adata).write_h5ad(folder / "g.h5ad")
        apart = {"guides_path": folder / "g.h5ad", "target_column": "target"}
        return lambda **keys: read_h5mu(folder / "s.h5mu", **columns, **apart, **keys)
    if only == "MuData of guides":
        parts = one_modality(adata, same)
        del parts["cNMF"].obsm["guide_assignment"]
        whole = _mudata({**parts, "guide": guides_alone(adata)})
        return lambda **keys: screen_from_mudata(whole, **columns, target_column="target", **keys)
    if only.startswith("cnmf"):
        write_cnmf(adata, folder, same, f"k_{adata.obsm['cnmf_usage'].shape[1]}.dt_0_5")
        kind = only.removeprefix("cnmf, ")
        more = columns if kind == "h5mu" else {}
        if kind == "h5mu":
            _mudata(one_modality(adata, same)).write(folder / "s.h5mu")
        else:
            adata.write_h5ad(folder / "s.h5ad")
        k = adata.obsm["cnmf_usage"].shape[1]
        return lambda **keys: read_cnmf(folder, k, 0.5, screen=folder / f"s.{kind}", **more, **keys)
    usage = pd.DataFrame(
        np.asarray(adata.obsm["cnmf_usage"]), adata.obs_names, program_names(adata)
    )
    calls, library = long_tables(adata)
    covariates = adata.obsm["covar"]
    if only == "guide tables":
        return lambda **keys: read_guide_tables(usage, calls, library, covariates, **keys)
    usage.to_csv(folder / "usage.tsv", sep="\t")
    calls.to_csv(folder / "calls.csv", index=False)
    library.to_csv(folder / "guides.csv", index=False)
    covariates.to_csv(folder / "covariates.csv")
    files = [folder / n for n in ("usage.tsv", "calls.csv", "guides.csv", "covariates.csv")]
    return lambda **keys: read_guide_tables(*files, **keys)


def guides_alone(adata: AnnData) -> AnnData:
    """Guides as variables, their targets beside them."""
    guides = [str(g) for g in adata.uns["guide_names"]]
    targets = [adata.uns["guide2gene"][g] for g in guides]
    return AnnData(
        sparse.csr_matrix(adata.obsm["guide_assignment"]),
        obs=pd.DataFrame(index=adata.obs_names),
        var=pd.DataFrame({"target": targets}, index=guides),
    )


def long_tables(adata: AnnData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(cell, guide, value) with a row of value 0 for each cell, and (guide_id, target)."""
    guides = [str(g) for g in adata.uns["guide_names"]]
    held = sparse.coo_matrix(adata.obsm["guide_assignment"])
    cells = np.asarray(adata.obs_names)
    long = pd.DataFrame(
        {"cell": cells[held.row], "guide": np.array(guides)[held.col], "value": held.data}
    )
    none = np.setdiff1d(np.arange(len(cells)), held.row)
    empty = pd.DataFrame({"cell": cells[none], "guide": guides[0], "value": 0.0})
    library = pd.DataFrame(
        {"guide_id": guides, "intended_target_name": [adata.uns["guide2gene"][g] for g in guides]}
    )
    return pd.concat([long, empty]), library


def _mudata(parts: dict[str, AnnData]):
    import mudata

    return mudata.MuData(parts)
