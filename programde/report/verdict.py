"""The verdict: are the p-values of control units calibrated, in one word and one sentence.

It is judged by two numbers of `calibration_metrics`: `lambda_mean`, the inflation of chi-square
over all p-values, and the rates of small p-values, which see what is wrong in the far tail alone.
With limits that are wrong with the probability `error`, one-sided:

* inflated: the lower limit of lambda_mean (error 0.025) is above 1 and lambda_mean above 1.08; or
  at 0.05, 0.01 or 0.001 the lower limit of the rate (error 0.005 each) is above the level, and the
  rate exceeds it by more than the tolerance (what is known so precisely harms nobody);
* conservative: the upper limit of the inflation (error 0.0125) is below 1, and lambda_mean below
  0.9;
* calibrated: neither, and the upper limit of the inflation (error 0.08) is below 1.2: an inflation
  of 1.2, at which 7.4 % of p-values are below 0.05, would have shown itself;
* too few controls to tell: none of these, or fewer than `min_units` independent units.

**Upper limits.** Where the metrics hold the law of the inflation (`known_correlation`: how programs
go together is known from the cells) both of its estimates must lie below; the error is that of both
together, and of each at most half as much again. Else the guides' own spread makes the limit. It is
known less well than it seems, so the error of "calibrated" is then 0.06. Lower limits come from the
guides' spread in any case: one guide with effects of its own is no inflation of all.

Inflated wins over conservative, and both win over too few: a wide interval that still excludes 1
is evidence.

**Two looks.** The same guides can be tested in groups of the size of targets, and one by one.
Groups show what builds up with size (a bias shared by all guides); single guides are more. Each may
speak against the p-values, so they share the errors: four fifths for the look that is worth more
units, one fifth for the other. The upper limit of "calibrated" is that of the look worth more; the
other's own lambda_mean must be below 1.2 as well.

**Many settings.** Whoever picks the best of m settings by the controls that judge them has m
chances of a lucky word: `n_settings=m` divides all errors by m (Bonferroni).

A run without a single control p-value of its kind is "not judged"; its caller says so.

How often each word falls where lambda is known: docs/verdict.md, by benchmarks/verdict.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from programde.report.checked_tables import counted
from programde.report.known_correlation import is_known, known_upper_limit
from programde.report.mean_inflation import inflation_limit
from programde.report.metrics import LEVELS, rate_limit

from ..errors import InputError, OptionError

Word = Literal[
    "calibrated", "inflated", "conservative", "too few controls to tell", "not judged"
]  # fmt: skip
WORDS: tuple[Word, ...] = get_args(Word)
#: Relative excess of a rate over its level that is accepted.
TOLERANCE: dict[str, float] = {"05": 0.2, "01": 0.5, "001": 1.0}
#: Inflation that "calibrated" rules out.
MARGIN = 1.2
_ACCEPTED = (0.9, 1.08)  # lambda_mean within is neither conservative nor inflated
_ERROR = {
    "inflated": 0.025, "conservative": 0.0125, "calibrated": 0.06, "known": 0.08, "rate": 0.005,
}  # fmt: skip
#: How much more often than both together each limit may be wrong where the law is known.
_EACH = 1.5
_SHARES = ((1.0,), (0.8, 0.2))

Numbers = Mapping[str, float | int]


@dataclass(frozen=True)
class Verdict:
    """A word, and a sentence that holds the numbers behind it."""

    word: Word
    sentence: str


@dataclass(frozen=True)
class _Look:
    """One way of testing the guides, and the probability of error it may use."""

    metrics: Numbers
    name: str
    share: float

    @property
    def inflation(self) -> float:
        return float(self.metrics["lambda_mean"])

    def too_frequent(self, accepted: Mapping[str, float]) -> list[str]:
        """Levels at which small p-values are."""
        found = []
        for name, level in LEVELS.items():
            rate = float(self.metrics[f"rate_{name}"])
            if math.isnan(rate) or rate <= level * (1.0 + accepted[name]):
                continue
            worth = float(self.metrics.get(f"n_effective_{name}", 0.0))
            if rate_limit(rate, worth, _ERROR["rate"] * self.share) > level:
                found.append(name)
        return found

    def inflated(self) -> bool:
        if self.inflation <= _ACCEPTED[1]:
            return False
        return inflation_limit(self.metrics, _ERROR["inflated"] * self.share, upper=False) > 1.0

    def conservative(self) -> bool:
        if self.inflation >= _ACCEPTED[0]:
            return False
        return _upper_limit(self.metrics, _ERROR["conservative"] * self.share) < 1.0


def verdict(
    metrics: Numbers,
    guides: Numbers | None = None,
    *,
    kind: str = "",
    min_units: int = 3,
    n_settings: int = 1,
    tolerance: Mapping[str, float] | None = None,
) -> Verdict:
    """Judge the metrics of one kind of p-value.

    Parameters
    ----------
    metrics
        What `calibration_metrics` returned for one table: groups of control guides, or single ones.
    guides
        The same for the guides one by one, where `metrics` is of groups of them.
    kind
        What to call the p-values in the sentence, say "saddlepoint".
    min_units
        Fewer independent control units than this cannot be judged.
    n_settings
        From how many settings this one was picked by these control units.
    tolerance
        Relative excess of a rate that is accepted at each level ("05", "01", "001").

    Raises
    ------
    InputError
        A number is missing from `metrics` or `guides`.
    OptionError
        `n_settings` below 1.
    """
    if n_settings < 1:
        raise OptionError(f"n_settings={n_settings} must be at least 1")
    accepted = {**TOLERANCE, **(tolerance or {})}
    looks = _looks(metrics, guides, min_units, n_settings)
    word: Word
    shown: _Look | None = looks[0] if looks else None
    levels: list[str] = []
    inflated = [one for one in looks if one.inflated() or one.too_frequent(accepted)]
    conservative = [one for one in looks if one.conservative()]
    if inflated:
        word, shown = "inflated", inflated[0]
        levels = shown.too_frequent(accepted)
    elif conservative:
        word, shown = "conservative", conservative[0]
    elif looks and _ruled_out(looks, n_settings):
        word = "calibrated"
    else:
        word = "too few controls to tell"
    return Verdict(
        word, _sentence(metrics, guides, shown, word, kind, levels, min_units, n_settings)
    )


def _looks(
    metrics: Numbers, guides: Numbers | None, min_units: int, n_settings: int
) -> list[_Look]:
    """What can be judged, the look worth most units first."""
    given = [(metrics, "")] if guides is None else [(guides, "single guides"), (metrics, "groups")]
    needed = ("n_tests", "n_independent", "rate_05", "lambda_mean", "lambda_mean_error")
    for one, _ in given:
        missing = [key for key in needed if key not in one]
        if missing:
            raise InputError(f"metrics lack {missing[0]!r}; pass what calibration_metrics returned")
    enough = [
        (one, name) for one, name in given if one["n_tests"] and one["n_independent"] >= min_units
    ]
    enough.sort(key=lambda look: -look[0]["lambda_mean_units"])
    shares = _SHARES[len(enough) - 1] if enough else ()
    return [
        _Look(one, name, share / n_settings)
        for (one, name), share in zip(enough, shares, strict=True)
    ]


def _ruled_out(looks: list[_Look], n_settings: int) -> bool:
    """Whether an inflation by `MARGIN` is."""
    limit = largest_inflation(looks[0].metrics, n_settings)
    return limit < MARGIN and all(one.inflation < MARGIN for one in looks)


def largest_inflation(metrics: Numbers, n_settings: int = 1) -> float:
    """The largest inflation that metrics leave possible; "calibrated" asks for less than 1.2."""
    error = _ERROR["known" if is_known(metrics) else "calibrated"]
    return _upper_limit(metrics, error / n_settings)


def _upper_limit(metrics: Numbers, error: float) -> float:
    if is_known(metrics):
        return known_upper_limit(metrics, error, error * _EACH)
    return inflation_limit(metrics, error, upper=True)


def _sentence(
    metrics: Numbers,
    guides: Numbers | None,
    shown: _Look | None,
    word: Word,
    kind: str,
    levels: list[str],
    least: int,
    n_settings: int,
) -> str:
    name = f"{kind} p-values" if kind else "p-values"
    if metrics["n_tests"] == 0 and not (guides and guides["n_tests"]):
        return f"No control unit could be tested, so nothing is known about the {name}."
    numbers = shown.metrics if shown else metrics if metrics["n_tests"] else guides
    assert numbers is not None
    of = f" of {shown.name}" if shown and shown.name else ""
    rates = "; ".join(
        _rate(numbers, at) for at in ["05", "01", *(["001"] if "001" in levels else [])]
    )
    units = counted(int(numbers["n_independent"]), "independent control unit")
    if numbers["n_partitions"] > 1:
        units += f" in each of {int(numbers['n_partitions'])} partitions"
    low, high = (_inflation(float(numbers[f"lambda_mean_{end}"])) for end in ("low", "high"))
    most = ""
    if is_known(numbers) and word in ("calibrated", "too few controls to tell"):
        limit = _inflation(largest_inflation(numbers, n_settings))
        most = f" by the guides' spread, at most {limit} by how programs go together in the cells"
    return (
        f"{_opening(word, name, levels, shown, least)} inflation{of} "
        f"{_inflation(float(numbers['lambda_mean']))} "
        f"over all p-values (95 % interval {low} to {high}{most}; 1 is right); {rates} "
        f"({counted(int(numbers['n_tests']), 'control test')}, {units}); "
        f"lambda {numbers['lambda']:.2f} at the median."
    )


def _opening(word: Word, name: str, levels: list[str], shown: _Look | None, least: int) -> str:
    if word == "calibrated":
        return f"The {name} of control units are as frequent as they should be:"
    if word == "inflated":
        at = " and ".join(f"{LEVELS[level]:g}" for level in levels)
        at = f" at {at}" if at else ""
        return f"Small {name} of control units are too frequent{at}; hits are overstated:"
    if word == "conservative":
        return f"Small {name} of control units are too rare; hits stand, some are missed:"
    if shown is None:
        return f"With fewer than {least} independent control units the {name} cannot be judged:"
    return f"The controls neither show nor rule out that the {name} are inflated by {MARGIN:g}:"


def _inflation(value: float) -> str:
    return f"{value:.2f}" if value < 10 else "more than 10"


def _rate(metrics: Numbers, name: str) -> str:
    rate, low, high = (100 * metrics[f"rate_{name}{end}"] for end in ("", "_low", "_high"))
    return (
        f"{_percent(rate)} % at or below {LEVELS[name]:g} "
        f"(95 % interval {_percent(low)} to {_percent(high)} %)"
    )


def _percent(value: float) -> str:
    return f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"
