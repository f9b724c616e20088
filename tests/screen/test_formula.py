"""Covariates by formula: spans against formulaic and scipy's splines, rungs, names, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix
from scipy.interpolate import CubicSpline

from programde.errors import InputError, OptionError
from programde.screen.auto_formula import MAX_COLUMNS
from programde.screen.columns import beyond
from programde.screen.covariates import encode_covariates
from programde.screen.options import CovariateOptions
from programde.screen.splines import curved_columns, natural_spline, quantile_knots
from programde.screen.store import load_screen, save_screen
from tests.io.every_reader import DOORS, doors
from tests.screen.compare import assert_same_screen
from tests.screen.small_screens import small_adata

N = 2400
RNG = np.random.default_rng(11)
TABLE = pd.DataFrame(
    {
        "batch": pd.Categorical(RNG.choice(list("abcd"), N)),
        "log_depth": RNG.normal(9.0, 0.8, N),
        "mito": RNG.beta(2, 20, N),
        "site": RNG.choice(["u", "v"], N),
        "dose": RNG.choice([0.0, 1.0, 3.0], N),
        "my score": RNG.standard_t(5, N),
        "on": RNG.random(N) < 0.4,
    },
    index=[f"c{i}" for i in range(N)],
)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference of the projections onto two column spaces, on 40 random vectors."""
    first, second = (np.linalg.svd(m / np.linalg.norm(m, axis=0), full_matrices=False)
                     for m in (a, b))  # fmt: skip
    bases = [U[:, s > 1e-9 * s[0]] for U, s, _ in (first, second)]
    v = np.random.default_rng(0).normal(size=(len(a), 40))
    one, two = (Q @ (Q.T @ v) for Q in bases)
    return float(np.abs(one - two).max())


# --- the spline


@pytest.mark.parametrize("df", [2, 3, 4, 6])
def test_a_natural_spline_spans_those_of_scipy(df: int) -> None:
    x = RNG.normal(size=500)
    knots = quantile_knots(x, df)
    assert len(knots) == df + 1
    inner = np.sort(np.r_[x[(x > knots[0]) & (x < knots[-1])], knots])
    ours = np.column_stack([np.ones_like(inner), inner, natural_spline(inner, knots)])
    scipys = np.column_stack(
        [CubicSpline(knots, unit, bc_type="natural")(inner) for unit in np.eye(df + 1)]
    )
    assert distance(ours, scipys) < 1e-9
    assert np.linalg.matrix_rank(ours) == df + 1


def test_a_natural_spline_is_straight_beyond_the_outer_knots() -> None:
    knots = np.array([-1.0, 0.2, 0.5, 2.0])
    for beyond_it in (np.linspace(-9, -1, 30), np.linspace(2, 30, 30)):
        second = np.diff(natural_spline(beyond_it, knots), n=2, axis=0)
        np.testing.assert_allclose(second, 0, atol=1e-10)


def test_curved_columns_are_uncorrelated_with_the_line_and_each_other() -> None:
    x = 1e6 + RNG.gamma(2.0, 1e3, N)
    curved = curved_columns(x, 4)
    z = (x - x.mean()) / x.std()
    together = np.column_stack([np.ones(N), z, curved])
    np.testing.assert_allclose(together.T @ together / N, np.eye(5), atol=1e-9)
    np.testing.assert_allclose(curved, curved_columns(3 * x - 7, 4), atol=1e-6)
    # what a curve is for: nearly all of a square that a line leaves
    left = beyond(together, (z**2)[:, None], 0)[0]
    square = beyond(together[:, :2], (z**2)[:, None])[0]
    assert abs(float(left[:, 0] @ square[:, 0] / N)) < 0.15


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        (np.resize([0.0, 1.0], N), 0),
        (np.resize([0.0, 1.0, 5.0], N), 1),
        (np.resize([0.0, 1.0, 5.0, 6.0], N), 2),
        (np.where(np.arange(N) % 10 < 8, 0.0, np.linspace(1, 9, N)), 3),
    ],
)
def test_fewer_distinct_values_make_fewer_columns(values: np.ndarray, columns: int) -> None:
    made = curved_columns(values, 4)
    assert made.shape[1] == columns
    assert np.linalg.matrix_rank(np.column_stack([np.ones(N), values, made])) == columns + 2


