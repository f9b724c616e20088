import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.screen.build import Parts, build_screen
from programde.screen.composition import (
    Floor,
    check_usage,
    clr,
    clr_from_usage,
    floor_and_close,
    floor_value,
    transformed,
)
from programde.screen.store import load_screen, save_screen

NAMES = [f"c{i}" for i in range(6)]


def usages(k: int = 3) -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(k), 6)


def test_floor_and_clr_equal_the_formula():
    U, eps = usages(), 0.05
    raised = np.where(eps > U, eps, U)
    closed = raised / raised.sum(axis=1)[:, None]
    np.testing.assert_allclose(floor_and_close(U, eps), closed, rtol=1e-14)
    geometric = np.prod(closed, axis=1) ** (1 / 3)
    np.testing.assert_allclose(clr(closed), np.log(closed / geometric[:, None]), atol=1e-13)


def test_clr_rows_sum_to_zero_and_do_not_depend_on_row_scale():
    U = usages()
    np.testing.assert_allclose(clr(U).sum(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(clr(U * np.arange(1, 7)[:, None]), clr(U), atol=1e-13)


@pytest.mark.parametrize("kind", ["quantile", "positive_quantile", "fixed"])
def test_floor_kinds(kind):
    U = usages(8)
    eps, note = floor_value(U, Floor(kind, eps_quantile=0.1, eps_scale=0.5, eps=0.01))
    expected = {
        "quantile": np.quantile(U, 0.1),
        "positive_quantile": 0.5 * np.quantile(U, 0.1),
        "fixed": 0.01,
    }
    assert eps == expected[kind]
    assert note is None


def test_floor_of_zero_becomes_the_positive_quantile_and_says_so():
    U = usages()
    U[:, 0] = 0
    with pytest.warns(ProgramDEWarning, match=r"0\.1 quantile of the usages is 0 \(33\.3%"):
        eps, note = floor_value(U, Floor("quantile", eps_quantile=0.1))
    assert eps == np.quantile(U[U > 0], 0.1)
    assert f"{eps:.6g}" in note


def test_floor_above_everything_is_refused():
    with pytest.raises(InputError, match="not below the largest usage"):
        floor_value(usages(), Floor("fixed", eps=0.9999))
    with pytest.raises(InputError, match="not below"):
        floor_value(np.eye(6, 3) + np.eye(6, 3, -3), Floor("quantile"))


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "quantil"},
        {"eps_quantile": 1.0},
        {"eps_quantile": -0.1},
        {"eps_quantile": "0.1"},
        {"eps_quantile": float("nan")},
        {"eps_scale": 0},
        {"eps_scale": True},
        {"kind": "fixed"},
        {"kind": "fixed", "eps": 0},
        {"kind": "fixed", "eps": 2},
        {"kind": "share", "share_of_mean": 1.0},
        {"transform": "log"},
        {"kind": "none"},
        {"transform": "none"},
    ],
)
def test_bad_floor_options(options):
    with pytest.raises(OptionError):
        Floor(**options)


def test_clr_from_usage_is_floor_then_clr():
    U = usages(5)
    eps = np.quantile(U, 0.2)
    np.testing.assert_array_equal(clr_from_usage(U, 0.2), clr(floor_and_close(U, eps)))


@pytest.mark.parametrize("wrap", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_usages_of_any_kind(wrap):
    U = usages()
    checked = check_usage(wrap(U), None, NAMES)
    np.testing.assert_array_equal(checked.usage, U)
    assert checked.program_names == ["program_0", "program_1", "program_2"]


def test_dataframe_keeps_its_columns_and_is_reordered_with_a_warning():
    table = pd.DataFrame(usages(), index=NAMES, columns=["a", "b", "c"])
    assert check_usage(table, None, NAMES).program_names == ["a", "b", "c"]
    with pytest.warns(ProgramDEWarning, match=r"6 of 6 rows reordered"):
        checked = check_usage(table.iloc[[2, 0, 5, 1, 3, 4]], None, NAMES)  # not its own inverse
    np.testing.assert_array_equal(checked.usage, table.to_numpy())
    assert len(checked.notes) == 1


def test_dataframe_without_names_is_taken_by_position():
    table = pd.DataFrame(usages())
    np.testing.assert_array_equal(check_usage(table, None, NAMES).usage, table.to_numpy())


def test_dataframe_with_other_cells_is_refused():
    table = pd.DataFrame(usages(), index=[*NAMES[:5], "other"])
    with pytest.raises(InputError, match=r"1 of 6 cells are not in its index \(first: c5"):
        check_usage(table, None, NAMES)
    twice = pd.DataFrame(usages(), index=[*NAMES[1:], "c5"])
    with pytest.raises(InputError, match="c0"):
        check_usage(twice, None, NAMES)


@pytest.mark.parametrize(("off", "told"), [(0.9e-5, False), (1.1e-5, True)])
def test_sums_of_float32_are_ones(off, told):
    U = usages() / usages().sum(axis=1, keepdims=True) * (1 + off)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_usage(U, None, NAMES)
    assert bool(caught) is told


def test_rows_that_do_not_sum_to_one_are_renormalised_with_a_warning():
    U = usages()
    with pytest.warns(ProgramDEWarning, match=r"6 of 6 rows did not sum to 1 \(sums from 2 to 2\)"):
        checked = check_usage(2 * U, None, NAMES)
    np.testing.assert_allclose(checked.usage, U, rtol=1e-15)
    check_usage(U.astype(np.float32), None, NAMES)  # rounding of float32 is no reason to warn


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"2 NaN or infinite value\(s\) in 1 cell\(s\): c2"),
        (np.inf, r"2 NaN or infinite value\(s\) in 1 cell\(s\): c2"),
        (-0.5, r"2 negative value\(s\) in 1 cell\(s\): c2"),
    ],
)
def test_bad_entries_are_counted_and_named(value, message):
    U = usages()
    U[2, :2] = value
    with pytest.raises(InputError, match=message):
        check_usage(U, None, NAMES)


