"""Gene sets of programs: against Fisher's exact test; the file's form."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.analysis.gene_sets import gene_set_table
from programde.errors import InputError
from programde.io.gmt import read_gmt
from programde.screen.spectra import top_genes

GENES = [f"G{i}" for i in range(60)]


def spectra() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(3, 60)), ["p0", "p1", "p2"], GENES)


def test_p_values_are_fishers_and_q_values_are_over_all_pairs():
    table = spectra()
    leading = top_genes(table, 10)
    sets = {
        "of p0": [*leading["p0"][:6], "elsewhere"],
        "of p1": [*leading["p1"][:4], *GENES[:2]],
        "far": GENES[::7],
        "small": GENES[:3],
    }
    found = gene_set_table(table, sets, n_leading=10, smallest=5)
    assert "small" not in set(found["gene_set"])
    kept = {(row.program, row.gene_set): row for row in found.itertuples()}
    p = []
    for program, first in leading.items():
        for name in ("of p0", "of p1", "far"):
            here = set(sets[name]) & set(GENES)
            k = len(here & set(first))
            cells = [[k, 10 - k], [len(here) - k, 60 - 10 - len(here) + k]]
            p.append(stats.fisher_exact(cells, alternative="greater")[1])
            if p[-1] <= 0.05:
                row = kept.pop((program, name))
                assert (row.n_both, row.n_set, row.n_leading, row.n_genes) == (k, len(here), 10, 60)
                assert row.p_value == pytest.approx(p[-1], rel=1e-12)
                assert row.genes.split() == [g for g in first if g in here]
    assert not kept
    q = stats.false_discovery_control(p)
    np.testing.assert_allclose(found["q_value"], np.sort(q)[: len(found)], rtol=1e-12)
    assert found.loc[0, ["program", "gene_set"]].tolist() == ["p0", "of p0"]


def test_other_names_of_genes_are_refused():
    with pytest.raises(InputError, match="no gene in common"):
        gene_set_table(spectra(), {"mouse": ["Actb", "Gapdh"]})


def test_gmt_files(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_text("one\thttp\tA\tB\tA\t\n\ntwo\t\tC\n")
    assert read_gmt(path) == {"one": ["A", "B"], "two": ["C"]}
    for text, says in (
        ("one\tdescription\n", "line 1 holds no gene set"),
        ("one\t\tA\none\t\tB\n", "'one'.* stands twice"),
        ("", "holds no gene set"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=says):
            read_gmt(path)
