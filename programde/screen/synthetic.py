"""Synthetic screens with known truth.

Per cell i, with batch b_i, log depth z_i (standardised) and other covariates e_i:

* guides: the number of copies of guide j is Poisson with mean
  moi_i w_jb exp(s a_j z_i), presence is one or more; w_jb is the guide's abundance (in a confounded
  screen, in the cell's batch), a_j the slope of its target, s the strength of confounding;
* usages: softmax over programs of
  base_k + covariate effects + shared factors + noise + sum over targets of x_ig delta_gk, so that
  the centred log-ratio holds delta_g as it is: each delta_g sums to 0 over programs, and programs
  not meant to move do not move;
* a fraction of the entries, independent of everything else, is then put near 0 (or at 0), and
  rows are renormalised. These entries carry no effect: expected effects shrink by that fraction,
  and null programs stay null.

Guide uptake and usages depend on the same covariates where s > 0: ignoring them gives false
discoveries, given them the null holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import OptionError
from programde.streams import generator

if TYPE_CHECKING:
    from anndata import AnnData

NTC_LABEL = "non-targeting"
SLOPES = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # of targets on depth, in units of the confounding


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
    *,
    n_batches: int = 2,
    exact_zero_frac: float = 0.0,
) -> AnnData:
    """A synthetic Perturb-seq screen with known effects.

    Parameters
    ----------
    N, K, n_target_genes, guides_per_gene
        Cells, programs, targets, and guides of each target.
    ntc_frac_guides
        Fraction of all guides that are non-targeting controls, in [0, 1).
    moi_mean
        Mean number of guide copies per cell.
    frac_causal_genes
        Fraction of targets with an effect.
    n_effect_programs
        Programs that a causal target moves. From 2 on the effects sum to 0 over them; a single
        program's shift d moves all other programs by -d/K on the centred log-ratio scale.
    effect_size
        Root mean square of a causal target's effects on its programs (natural log scale).
    n_cov_extra
        Standard normal covariates beside batch and depth.
    confound_strength
        0: guides are independent of covariates; 1: strongly confounded.
    eps_near_zero
        Upper end of the sprinkled near zeros; 0: exact zeros.
    sprinkle_near_zero_frac
        Fraction of the entries that are sprinkled.
    seed
        Any integer; the same seed gives the same screen.
    n_batches
        Batches of about equal size.
    exact_zero_frac
        Fraction of the sprinkled entries that are exact zeros.

    Returns
    -------
    AnnData
        ``obsm["covar"]`` DataFrame (intercept, batch, log_depth, extra_0 ...), ``obsm["usage"]``
        (N, K) float64, ``obsm["guide_assignment"]`` (N, n_guides) csc int8, ``uns["guide2gene"]``,
        ``guide_names``, ``program_names``, ``causal_genes``, and ``gene_effects``: causal target
        -> (K,) effects on the centred log-ratio scale; other targets have none.

    Raises
    ------
    OptionError
        A number outside its range.
    """
    _check_sizes(N, K, n_target_genes, guides_per_gene, n_batches, n_effect_programs, n_cov_extra)
    for name, value, upper in (
        ("ntc_frac_guides", ntc_frac_guides, 1.0),
        ("frac_causal_genes", frac_causal_genes, 1.0 + 1e-12),
        ("sprinkle_near_zero_frac", sprinkle_near_zero_frac, 1.0),
        ("exact_zero_frac", exact_zero_frac, 1.0 + 1e-12),
        ("eps_near_zero", eps_near_zero, 1.0 / K),
        ("moi_mean", moi_mean, np.inf),
        ("confound_strength", confound_strength, np.inf),
    ):
        if not 0 <= value < upper:
            raise OptionError(f"{name}={value!r} must be at least 0 and below {upper:g}")
    from anndata import AnnData

    names = [f"cell_{i}" for i in range(N)]
    covariates = _covariates(N, n_cov_extra, n_batches, seed)
    targets = [f"GENE{g:0{len(str(n_target_genes))}d}" for g in range(n_target_genes)]
    guide_names, guide_targets, target_of = _library(targets, guides_per_gene, ntc_frac_guides)
    guides = _guides(covariates, target_of, moi_mean, confound_strength, seed)
    effects = _effects(n_target_genes, K, frac_causal_genes, n_effect_programs, effect_size, seed)
    usage = _usage(covariates, guides, target_of, effects, confound_strength, seed)
    _sprinkle(usage, sprinkle_near_zero_frac, eps_near_zero, exact_zero_frac, seed)

    causal = [targets[g] for g in np.flatnonzero(np.abs(effects).max(axis=1) > 0)]
    table = pd.DataFrame(
        {
            "intercept": np.ones(N),
            "batch": pd.Categorical(
                [f"B{b + 1}" for b in covariates["batch"]],
                categories=[f"B{b + 1}" for b in range(n_batches)],
            ),
            "log_depth": covariates["log_depth"],
            **{f"extra_{j}": covariates["extra"][:, j] for j in range(n_cov_extra)},
        },
        index=names,
    )
    return AnnData(
        obs=pd.DataFrame(index=names),
        obsm={"covar": table, "usage": usage, "guide_assignment": guides},
        uns={
            "guide2gene": dict(zip(guide_names, guide_targets, strict=True)),
            "guide_names": np.array(guide_names, dtype=object),
            "program_names": np.array([f"program_{k}" for k in range(K)], dtype=object),
            "causal_genes": np.array(causal, dtype=object),
            "gene_effects": {g: effects[targets.index(g)] for g in causal},
        },
    )


def builtin_screen(
    n_cells: int = 5000, n_programs: int = 20, n_targets: int = 60, seed: int = 0
) -> AnnData:
    """The screen the pipeline runs on by default: confounded, sparse, with true effects.

    Four batches, guide uptake and usages that depend on batch and depth, a fifth of the targets
    causal, one usage in five exactly 0, and (by default) about 400 treated cells per target.

    Returns
    -------
    AnnData
        As `make_sceptre_style_synth`, and ``obsm["cnmf_usage"]``, the default key of usages.
    """
    adata = make_sceptre_style_synth(
        N=n_cells,
        K=n_programs,
        n_target_genes=n_targets,
        guides_per_gene=4,
        ntc_frac_guides=0.2,
        frac_causal_genes=0.2,
        n_cov_extra=2,
        confound_strength=0.6,
        effect_size=0.8,
        sprinkle_near_zero_frac=0.2,
        exact_zero_frac=1.0,
        n_batches=4,
        seed=seed,
    )
    adata.obsm["cnmf_usage"] = adata.obsm.pop("usage")
    return adata


def true_effects(adata: Any) -> pd.DataFrame:
    """True effects of all targets, also those without, on the centred log-ratio scale.

    Parameters
    ----------
    adata
        AnnData with ``uns["gene_effects"]``, ``uns["guide2gene"]`` and ``uns["program_names"]``,
        as `make_sceptre_style_synth` makes it; may have been written and read.

    Returns
    -------
    DataFrame, targets x programs
        0 where a target has no effect; control labels are left out.
    """
    targets = list(dict.fromkeys(str(t) for t in adata.uns["guide2gene"].values()))
    programs = [str(name) for name in adata.uns["program_names"]]
    table = pd.DataFrame(0.0, index=[t for t in targets if t != NTC_LABEL], columns=programs)
    for target, effect in adata.uns["gene_effects"].items():
        table.loc[str(target)] = np.asarray(effect, dtype=np.float64)
    return table


def _check_sizes(
    N: int, K: int, n_targets: int, per_gene: int, n_batches: int, n_effect: int, n_extra: int
) -> None:
    for name, value, least in (
        ("N", N, 4),
        ("K", K, 2),
        ("n_target_genes", n_targets, 1),
        ("guides_per_gene", per_gene, 1),
        ("n_batches", n_batches, 1),
        ("n_effect_programs", n_effect, 1),
        ("n_cov_extra", n_extra, 0),
    ):
        if int(value) != value or value < least:
            raise OptionError(f"{name}={value!r} must be an integer of at least {least}")
    if n_effect > K:
        raise OptionError(f"n_effect_programs={n_effect} exceeds the number of programs, {K}")


def _covariates(N: int, n_extra: int, n_batches: int, seed: int) -> dict[str, np.ndarray]:
    rng = generator(seed, "synthetic", "covariates")
    batch: np.ndarray = rng.integers(n_batches, size=N)
    depth = rng.normal(size=N)
    return {
        "batch": batch,
        "depth": depth,
        "log_depth": 8.5 + 0.5 * depth,
        "extra": rng.normal(size=(N, n_extra)),
        "batch_effect": rng.normal(size=n_batches),
    }


def _library(
    targets: list[str], per_gene: int, ntc_fraction: float
) -> tuple[list[str], list[str], np.ndarray]:
    """Guide names, their targets, and the target's number (-1 for controls)."""
    n_targeting = len(targets) * per_gene
    n_ntc = round(n_targeting * ntc_fraction / (1 - ntc_fraction))
    names = [f"{target}_g{j + 1}" for target in targets for j in range(per_gene)]
    names += [f"NTC_g{j + 1}" for j in range(n_ntc)]
    labels = [target for target in targets for _ in range(per_gene)] + [NTC_LABEL] * n_ntc
    numbers = np.concatenate([np.repeat(np.arange(len(targets)), per_gene), np.full(n_ntc, -1)])
    return names, labels, numbers


