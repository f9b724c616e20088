"""How the cost grows with cells N, programs K, resamples B, treated cells n1 and genes G.

One size at a time goes over a factor of 8 about a middle-sized screen; the rest stay. Times are
processor times of a run over the G genes, without what is prepared once per screen. Cost is a sum
of terms, so exponents are local: near 0 where another term rules, 1 where this one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.measure import exponent, processor_seconds, say
from benchmarks.problems import Ready, Way, plain_screen

MIDDLE = {"N": 20_000, "K": 40, "B": 1023, "n1": 400, "G": 16}
FACTORS = (0.5, 1.0, 2.0, 4.0)
COVARIATES = 6


def time_of(sizes: dict[str, int], way: Way, repeats: int) -> float:
    """Processor seconds of a run, without what is prepared once per screen."""
    screen = plain_screen(sizes["N"], sizes["K"], COVARIATES, sizes["n1"], sizes["G"])
    ready = Ready(screen, screen.target_units(), way, sizes["B"])
    ready()
    return processor_seconds(ready, repeats)


def growth(
    ways: Sequence[Way],
    repeats: int = 3,
    middle: dict[str, int] | None = None,
    factors: Sequence[float] = FACTORS,
) -> dict[str, Any]:
    """Times and fitted exponents: way -> size -> {values, seconds, exponent, error}."""
    middle = dict(MIDDLE if middle is None else middle)
    found: dict[str, Any] = {}
    for way in ways:
        found[way.label] = {}
        for name in middle:
            say(f"growth in {name} ({way.label})")
            values = [max(2, round(middle[name] * factor)) for factor in factors]
            times = [time_of({**middle, name: value}, way, repeats) for value in values]
            found[way.label][name] = {
                "values": values,
                "seconds": times,
                **exponent(values, times),
            }
    return {"middle": middle, "covariates": COVARIATES, "ways": found}
