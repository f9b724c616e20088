import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.screen.covariates import (
    batch_labels,
    encode_categorical_covariates,
    encode_covariates,
    independent_columns,
)

N = 120
RNG = np.random.default_rng(3)
DEPTH = RNG.normal(8, 2, N)
MITO = RNG.gamma(2, 1, N)
BATCH = np.resize(["A", "B", "C"], N)


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=[f"c{i}" for i in range(N)])


def span(C: np.ndarray) -> np.ndarray:
    Q, _ = np.linalg.qr(C)
    return Q @ Q.T


def test_numbers_are_z_scored_and_labels_one_hot():
    encoded = encode_covariates(table(depth=DEPTH, batch=BATCH), formula="linear")
    assert encoded.names == ["intercept", "depth", "batch_B", "batch_C"]
    expected = np.column_stack(
        [np.ones(N), (DEPTH - DEPTH.mean()) / DEPTH.std(), BATCH == "B", BATCH == "C"]
    )
    np.testing.assert_allclose(encoded.matrix, expected, atol=1e-12)
    assert encoded.notes == []


def test_options():
    encoded = encode_covariates(
        table(depth=DEPTH), add_intercept=False, standardize=False, formula="linear"
    )
    np.testing.assert_array_equal(encoded.matrix, DEPTH[:, None])
    few = np.resize([1.0, 2.0, 5.0], N)
    assert encode_covariates(table(x=few)).names == ["intercept", "x_2", "x_5"]
    assert encode_covariates(table(x=few), numeric_as_category_threshold=2).names[1:] == ["x"]
    assert encode_covariates(table(x=few), numeric_as_category_threshold=None).names[1:] == ["x"]
    with pytest.raises(OptionError, match="numeric_as_category_threshold"):
        encode_covariates(table(x=few), numeric_as_category_threshold=2.5)


def test_numbers_that_hardly_repeat_stay_numbers_in_a_tiny_screen():
    tiny = pd.DataFrame({"depth": np.arange(12.0)})
    assert encode_covariates(tiny).names == ["intercept", "depth"]


@pytest.mark.parametrize("factor", [1e-300, 1e-8, 7.0, 1e8, 1e300, -3.0])
def test_scale_of_a_covariate_changes_nothing(factor):
    plain = encode_covariates(table(depth=DEPTH, mito=MITO, batch=BATCH))
    scaled = encode_covariates(table(depth=DEPTH * factor, mito=MITO, batch=BATCH))
    assert scaled.names == plain.names
    signs = np.array([1, np.sign(factor), 1, 1, 1])
    np.testing.assert_allclose(scaled.matrix, plain.matrix * signs, atol=1e-12)


@pytest.mark.parametrize(
    "labels",
    [
        pd.Categorical(BATCH, categories=["C", "A", "B", "unused"]),
        BATCH.astype(object),
        np.array([b.encode() for b in BATCH], dtype=object),
        pd.array(BATCH, dtype="string"),
        np.where(BATCH == "A", 1, BATCH.astype(object)),
        np.where(BATCH == "A", True, BATCH.astype(object)),
        pd.to_datetime(np.where(BATCH == "A", "2020-01-01", "2021-01-01")),
    ],
    ids=["category", "object", "bytes", "string", "mixed", "mixed bool", "dates"],
)
def test_label_columns_of_any_kind_span_the_same(labels):
    encoded = encode_covariates(table(batch=labels))
    expected = np.column_stack([np.ones(N)] + [np.asarray(labels == v, float) for v in set(labels)])
    np.testing.assert_allclose(span(encoded.matrix), span_of_rank(expected), atol=1e-10)


def span_of_rank(C: np.ndarray) -> np.ndarray:
    u, s, _ = np.linalg.svd(C, full_matrices=False)
    return u[:, s > 1e-9] @ u[:, s > 1e-9].T


def test_bool_and_object_numbers():
    encoded = encode_covariates(table(on=BATCH == "A", x=DEPTH.astype(object)))
    assert encoded.names == ["intercept", "on_True", "x"]
    np.testing.assert_array_equal(encoded.matrix[:, 1], BATCH == "A")


def test_constant_columns_are_dropped_and_named():
    with pytest.warns(ProgramDEWarning, match=r"constant covariate\(s\) dropped: five, one, site"):
        encoded = encode_covariates(table(five=np.full(N, 5.0), one=1.0, site="x", depth=DEPTH))
    assert encoded.names == ["intercept", "depth"]


