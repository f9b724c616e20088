"""From observed effects and null summaries to p-values: the calibrations, by name.

A calibration is a function of a result, a side and `Sources` that answers with `Calibrated`
(`Calibration`). It knows nothing of statistics or samplers. To add one, write the function and a
line in `CALIBRATIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from programde.calibration import skew_normal
from programde.calibration.empirical import empirical_p
from programde.calibration.moments import moment_skew_normal
from programde.crt.results import CRTResult
from programde.errors import InputError, OptionError, check_choice
from programde.tails.formulas import SIDES

if TYPE_CHECKING:
    import pandas as pd

    from programde.controls.control_units import ControlUnits
    from programde.controls.null_tables import EmpiricalNull


@dataclass(frozen=True)
class Calibrated:
    """P-values of G units x K programs.

    Attributes
    ----------
    method
        Name of the calibration.
    p_value : (G, K) float64
        NaN where a test could not be done.
    fallback : (G, K) object
        Empty where the calibration holds; else what was used in its place, and why, or what is to
        be known of the p-value ("rough: ...").
    side
        ``"both"``, ``"left"`` or ``"right"``: the alternative of these p-values, and of all that
        is made of them (tables, omnibus, verdict).
    reason : (G, K) object or None
        Why the calibration gives no p-value where the test as such could be done; empty elsewhere.
    branch : (G, K) object or None
        By which of its ways a calibration that has several got each p-value; for exact tails:
        "first order" (the cumulants of the first-order law), "conditional" (the double
        saddlepoint), "permutation" (the exact law where covariates are one factor) and
        "separated" (first-order law under a ridge) given covariates, see `tails.conditional`;
        "moments", "saddlepoint", "inversion", "enumeration", "chernoff" and "end" otherwise, see
        `tails.exact`.
    p_moments : (G, K) float64 or None
        Beside exact tails, p-values of the skew-normal with the exact null moments (given
        covariates: those of the first-order law): a check.
    evidence
        The comparison with control guides behind the p-values; None where there was none.
    """

    method: str
    p_value: np.ndarray
    fallback: np.ndarray
    side: str = "both"
    branch: np.ndarray | None = None
    evidence: EmpiricalNull | None = None
    reason: np.ndarray | None = None
    p_moments: np.ndarray | None = None


@dataclass(frozen=True)
class Sources:
    """What a calibration may use beside the result.

    Attributes
    ----------
    controls
        Control units of the screen; None where they are not at hand.
    options
        Options of the calibration itself.
    """

    controls: ControlUnits | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Calibration(Protocol):
    """From a result to p-values."""

    def __call__(self, result: CRTResult, side: str, sources: Sources) -> Calibrated:
        """P-values of the side ``"both"``, ``"left"`` or ``"right"``.

        Raises
        ------
        OptionError
            If something is needed that is not there.
        """


def _need_draws(result: CRTResult, method: str) -> None:
    if result.null.n_draws < 1:
        raise OptionError(
            f"calibrate={method} needs null draws, but n_resamples=0; "
            "draw some (n_resamples=1023) or take calibrate=saddlepoint"
        )


def raw(result: CRTResult, side: str, sources: Sources) -> Calibrated:
    """`none`: the share of null draws at least as extreme, never below 1 / (B + 1)."""
    _need_draws(result, "none")
    p = empirical_p(result.null, side)
    return Calibrated("none", p, np.full(p.shape, "", dtype=object), side)


def smooth(result: CRTResult, side: str, sources: Sources) -> Calibrated:
    """`skew_normal`: a skew-normal law fitted to the draws, the raw p-value where refused."""
    _need_draws(result, "skew_normal")
    fit = skew_normal.calibrate(result.effect, result.null, side)
    return Calibrated("skew_normal", fit.p, fit.fallback, side)


def exact_tail(result: CRTResult, side: str, sources: Sources) -> Calibrated:
    """`saddlepoint`: the tail of the null law itself, computed; no draws, no smallest p-value.

    The law is what the tests were asked to take it given: `RunOptions.given`.
    """
    tails = result.tails
    if tails is None:
        raise OptionError(
            f"calibrate=saddlepoint needs exact tails, which the result has not "
            f"({result.no_tails}); test with tails=true, by a sampler that has them, "
            "or take calibrate=skew_normal"
        )
    return Calibrated(
        "saddlepoint",
        tails.p_value(side),
        tails.fallback(),
        side,
        branch=tails.branch_names(),
        p_moments=moment_skew_normal(tails, side),
    )


#: A target that was compared with control guides whatever their size.
UNMATCHED = "compared with all control guides: fewer exist than matching asks for"


def against_controls(result: CRTResult, side: str, sources: Sources) -> Calibrated:
    """`ntc_empirical`: the targets' least-squares effects against those of non-targeting guides.

    Options: those of `controls.options.ComparisonOptions`, and `n_jobs` and `progress`.
    """
    from programde.controls.empirical_null import compare_targets
    from programde.controls.options import ComparisonOptions

    units = sources.controls
    if units is None:
        raise OptionError(
            "calibrate=ntc_empirical needs the control units of the screen: "
            "controls=control_units(screen, ntc_labels)"
        )
    if side != "both":
        raise OptionError(f"calibrate=ntc_empirical is two-sided; side={side!r} is not")
    if any(result.condition):
        raise OptionError("calibrate=ntc_empirical does not go by condition; take saddlepoint")
    foreign = [name for name in result.units if name not in set(units.targets)]
    if foreign:
        raise OptionError(
            f"calibrate=ntc_empirical compares whole targets, and {foreign[0]!r} is none of the "
            "control units' screen; test unions of guides (unit=union) or take saddlepoint"
        )
    if result.programs != units.programs:
        raise InputError("the control units have other programs than the result")
    options = dict(sources.options)
    how = {key: options.pop(key) for key in ("n_jobs", "progress") if key in options}
    null = compare_targets(units, result.units, ComparisonOptions.from_dict(options), **how)
    info = null.matching_info
    fallback = info["fallback"].replace("all", UNMATCHED)

    def per_test(words: pd.Series) -> np.ndarray:
        return np.repeat(words.to_numpy(dtype=object)[:, None], len(result.programs), axis=1)

    return Calibrated(
        "ntc_empirical",
        null.pvals.to_numpy(dtype=np.float64),
        per_test(fallback),
        evidence=null,
        reason=per_test(info["reason"]),
    )


CALIBRATIONS: dict[str, Calibration] = {
    "none": raw,
    "skew_normal": smooth,
    "saddlepoint": exact_tail,
    "ntc_empirical": against_controls,
}


def calibrate(
    result: CRTResult,
    method: str,
    side: str = "both",
    *,
    controls: ControlUnits | None = None,
    options: Mapping[str, Any] | None = None,
) -> Calibrated:
    """P-values of a result.

    Parameters
    ----------
    result
        Effects, null summaries and exact tails.
    method
        Name of the calibration: of `CALIBRATIONS`.
    side
        ``"both"``, ``"left"`` or ``"right"``.
    controls, options
        What the calibration itself asks for; see `Sources`.

    Returns
    -------
    Calibrated
        P-values (G, K), their side, and of each test which way was taken.

    Raises
    ------
    OptionError
        On an unknown method or side, or where the method needs what is not there.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> result = pde.run_targets(screen, options, ntc_labels="NTC")
    >>> pde.calibrate(result, "saddlepoint").p_value.shape
    (4, 3)
    """
    check_choice("calibrate", method, CALIBRATIONS)
    check_choice("side", side, SIDES)
    return CALIBRATIONS[method](result, side, Sources(controls, dict(options or {})))


def raw_p(result: CRTResult, side: str = "both") -> np.ndarray:
    """Raw p-values (G, K); NaN throughout where nothing was drawn."""
    if result.null.n_draws < 1:
        return np.full(result.effect.shape, np.nan)
    return empirical_p(result.null, side)
