"""From observed effects and null summaries to p-values: the calibrations, by name.

A calibration is a function of a `Question` that answers with `Calibrated`. It knows nothing of
statistics or samplers beyond what a `Question` holds. To add one, write the function and a line
in `CALIBRATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from programde.calibration import skew_normal
from programde.calibration.empirical import empirical_p
from programde.crt.engine import Visitor
from programde.crt.results import CRTResult
from programde.errors import OptionError, check_choice


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
    """

    method: str
    p_value: np.ndarray
    fallback: np.ndarray


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
    """

    result: CRTResult
    side: str = "both"
    revisit: Callable[[Visitor], object] | None = None


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


CALIBRATIONS: dict[str, Callable[[Question], Calibrated]] = {
    "none": raw,
    "skew_normal": smooth,
}


def calibrate(
    result: CRTResult,
    method: str,
    side: str = "both",
    revisit: Callable[[Visitor], object] | None = None,
) -> Calibrated:
    """P-values by the calibration of that name.

    Raises
    ------
    OptionError
        On an unknown method or side, or where the method needs what is not there.
    """
    check_choice("calibrate", method, CALIBRATIONS)
    check_choice("side", side, ("both", "left", "right"))
    return CALIBRATIONS[method](Question(result, side, revisit))


def raw_p(result: CRTResult, side: str = "both") -> np.ndarray:
    """Raw p-values (G, K); NaN throughout where nothing was drawn."""
    if result.null.n_draws < 1:
        return np.full(result.effect.shape, np.nan)
    return empirical_p(result.null, side)
