"""One small screen in every form, with a second version of each of its parts under another name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

N, K = 80, 4
GUIDES = ["T0g0", "T0g1", "T1g0", "T1g1", "C0", "C1"]
TARGETS = ["T0", "T0", "T1", "T1", "non-targeting", "non-targeting"]
#: Under the second keys: the targets change places.
OTHER_TARGETS = ["T1", "T1", "T0", "T0", "non-targeting", "non-targeting"]
#: The first guide is of both.
SEVERAL = ["T0|T1", *TARGETS[1:]]
#: What people call the programs.
LABELS = ["cycle", "stress", "heat", "none"]
GENES = ["G0", "G1", "G2"]
CELLS = [f"c{i}" for i in range(N)]
#: Not in the sources that lack some; without usages in those that have such cells.
LOST = 5


class Parts:
    """What stands in every source, plain."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        calls = rng.random((N, 6)) < 0.3
        calls[:24] |= np.resize(np.eye(6, dtype=bool), (24, 6))
        self.umi = np.where(calls, rng.integers(5, 30, calls.shape), 0).astype(np.float32)
        ambient = (rng.random(calls.shape) < 0.2) & ~calls
        self.umi[ambient] = rng.integers(1, 5, int(ambient.sum()))
        self.other_umi = self.umi[:, ::-1].copy()
        self.usage = rng.dirichlet(np.full(K, 2.0), N)
        self.other_usage = self.usage[:, ::-1].copy()
        self.empty_usage = self.usage.copy()
        self.empty_usage[:LOST] = 0.0
        self.table = pd.DataFrame(
            {
                "depth": rng.normal(8, 2, N),
                "counts": rng.integers(1, 900, N).astype(float),
                "batch": rng.permutation(np.resize(["a", "b"], N)),
                "lane": rng.permutation(np.resize(["x", "y", "z"], N)),
                "day": rng.permutation(np.resize(["one", "two"], N)),
            },
            CELLS,
        )
        self.covariates = self.table[["depth", "batch"]]
        self.other_covariates = self.table[["counts", "batch"]]
        self.table["level"] = rng.integers(0, 6, N)
        self.spectra = rng.gamma(2.0, 1.0, (K, 3))


PARTS = Parts()
PROGRAMS = [f"program_{k}" for k in range(K)]


def mapping(targets: list[str]) -> dict[str, str]:
    """Guide -> target, of the guides under both their names."""
    names = [*GUIDES, *(f"{g}_new" for g in GUIDES)]
    return dict(zip(names, [*targets, *targets], strict=True))


def in_uns() -> dict[str, object]:
    """Names and targets of guides, under first and second keys."""
    return {
        "guide_names": np.array(GUIDES, dtype=object),
        "new_names": np.array([f"{g}_new" for g in GUIDES], dtype=object),
        "guide2gene": mapping(TARGETS),
        "other_map": mapping(OTHER_TARGETS),
        "several": mapping(SEVERAL),
        "guide_targets": np.array(TARGETS, dtype=object),
        "other_targets": np.array(OTHER_TARGETS, dtype=object),
        "program_names": np.array(PROGRAMS, dtype=object),
        "new_programs": np.array([f"P{k}" for k in range(K)], dtype=object),
    }


def in_obsm() -> dict[str, object]:
    """Usages, covariates and calls, under first and second keys."""
    return {
        "cnmf_usage": PARTS.usage,
        "other_usage": PARTS.other_usage,
        "empty_usage": PARTS.empty_usage,
        "covar": PARTS.covariates,
        "other_covar": PARTS.other_covariates,
        "guide_assignment": sparse.csr_matrix(PARTS.umi),
        "other_calls": sparse.csr_matrix(PARTS.other_umi),
    }


def screen_h5ad() -> AnnData:
    return AnnData(
        np.zeros((N, 3), dtype=np.float32),
        obs=PARTS.table,
        var=pd.DataFrame(index=GENES),
        obsm=in_obsm(),
        uns=in_uns(),
        varm={"cnmf_spectra": PARTS.spectra.T, "other_spectra": PARTS.spectra.T * 2},
    )


def guides_alone() -> AnnData:
    """Guides as variables; their targets and kinds in several columns."""
    library = pd.DataFrame(
        {
            "intended_target_name": TARGETS,
            "other_target": OTHER_TARGETS,
            "type": ["targeting"] * 4 + ["non-targeting"] * 2,
            "other_type": ["targeting"] * 3 + ["non-targeting"] * 3,
            "targeting": [True] * 4 + [False] * 2,
            "other_targeting": [True] * 2 + [False] * 4,
        },
        index=GUIDES,
    )
    return AnnData(
        sparse.csr_matrix(PARTS.umi),
        obs=pd.DataFrame(index=CELLS),
        var=library,
        layers={"other": sparse.csr_matrix(PARTS.other_umi)},
    )


