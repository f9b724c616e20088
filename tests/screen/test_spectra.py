"""What a program is: the genes that lead its spectra, and what people call it."""

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError
from programde.io.anndata import screen_from_anndata
from programde.screen.input_report import input_report
from programde.screen.spectra import program_labels, top_genes
from programde.screen.store import screen_arrays, screen_from_arrays
from tests.screen.small_screens import small_adata

GENES = ["ACTB", "GBP1", "CXCL10", "PLK1"]


def test_the_largest_scores_lead() -> None:
    scores = pd.DataFrame([[0.1, 3.0, 5.0, -2.0], [-1.0, 0.0, -3.0, 4.0]], ["a", "b"], GENES)
    assert top_genes(scores, 3) == {"a": ["CXCL10", "GBP1", "ACTB"], "b": ["PLK1"]}


def test_abundant_genes_make_no_program() -> None:
    weights = pd.DataFrame([[50.0, 8.0, 9.0, 0.0], [60.0, 0.0, np.nan, 9.0]], ["a", "b"], GENES)
    # share of the program x the program's share of the gene, by hand: 9/67 for CXCL10 alone in a
    share = weights.fillna(0).div(weights.sum(axis=1), axis=0)
    by_hand = (share * share / share.sum()).T
    found = top_genes(weights, 2)
    assert found["a"] == list(by_hand["a"].sort_values(ascending=False).index[:2])
    assert top_genes(weights.mul([7.0, 0.1], axis=0), 2) == found  # the scale of a program is free
    assert "PLK1" in found["b"]


def test_labels_by_hand() -> None:
    names = ["program_1", "program_2", "program_3"]
    table = pd.DataFrame({"program": ["3", "program_1"], "label": ["IFN", "cycle"]})
    assert program_labels(table, names) == {"program_1": "cycle", "program_3": "IFN"}
    assert program_labels({"program_2": "x"}, names) == {"program_2": "x"}
    with pytest.raises(InputError, match="labels 'program_9', which is no program"):
        program_labels({"program_9": "x"}, names)
    with pytest.raises(InputError, match="'program_3' twice"):
        program_labels(table.assign(program=["3", "program_3"]), names)
    with pytest.raises(InputError, match="no column 'label'"):
        program_labels(table[["program"]], names)


def test_both_are_kept_with_the_screen(tmp_path) -> None:
    adata = small_adata()
    first = screen_from_anndata(adata)
    names = first.program_names
    spectra = pd.DataFrame(np.eye(len(names), 4), names, GENES)
    pd.DataFrame({"program": names[:1], "label": ["0012"]}).to_csv(tmp_path / "l.csv", index=False)
    screen = screen_from_anndata(adata, spectra=spectra, program_names=tmp_path / "l.csv")
    assert screen.program_labels == {names[0]: "0012"}
    back = screen_from_arrays(screen_arrays(screen))
    assert back.program_labels == screen.program_labels
    told = input_report(back).programs.set_index("program")
    assert told.loc[names[0], "label"] == "0012"
    assert told.loc[names[0], "top_genes"] == "ACTB"
    assert told.loc[names[1], "label"] == ""
    assert (input_report(first).programs["top_genes"] == "").all()