def test_empty_cells_are_refused_or_dropped():
    U = usages()
    U[[1, 4]] = 0
    with pytest.raises(InputError, match=r"2 of 6 cell\(s\): c1, c4; .* on_empty='drop'"):
        check_usage(U, None, NAMES)
    with pytest.warns(ProgramDEWarning, match="dropped cells"):
        checked = check_usage(U, None, NAMES, on_empty="drop")
    np.testing.assert_array_equal(checked.keep, [True, False, True, True, False, True])
    np.testing.assert_array_equal(checked.usage, U[checked.keep])
    with pytest.raises(InputError, match="in every cell"):
        check_usage(0 * U, None, NAMES, on_empty="drop")
    with pytest.raises(OptionError, match="on_empty"):
        check_usage(U, None, NAMES, on_empty="fill")


@pytest.mark.parametrize(
    ("usage", "names", "message"),
    [
        (usages()[:5], None, "5 rows for 6 cells"),
        (usages(8)[:3].T @ np.ones((3, 6)), None, "8 rows for 6 cells; it looks transposed"),
        (usages()[:, :1], None, "needs at least 2 programs"),
        (usages()[:, 0], None, "must be a matrix"),
        (usages(), ["a", "b"], "2 program names for 3 programs"),
        (usages(), ["a", "b", "a"], "not unique: a"),
        (np.full((6, 3), "x"), None, "does not hold numbers"),
    ],
)
def test_bad_shapes_and_names(usage, names, message):
    with pytest.raises(InputError, match=message) as caught:
        check_usage(usage, names, NAMES)
    assert "\n" not in str(caught.value)


def test_floor_as_a_multiple_of_the_mean_usage():
    for n_programs in (3, 30):
        U = np.random.default_rng(0).dirichlet(np.ones(n_programs), 50)
        eps, note = floor_value(U, Floor("share", share_of_mean=0.03))
        assert (eps, note) == (0.03 / n_programs, None)


def test_square_roots_and_arcsines_need_no_floor():
    U = usages()
    U[0] = [1.0, 0.0, 0.0]
    assert floor_value(U, Floor("none", transform="hellinger")) == (0.0, None)
    np.testing.assert_array_equal(transformed(U, "hellinger"), np.sqrt(U))
    arc = transformed(U * (1 + 1e-15), "arcsine")
    np.testing.assert_allclose(np.sin(arc) ** 2, U, atol=1e-12)
    assert arc.max() == np.pi / 2
    np.testing.assert_array_equal(transformed(U + 0.1, "clr"), clr(U + 0.1))


def test_scores_are_taken_as_they_are():
    scores = np.random.default_rng(1).normal(size=(6, 1)) - 2
    checked = check_usage(scores, None, NAMES, scores=True)
    np.testing.assert_array_equal(checked.usage, scores)
    assert checked.keep.all()
    assert not checked.notes
    with pytest.raises(InputError, match="signed program scores are taken with transform=none"):
        check_usage(scores[:, [0, 0]], None, NAMES)
    with pytest.raises(InputError, match="1 NaN or infinite value"):
        check_usage(np.where(scores == scores[2], np.nan, scores), None, NAMES, scores=True)


@pytest.mark.parametrize(
    ("floor", "unit"),
    [
        (Floor("fixed", eps=0.03), "log-ratio"),
        (Floor("none", transform="hellinger"), "square root of usage"),
        (Floor("none", transform="none"), "program score"),
    ],
)
def test_a_screen_knows_its_scale_and_what_came_in(floor, unit, tmp_path):
    usage = usages()
    usage[0] = [0.5, 0.5, 0.0]
    parts = Parts(NAMES, usage, None, np.ones((6, 1)), {"g": "T"}, guide_names=["g"])
    screen = build_screen(parts, floor=floor)
    assert (screen.transform, screen.effect_unit) == (floor.transform, unit)
    raised = floor_and_close(usage, 0.03) if floor.kind == "fixed" else usage
    np.testing.assert_array_equal(screen.usage, raised)
    np.testing.assert_array_equal(screen.clr, transformed(raised, floor.transform))
    save_screen(screen, tmp_path / "screen")
    again = load_screen(tmp_path / "screen")
    assert (again.transform, again.floor) == (screen.transform, screen.floor)
    before = usage if floor.kind == "fixed" else None
    for one in (screen, again):
        np.testing.assert_array_equal(one.unfloored, before)