def _guides(
    covariates: dict[str, np.ndarray],
    target_of: np.ndarray,
    moi: float,
    strength: float,
    seed: int,
) -> sparse.csc_matrix:
    """Presence of each guide, (N, n_guides) csc int8.

    The slope on depth takes few values, so a cell's copies are drawn per slope (Poisson), then
    which guide of that slope: no cells x guides matrix is ever formed.
    """
    rng = generator(seed, "synthetic", "guides")
    n_guides, batch, depth = len(target_of), covariates["batch"], covariates["depth"]
    n_batches = len(covariates["batch_effect"])
    abundance = np.exp(rng.normal(0, 0.4, n_guides))
    # controls stand for many unrelated guides: each has a slope and batch shifts of its own
    owner = np.where(target_of >= 0, target_of, target_of.max() + 1 + np.arange(n_guides))
    slope = rng.integers(len(SLOPES), size=owner.max() + 1)[owner]
    shift = rng.normal(size=(n_batches, owner.max() + 1))[:, owner]
    weight = abundance * np.exp(strength * shift)
    weight /= weight.sum(axis=1, keepdims=True)
    uptake = np.exp(strength * (0.3 * depth + 0.3 * covariates["batch_effect"][batch]))

    rows: list[np.ndarray] = []
    cols: list[np.ndarray] = []
    tilts = [uptake * np.exp(strength * s * depth) for s in SLOPES]
    mass = np.array(
        [[weight[b, slope == s].sum() for s in range(len(SLOPES))] for b in range(n_batches)]
    )
    total = sum(float((tilt * mass[batch, s]).sum()) for s, tilt in enumerate(tilts))
    scale = moi * len(batch) / total
    for s, tilt in enumerate(tilts):
        members = np.flatnonzero(slope == s)
        if not len(members):
            continue
        copies = rng.poisson(scale * tilt * mass[batch, s])
        for b in range(n_batches):
            cells = np.flatnonzero(batch == b)
            held = np.repeat(cells, copies[cells])
            edges = np.cumsum(weight[b, members])
            pick = np.searchsorted(edges, rng.random(len(held)) * edges[-1], side="right")
            rows.append(held)
            cols.append(members[np.minimum(pick, len(members) - 1)])
    r, c = np.concatenate(rows), np.concatenate(cols)
    counts = sparse.csc_matrix(
        (np.ones(len(r), dtype=np.int32), (r, c)), shape=(len(batch), n_guides)
    )
    counts.sum_duplicates()
    counts.sort_indices()
    return sparse.csc_matrix(
        (np.ones(counts.nnz, dtype=np.int8), counts.indices, counts.indptr), shape=counts.shape
    )