# --- auto


def test_auto_is_linear_and_more() -> None:
    table = TABLE[["batch", "log_depth", "mito", "site", "dose"]]
    linear = encode_covariates(table, formula="linear", batch="batch")
    auto = encode_covariates(table, batch="batch")
    straight = auto.matrix[:, auto.tiers == 0]
    np.testing.assert_array_equal(straight, linear.matrix)
    assert linear.tiers.tolist() == [0] * linear.matrix.shape[1]
    assert auto.names == [
        *linear.names,
        *(f"{x} spline {j}" for x in ("log_depth", "mito") for j in (2, 3, 4)),
        *(f"batch={b} x {x}" for x in ("log_depth", "mito") for b in "bcd"),
    ]
    assert auto.tiers.tolist() == [0] * 9 + [1] * 6 + [2] * 6
    assert auto.notes == []
    scaled = auto.matrix / np.linalg.norm(auto.matrix, axis=0)
    assert np.linalg.cond(scaled) < 20
    again = encode_covariates(table, batch="batch")
    np.testing.assert_array_equal(auto.matrix, again.matrix)


def test_auto_spans_a_formula_of_the_same_knots() -> None:
    auto = encode_covariates(TABLE[["batch", "log_depth"]], batch="batch")
    x = TABLE["log_depth"].to_numpy()
    low, *inner, high = quantile_knots(x, 4)
    text = f"batch * log_depth + cs(log_depth, knots={inner}, lower_bound={low}, "
    expected = model_matrix(text + f"upper_bound={high})", TABLE)
    assert distance(auto.matrix, np.asarray(expected, dtype=float)) < 1e-6


