"""Which gene sets the genes of a program belong to.

Of G genes that have a weight in some program, a set holds m and a program's leading n genes; k are
in both. Were the n drawn at random, k would be hypergeometric, and the p-value is

    P(X >= k),   X ~ Hypergeometric(G, m, n)

(Fisher's exact test, one-sided; Rivals et al. 2007, Bioinformatics 23:401). q-values are those of
Benjamini and Hochberg over all programs and sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError
from programde.screen.spectra import top_genes

COLUMNS = ["program", "gene_set", "n_both", "n_leading", "n_set", "n_genes", "p_value", "q_value",
           "genes"]  # fmt: skip
#: Leading genes of a program that are held against the sets, if that is a tenth of all at most.
N_LEADING = 100
#: Sets with fewer or more genes that have a weight are left out.
SMALLEST, LARGEST = 5, 2000
#: What is told of: a table of all pairs would be of millions.
KEPT = 0.05


def gene_set_table(
    spectra: pd.DataFrame,
    sets: Mapping[str, Sequence[str]],
    *,
    n_leading: int | None = None,
    smallest: int = SMALLEST,
    largest: int = LARGEST,
) -> pd.DataFrame:
    """Gene sets that a program's leading genes belong to more often than by chance.

    Parameters
    ----------
    spectra : (K, n_genes) DataFrame
        As of a screen; genes without a weight in any program are not among those drawn from.
    sets
        Set -> its genes.
    n_leading
        Genes of each program, see `screen.spectra.top_genes`; fewer where fewer have a weight.
        None: 100, or a tenth of all genes where that is less, as in a panel; five at least.
    smallest, largest
        Sets with fewer or more genes among those with a weight are left out.

    Returns
    -------
    DataFrame
        program, gene_set, n_both (k), n_leading (n), n_set (m), n_genes (G), p_value, q_value,
        genes (those in both, the leading ones first, separated by spaces). Strongest first; pairs
        with p > 0.05 are left out, and count in the q-values.

    Raises
    ------
    InputError
        No set has a gene in common with the spectra: another naming of genes.

    Examples
    --------
    >>> import pandas as pd
    >>> weights = [[3, 2, 1, -1, -1, -1, -1], [-1, -1, -1, 1, 2, 3, 4]]
    >>> spectra = pd.DataFrame(weights, ["p0", "p1"], list("ABCDEFG"))
    >>> found = gene_set_table(spectra, {"first": ["A", "B", "C"]}, n_leading=3, smallest=2)
    >>> found[["program", "n_both"]].values.tolist(), float(found["p_value"][0].round(4))
    ([['p0', 3]], 0.0286)
    """
    from scipy import stats  # slow to import

    weighted = spectra.loc[:, spectra.notna().any(axis=0)]
    genes = [str(gene) for gene in weighted.columns]
    known = set(genes)
    here = {name: known & set(of) for name, of in sets.items()}
    if not any(here.values()):
        first = next(iter(sets.values()), [])
        raise InputError(
            f"the gene sets ({', '.join(list(first)[:3])}, ...) and the spectra "
            f"({', '.join(genes[:3])}, ...) have no gene in common: they name genes differently"
        )
    here = {name: of for name, of in here.items() if smallest <= len(of) <= largest}
    if n_leading is None:
        n_leading = max(5, min(N_LEADING, len(genes) // 10))
    leading = top_genes(weighted, n_leading)
    place = {gene: at for at, gene in enumerate(genes)}
    in_set = _members(list(here.values()), place)
    ours = _members(list(leading.values()), place)
    both = np.asarray((ours @ in_set.T).todense())
    n = np.asarray(ours.sum(axis=1)).reshape(-1, 1)
    m = np.asarray(in_set.sum(axis=1)).reshape(1, -1)
    p = np.where(both > 0, stats.hypergeom.sf(both - 1, len(genes), m, n), 1.0)
    q = stats.false_discovery_control(p.ravel()).reshape(p.shape) if p.size else p
    k, s = np.nonzero((p <= KEPT) & (both > 0))
    programs, names = list(leading), list(here)
    table = pd.DataFrame(
        {
            "program": [programs[i] for i in k],
            "gene_set": [names[i] for i in s],
            "n_both": both[k, s],
            "n_leading": n[k, 0],
            "n_set": m[0, s],
            "n_genes": len(genes),
            "p_value": p[k, s],
            "q_value": q[k, s],
            "genes": [
                " ".join(gene for gene in leading[programs[i]] if gene in here[names[j]])
                for i, j in zip(k, s, strict=True)
            ],
        },
        columns=COLUMNS,
    )
    order = ["p_value", "program", "gene_set"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def _members(groups: Sequence[Iterable[str]], place: Mapping[str, int]) -> sparse.csr_matrix:
    """Groups x genes, 1 where a gene is in a group."""
    rows = [(row, place[gene]) for row, group in enumerate(groups) for gene in group]
    at = np.array(rows, dtype=np.intp).reshape(-1, 2)
    ones = np.ones(len(at), dtype=np.int64)
    return sparse.csr_matrix((ones, (at[:, 0], at[:, 1])), shape=(len(groups), len(place)))


def no_gene_sets() -> pd.DataFrame:
    """The table where nothing was asked for."""
    return pd.DataFrame(columns=COLUMNS)
