import numpy as np
import pytest

from programde.controls.groups import default_group_size, ntc_columns
from programde.crt.control_group import choose_control
from programde.errors import InputError, ProgramDEWarning
from programde.io.anndata import screen_from_anndata
from programde.screen.control_labels import (
    check_ntc_labels,
    looks_like_control,
    matching,
    ntc_labels_if_any,
    unlisted_controls,
)
from tests.screen.small_screens import small_adata

GENES = [
    "STAT1", "NT5E", "NTRK1", "SAFB", "CTRB1", "ORC1", "ORAI1", "NEGR1", "SCRIB", "SCRN1", "GENE_0",
    "GENE_1", "NTNG1", "SAFB2", "CONTROL_ELEMENT_7", "chr1:100-200", "OR", "T", "TARGET1",
]  # fmt: skip


@pytest.mark.parametrize(
    "label",
    [
        "Non-Targeting", "non targeting", "NON_TARGETING", "nontargeting", "non-targeting_1",
        "non-targeting-00023", "NT", "NT_4", "ntc", "NTC_12", "NTC 3", "neg ctrl", "neg_ctrl_7",
        "negative control", "Negative Control 1", "negative_control", "scramble", "Scrambled-2",
        "safe", "safe_harbor", "safe-targeting", "SAFE_3", "intergenic", "Intergenic_9", "AAVS1",
        "OR2A4", "OR10G2", "OR1A1", "ROSA26", "luciferase", "EGFP", "LacZ", "control", "CTRL_1",
    ],
)  # fmt: skip
def test_labels_near_to_the_listed_ones_are_told(label):
    targets = {"g0": "STAT1", "g1": "ntc_listed", "g2": label}
    with pytest.warns(ProgramDEWarning) as told:
        assert check_ntc_labels(targets, ["ntc_listed"]) == ["ntc_listed"]
    words = str(told[0].message)
    assert "1 target(s) are named like controls and are not in ntc_labels" in words
    assert f"ntc_labels=['ntc_listed', '{label}']" in words
    assert check_ntc_labels(targets, ["ntc_listed", label]) == [
        "ntc_listed",
        label,
    ]  # listed: silent


def test_a_listed_label_that_is_spelled_differently():
    targets = ["Mock-Guide", "mock guide 2", "mockguide", "STAT1"]
    assert unlisted_controls(targets, ["mockguide"]) == ["Mock-Guide", "mock guide 2"]


def test_genes_are_no_controls():
    assert unlisted_controls(GENES, ["non-targeting"]) == []
    assert unlisted_controls(GENES, ["GENE_0"]) == []
    assert not any(looks_like_control(gene) for gene in GENES)


def test_many_numbered_labels_are_one_pattern():
    targets = {f"g{i}": f"NTC_{i}" for i in range(300)} | {"a": "A", "b": "non-targeting"}
    with pytest.warns(ProgramDEWarning) as told:
        check_ntc_labels(targets, "non-targeting")
    words = str(told[0].message)
    assert words.startswith("300 target(s)")
    assert words.endswith("ntc_labels=['non-targeting', 'NTC_*']")
    assert len(check_ntc_labels(targets, ["non-targeting", "NTC_*"])) == 301


def test_patterns():
    targets = ["A", "NTC_1", "NTC_2", "ntc_3", "NTC[1]", "safe-1"]
    assert matching(targets, ["safe-*", "NTC_?"]) == ["safe-1", "NTC_1", "NTC_2"]
    assert matching(targets, ["NTC[1]"]) == ["NTC[1]"]  # a name before it is a pattern
    assert matching(targets, ["*"]) == targets
    assert matching(targets, ["nothing*"]) == []


def test_no_label_says_what_is_impossible():
    for none in ([], None, ()):
        with pytest.raises(InputError, match=r"none given.*comparison with control.*impossible"):
            check_ntc_labels({"g": "A"}, none)
    assert ntc_labels_if_any({"g": "A"}, []) == []
    with pytest.warns(ProgramDEWarning, match="named like controls"):
        assert ntc_labels_if_any({"g": "A", "h": "NTC"}, []) == []


def test_patterns_hold_in_every_room():
    adata = small_adata()
    names = adata.uns["guide_names"]
    adata.uns["guide2gene"] = dict(
        zip(names, ["A", "A", "B", "NTC_1", "NTC_2", "NTC_3"], strict=True)
    )
    screen = screen_from_anndata(adata)
    asked, listed = ["NTC_*"], ["NTC_1", "NTC_2", "NTC_3"]
    assert ntc_columns(names, screen.guide_to_target, asked) == [3, 4, 5]
    assert default_group_size(screen, asked) == default_group_size(screen, listed)
    by_pattern, by_name = (choose_control(screen, "nt_cells", labels) for labels in (asked, listed))
    np.testing.assert_array_equal(by_pattern.cells, by_name.cells)
    assert by_pattern.labels == tuple(listed)
