import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError, ProgramDEWarning
from programde.screen.guides import (
    build_gene_to_cols,
    check_guides,
    check_ntc_labels,
    compute_guide_burden,
    guide_map,
    to_csc_matrix,
    union_obs_idx_from_cols,
)

COUNTS = np.array([[0, 300, 0], [1, 0, 2], [0, 0, 0], [5, 1, 0]])
MAP = {"g0": "A", "g1": "A", "g2": "non-targeting"}


@pytest.mark.parametrize(
    "wrap",
    [
        np.asarray,
        lambda a: a.astype(np.float32),
        lambda a: a.astype(object),
        lambda a: a > 0,
        lambda a: sparse.csr_matrix(a > 0),
        sparse.csr_matrix,
        sparse.coo_array,
        sparse.csc_matrix,
        lambda a: pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(a)),
        lambda a: pd.DataFrame(a.astype(float)).astype(pd.SparseDtype(float, np.nan)),
    ],
)
def test_presence_from_anything(wrap):
    csc, _ = to_csc_matrix(wrap(COUNTS))
    assert csc.dtype == np.int8
    np.testing.assert_array_equal(csc.toarray(), COUNTS > 0)
    assert csc.data.min() == 1


def test_stored_zeros_are_zeros_and_the_input_is_left_alone():
    G = sparse.csr_matrix(COUNTS.astype(float))
    G.data[0] = 0
    csc, names = to_csc_matrix(G)
    assert csc.nnz == 4
    assert G.nnz == 5
    assert names is None
    double = sparse.coo_matrix(([1, 1], ([0, 0], [1, 1])), shape=(2, 2))
    assert to_csc_matrix(double)[0].nnz == 1


def test_dataframe_columns_are_names():
    assert to_csc_matrix(pd.DataFrame(COUNTS, columns=["x", "y", "z"]))[1] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("G", "message"),
    [
        (np.array([[1.0, np.nan]]), "1 NaN"),
        (sparse.csr_matrix(np.array([[1.0, np.inf]])), "1 NaN or infinite"),
        (np.array([[1, -1]]), "1 negative"),
        (np.array([["a", "b"]]), "does not hold numbers"),
        (np.ones(3), "must be a matrix"),
        (np.ones((2, 2)) * 1j, "complex"),
    ],
)
def test_bad_matrices(G, message):
    with pytest.raises(InputError, match=message):
        to_csc_matrix(G)


@pytest.mark.parametrize(
    "mapping",
    [
        MAP,
        pd.Series(MAP),
        pd.Series(MAP).to_frame("gene"),
        {np.str_(g): np.str_(t) for g, t in MAP.items()},
        {g: np.array(t, dtype=object) for g, t in MAP.items()},
        {g.encode(): np.array([t.encode()]) for g, t in MAP.items()},
        list(MAP.values()),
        np.array(list(MAP.values())),
        pd.Categorical(list(MAP.values())),
    ],
)
def test_guide_map_from_anything_dict_like(mapping):
    assert guide_map(mapping, ["g0", "g1", "g2"]) == MAP


def test_guide_map_edges():
    assert guide_map({"chr1": {"12": "A", "x": {"y": "B"}}}) == {"chr1/12": "A", "chr1/x/y": "B"}
    holes = {"a": None, "b": np.nan, "c": "", "d": "X", "e": pd.NA}
    assert guide_map(holes) == {"d": "X"}
    with pytest.raises(InputError, match="neither dict-like"):
        guide_map("guide2gene")
    with pytest.raises(InputError, match="2 guide targets for 3 guides"):
        guide_map(["A", "B"], ["g0", "g1", "g2"])
    with pytest.raises(InputError, match="2 columns"):
        guide_map(pd.DataFrame({"a": ["x"], "b": ["y"]}))
    with pytest.raises(InputError, match="twice: g"):
        guide_map(pd.Series(["A", "B"], index=["g", "g"]))


def test_check_guides():
    checked = check_guides(3, ["g2", "g0", "g1"], MAP | {"elsewhere": "Z"})
    assert list(checked.guide_to_target) == ["g2", "g0", "g1"]
    assert checked.notes == ["1 guides of the guide -> target map are not in the guide matrix"]
    with pytest.warns(ProgramDEWarning, match="1 of 3 guides have no target and are left out: odd"):
        assert check_guides(3, ["g0", "odd", "g1"], MAP).guide_to_target == {"g0": "A", "g1": "A"}


@pytest.mark.parametrize(
    ("names", "mapping", "message"),
    [
        (["g0", "g1"], MAP, "too few guide names: 2 names for 3 columns"),
        (["g0", "g1", "g2", "g3"], MAP, "too many guide names: 4 names for 3 columns"),
        (["g0", "g1", "g0"], MAP, r"1 guide name\(s\) occur more than once: g0"),
        (["a", "b", "c"], MAP, "no guide has a target: guides are named a, b, c, .* has g0, g1"),
        (["a", "b", "c"], {}, "no entry"),
    ],
)
def test_bad_names(names, mapping, message):
    with pytest.raises(InputError, match=message):
        check_guides(3, names, mapping)


def test_ntc_labels():
    assert check_ntc_labels(MAP, ["SAFE", "non-targeting"]) == ["non-targeting"]
    assert check_ntc_labels(MAP, "non-targeting") == ["non-targeting"]
    with pytest.raises(InputError, match=r"'NTC'; these look like controls: non-targeting"):
        check_ntc_labels(MAP, "NTC")
    with pytest.raises(InputError, match=r"valid: A, non-targeting"):
        check_ntc_labels(MAP, ["NTC"])
    with pytest.raises(InputError, match="none given"):
        check_ntc_labels(MAP, None)


def test_columns_and_union():
    columns = build_gene_to_cols(["g0", "g2", "g1", "g9"], MAP)
    assert columns == {"A": [0, 2], "non-targeting": [1]}
    G = sparse.csc_matrix(COUNTS)
    assert union_obs_idx_from_cols(G, [0, 1]).tolist() == [0, 1, 3]
    assert union_obs_idx_from_cols(G, []).tolist() == []
    G.data[G.data == 300] = 0
    assert union_obs_idx_from_cols(G, [1]).tolist() == [3]


def test_guide_burden():
    names = ["g0", "g1", "g2"]
    np.testing.assert_allclose(compute_guide_burden(COUNTS), np.log1p([1, 2, 0, 2]))
    kwargs = {"guide_names": names, "guide2gene": MAP, "ntc_labels": ["NTC", "non-targeting"]}
    np.testing.assert_array_equal(
        compute_guide_burden(COUNTS, use_log1p=False, **kwargs), [1, 1, 0, 2]
    )
    np.testing.assert_array_equal(
        compute_guide_burden(COUNTS, use_log1p=False, include_ntc=True, **kwargs), [1, 2, 0, 2]
    )
    np.testing.assert_array_equal(
        compute_guide_burden(COUNTS, use_log1p=False, count_nonzero=False), [300, 3, 0, 6]
    )
    with pytest.raises(InputError, match="needs guide_names"):
        compute_guide_burden(COUNTS, ntc_labels="NTC")
