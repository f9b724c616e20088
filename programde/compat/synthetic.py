"""Made-up screens with the names and the contents of the original's.

`make_sceptre_style_synth` is the screen of `programde.screen.synthetic`, in other words: genes
GENE00000 ..., control guides of the gene ``NTC``, covariates as an array. `make_synthetic_adata`
makes a small one in a bare object, with its truth beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError, check_choice, nearest
from programde.screen import synthetic
from programde.screen.composition import clr

NTC = "NTC"
PROPENSITY_MODES = ("covariate", "constant")


@dataclass
class MockAdata:
    """A bare object with the containers of an AnnData.

    Parameters
    ----------
    obsm, layers, obsp, uns
        Name -> what is stored there.
    obs
        Table of the cells, or nothing.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.MockAdata(obsm={"usage": np.ones((5, 2))}).n_obs
    5
    """

    obsm: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, Any] = field(default_factory=dict)
    obsp: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)
    obs: Any = field(default_factory=dict)

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return next((value.shape[0] for value in self.obsm.values()), len(self.obs))


@dataclass
class SyntheticTruth:
    """What a made-up screen was made of.

    Attributes
    ----------
    C_numeric : (N, p) float64
        Numeric covariates, without intercept.
    Y_clr : (N, K) float64
        Centred log-ratio of `usage`.
    usage : (N, K) float64
        Usages; rows sum to 1.
    x_by_gene
        Gene -> (N,) indicator of treatment.
    gene_names
        Genes, without controls.
    effect_gene, effect_program, effect_size
        The gene with an effect (or None), the number of its program, and the effect on its log
        usage.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> rng = np.random.default_rng(0)
    >>> _, truth = pde.make_synthetic_adata(rng, effect_gene=0, effect_size=1, return_truth=True)
    >>> truth.effect_gene, truth.effect_size
    ('GENE00000', 1)
    """

    C_numeric: np.ndarray
    Y_clr: np.ndarray
    usage: np.ndarray
    x_by_gene: dict[str, np.ndarray]
    gene_names: list[str]
    effect_gene: str | None
    effect_program: int
    effect_size: float


def make_sceptre_style_synth(
    N: int = 50_000,
    K: int = 70,
    n_target_genes: int = 300,
    guides_per_gene: int = 6,
    ntc_frac_guides: float = 0.15,
    moi_mean: float = 5.5,
    frac_causal_genes: float = 0.10,
    n_effect_programs: int = 3,
    effect_size: float = 0.6,
    n_cov_extra: int = 6,
    confound_strength: float = 0.0,
    eps_near_zero: float = 1e-6,
    sprinkle_near_zero_frac: float = 0.15,
    seed: int = 0,
) -> Any:
    """A synthetic Perturb-seq screen with known effects.

    Parameters
    ----------
    N, K
        Numbers of cells and of programs.
    n_target_genes, guides_per_gene, ntc_frac_guides
        Genes, guides of each, and the share of all guides that are controls.
    moi_mean
        Mean number of guides per cell.
    frac_causal_genes, n_effect_programs, effect_size
        Share of genes with effects, on how many programs, and how large on the log usage.
    n_cov_extra, confound_strength
        Further covariates, and how much they say of both guides and usages.
    eps_near_zero, sprinkle_near_zero_frac
        That share of the usages is put near 0, at about so much.
    seed
        Seed; all numbers are those of `programde.screen.synthetic.make_sceptre_style_synth`.

    Returns
    -------
    AnnData
        ``obsm["covar"]`` array (N, 3 + n_cov_extra): ones, number of the batch, log depth, extras;
        ``obsm["usage"]``, sparse ``obsm["guide_assignment"]``; in uns ``guide2gene``,
        ``guide_names``, ``program_names``, ``gene2guides``, ``target_gene_names``,
        ``ntc_gene_name``, ``causal_genes``, ``gene_effects``, ``synth_params``.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> adata.obsm["usage"].shape, adata.obsm["guide_assignment"].shape
    ((400, 3), (400, 28))
    """
    params = dict(locals())
    adata = synthetic.make_sceptre_style_synth(**params)
    table = adata.obsm["covar"]
    batch = table["batch"].cat.codes.to_numpy(dtype=np.float64)
    numbers = table.drop(columns="batch").to_numpy(dtype=np.float64)
    adata.obsm["covar"] = np.column_stack([numbers[:, 0], batch, numbers[:, 1:]])
    old = list(dict.fromkeys(adata.uns["guide2gene"].values()))
    targets = [gene for gene in old if gene != synthetic.NTC_LABEL]
    new = {gene: f"GENE{g:05d}" for g, gene in enumerate(targets)}
    new[synthetic.NTC_LABEL] = NTC
    guides = {
        guide: f"{new[gene] if gene in targets else NTC}_{guide.rsplit('_', 1)[1]}"
        for guide, gene in adata.uns["guide2gene"].items()
    }
    guide2gene = {guides[guide]: new[gene] for guide, gene in adata.uns["guide2gene"].items()}
    effects = {new[gene]: effect for gene, effect in adata.uns["gene_effects"].items()}
    adata.uns |= {
        "guide_names": np.array(list(guide2gene), dtype=object),
        "guide2gene": guide2gene,
        "gene2guides": _guides_of(guide2gene),
        "target_gene_names": np.array([new[gene] for gene in targets], dtype=object),
        "ntc_gene_name": NTC,
        "causal_genes": np.array(list(effects), dtype=object),
        "gene_effects": effects,
        "synth_params": params,
    }
    return adata


def make_synthetic_adata(
    rng: np.random.Generator,
    n_cells: int = 120,
    n_programs: int = 5,
    n_genes: int = 3,
    guides_per_gene: int = 2,
    n_covariates: int = 3,
    *,
    effect_gene: str | int | None = None,
    effect_program: int = 0,
    effect_size: float = 0.0,
    include_categorical: bool = False,
    categorical_levels: int = 3,
    propensity_mode: str = "covariate",
    propensity_range: tuple[float, float] = (0.1, 0.3),
    ntc_genes: Sequence[str] = ("non-targeting", "safe-targeting"),
    ntc_frac_guides: float = 0.15,
    moi_mean: float = 5.5,
    frac_causal_genes: float = 0.0,
    n_effect_programs: int = 3,
    confound_strength: float | None = None,
    eps_near_zero: float = 1e-6,
    sprinkle_near_zero_frac: float = 0.15,
    return_truth: bool = False,
) -> Any:
    """A small screen in a bare object, with at most one known effect of one's choice.

    Parameters
    ----------
    rng
        Random numbers.
    n_cells, n_programs, n_genes, guides_per_gene, n_covariates
        Sizes.
    effect_gene, effect_program, effect_size
        Name or number of the gene that acts, the number of the program it acts on, and the shift
        of that program's log usage.
    include_categorical, categorical_levels
        Whether the covariates are a table with a column `batch` of so many levels.
    propensity_mode, propensity_range
        ``"covariate"``: the chance to be treated rises with the first covariate through the
        range; ``"constant"``: it is the middle of the range.
    ntc_genes, ntc_frac_guides
        Control labels, and the share of all guides that are controls (one per label at least).
    moi_mean
        Mean number of guides per cell; that of control guides is its share of controls.
    frac_causal_genes, n_effect_programs
        Share of the genes that shift so many programs at random by 0.6, beside `effect_gene`.
    confound_strength
        How strongly usages depend on the first covariate; None: 0.3.
    eps_near_zero, sprinkle_near_zero_frac
        So many of the usages are put near 0.
    return_truth
        Whether to return the truth too.

    Returns
    -------
    MockAdata, or (MockAdata, SyntheticTruth)
        ``obsm["cnmf_usage"]``, ``obsm["covar"]``, ``obsm["guide_assignment"]``; in uns
        ``guide_names``, ``guide2gene``, ``gene2guides``, ``program_names``, ``target_gene_names``,
        ``ntc_gene_name``.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> adata = pde.make_synthetic_adata(np.random.default_rng(0))
    >>> adata.obsm["cnmf_usage"].shape
    (120, 5)
    """
    check_choice("propensity_mode", propensity_mode, PROPENSITY_MODES)
    genes = [f"GENE{g:05d}" for g in range(n_genes)]
    acting = genes[effect_gene] if isinstance(effect_gene, int | np.integer) else effect_gene
    if acting is not None and acting not in genes:
        raise InputError(f"effect_gene={acting!r} is no gene{nearest(acting, genes)}")
    C = rng.normal(size=(n_cells, n_covariates))
    first = C[:, 0] if n_covariates else np.zeros(n_cells)
    low, high = propensity_range
    p = np.full(n_cells, (low + high) / 2)
    if propensity_mode == "covariate":
        p = low + (high - low) / (1 + np.exp(-first))
    x = {gene: rng.random(n_cells) < p for gene in genes}
    guides, columns = _guides(rng, x, guides_per_gene, ntc_genes, ntc_frac_guides, moi_mean)

    logits = rng.normal(0, 0.5, (n_cells, n_programs)) + rng.normal(0, 0.5, n_programs)
    strength = 0.3 if confound_strength is None else confound_strength
    logits += strength * first[:, None] * rng.normal(size=n_programs)
    for gene in rng.permutation(n_genes)[: round(frac_causal_genes * n_genes)].tolist():
        moved = rng.permutation(n_programs)[:n_effect_programs]
        logits[np.ix_(x[genes[gene]], moved)] += 0.6 * rng.choice([-1.0, 1.0], moved.size)
    usage = _closed(np.exp(logits))
    near = rng.random(usage.shape) < sprinkle_near_zero_frac
    near[near.all(axis=1), 0] = False
    usage = _closed(np.where(near, eps_near_zero * rng.uniform(0.1, 1.0, usage.shape), usage))
    if acting is not None:
        usage[x[acting], effect_program] *= np.exp(effect_size)
        usage = _closed(usage)

    covariates: Any = C
    if include_categorical:
        covariates = pd.DataFrame(C, columns=[f"cov_{j}" for j in range(n_covariates)])
        covariates["batch"] = [f"B{b}" for b in rng.integers(categorical_levels, size=n_cells)]
    adata = MockAdata(
        obsm={
            "cnmf_usage": usage,
            "covar": covariates,
            "guide_assignment": sparse.csr_matrix(columns),
        },
        uns={
            "guide_names": list(guides),
            "guide2gene": guides,
            "gene2guides": _guides_of(guides),
            "program_names": [f"program_{k}" for k in range(n_programs)],
            "target_gene_names": genes,
            "ntc_gene_name": list(ntc_genes),
        },
    )
    if not return_truth:
        return adata
    by_gene = {gene: held.astype(np.int8) for gene, held in x.items()}
    truth = SyntheticTruth(
        C, clr(usage), usage, by_gene, genes, acting, effect_program, effect_size
    )
    return adata, truth


def _guides(
    rng: np.random.Generator,
    x: dict[str, np.ndarray],
    per_gene: int,
    ntc_genes: Sequence[str],
    ntc_share: float,
    moi: float,
) -> tuple[dict[str, str], np.ndarray]:
    """Guide -> gene, and presence (N, n_guides): a treated cell holds one of the gene's guides."""
    n_cells = len(next(iter(x.values())))
    guide2gene: dict[str, str] = {}
    columns: list[np.ndarray] = []
    for gene, treated in x.items():
        which = rng.integers(per_gene, size=n_cells)
        for j in range(per_gene):
            guide2gene[f"{gene}_g{j + 1}"] = gene
            columns.append(treated & (which == j))
    n_ntc = max(len(ntc_genes), round(len(columns) * ntc_share / (1 - ntc_share)))
    rate = min(0.5, moi * ntc_share / max(n_ntc, 1))
    for j in range(n_ntc if ntc_genes else 0):
        guide2gene[f"NTC_g{j + 1}"] = ntc_genes[j % len(ntc_genes)]
        columns.append(rng.random(n_cells) < rate)
    return guide2gene, np.column_stack(columns).astype(np.int8)


def _guides_of(guide2gene: dict[str, str]) -> dict[str, list[str]]:
    genes: dict[str, list[str]] = {}
    for guide, gene in guide2gene.items():
        genes.setdefault(gene, []).append(guide)
    return genes


def _closed(parts: np.ndarray) -> np.ndarray:
    closed: np.ndarray = parts / parts.sum(axis=1, keepdims=True)
    return closed
