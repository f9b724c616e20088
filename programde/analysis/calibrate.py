"""From observed effects and null summaries to p-values: the calibrations, by name.

A calibration is a function of a `Question` that answers with `Calibrated`. It knows nothing of
statistics or samplers beyond what a `Question` holds. To add one, write the function and a line
in `CALIBRATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from programde.calibration import skew_normal
from programde.calibration.empirical import empirical_p
from programde.crt.engine import Visitor
from programde.crt.results import CRTResult
from programde.errors import OptionError, check_choice
from programde.screen.screen import Screen
from programde.tails.units import ExactTails

if TYPE_CHECKING:
    import pandas as pd


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
        Empty where the calibration holds; else what was used in its place, and why.
    reason : (G, K) object or None
        Why the calibration gives no p-value where the test as such could be done; empty elsewhere.
    branch : (G, K) object or None
        By which of its ways a calibration that has several got each p-value.
    p_moments : (G, K) float64 or None
        Beside exact tails, p-values of the skew-normal with the exact null moments: a check.
    evidence
        What the calibration has to show beside p-values (`controls.results.EmpiricalNull` with
        its cross-fit, for instance); None where nothing.
    """

    method: str
    p_value: np.ndarray
    fallback: np.ndarray
    branch: np.ndarray | None = None
    evidence: Any = None
    reason: np.ndarray | None = None
    p_moments: np.ndarray | None = None


@dataclass(frozen=True)
class Question:
    """What a calibration may ask for.

    Attributes
    ----------
    result
        Effects and null summaries.
    side
        ``"both"``, ``"left"`` or ``"right"``.
    revisit
        Goes through the units again without drawing, calling the visitor with each unit's law;
        None where the screen is not at hand.
    screen
        The screen; None where it is not at hand.
    options
        Options of the calibration itself.
    """

    result: CRTResult
    side: str = "both"
    revisit: Callable[[Visitor], object] | None = None
    screen: Screen | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def _need_draws(question: Question, method: str) -> None:
    if question.result.null.n_draws < 1:
        raise OptionError(
            f"calibrate={method} needs null draws, but n_resamples=0; "
            "draw some (n_resamples=1023) or take calibrate=saddlepoint"
        )


def raw(question: Question) -> Calibrated:
    """`none`: the share of null draws at least as extreme, never below 1 / (B + 1)."""
    _need_draws(question, "none")
    p = empirical_p(question.result.null, question.side)
    return Calibrated("none", p, np.full(p.shape, "", dtype=object))


def smooth(question: Question) -> Calibrated:
    """`skew_normal`: a skew-normal law fitted to the draws, the raw p-value where refused."""
    _need_draws(question, "skew_normal")
    fit = skew_normal.calibrate(question.result.effect, question.result.null, question.side)
    return Calibrated("skew_normal", fit.p, fit.fallback)


#: A target that was compared with control guides whatever their size.
UNMATCHED = "compared with all control guides: fewer exist than matching asks for"


def against_controls(question: Question) -> Calibrated:
    """`ntc_empirical`: the targets' least-squares effects against those of non-targeting guides.

    Options: those of `controls.options.EmpiricalNullOptions`, and `seed`, `n_jobs`, `crossfit`,
    `progress` of `controls.empirical_null.ntc_empirical_null`.
    """
    from programde.controls.empirical_null import ntc_empirical_null
    from programde.controls.options import EmpiricalNullOptions

    if question.screen is None:
        raise OptionError("calibrate=ntc_empirical needs the screen")
    if question.side != "both":
        raise OptionError(f"calibrate=ntc_empirical is two-sided; side={question.side!r} is not")
    if any(question.result.condition):
        raise OptionError("calibrate=ntc_empirical does not go by condition; take saddlepoint")
    options = dict(question.options)
    how = {
        key: options.pop(key)
        for key in ("seed", "n_jobs", "crossfit", "progress")
        if key in options
    }
    null = ntc_empirical_null(
        question.screen,
        question.result.units,
        EmpiricalNullOptions.from_dict(options),
        **how,
    )
    p = null.pvals.reindex(index=question.result.units, columns=question.result.programs)
    info = null.matching_info.reindex(question.result.units)
    fallback = info["fallback"].fillna("").replace("all", UNMATCHED)

    def per_test(words: pd.Series) -> np.ndarray:
        return np.repeat(words.to_numpy(dtype=object)[:, None], p.shape[1], axis=1)

    return Calibrated(
        "ntc_empirical",
        p.to_numpy(dtype=np.float64),
        per_test(fallback),
        evidence=null,
        reason=per_test(info["reason"].fillna("")),
    )


def exact_tail(question: Question) -> Calibrated:
    """`saddlepoint`: the tail of the null law itself, computed; no draws, no smallest p-value."""
    if question.revisit is None:
        raise OptionError("calibrate=saddlepoint needs the screen, for the law of each unit")
    tails = ExactTails(question.result.effect.shape, question.side)
    question.revisit(tails)
    return Calibrated("saddlepoint", **tails.found())


CALIBRATIONS: dict[str, Callable[[Question], Calibrated]] = {
    "none": raw,
    "skew_normal": smooth,
    "saddlepoint": exact_tail,
    "ntc_empirical": against_controls,
}


def calibrate(
    result: CRTResult,
    method: str,
    side: str = "both",
    revisit: Callable[[Visitor], object] | None = None,
    screen: Screen | None = None,
    options: Mapping[str, Any] | None = None,
) -> Calibrated:
    """P-values by the calibration of that name; for the parameters see `Question`.

    Raises
    ------
    OptionError
        On an unknown method or side, or where the method needs what is not there.
    """
    check_choice("calibrate", method, CALIBRATIONS)
    check_choice("side", side, ("both", "left", "right"))
    return CALIBRATIONS[method](Question(result, side, revisit, screen, dict(options or {})))


def raw_p(result: CRTResult, side: str = "both") -> np.ndarray:
    """Raw p-values (G, K); NaN throughout where nothing was drawn."""
    if result.null.n_draws < 1:
        return np.full(result.effect.shape, np.nan)
    return empirical_p(result.null, side)
