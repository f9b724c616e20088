import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.io.anndata import screen_from_anndata
from programde.screen.calls import call_guides
from programde.screen.guides import compute_guide_burden
from programde.screen.store import screen_arrays, screen_from_arrays
from tests.screen.small_screens import small_adata

UMI = np.array([[0, 1, 30], [2, 0, 0], [0, 5, 4], [9, 0, 0]])
TYPES = [
    *(np.dtype(t) for t in (bool, "i1", "u1", "<i2", ">i2", "<u4", ">u4", "<i8", ">i8", ">u8")),
    *(np.dtype(t) for t in ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "g")),
]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("wrap", ["dense", "csr_matrix", "csc_array", "coo_matrix", "table"])
def test_every_type_and_byte_order(dtype, wrap):
    calls = (UMI > 0).astype(dtype)
    if wrap == "table":
        if dtype.byteorder == ">" or dtype.char == "g":
            return  # no column of pandas
        G = pd.DataFrame(calls)
    elif wrap == "dense":
        G = calls
    else:
        row, col = np.nonzero(calls)
        G = sparse.coo_matrix((np.ones(len(row)), (row, col)), shape=calls.shape)
        G = getattr(sparse, wrap)(G)
        G.data = G.data.astype(dtype)  # scipy makes no matrix of some types, files hold them
    found = call_guides(G)
    assert found.presence.dtype == np.int8
    np.testing.assert_array_equal(found.presence.toarray(), UMI > 0)
    assert found.ambiguous is None
    assert found.notes == []


@pytest.mark.parametrize(
    ("G", "held"),
    [
        (np.ones((3, 2)) * 1j, "complex numbers"),
        (sparse.csr_matrix(np.ones((3, 2)) * 1j), "complex numbers"),
        (np.ones((3, 2), "M8[s]"), "dates"),
        (np.ones((3, 2), "m8[s]"), "time spans"),
        (pd.DataFrame({"a": pd.to_datetime(["2020"] * 3), "b": 1}), "column 'a' holds dates"),
        (pd.DataFrame({"a": [[1], [1, 2], []]}), "does not hold numbers"),
        (np.array([["1", "x"]]), "does not hold numbers"),
        (np.ma.masked_array(np.ones((3, 2)), mask=np.eye(3, 2)), r"2 NaN or infinite value"),
        (pd.DataFrame({"a": pd.array([1, None, 0], dtype="Int64")}), "1 NaN or infinite value"),
        (pd.DataFrame(np.ones((2, 1)), columns=pd.MultiIndex.from_tuples([("a", "b")])),
         "columns have names of 2 parts"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_one_line(G, held):
    with pytest.raises(InputError, match=held) as caught:
        call_guides(G)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("half", [np.uint8(128), np.int8(64), np.uint16(32768), np.int64(2**62)])
def test_entries_stored_twice_are_added_as_numbers(half):
    """128 + 128 is 0 in uint8."""
    G = sparse.csr_matrix((np.array([half, half]), [1, 1], [0, 2, 2]), shape=(2, 2))
    with pytest.warns(ProgramDEWarning, match="holds counts"):
        assert call_guides(G).presence.toarray().tolist() == [[0, 1], [0, 0]]
    assert call_guides(G, 2.0 * float(half)).presence.nnz == 1


def test_yes_stored_twice_is_yes():
    G = sparse.csr_matrix((np.array([True, True]), [1, 1], [0, 2, 2]), shape=(2, 2))
    assert call_guides(G).presence.toarray().tolist() == [[0, 1], [0, 0]]


def test_present_ambiguous_absent():
    found = call_guides(UMI, 5, 2)
    assert found.presence.toarray().tolist() == (UMI >= 5).astype(int).tolist()
    assert found.ambiguous.toarray().tolist() == ((UMI >= 2) & (UMI < 5)).astype(int).tolist()
    assert found.notes == [
        "guide assignment: 3 of 6 nonzero entries are present, from 5 on, 2 from 2 on are neither "
        "present nor absent"
    ]
    assert call_guides(UMI, 1).presence.nnz == 6
    assert call_guides(np.zeros((2, 2)), 3).presence.nnz == 0


def test_what_is_told_of_counts_and_of_probabilities():
    with pytest.warns(ProgramDEWarning) as told:
        call_guides(UMI)
    counts = str(told[0].message)
    with pytest.warns(ProgramDEWarning) as told:
        call_guides(UMI / 100)
    chances = str(told[0].message)
    assert "6 nonzero entries: 1: 1, 2 to under 5: 2, 5 to under 20: 2, 20 and more: 1" in counts
    assert "a cell holds 1.5 (median; mean 1.50) guides, with guide_threshold=5 1 (med" in counts
    assert (
        "values between 0 and 1, not calls of 0 and 1 (6 nonzero entries: below 0.1: 5" in chances
    )


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, True, "3", [1]])
def test_thresholds_that_are_none(value):
    with pytest.raises(OptionError, match=r"guide_threshold=.* must be a positive number"):
        call_guides(UMI, value)
    with pytest.raises(OptionError, match="guide_absent_below="):
        call_guides(UMI, 5, value)


def test_a_zone_needs_both_ends():
    with pytest.raises(OptionError, match="give both"):
        call_guides(UMI, None, 2)
    with pytest.raises(OptionError, match="must be below"):
        call_guides(UMI, 2, 5)
    with pytest.raises(InputError, match=r"none of the 6 entries .* reaches it, the largest is 30"):
        call_guides(UMI, 31)


def test_burden_by_the_same_threshold():
    burden = compute_guide_burden(UMI, guide_threshold=5, use_log1p=False)
    assert burden.tolist() == [1, 0, 1, 1]
    sums = compute_guide_burden(UMI, guide_threshold=5, use_log1p=False, count_nonzero=False)
    assert sums.tolist() == [30, 0, 5, 9]


def test_ambiguous_entries_follow_the_cells():
    adata = small_adata()
    values = np.random.default_rng(3).integers(0, 6, (60, 6))
    expected = (values >= 2) & (values < 4)
    adata.obsm["cnmf_usage"][[3, 8]] = 0
    table = pd.DataFrame(values, adata.obs_names, adata.uns["guide_names"])
    del adata.obsm["guide_assignment"]
    adata.uns["guide_assignment"] = table.iloc[::-1]
    with pytest.warns(ProgramDEWarning):  # rows reordered, cells dropped
        screen = screen_from_anndata(
            adata, guide_threshold=4, guide_absent_below=2, on_empty="drop"
        )
    kept = np.delete(np.arange(60), [3, 8])
    np.testing.assert_array_equal(screen.ambiguous.toarray(), expected[kept])
    np.testing.assert_array_equal(screen.guides.toarray(), values[kept] >= 4)
    again = screen_from_arrays(screen_arrays(screen), screen.covariate_table)
    np.testing.assert_array_equal(again.ambiguous.toarray(), expected[kept])
