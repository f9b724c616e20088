"""Saddlepoints of a unit's tests: what the kernels fill in, and the same by name."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

#: Columns of the array (J, N_COLUMNS) in which kernels leave what they know of J saddlepoints.
ROOT, EXPONENT, K2, K3, K4, FOURTH, RESIDUAL, PASSES, MOVED, SPAN = range(10)
N_COLUMNS = 10


@dataclass(frozen=True, eq=False)
class Roots:
    """Saddlepoints l of J tests, K'(l) = s, K being the cumulant generating function.

    Attributes
    ----------
    root : (J,)
        l > 0; NaN where none was come near to. On a lattice of span d: (2 / d) sinh(l d / 2).
    exponent : (J,)
        l s - K(l).
    k2, k3, k4 : (J,)
        K'', K''' and K'''' at l.
    fourth : (J,)
        sum q a^4 over the cells, q being the variance of a cell's tilted indicator.
    passes : (J,)
        Passes over the cells; negative where no root was reached.
    """

    root: np.ndarray
    exponent: np.ndarray
    k2: np.ndarray
    k3: np.ndarray
    k4: np.ndarray
    fourth: np.ndarray
    passes: np.ndarray

    @classmethod
    def from_columns(cls, table: np.ndarray) -> Roots:
        """From what the kernels filled in, (J, N_COLUMNS)."""
        columns = (ROOT, EXPONENT, K2, K3, K4, FOURTH, PASSES)
        return cls(*(table[:, column] for column in columns))

    def __getitem__(self, which: np.ndarray) -> Roots:
        return Roots(*(getattr(self, item.name)[which] for item in fields(self)))


@dataclass(frozen=True, eq=False)
class Inverted:
    """Tails of J tests by inversion along the contour.

    Attributes
    ----------
    log_p : (J,)
        -inf where no draw was found to reach the threshold.
    gap : (J,)
        Relative difference from the sum over half of the nodes.
    nodes : (J,)
        Nodes of the integral; 0 where draws were counted instead, negative where single draws
        carry weight.
    failed : (J,)
        1 where the integral could not be formed.
    """

    log_p: np.ndarray
    gap: np.ndarray
    nodes: np.ndarray
    failed: np.ndarray
