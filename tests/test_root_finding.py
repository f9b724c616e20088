"""A root between two ends: against scipy, and where there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import brentq

from programde.errors import OptionError
from programde.root_finding import bracketed_root

FUNCTIONS: list[tuple[Callable[[float], float], float, float]] = [
    (lambda x: x * x - 2.0, 0.0, 2.0),
    (lambda x: float(np.exp(x)) - 1e5, -60.0, 60.0),
    (lambda x: float(np.tanh(x - 3.0)) + 0.2, -60.0, 60.0),
    (lambda x: 1e-9 - x, -1.0, 1.0),
    (lambda x: float(np.arctan(1e6 * (x - 0.3))), -1.0, 1.0),
]


@pytest.mark.parametrize("which", range(len(FUNCTIONS)))
def test_the_root_is_scipys(which: int) -> None:
    function, low, high = FUNCTIONS[which]
    steps: list[float] = []

    def counted(x: float) -> float:
        steps.append(x)
        return function(x)

    assert bracketed_root(counted, low, high) == pytest.approx(
        brentq(function, low, high), rel=1e-12, abs=3e-12
    )
    assert len(steps) <= 65


def test_a_root_at_an_end_is_found() -> None:
    assert bracketed_root(lambda x: x, 0.0, 1.0) == 0.0
    assert bracketed_root(lambda x: x - 1.0, 0.0, 1.0) == 1.0


@pytest.mark.parametrize("constant", [1.0, -1.0, float("nan")])
def test_without_a_change_of_sign_there_is_one_line(constant: float) -> None:
    with pytest.raises(OptionError, match="no root between"):
        bracketed_root(lambda x: constant, 0.0, 1.0)
