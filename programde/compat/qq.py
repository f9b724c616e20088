"""Arrays and pictures of QQ plots, with the parameters of the original."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from programde.errors import InputError, OptionError
from programde.report import qq


def expected_quantiles(m: int) -> np.ndarray:
    """Expected quantiles (i - 1/2) / m of m sorted uniform p-values.

    Parameters
    ----------
    m
        How many.

    Returns
    -------
    (m,) float64
        The quantiles, ascending.

    Examples
    --------
    >>> import programde as pde
    >>> pde.expected_quantiles(4).tolist()
    [0.125, 0.375, 0.625, 0.875]
    """
    return qq.expected_quantiles(m)


def qq_expected_grid(pvals: object) -> np.ndarray:
    """Expected quantiles of as many p-values as are given.

    Parameters
    ----------
    pvals
        P-values of any shape; missing ones do not count.

    Returns
    -------
    (m,) float64
        As `expected_quantiles`.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.qq_expected_grid([0.3, np.nan]).tolist()
    [0.5]
    """
    return qq.expected_quantiles(_finite(pvals).size)


def qq_coords(pvals: object) -> tuple[np.ndarray, np.ndarray]:
    """Expected and observed -log10 p, from the smallest p-value to the largest.

    Parameters
    ----------
    pvals
        P-values of any shape; missing ones do not count.

    Returns
    -------
    expected : (m,) float64
        Of as many uniform p-values.
    observed : (m,) float64
        Of those given.

    Examples
    --------
    >>> import programde as pde
    >>> expected, observed = pde.qq_coords([0.1, 0.01])
    >>> expected.round(2).tolist(), observed.tolist()
    ([0.6, 0.12], [2.0, 1.0])
    """
    return qq.qq_coords(pvals)


def bootstrap_qq_envelope(
    pvals: object,
    n_boot: int = 200,
    alpha: float = 0.1,
    seed: int = 0,
    *,
    n_points: int = 200,
    cluster: Sequence[object] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pointwise bootstrap envelope of a QQ curve, from the quantile alpha/2 to 1 - alpha/2.

    Parameters
    ----------
    pvals
        P-values of any shape.
    n_boot, alpha, seed
        Replicates, the share outside the envelope, and seed.
    n_points
        At so many places of the curve.
    cluster
        One label per p-value: those of one label are drawn together; see
        `programde.report.qq.bootstrap_qq_envelope`.

    Returns
    -------
    expected : (n,) float64
        Expected -log10 p at the places of the envelope.
    low, high : (n,) float64
        Its edges, as -log10 p.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> p = np.random.default_rng(0).uniform(size=300)
    >>> expected, low, high = pde.bootstrap_qq_envelope(p, n_boot=50)
    >>> bool((low <= high).all())
    True
    """
    if not 0 < alpha < 1:
        raise OptionError(f"alpha={alpha!r} must lie between 0 and 1")
    return qq.bootstrap_qq_envelope(
        pvals, n_boot, seed, level=1 - alpha, n_points=n_points, cluster=cluster
    )


def plot_qq_curves(
    curves: Mapping[str, object] | Sequence[tuple[str, object]],
    out_png: str | os.PathLike[str],
    title: str,
    envelope: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> Path:
    """QQ curves in one picture, written as a PNG file.

    Parameters
    ----------
    curves
        Label -> p-values (any array or table), or pairs of both.
    out_png
        The file; its folder is made where missing.
    title
        Title.
    envelope
        (expected, low, high) as -log10, of `bootstrap_qq_envelope`.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> import tempfile
    >>> import programde as pde
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pde.plot_qq_curves({"raw": [0.1, 0.5]}, f"{folder}/qq.png", "controls").name
    'qq.png'
    """
    from programde.report.qq_plots import qq_panel
    from programde.report.style import save_png

    named = dict(curves)
    if not named:
        raise InputError("there is no curve to draw")
    ax = qq_panel(named, title=title, envelope=envelope)
    return Path(save_png(ax, Path(out_png)))


def _finite(pvals: object) -> np.ndarray:
    values = np.asarray(pvals, dtype=np.float64).ravel()
    return values[np.isfinite(values)]