@pytest.mark.parametrize("n", [60, 200, 400, 700, 1000])
def test_auto_gives_way_in_small_screens_and_says_so(n: int) -> None:
    table = TABLE[["batch", "log_depth", "mito", "my score"]].iloc[:n]
    auto = encode_covariates(table, batch="batch")
    linear = encode_covariates(table, formula="linear")
    assert auto.matrix.shape[1] <= max(n // 50, linear.matrix.shape[1])
    np.testing.assert_array_equal(auto.matrix[:, auto.tiers == 0], linear.matrix)
    assert any(note.startswith("covariates.formula=auto: ") for note in auto.notes)
    if n == 60:
        assert auto.notes == [
            "covariates.formula=auto: continuous covariates enter straight, for 60 cells carry at "
            "most 1 column"
        ]


@pytest.mark.slow
@pytest.mark.brief
def test_auto_keeps_many_batches_from_making_many_columns() -> None:
    rng = np.random.default_rng(5)
    n = 20_000
    table = pd.DataFrame({f"x{j}": rng.normal(size=n) for j in range(5)})
    table["lane"] = rng.choice([f"l{j}" for j in range(16)], n)
    table.loc[:10, "lane"] = "tiny"
    auto = encode_covariates(table, batch="lane")
    assert auto.matrix.shape[1] <= MAX_COLUMNS
    assert {name.split(" x ")[1] for name in auto.names if " x " in name} == {"x0", "x1"}
    assert any("no slopes per batch of x2, x3, x4" in note for note in auto.notes)
    assert any("fewer than 50 cells: lane=tiny" in note for note in auto.notes)


def test_numbers_that_are_categories_stay_so() -> None:
    encoded = encode_covariates(TABLE[["dose", "mito"]], formula="~ dose * mito")
    assert encoded.names == [
        "intercept", "dose_1", "dose_3", "mito", "dose=1 x mito", "dose=3 x mito",
    ]  # fmt: skip
    as_number = encode_covariates(
        TABLE[["dose"]], formula="~ dose", numeric_as_category_threshold=None
    )
    assert as_number.names == ["intercept", "dose"]
    in_function = encode_covariates(TABLE[["dose"]], formula="~ np.sqrt(dose)")
    assert in_function.names == ["intercept", "np.sqrt(dose)"]


# --- formulas

#: Ours, and the same for formulaic where `dose` is to be a category.
FORMULAS = [
    "~ 1",
    "~ log_depth + mito",
    "~ batch * log_depth + cs(log_depth, df=4) + mito",
    "~ (batch + log_depth + mito)**2",
    "~ batch / log_depth",
    "~ batch:log_depth",
    "~ site + site:batch",
    "~ batch:site",
    "~ batch * cs(log_depth, df=5)",
    "~ batch:cs(mito, df=4)",
    "~ poly(mito, 3) * site",
    "~ bs(log_depth, df=6) + np.sqrt(mito)",
    "~ log(mito) + cs(log(mito), df=5)",
    "~ mito + I(mito**2) + {mito**3}",
    "~ C(site) * on",
    "~ `my score` + cs(`my score`, df=4):site",
    "~ cc(log_depth, df=4)",
    "~ batch*site*log_depth - batch:site:log_depth",
]


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_spans_what_formulaic_makes_of_it(formula: str, standardize: bool) -> None:
    encoded = encode_covariates(TABLE, formula=formula, standardize=standardize, batch="batch")
    expected = np.asarray(model_matrix(formula, TABLE), dtype=np.float64)
    assert distance(encoded.matrix, expected) < 1e-6
    assert encoded.matrix.shape[1] == np.linalg.matrix_rank(expected)
    assert encoded.tiers.tolist() == sorted(encoded.tiers.tolist())
    assert len(set(encoded.names)) == len(encoded.names)
    if standardize and formula not in ("~ batch:log_depth", "~ batch:cs(mito, df=4)"):
        scaled = encoded.matrix / np.linalg.norm(encoded.matrix, axis=0)
        assert np.linalg.cond(scaled) < 60


def test_names_and_rungs_of_a_formula() -> None:
    encoded = encode_covariates(TABLE, formula="~ batch * log_depth + cs(log_depth, df=4) + mito")
    assert dict(zip(encoded.names, encoded.tiers.tolist(), strict=True)) == {
        "intercept": 0, "batch_b": 0, "batch_c": 0, "batch_d": 0, "log_depth": 0, "mito": 0,
        "log_depth spline 2": 1, "log_depth spline 3": 1,
        "batch=b x log_depth": 2, "batch=c x log_depth": 2, "batch=d x log_depth": 2,
    }  # fmt: skip
    assert encoded.notes == ["covariates.formula leaves out covariate(s): site, dose, my score, on"]
    squares = encode_covariates(TABLE, formula="~ mito + I(mito**2) + np.log(log_depth)")
    assert squares.names == ["intercept", "mito", "np.log(log_depth)", "I(mito ** 2)"]
    assert squares.tiers.tolist() == [0, 0, 0, 1]
    line = encode_covariates(TABLE, formula="linear")
    z = line.matrix[:, line.names.index("mito")]
    np.testing.assert_allclose(squares.matrix[:, 1], z, atol=1e-12)
    assert abs(squares.matrix[:, 3] @ z) < 1e-8 * N


def test_a_spline_has_four_degrees_of_freedom_unless_it_says_so() -> None:
    table = TABLE[["mito", "my score"]]
    for short, long in (
        ("~ cs(mito)", "~ cs(mito, df=4)"),
        ("~ cr(`my score`)", "~ cr(`my score`, df=4)"),
        ("~ cs(log(mito), lower_bound=-9)", "~ cs(log(mito), lower_bound=-9, df=4)"),
    ):
        one, two = (encode_covariates(table, formula=formula) for formula in (short, long))
        np.testing.assert_array_equal(one.matrix, two.matrix)


def test_a_dot_is_every_covariate() -> None:
    dot = encode_covariates(TABLE, formula="~ .")
    linear = encode_covariates(TABLE, formula="linear")
    np.testing.assert_array_equal(dot.matrix, linear.matrix)
    assert dot.names == linear.names


def test_without_an_intercept() -> None:
    encoded = encode_covariates(TABLE, add_intercept=False, formula="~ 0 + batch + mito")
    assert encoded.names == ["batch_a", "batch_b", "batch_c", "batch_d", "mito"]


def test_a_column_behind_its_modality_has_its_own_name_too() -> None:
    table = TABLE[["batch", "mito"]].rename(columns={"mito": "rna:mito", "batch": "rna:batch"})
    for formula in ("~ batch * cs(mito, df=4)", "~ `rna:batch` * cs(`rna:mito`, df=4)"):
        encoded = encode_covariates(table, formula=formula)
        expected = model_matrix("batch * cs(mito, df=4)", TABLE)
        assert distance(encoded.matrix, np.asarray(expected, dtype=float)) < 1e-6


REFUSED = [
    ("lineer", r"did you mean 'linear'\? valid: auto, linear, or a formula that begins with ~"),
    ("log_depth + mito", "begins with ~"),
    ("y ~ mito", "names an outcome; the outcomes are the programs: write ~ mito"),
    ("~ log_dept", r"names 'log_dept', which is no covariate; did you mean 'log_depth'"),
    ("~ cs(log_dept, df=4)", r"names 'log_dept', which is no covariate"),
    ("~ lgo(mito)", r"calls 'lgo', which is not known; did you mean 'log'"),
    ("~ log(mito - 1)", r"log\(mito - 1\) is NaN or infinite in 2,400 of 2,400 cells \(first: c0"),
    ("~ mito | site", "more than one part"),
    ("~ mito +", "cannot be read"),
    ("~ mito ~ site", "cannot be read"),
    ("~ (mito", "cannot be read"),
    ("~ 0 + mito", "takes the intercept out; say so by covariates.add_intercept=false"),
    ("~ cs(mito, degree=2)", r"cs\(mito, degree=2\) cannot be computed"),
    ("~ cs(mito, df=-3)", "cannot be computed"),
    ("~ cs(site, df=4)", "takes numbers, and 'site' holds labels"),
    ("~ C(mito)", "has 2,400 levels; make it a number"),
    ("~ C(log(mito))", r"C\(\) takes the name of a covariate"),
    ("~ np.random.normal(mito)", "is not known"),
    ("~ lag(mito)", "calls 'lag', which is not known"),
    ("~ mito.values", "no covariate"),
    ("~ {__import__('os').getcwd()}", "is not known|more than numbers"),
    ("~ {[m for m in mito]}", "more than numbers and functions"),
    ("~ cs(mito, df=3000)", r"cs\(mito, df=3000\) asks for 3000 columns; at most 50"),
    ("~ poly(mito, 51)", "asks for 51 columns; at most 50"),
    ("~ C(`my score`):C(mito)", "has 2,400 levels"),
    ("~ C(log_depth):site", "has 2,400 levels"),
    ("", "is empty"),
]


@pytest.mark.parametrize(("formula", "words"), REFUSED)
def test_what_a_formula_may_not_be(formula: str, words: str) -> None:
    with pytest.raises((OptionError, InputError), match=words) as caught:
        encode_covariates(TABLE, formula=formula)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_formula_is_read_before_there_is_a_table() -> None:
    CovariateOptions(formula="~ batch * nobody_knows_yet")
    with pytest.raises(OptionError, match="cannot be read"):
        CovariateOptions(formula="~ mito +")
    with pytest.raises(OptionError, match="begins with ~"):
        CovariateOptions(formula="spline")


# --- readers and stores


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", [door for door in DOORS if door != "original"])
def test_every_reader_takes_a_formula(door: str, tmp_path) -> None:
    read = doors(small_adata(n=400), tmp_path, door)
    screen = read(formula="~ batch * depth + cs(depth, df=4)")
    expected = encode_covariates(
        small_adata(n=400).obsm["covar"], formula="~ batch * depth + cs(depth, df=4)"
    )
    np.testing.assert_allclose(screen.covariates, expected.matrix, atol=1e-9)
    assert screen.covariate_names == expected.names
    assert screen.covariate_tiers.tolist() == expected.tiers.tolist()
    save_screen(screen, tmp_path / "stored")
    stored = load_screen(tmp_path / "stored")
    assert_same_screen(stored, screen)
    assert stored.covariate_tiers.dtype == np.int8
    with pytest.raises(InputError, match="did you mean 'depth'"):
        read(formula="~ dept")


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("door", [door for door in DOORS if door != "original"])
def test_every_reader_has_auto_as_its_default(door: str, tmp_path) -> None:
    screen = doors(small_adata(n=1200), tmp_path, door)()
    assert set(screen.covariate_tiers.tolist()) == {0, 1, 2}
    assert "depth spline 2" in screen.covariate_names
    assert "batch=B x depth" in screen.covariate_names


def test_the_originals_door_is_straight(tmp_path) -> None:
    screen = doors(small_adata(n=1200), tmp_path, "original")()
    assert not any("spline" in name or " x " in name for name in screen.covariate_names)
    assert screen.covariate_tiers is None
