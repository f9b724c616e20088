"""P-values against pseudo-genes by hand: sampling them, splitting them, comparing with them.

What `programde.compat.empirical` does in one call, in steps that work on plain arrays: effects
(units x programs), and of each unit n1 (treated cells), d (`compute_ols_denom`) and, where asked,
pbar (mean log odds of the propensity), by which units are matched (`controls.matching`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from programde.controls.guide_sets import pseudogene_sets
from programde.controls.matching import MatchingGrid, MatchingOptions, match_units, matching_grid
from programde.controls.pseudogenes import MIN_UNITS, p_against_units
from programde.errors import InputError, OptionError
from programde.screen.guides import check_ntc_labels, guide_map, text
from programde.streams import generator


def sample_ntc_pseudogenes_with_replacement(
    guide_names: Sequence[str],
    guide2gene: Mapping[str, str],
    ntc_labels: str | Sequence[str],
    guides_per_unit: int,
    n_units: int,
    seed: int,
) -> dict[str, list[str]]:
    """Pseudo-genes: different sets of control guides; a guide may be in several sets.

    Parameters
    ----------
    guide_names, guide2gene
        Guides of the screen, and the gene of each.
    ntc_labels
        Genes that are controls.
    guides_per_unit, n_units
        Guides per set, and number of sets; fewer come back where fewer exist.
    seed
        Seed.

    Returns
    -------
    dict
        Unit id -> names of its guides.

    Raises
    ------
    InputError
        Labels that match nothing, or fewer control guides than a set needs.

    Examples
    --------
    >>> import programde as pde
    >>> genes = {"c1": "NTC", "c2": "NTC", "c3": "NTC", "g1": "A"}
    >>> sets = pde.sample_ntc_pseudogenes_with_replacement(list(genes), genes, "NTC", 2, 3, seed=0)
    >>> sorted(sets.values())
    [['c1', 'c2'], ['c1', 'c3'], ['c2', 'c3']]
    """
    genes = guide_map(guide2gene, guide_names)
    labels = set(check_ntc_labels(genes, ntc_labels))
    guides = [text(name) for name in guide_names if genes.get(text(name)) in labels]
    sets = pseudogene_sets(guides, guides_per_unit, n_units, seed)
    width = len(str(len(sets)))
    return {f"NTC_unit_{i:0{width}d}": list(unit) for i, unit in enumerate(sets)}


def split_ntc_units(
    ntc_unit_ids: Sequence[Any], frac_A: float = 0.5, seed: int = 0
) -> tuple[list[Any], list[Any]]:
    """Units at random into A, which is the null, and B, which is held out.

    Units of A and B may share guides: `run_ntc_empirical_null` splits the guides themselves.

    Parameters
    ----------
    ntc_unit_ids
        Ids of the units; their order makes no difference.
    frac_A
        Share that goes to A; either part gets one at least.
    seed
        Seed.

    Returns
    -------
    A : list
        Ids of the null, in the order given.
    B : list
        Ids that are held out.

    Examples
    --------
    >>> import programde as pde
    >>> null, held_out = pde.split_ntc_units(["u1", "u2", "u3", "u4"])
    >>> len(null), sorted(null + held_out)
    (2, ['u1', 'u2', 'u3', 'u4'])
    """
    ids = list(ntc_unit_ids)
    if not 0 < frac_A < 1:
        raise OptionError(f"frac_A={frac_A!r} must lie between 0 and 1")
    if len(ids) < 2:
        raise InputError(f"{len(ids)} control units cannot be split in two")
    n_a = min(max(round(frac_A * len(ids)), 1), len(ids) - 1)
    ordered = sorted(range(len(ids)), key=lambda i: str(ids[i]))
    rng = generator(seed, "ntc_units_split", str(len(ids)))
    in_a = {ordered[i] for i in rng.permutation(len(ids))[:n_a].tolist()}
    return [u for i, u in enumerate(ids) if i in in_a], [
        u for i, u in enumerate(ids) if i not in in_a
    ]


@dataclass(frozen=True)
class Signatures:
    """What units are matched by: n1 (R,), d (R,), and pbar (R,) or None."""

    n1: np.ndarray
    d: np.ndarray
    pbar: np.ndarray | None = None

    @classmethod
    def of(cls, given: Any) -> Signatures:
        """From a mapping or table with n1, d (and pbar), columns in this order, or a sequence."""
        if isinstance(given, Signatures):
            return given
        if isinstance(given, pd.DataFrame | Mapping):
            names = [name for name in ("n1", "d", "pbar") if name in given]
            parts = [np.asarray(given[name], dtype=np.float64) for name in names]
        elif isinstance(given, tuple) or (isinstance(given, list) and len(given) in (2, 3)):
            parts = [np.asarray(part, dtype=np.float64) for part in given if part is not None]
        else:
            parts = list(np.asarray(given, dtype=np.float64).T)
        if len(parts) not in (2, 3) or len({part.shape for part in parts}) != 1:
            raise InputError("signatures must hold n1 and d (and pbar) of each unit")
        return cls(*parts)


class AgainstNTC(NamedTuple):
    """P-values (G, K), and how units were matched."""

    pvals: np.ndarray
    info: dict[str, Any]


class Crossfit(NamedTuple):
    """P-values of held-out units (B) and of real genes, both against the units of A."""

    p_ntcB_vs_A: np.ndarray
    p_real_vs_A: np.ndarray


def empirical_pvals_vs_ntc(
    beta_obs: np.ndarray,
    beta_ntc: np.ndarray,
    n1_obs: np.ndarray,
    d_obs: np.ndarray,
    n1_ntc: np.ndarray,
    d_ntc: np.ndarray,
    *,
    n_n1_bins: int = 10,
    n_d_bins: int = 10,
    min_ntc_per_bin: int = 50,
    two_sided: bool = True,
    use_pbar: bool = False,
    pbar_obs: np.ndarray | None = None,
    pbar_ntc: np.ndarray | None = None,
    n_pbar_bins: int = 8,
) -> AgainstNTC:
    """Empirical p-values of units against matched control units.

    Parameters
    ----------
    beta_obs : (G, K)
        Effects of the units tested.
    beta_ntc : (R, K)
        Effects of the control units.
    n1_obs, d_obs : (G,)
        Treated cells and `compute_ols_denom` of the units tested.
    n1_ntc, d_ntc : (R,)
        The same of the control units.
    n_n1_bins, n_d_bins, min_ntc_per_bin
        See `programde.controls.matching.MatchingOptions`.
    two_sided
        By absolute effects; False: large effects are extreme.
    use_pbar, pbar_obs, pbar_ntc
        Whether to match on the mean log odds of the propensity too, and these.
    n_pbar_bins
        See `programde.controls.matching.MatchingOptions`.

    Returns
    -------
    pvals : (G, K) float64
        (1 + #{control effects at least as extreme}) / (R' + 1) over the R' matched units.
    info : dict
        "bin_sizes" (G,): matched units; "fallback_counts": {"none": n, "all": m}, in how many
        cases all control units were taken; "floor" (G,): the smallest p-value possible.

    Examples
    --------
    One unit beyond all 99 control units, which are alike in size:

    >>> import numpy as np, programde as pde
    >>> null, n1 = np.linspace(-1, 1, 99)[:, None], np.full(99, 30)
    >>> p, info = pde.empirical_pvals_vs_ntc([[2.0]], null, [30], [29.0], n1, n1 - 1.0)
    >>> p.tolist(), info["floor"].tolist()
    ([[0.01]], [0.01])
    """
    if use_pbar and (pbar_obs is None or pbar_ntc is None):
        raise InputError("use_pbar=True needs pbar_obs and pbar_ntc")
    options = MatchingOptions(n_n1_bins, n_d_bins, min_ntc_per_bin, n_pbar_bins)
    observed, ntc = (
        Signatures(np.asarray(n1), np.asarray(d), np.asarray(pbar) if use_pbar else None)
        for n1, d, pbar in ((n1_obs, d_obs, pbar_obs), (n1_ntc, d_ntc, pbar_ntc))
    )
    grid = matching_grid(observed.n1, observed.d, observed.pbar, options)
    return _against(_table(beta_obs), observed, _table(beta_ntc), ntc, grid, options, two_sided)


def compute_ntc_empirical_pvals_crossfit(
    beta_real: np.ndarray,
    sig_real: Any,
    beta_ntcA: np.ndarray,
    sig_ntcA: Any,
    beta_ntcB: np.ndarray,
    sig_ntcB: Any,
    matching_cfg: Mapping[str, Any] | MatchingOptions | None,
    two_sided: bool = True,
) -> Crossfit:
    """Held-out control units (B), and real genes, against the units of A.

    Parameters
    ----------
    beta_real : (G, K)
        Effects of the genes.
    sig_real
        Their n1, d (and pbar): a mapping or table with these names, a tuple of vectors, or an
        array with a row per unit.
    beta_ntcA : (A, K)
        Effects of the control units that are the null.
    sig_ntcA
        As `sig_real`, of these.
    beta_ntcB : (B, K)
        Effects of the control units that are held out.
    sig_ntcB
        As `sig_real`, of those.
    matching_cfg
        Of n_n1_bins, n_d_bins, min_ntc_per_bin, use_pbar and n_pbar_bins.
    two_sided
        See `empirical_pvals_vs_ntc`.

    Returns
    -------
    p_ntcB_vs_A : (B, K) float64
        P-values of the units held out.
    p_real_vs_A : (G, K) float64
        P-values of the genes.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> null, sizes = np.linspace(-1, 1, 99)[:, None], np.full((99, 2), 30.0)
    >>> held, genes = pde.compute_ntc_empirical_pvals_crossfit(
    ...     [[2.0]], sizes[:1], null, sizes, [[0.0]], sizes[:1], None
    ... )
    >>> held.tolist(), genes.tolist()
    ([[1.0]], [[0.01]])
    """
    options, use_pbar = _matching(matching_cfg)
    real, a, b = (_with_pbar(s, use_pbar) for s in (sig_real, sig_ntcA, sig_ntcB))
    grid = matching_grid(real.n1, real.d, real.pbar, options)
    null = _table(beta_ntcA)
    held, of_genes = (
        _against(_table(beta), sig, null, a, grid, options, two_sided).pvals
        for beta, sig in ((beta_ntcB, b), (beta_real, real))
    )
    return Crossfit(held, of_genes)


def compute_ntc_empirical_pvals_gene_agg_crossfit(
    beta_real: np.ndarray,
    sig_real: Any,
    beta_ntcA: np.ndarray,
    sig_ntcA: Any,
    beta_ntcB: np.ndarray,
    sig_ntcB: Any,
    matching_cfg: Mapping[str, Any] | MatchingOptions | None,
    n1_edges: np.ndarray | None = None,
    d_edges: np.ndarray | None = None,
    pbar_edges: np.ndarray | None = None,
) -> Crossfit:
    """As `compute_ntc_empirical_pvals_crossfit`, one p-value per unit.

    It is that of the unit's largest absolute effect.

    Parameters
    ----------
    beta_real, sig_real, beta_ntcA, sig_ntcA, beta_ntcB, sig_ntcB, matching_cfg
        See `compute_ntc_empirical_pvals_crossfit`.
    n1_edges, d_edges, pbar_edges
        Edges of the bins, d's on its own scale; None: quantiles of the real genes.

    Returns
    -------
    p_ntcB_vs_A : (B,) float64
        P-values of the units held out.
    p_real_vs_A : (G,) float64
        P-values of the genes.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> null, sizes = np.linspace(-1, 1, 99)[:, None] * [1, 0.5], np.full((99, 2), 30.0)
    >>> _, genes = pde.compute_ntc_empirical_pvals_gene_agg_crossfit(
    ...     [[0.1, -2.0]], sizes[:1], null, sizes, null[:1], sizes[:1], None
    ... )
    >>> genes.tolist()
    [0.01]
    """
    options, use_pbar = _matching(matching_cfg)
    real, a, b = (_with_pbar(s, use_pbar) for s in (sig_real, sig_ntcA, sig_ntcB))
    edges = list(matching_grid(real.n1, real.d, real.pbar, options).edges)
    for axis, given in enumerate((n1_edges, d_edges, pbar_edges)):
        if given is not None and axis < len(edges):
            values = np.asarray(given, dtype=np.float64)
            edges[axis] = np.log(np.maximum(values, 1e-300)) if axis == 1 else values
    grid = MatchingGrid(tuple(edges))
    null = np.abs(_table(beta_ntcA)).max(axis=1, keepdims=True)
    held, of_genes = (
        _against(np.abs(_table(beta)).max(axis=1, keepdims=True), sig, null, a, grid, options, True)
        for beta, sig in ((beta_ntcB, b), (beta_real, real))
    )
    return Crossfit(held.pvals[:, 0], of_genes.pvals[:, 0])


def _table(effects: Any) -> np.ndarray:
    values = np.asarray(effects, dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values


def _matching(given: Mapping[str, Any] | MatchingOptions | None) -> tuple[MatchingOptions, bool]:
    if isinstance(given, MatchingOptions):
        return given, False
    options = dict(given or {})
    use_pbar = bool(options.pop("use_pbar", False))
    return MatchingOptions.from_dict(options), use_pbar


def _with_pbar(given: Any, use_pbar: bool) -> Signatures:
    found = Signatures.of(given)
    if use_pbar and found.pbar is None:
        raise InputError("use_pbar needs the mean log odds (pbar) in every signature")
    return found if use_pbar else Signatures(found.n1, found.d)


def _against(
    effects: np.ndarray,
    observed: Signatures,
    null: np.ndarray,
    ntc: Signatures,
    grid: MatchingGrid,
    options: MatchingOptions,
    two_sided: bool,
) -> AgainstNTC:
    for name, table, signature in (("units", effects, observed), ("control units", null, ntc)):
        if len(table) != len(signature.n1):
            raise InputError(f"{len(table)} effects for {len(signature.n1)} signatures of {name}")
    if not len(null):
        raise InputError("there are no control units to compare with")
    bins = grid.place(ntc.n1, ntc.d, ntc.pbar)
    wanted = grid.place(observed.n1, observed.d, observed.pbar)
    every = np.ones(len(null), dtype=bool)
    minimum = options.min_ntc_per_bin or MIN_UNITS
    found = [match_units(bins, w, every, minimum) for w in wanted]
    matched = np.array([m.matched for m in found]).reshape(len(effects), len(null))
    if two_sided:
        p, _ = p_against_units(effects, null, matched)
    else:
        p = np.empty(effects.shape)
        for g, used in enumerate(matched):
            slack = 1e-9 * np.abs(effects[g])
            reached = (null[used] >= effects[g] - slack).sum(axis=0)
            p[g] = np.where(np.isfinite(effects[g]), (1.0 + reached) / (used.sum() + 1), np.nan)
    all_taken = sum(m.fallback == "all" for m in found)
    info = {
        "bin_sizes": matched.sum(axis=1),
        "fallback_counts": {"none": len(found) - all_taken, "all": all_taken},
        "floor": np.array([m.floor for m in found]),
    }
    return AgainstNTC(p, info)