def _effects(
    n_targets: int, K: int, fraction: float, n_programs: int, size: float, seed: int
) -> np.ndarray:
    """(n_targets, K) effects on the centred log-ratio scale, each row summing to 0.

    Of m programs, u go up by size sqrt(d/u) and d = m - u down by size sqrt(u/d): they sum to 0
    and their root mean square is `size`.
    """
    rng = generator(seed, "synthetic", "effects")
    effects = np.zeros((n_targets, K))
    for g in rng.choice(n_targets, size=round(fraction * n_targets), replace=False):
        moved = rng.choice(K, size=n_programs, replace=False)
        if n_programs == 1:
            effects[g, moved] = size * rng.choice([-1.0, 1.0])
            effects[g] -= effects[g].mean()
            continue
        up = int(rng.integers(1, n_programs))
        effects[g, moved[:up]] = size * np.sqrt((n_programs - up) / up)
        effects[g, moved[up:]] = -size * np.sqrt(up / (n_programs - up))
    return effects


def _usage(
    covariates: dict[str, np.ndarray],
    guides: sparse.csc_matrix,
    target_of: np.ndarray,
    effects: np.ndarray,
    strength: float,
    seed: int,
) -> np.ndarray:
    """(N, K) float64 usages, all positive, rows sum to 1."""
    rng = generator(seed, "synthetic", "usages")
    N, K = guides.shape[0], effects.shape[1]
    n_batches, n_extra = len(covariates["batch_effect"]), covariates["extra"].shape[1]
    by_batch = rng.normal(0, 0.2 + 0.8 * strength, (n_batches, K))
    by_depth = rng.normal(0, 0.2 + 0.8 * strength, K)
    logits = rng.normal(0, 0.8, (N, K))
    logits += rng.normal(0, 0.8, K)  # how common each program is
    logits += by_batch[covariates["batch"]]
    logits += covariates["depth"][:, None] * by_depth
    logits += covariates["extra"] @ rng.normal(0, 0.15, (n_extra, K))
    logits += rng.normal(size=(N, 3)) @ rng.normal(0, 0.3, (3, K))  # programs that go together
    causal = np.flatnonzero(np.abs(effects).max(axis=1) > 0)
    for g in causal:  # union of the target's guides
        treated = np.unique(guides[:, np.flatnonzero(target_of == g)].indices)
        logits[treated] += effects[g]
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def _sprinkle(
    usage: np.ndarray, fraction: float, eps: float, exact_fraction: float, seed: int
) -> None:
    """Put a random fraction of the entries near 0 or at 0, in place; rows sum to 1 again."""
    rng = generator(seed, "synthetic", "near zeros")
    hit = rng.random(usage.shape, dtype=np.float32) < fraction
    emptied = hit.all(axis=1)
    hit[emptied, usage[emptied].argmax(axis=1)] = False
    n_hit = int(hit.sum())
    small = eps * rng.uniform(0.1, 1.0, n_hit)
    small[rng.random(n_hit) < exact_fraction] = 0.0
    usage[hit] = small
    usage /= usage.sum(axis=1, keepdims=True)