def test_an_intercept_that_is_there_is_no_news():
    encoded = encode_covariates(table(intercept=1.0, depth=DEPTH))
    assert encoded.names == ["intercept", "depth"]
    assert encode_covariates(np.column_stack([np.ones(N), DEPTH])).names == ["intercept", "covar_1"]
    without = encode_covariates(table(const=1.0, depth=DEPTH), add_intercept=False)
    assert without.names == ["intercept", "depth"]


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("standardize", [True, False])
def test_aliased_columns_are_dropped_and_named(scale, standardize):
    columns = {
        "depth": DEPTH,
        "mito": MITO,
        "sum": scale * (2 * DEPTH - 3 * MITO + 1),
        "batch": BATCH,
        "is_c": (BATCH == "C") * scale,
    }
    with pytest.warns(ProgramDEWarning, match=r"linear combinations .* dropped: sum, is_c"):
        encoded = encode_covariates(table(**columns), standardize=standardize)
    assert encoded.names == ["intercept", "depth", "mito", "batch_B", "batch_C"]


def test_independent_columns_has_the_rank_of_the_svd_and_prefers_earlier_columns():
    rng = np.random.default_rng(0)
    for _ in range(20):
        C = rng.normal(size=(40, 4)) @ rng.integers(-1, 2, size=(4, 9)) * 10.0 ** rng.uniform(-6, 6)
        kept = independent_columns(C)
        assert len(kept) == np.linalg.matrix_rank(C)
        for j in range(9):
            # numpy 2.0 knows no rank of an empty matrix
            before = np.linalg.matrix_rank(C[:, :j]) if j else 0
            grows = np.linalg.matrix_rank(C[:, : j + 1]) > before
            assert (j in kept) == (bool(grows) if j else bool(C[:, 0].any()))


def test_independent_columns_of_odd_shapes():
    assert list(independent_columns(np.zeros((5, 2)))) == []
    assert list(independent_columns(np.empty((0, 3)))) == []
    assert list(independent_columns(np.empty((3, 0)))) == []
    assert list(independent_columns(np.arange(1.0, 13).reshape(2, 6))) == [0, 1]
    with pytest.raises(InputError, match="not finite: b"):
        independent_columns(np.array([[1.0, np.nan]] * 3), names=["a", "b"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"depth": np.where(DEPTH.max() - 1e-9 < DEPTH, np.nan, DEPTH)},
            "'depth': 1 of 120 .*miss",
        ),
        ({"depth": np.where(BATCH == "A", np.inf, DEPTH)}, "'depth': 40 of 120 .* infinite"),
        ({"lot": np.where(BATCH == "A", None, BATCH)}, r"'lot': 40 of 120 .*missing \(first: c0"),
        ({"name": [f"n{i}" for i in range(N)]}, "'name' has 120 different labels for 120 cells"),
        ({"z": DEPTH + 1j}, "'z' holds complex numbers"),
    ],
)
def test_bad_columns_are_named(columns, message):
    with pytest.raises(InputError, match=message) as caught:
        encode_covariates(table(**columns))
    assert "\n" not in str(caught.value)


def test_bad_tables():
    with pytest.raises(InputError, match="same name: a"):
        encode_covariates(pd.DataFrame(np.ones((5, 2)), columns=["a", "a"]))
    with pytest.raises(InputError, match="must be a table"):
        encode_covariates(np.ones((5, 2, 2)))
    with pytest.raises(InputError, match="leave nothing"):
        encode_covariates(np.random.default_rng(0).normal(size=(6, 4)))
    with pytest.raises(InputError, match="no covariate is left"):
        encode_covariates(pd.DataFrame(index=range(5)), add_intercept=False)


def test_input_is_not_modified():
    frame = table(depth=DEPTH.astype(object), batch=pd.Categorical(BATCH))
    copy = frame.copy(deep=True)
    encode_covariates(frame)
    pd.testing.assert_frame_equal(frame, copy)


def test_seed_helper_returns_a_table():
    frame = table(depth=DEPTH, batch=BATCH)
    assert list(encode_categorical_covariates(frame)) == ["depth", "batch_B", "batch_C"]
    full = encode_categorical_covariates(frame, drop_first=False)
    assert list(full) == ["depth", "batch_A", "batch_B", "batch_C"]
    np.testing.assert_array_equal(full["depth"], DEPTH)


def test_batch_labels_are_text():
    assert batch_labels(pd.DataFrame({"b": [1.0, 2.0, 2.5]}), "b").tolist() == ["1", "2", "2.5"]
    assert batch_labels(pd.DataFrame({"b": [1, 2]}), "b").tolist() == ["1", "2"]
    with pytest.raises(InputError, match="1 of 2 labels are missing"):
        batch_labels(pd.DataFrame({"b": ["x", None]}), "b")
