"""The verdict: are the p-values of control units calibrated, in one word and one sentence.

The word follows from the rates of `calibration_metrics` and their 95 % intervals alone:

* too few controls to tell: nothing was tested, fewer than `min_units` independent units, or the
  interval of the rate at 0.05 holds 0.05 and also more than `widest` x 0.05;
* inflated: at 0.05, 0.01 or 0.001 the interval lies above the level, and the rate exceeds the
  level by more than the tolerance (a rate of 0.051 known to four digits harms nobody);
* conservative: at 0.05 or 0.01 the interval lies below the level, and the rate falls short of it
  by more than the tolerance (0.001 is left out: few tests reach it, and none can where B < 999);
* calibrated: none of these.

A run without a single control p-value of its kind is "not judged"; its caller says so.

Inflated wins over conservative, and both win over too few, since a wide interval that still
excludes the level is evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from programde.report.checked_tables import Metrics, counted
from programde.report.metrics import LEVELS

from ..errors import InputError

Word = Literal[
    "calibrated", "inflated", "conservative", "too few controls to tell", "not judged"
]  # fmt: skip
WORDS: tuple[Word, ...] = get_args(Word)
TOLERANCE: dict[str, float] = {"05": 0.2, "01": 0.5, "001": 1.0}


@dataclass(frozen=True)
class Verdict:
    """A word, and a sentence that holds the numbers behind it."""

    word: Word
    sentence: str


def verdict(
    metrics: Mapping[str, float | int],
    *,
    kind: str = "",
    min_units: int = 3,
    widest: float = 2.0,
    tolerance: Mapping[str, float] | None = None,
) -> Verdict:
    """Judge the metrics of one kind of p-value.

    Parameters
    ----------
    metrics
        What `calibration_metrics` returned for one table.
    kind
        What to call the p-values in the sentence, say "saddlepoint".
    min_units
        Fewer independent control units than this cannot be judged.
    widest
        The interval at 0.05 may reach up to this multiple of 0.05 and still count as knowledge.
    tolerance
        Relative deviation of the rate that is accepted at each level ("05", "01", "001").

    Raises
    ------
    InputError
        A rate is missing from `metrics`.
    """
    missing = [key for key in ("n_tests", "n_independent", "rate_05") if key not in metrics]
    if missing:
        raise InputError(f"metrics lack {missing[0]!r}; pass what calibration_metrics returned")
    accepted = {**TOLERANCE, **(tolerance or {})}
    too_high = [name for name in LEVELS if _beyond(metrics, name, accepted[name], above=True)]
    too_low = [name for name in ("05", "01") if _beyond(metrics, name, accepted[name], above=False)]
    word: Word
    if metrics["n_tests"] == 0 or metrics["n_independent"] < min_units:
        word = "too few controls to tell"
    elif too_high:
        word = "inflated"
    elif too_low:
        word = "conservative"
    elif metrics["rate_05_high"] > widest * LEVELS["05"]:
        word = "too few controls to tell"
    else:
        word = "calibrated"
    shown = too_high if word == "inflated" else too_low if word == "conservative" else []
    return Verdict(word, _sentence(metrics, word, kind, shown, min_units))


def _beyond(metrics: Mapping[str, float | int], name: str, tolerance: float, above: bool) -> bool:
    level, rate = LEVELS[name], metrics[f"rate_{name}"]
    if math.isnan(rate):
        return False
    if above:
        return metrics[f"rate_{name}_low"] > level and rate > level * (1 + tolerance)
    return metrics[f"rate_{name}_high"] < level and rate < level * (1 - tolerance)


def _sentence(
    metrics: Metrics | Mapping, word: Word, kind: str, shown: list[str], least: int
) -> str:
    name = f"{kind} p-values" if kind else "p-values"
    if metrics["n_tests"] == 0:
        return f"No control unit could be tested, so nothing is known about the {name}."
    levels = ["05", "01"] + (["001"] if "001" in shown else [])
    rates = "; ".join(_rate(metrics, level) for level in levels)
    units = counted(int(metrics["n_independent"]), "independent control unit")
    if metrics["n_partitions"] > 1:
        units += f" in each of {metrics['n_partitions']} partitions"
    numbers = (
        f"{rates} ({counted(int(metrics['n_tests']), 'control test')}, {units}); "
        f"lambda {metrics['lambda']:.2f}."
    )
    return f"{_opening(metrics, word, name, shown, least)} {numbers}"


def _opening(metrics: Mapping, word: Word, name: str, shown: list[str], least: int) -> str:
    if word == "calibrated":
        return f"The {name} of control units are as frequent as they should be:"
    if word == "inflated":
        at = " and ".join(f"{LEVELS[level]:g}" for level in shown)
        return f"Small {name} of control units are too frequent at {at}; hits are overstated:"
    if word == "conservative":
        at = " and ".join(f"{LEVELS[level]:g}" for level in shown)
        return f"Small {name} of control units are too rare at {at}; hits stand, some are missed:"
    if metrics["n_independent"] < least:
        return f"With fewer than {least} independent control units the {name} cannot be judged:"
    return f"The controls neither show nor rule out that {name} are twice too frequent:"


def _rate(metrics: Mapping, name: str) -> str:
    rate, low, high = (100 * metrics[f"rate_{name}{end}"] for end in ("", "_low", "_high"))
    return (
        f"{_percent(rate)} % at or below {LEVELS[name]:g} "
        f"(95 % interval {_percent(low)} to {_percent(high)} %)"
    )


def _percent(value: float) -> str:
    return f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"
