"""Small screens for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse


def small_adata(n: int = 60, k: int = 4, n_guides: int = 6, seed: int = 0) -> AnnData:
    """A screen of n cells with nothing wrong: numeric and label covariates, sparse guides."""
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(n)]
    guides = [f"g{j}" for j in range(n_guides)]
    presence = rng.random((n, n_guides)) < 0.3
    presence[:n_guides, :] |= np.eye(n_guides, dtype=bool)
    covar = pd.DataFrame(
        {
            "depth": rng.normal(8, 1, n),
            "batch": pd.Categorical(rng.permutation(np.resize(["A", "B", "C"], n))),
            "mito": rng.gamma(2, 1, n),
        },
        index=names,
    )
    targets = [f"T{j // 2}" if j < n_guides - 2 else "NTC" for j in range(n_guides)]
    return AnnData(
        obs=pd.DataFrame({"lane": rng.integers(2, size=n)}, index=names),
        obsm={
            "covar": covar,
            "cnmf_usage": rng.dirichlet(np.ones(k), n),
            "guide_assignment": sparse.csr_matrix(presence.astype(np.float32)),
        },
        uns={"guide2gene": dict(zip(guides, targets, strict=True)), "guide_names": guides},
    )
