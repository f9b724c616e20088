"""One AnnData screen written in the other forms that labs have."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse


def mudata_of(parts):
    """MuData of some modalities, without what the packages say of themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata and zarr announce their own changes
        import mudata

        return mudata.MuData(parts)


def program_names(adata: AnnData) -> list[str]:
    k = adata.obsm["cnmf_usage"].shape[1]
    return [str(n) for n in adata.uns.get("program_names", [f"program_{j}" for j in range(k)])]


def one_modality(adata: AnnData, order: np.ndarray) -> dict[str, AnnData]:
    """Usages as the matrix of modality cNMF, with guides and covariates beside it."""
    home = AnnData(
        np.asarray(adata.obsm["cnmf_usage"])[order],
        obs=adata.obsm["covar"].iloc[order],
        var=pd.DataFrame(index=program_names(adata)),
        obsm={"guide_assignment": sparse.csr_matrix(adata.obsm["guide_assignment"])[order]},
        uns={
            "guide_names": np.asarray(adata.uns["guide_names"], dtype=object),
            "guide_targets": np.array(
                [adata.uns["guide2gene"][g] for g in adata.uns["guide_names"]], dtype=object
            ),
        },
    )
    rna = AnnData(sparse.csr_matrix((adata.n_obs, 3), dtype=np.float32), obs=adata.obs[[]])
    return {"rna": rna, "cNMF": home}


def guide_modality(adata: AnnData, order: np.ndarray) -> dict[str, AnnData]:
    """Guides as a modality of its own, usages and covariates in the obsm of the genes'."""
    guides = [str(g) for g in adata.uns["guide_names"]]
    targets = [str(adata.uns["guide2gene"][g]) for g in guides]
    kinds = ["non-targeting" if t in ("non-targeting", "NTC") else "targeting" for t in targets]
    guide = AnnData(
        sparse.csr_matrix((adata.n_obs, len(guides)), dtype=np.float32),
        obs=pd.DataFrame(index=adata.obs_names[order]),
        var=pd.DataFrame({"intended_target_name": targets, "kind": kinds}, index=guides),
        layers={"assigned": sparse.csr_matrix(adata.obsm["guide_assignment"])[order]},
    )
    gene = AnnData(
        sparse.csr_matrix((adata.n_obs, 3), dtype=np.float32),
        obs=pd.DataFrame(index=adata.obs_names),
        obsm={"cnmf_usage": adata.obsm["cnmf_usage"], "covar": adata.obsm["covar"]},
        uns={"program_names": np.array(program_names(adata), dtype=object)},
    )
    return {"gene": gene, "guide": guide}


def write_cnmf(adata: AnnData, folder: Path, order: np.ndarray, k_dt: str, factor: float = 37.0):
    """Usages as cNMF writes them: text, cells x programs, rows not normalised."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = factor * (1 + np.arange(len(order)) % 7)
    values = np.asarray(adata.obsm["cnmf_usage"])[order] * scale[:, None]
    table = pd.DataFrame(values, index=adata.obs_names[order], columns=program_names(adata))
    table.to_csv(folder / f"run.usages.{k_dt}.consensus.txt", sep="\t")


def write_tables(adata: AnnData, folder: Path, order: np.ndarray) -> dict[str, Path]:
    """Guide metadata, long assignments (with values below 1) and covariates as text."""
    guides = [str(g) for g in adata.uns["guide_names"]]
    targets = [str(adata.uns["guide2gene"][g]) for g in guides]
    kinds = ["non-targeting" if t in ("non-targeting", "NTC") else "targeting" for t in targets]
    paths = {n: folder / f for n, f in
             {"guide_metadata": "guides.tsv", "assignments": "calls.csv",
              "covariates": "covariates.csv"}.items()}  # fmt: skip
    pd.DataFrame({"guide_id": guides, "type": kinds, "intended_target_name": targets}).to_csv(
        paths["guide_metadata"], sep="\t", index=False
    )
    matrix = sparse.csr_matrix(adata.obsm["guide_assignment"])[order].tocoo()
    cells = np.asarray(adata.obs_names)[order]
    long = pd.DataFrame(
        {"cell": cells[matrix.row], "guide": np.array(guides)[matrix.col], "value": 5}
    )
    empty = np.setdiff1d(np.arange(len(cells)), matrix.row)
    below = pd.DataFrame({"cell": cells[empty], "guide": guides[0], "value": 1})
    pd.concat([long, below]).to_csv(paths["assignments"], index=False)
    adata.obsm["covar"].iloc[order].to_csv(paths["covariates"])
    return paths