def write_h5mu(path: Path, usage: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces its own changes of defaults
        import mudata

        home = AnnData(
            usage,
            obs=PARTS.table,
            var=pd.DataFrame(index=PROGRAMS[: usage.shape[1]]),
            obsm=in_obsm(),
            uns=in_uns(),
            varm={
                "loadings": PARTS.spectra[: usage.shape[1]],
                "other_loadings": PARTS.spectra[: usage.shape[1]] * 2,
            },
        )
        second = AnnData(
            PARTS.other_usage, obs=pd.DataFrame(index=CELLS), var=pd.DataFrame(index=PROGRAMS)
        )
        genes = AnnData(
            sparse.csr_matrix((N, 3), dtype=np.float32),
            obs=PARTS.table[["lane"]].rename(columns={"lane": "rna_lane"}),
            var=pd.DataFrame(index=GENES),
            obsm={"covar": PARTS.other_covariates},
        )
        few = AnnData(
            np.zeros((N - LOST, 1), dtype=np.float32),
            obs=pd.DataFrame(index=CELLS[LOST:]),
            obsm={"covar": PARTS.covariates.iloc[LOST:]},
        )
        guides, library = guides_alone(), guides_alone()
        library.var["intended_target_name"] = OTHER_TARGETS
        modalities = {"cNMF": home, "second": second, "rna": genes, "few": few, "crispr": guides}
        modalities["library"] = library
        mudata.MuData(modalities).write(path)


def write_cnmf(folder: Path, name: str, k_dt: str, values: np.ndarray, cells: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    table = pd.DataFrame(values * 37.0, cells, [str(j + 1) for j in range(values.shape[1])])
    table.to_csv(folder / f"{name}.usages.{k_dt}.consensus.txt", sep="\t")


def write_tables(folder: Path) -> None:
    pd.DataFrame(PARTS.usage, CELLS, PROGRAMS).to_csv(folder / "usage.tsv", sep="\t")
    pd.DataFrame(PARTS.other_usage, CELLS, PROGRAMS).to_csv(folder / "other.tsv", sep="\t")
    pd.DataFrame(PARTS.empty_usage, CELLS, PROGRAMS).to_csv(folder / "empty.tsv", sep="\t")
    pd.DataFrame(PARTS.usage[LOST:], CELLS[LOST:], PROGRAMS).to_csv(folder / "few.tsv", sep="\t")
    cell, guide = np.indices(PARTS.umi.shape).reshape(2, -1)
    names = np.array(GUIDES)
    long = pd.DataFrame(
        {
            "cell": np.array(CELLS)[cell],
            "barcode": np.array(CELLS[::-1])[cell],
            "guide": names[guide],
            "sgrna": names[::-1][guide],
            "value": PARTS.umi.ravel(),
            "umi": PARTS.other_umi.ravel(),
        }
    )
    long.to_csv(folder / "calls.csv", index=False)
    long.assign(value=long["umi"]).to_csv(folder / "other_calls.csv", index=False)
    library = guides_alone().var.rename_axis("guide_id").reset_index()
    library = library.assign(number=GUIDES[::-1], several=SEVERAL)
    library.to_csv(folder / "guides.csv", index=False)
    library.assign(intended_target_name=OTHER_TARGETS).to_csv(
        folder / "other_guides.csv", index=False
    )
    PARTS.table[["depth", "counts", "batch", "lane", "day"]].to_csv(folder / "covariates.csv")
    PARTS.other_covariates.to_csv(folder / "other_covariates.csv")


def write_days(days: Path) -> None:
    """A folder of days: D2 has a table of guides, D3 other calls, D4 and D5 usages of their own."""
    days.mkdir()
    for day in range(1, 6):
        made = screen_h5ad()
        if day == 3:
            made.obsm["guide_assignment"] = sparse.csr_matrix(PARTS.other_umi)
        made.write_h5ad(days / f"cells_D{day}.h5ad")
    cell, guide = np.indices(PARTS.umi.shape).reshape(2, -1)
    names, targets = np.array(GUIDES), np.array(TARGETS)
    pd.DataFrame(
        {
            "cell": np.array(CELLS)[cell],
            "barcode": np.array(CELLS[::-1])[cell],
            "guide": names[guide],
            "sgrna": names[::-1][guide],
            "value": PARTS.umi.ravel(),
            "umi": PARTS.other_umi.ravel(),
            "target": targets[guide],
            "other_target": np.array(OTHER_TARGETS)[guide],
            "of_sgrna": targets[::-1][guide],
        }
    ).to_csv(days / "guides_D2.csv", index=False)
    write_cnmf(days, "run", "k_4.dt_0_5", PARTS.usage, CELLS)
    write_cnmf(days, "run", "k_4.dt_0_1", PARTS.other_usage, CELLS)
    write_cnmf(days, "run", "k_3.dt_0_5", PARTS.usage[:, :3], CELLS)
    write_cnmf(days, "few_D4", "k_4.dt_0_5", PARTS.usage[LOST:], CELLS[LOST:])
    write_cnmf(days, "empty_D5", "k_4.dt_0_5", PARTS.empty_usage, CELLS)
    elsewhere = days.with_name("other_days")
    elsewhere.mkdir()
    screen_h5ad().write_h5ad(elsewhere / "cells_D1.h5ad")
    write_cnmf(elsewhere, "run", "k_4.dt_0_5", PARTS.other_usage, CELLS)


def write_sources(folder: Path) -> dict[str, tuple[str, ...]]:
    """All forms in `folder`; for each the words that name it."""
    screen_h5ad().write_h5ad(folder / "screen.h5ad")
    other = screen_h5ad()
    other.obsm["guide_assignment"] = sparse.csr_matrix(PARTS.other_umi)
    other.write_h5ad(folder / "other.h5ad")
    guides = guides_alone()
    guides.X = sparse.csr_matrix(PARTS.other_umi)
    guides.write_h5ad(folder / "guides.h5ad")
    write_h5mu(folder / "screen.h5mu", PARTS.usage)
    for runs, name, file, usage in (
        ("results", "run1", "cNMF_4_0_5", PARTS.usage),
        ("results", "run1", "cNMF_4_0_1", PARTS.other_usage),
        ("results", "run1", "cNMF_3_0_5", PARTS.usage[:, :3]),
        ("results", "run2", "cNMF_4_0_5", PARTS.other_usage),
        ("elsewhere", "run1", "cNMF_4_0_5", PARTS.other_usage),
    ):
        place = folder / runs / name / "Inference" / "adata"
        place.mkdir(parents=True, exist_ok=True)
        write_h5mu(place / f"{file}.h5mu", usage)
    write_tables(folder)
    pd.DataFrame(PARTS.spectra * 3, PROGRAMS, GENES).to_csv(folder / "spectra.tsv", sep="\t")
    numbered = pd.DataFrame(PARTS.spectra * 3, [f"program_{k + 1}" for k in range(K)], GENES)
    numbered.to_csv(folder / "numbered.tsv", sep="\t")
    for name, programs in (("names", PROGRAMS), ("numbers", list(numbered.index))):
        labels = pd.DataFrame({"program": programs, "label": LABELS})
        labels.to_csv(folder / f"{name}.csv", index=False)
    for name, program in (("positive", "program_0"), ("positive_cnmf", "program_1"), ("lost", "x")):
        pair = pd.DataFrame({"target": ["T0"], "program": [program]})
        pair.to_csv(folder / f"{name}.csv", index=False)
    write_cnmf(folder / "cnmf", "run", "k_4.dt_0_5", PARTS.usage, CELLS)
    write_cnmf(folder / "cnmf", "run", "k_4.dt_0_1", PARTS.other_usage, CELLS)
    write_cnmf(folder / "cnmf", "run", "k_3.dt_0_5", PARTS.usage[:, :3], CELLS)
    write_cnmf(folder / "cnmf", "second", "k_4.dt_0_5", PARTS.other_usage, CELLS)
    write_cnmf(folder / "cnmf", "empty", "k_4.dt_0_5", PARTS.empty_usage, CELLS)
    write_cnmf(folder / "cnmf", "few", "k_4.dt_0_5", PARTS.usage[LOST:], CELLS[LOST:])
    write_cnmf(folder / "elsewhere", "run", "k_4.dt_0_5", PARTS.other_usage, CELLS)
    write_days(folder / "days")
    return {
        "h5ad": ("data=h5ad", f"data.path={folder}/screen.h5ad"),
        "h5mu": ("data=h5mu", f"data.path={folder}/screen.h5mu"),
        "perturbnmf": (
            "data=perturbnmf",
            f"data.out_dir={folder}/results",
            "data.run_name=run1",
            "data.k=4",
            "data.covar_columns=[depth,batch]",
        ),
        "folder": ("data=folder", f"data.folder={folder}/days", "data.day=D1", "data.k=4",
                   "data.covar_columns=[depth,batch]"),
        "cnmf": ("data=cnmf", f"data.folder={folder}/cnmf", "data.name=run",
                 f"data.screen={folder}/screen.h5ad", "data.k=4"),
        "guide_tables": ("data=guide_tables", f"data.usage={folder}/usage.tsv",
                         f"data.assignments={folder}/calls.csv",
                         f"data.guide_metadata={folder}/guides.csv",
                         f"data.covariates={folder}/covariates.csv",
                         "data.covar_columns=[depth,batch]"),
        "synthetic": ("data=synthetic", "data.N=300", "data.K=5", "data.n_target_genes=6",
                      "data.guides_per_gene=3", "data.n_effect_programs=2"),
    }  # fmt: skip
