"""Equal contents have equal stamps, and other contents others."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from programde.errors import OptionError
from programde.stamps import PIECE, code_stamp, stamp


@dataclass(frozen=True)
class Thing:
    name: str
    values: np.ndarray


def square(x):
    return x**2


def power_of(n):
    def power(x):
        return x**n

    return power


TABLE = pd.DataFrame({"depth": [1.0, 2.0], "day": ["a", "b"]})
#: Pairs of things that differ.
OTHERS = [
    (1, 2), (1, 1.0), (1, True), (None, "None"), ("ab", "ac"), (["ab", "c"], ["a", "bc"]),
    ([["a"], ["b"]], [["a", "b"], []]), (b"a", b"b"), ({"a": 1, "b": 2}, {"a": 1, "b": 3}),
    (np.float64(1), np.float32(1)), (np.arange(3), np.arange(3.0)), (np.zeros(4), np.zeros((2, 2))),
    (np.array(["a", "b"], object), np.array(["b", "a"], object)), (np.array(1.0), np.array(2.0)),
    (np.array([0.0]), np.array([-0.0])), (np.empty((0, 2)), np.empty((0, 3))),
    (sparse.eye(3, format="csc"), sparse.eye(4, format="csc")),
    (TABLE, TABLE.assign(day=["a", "c"])), (TABLE, TABLE.rename(columns={"day": "time"})),
    (Thing("a", np.zeros(2)), Thing("a", np.ones(2))), (square, power_of(2)),
    (power_of(2), power_of(3)),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), OTHERS, ids=range(len(OTHERS)))
def test_other_contents_have_other_stamps(one, other):
    assert stamp(one) == stamp(one)
    assert stamp(one) != stamp(other)


def test_where_an_array_lies_does_not_matter():
    array = np.arange(60.0).reshape(6, 10)
    assert stamp(array) == stamp(np.asfortranarray(array)) == stamp(np.repeat(array, 2, 0)[::2])
    long = np.arange(PIECE // 8 + 5)
    assert stamp(long) != stamp(np.r_[long[:-1], 0])


@pytest.mark.slow
@pytest.mark.brief
def test_the_same_in_another_process():
    code = (
        "import numpy as np; from programde.stamps import code_stamp, stamp;"
        "print(stamp({'a': np.arange(3), 'b': ['x', None]}), code_stamp())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert told.stdout.split() == [stamp({"a": np.arange(3), "b": ["x", None]}), code_stamp()]


@pytest.mark.parametrize(
    "thing",
    [object(), partial(square, 1), {1, 2}],
    ids=["an object", "a partial function", "a set"],
)
def test_what_cannot_be_told_is_refused(thing):
    with pytest.raises(OptionError, match="cannot be told by what it holds"):
        stamp([thing])


def test_a_function_without_source_is_refused():
    made: dict = {}
    exec("def unseen(x): return x", made)
    with pytest.raises(OptionError, match="has no source that could be read"):
        stamp(made["unseen"])
