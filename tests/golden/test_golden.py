"""The numbers of two small screens are those that were stored: see `make`."""

import re
from typing import NamedTuple

import numpy as np
import pytest

from tests.golden import make


class Exception_(NamedTuple):
    """Arrays that may differ from the stored ones: which, by how much in log p, and why."""

    pattern: str
    bound: float
    why: str


#: Named and argued; all other numbers must be the same.
EXCEPTIONS = [
    Exception_(
        r"/saddlepoint\.(left|right)\.p$",
        0.04,
        "both tails may come from one pass, in which the two-sided p-value decides whether the "
        "moments are enough (above 0.005, and to 2 % of it): a one-sided p-value near that level "
        "may then be found in the other way",
    ),
]

#: Greatest difference of log p, as a share of log p where p is tiny.
P = 1e-12
#: Greatest difference of effects, absolute below 1 and relative above.
EFFECT = 1e-14


@pytest.fixture(scope="module")
def stored():
    return make.load()


def is_p(name):
    """Whether an array holds p-values (or q-values)."""
    last = re.split(r"[./]", name)[-1]
    return bool(re.match(r"[pq](_|$)", last))


def difference(name, new, old):
    """The greatest difference of two arrays in the units in which it is judged, and its bound."""
    if old.dtype.kind != "f":
        return float(np.count_nonzero(new != old)), 0.0
    if not np.array_equal(np.isnan(new), np.isnan(old)):
        return np.inf, 0.0
    seen = ~np.isnan(old)
    new, old = new[seen].astype(np.float64), old[seen]
    if new.size == 0:
        return 0.0, 0.0
    if is_p(name):
        if np.any((old < 0) | (new < 0)) or not np.array_equal(old == 0, new == 0):
            return np.inf, 0.0
        some = old > 0
        a, b = np.log(new[some]), np.log(old[some])
        found = np.abs(a - b)
        for exception in EXCEPTIONS:
            if re.search(exception.pattern, name):
                return float(found.max(initial=0.0)), exception.bound
        return float((found / np.maximum(1.0, np.abs(b))).max(initial=0.0)), P
    infinite = ~np.isfinite(old)
    if not np.array_equal(new[infinite], old[infinite]):
        return np.inf, 0.0
    a, b = new[~infinite], old[~infinite]
    return float((np.abs(a - b) / np.maximum(1.0, np.abs(b))).max(initial=0.0)), EFFECT


@pytest.mark.parametrize("case", make.CASES)
def test_numbers_are_the_stored_ones(case, stored):
    before = {n: a for n, a in stored.items() if n.startswith(f"{case}/")}
    now = {f"{case}/{key}": np.asarray(value) for key, value in make.compute(case).items()}
    assert set(before) <= set(now)  # tables may gain columns
    wrong = []
    for name, old in before.items():
        new = now[name]
        if new.shape != old.shape:
            wrong.append(f"{name}: shape {new.shape}, was {old.shape}")
            continue
        found, bound = difference(name, new, old)
        if not found <= bound:
            wrong.append(f"{name}: differs by {found:.3g}, more than {bound:g}")
    assert not wrong, "\n".join(wrong)


def test_every_stored_case_is_recomputed(stored):
    assert {name.split("/")[0] for name in stored} - {"origin"} == set(make.CASES)
    assert str(stored["origin"]) == make.ORIGIN


def test_the_screens_reach_what_they_are_meant_to(stored):
    """Small p-values and large ones, the ways of the exact tails, refusals and fallbacks."""
    ways = [a for name, a in stored.items() if name.endswith("saddlepoint.both.branch")]
    assert {"moments", "saddlepoint", "inversion"} <= set(np.concatenate(ways).tolist())
    p = stored["one.ols.bernoulli.targets/saddlepoint.both.p"]
    assert np.nanmin(p) < 1e-20
    assert np.nanmax(p) > 0.9
    assert stored["one.ols.bernoulli.targets/untested"].any()
    refused = [a for name, a in stored.items() if name.endswith("skew_normal.both.fallback")]
    assert sum(int(a.sum()) for a in refused) > 10
