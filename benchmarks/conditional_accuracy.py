"""``python -m benchmarks.conditional_accuracy``: the conditional saddlepoint against the exact law.

With one factor as the only covariate the conditional law is a permutation within its levels, whose
tails are known (`programde.tails.permutation`); the general way is made to compute the same. For
smooth and lumpy outcomes, from 5 to 300 treated cells and p from 1e-2 to 1e-9, on either side: the
ratio of both, the first-order form's ratio, and whether the test is marked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from programde.tails.conditional import ConditionalLaw
from programde.tails.covariate_strata import strata_of
from programde.tails.first_order import first_order_tails
from programde.tails.formulas import CONDITIONAL

SIZES = (5, 10, 15, 30, 60, 300)
GOALS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.5, 9.0)
OUTCOMES = ("normal", "exponential", "5 % far off", "a third at the floor")


def outcome(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """An outcome (n,) of a kind."""
    normal = rng.standard_normal(n)
    if kind == "exponential":
        return rng.exponential(size=n)
    if kind == "5 % far off":
        return np.where(rng.random(n) < 0.05, normal - 13.0, normal)
    if kind == "a third at the floor":
        return np.where(rng.random(n) < 1 / 3, -4.0 + 0.3 * normal, normal)
    return normal


@dataclass(frozen=True)
class Row:
    """One test: -log10 p, ratios to the exact tail, whether marked."""

    kind: str
    n1: int
    exact: float
    ratio: float
    first_order: float
    rough: bool


def rows(n: int = 4000, seed: int = 0) -> list[Row]:
    """Tests whose exact tails lie near the goals."""
    rng = np.random.default_rng(seed)
    batch = np.arange(n) >= n // 2
    C = np.column_stack([np.ones(n), batch]).astype(float)
    general = replace(strata_of(C), saturated=False)
    found = []
    for kind in OUTCOMES:
        y = outcome(kind, n, rng)
        y = (y - y.mean()) / y.std()
        exact = ConditionalLaw(y[None], C)
        law = ConditionalLaw(y[None], C, strata=general, screened=False)
        for n1 in SIZES:
            for goal in GOALS:
                for sign in (1.0, -1.0):
                    found += _near(y, C, batch, n1, goal, sign, exact, law, kind, rng)
    return found


def _near(y, C, batch, n1, goal, sign, exact, law, kind, rng, tries: int = 30) -> list[Row]:
    """A test whose exact tail is within half a unit of log10 of the goal, if one is found."""
    for _ in range(tries):
        lean = sign * 2.0 * np.sqrt(goal / n1) * rng.uniform(0.4, 1.6)
        treated = []
        for level, m in ((False, n1 // 2), (True, n1 - n1 // 2)):
            cells = np.flatnonzero(batch == level)
            odds = np.exp(lean * y[cells] - (lean * y[cells]).max())
            treated.append(rng.choice(cells, m, replace=False, p=odds / odds.sum()))
        places = np.concatenate(treated)
        known = exact.tails([places])[0]
        own = "log_right" if sign > 0 else "log_left"
        truth = getattr(known, own)[0]
        if abs(truth / np.log(10.0) + goal) < 0.5:
            tails = law.tails([places])[0]
            if tails.branch[0] != CONDITIONAL:
                return []
            share = np.where(batch, n1 - n1 // 2, n1 // 2) / (batch.size / 2)
            first = first_order_tails(y[None], C, share, places)
            ratios = [np.exp(getattr(each, own)[0] - truth) for each in (tails, first)]
            return [Row(kind, n1, -truth / np.log(10.0), *ratios, bool(tails.rough[0]))]
    return []


def main() -> None:
    """Print the range of ratios by outcome and size, for marked tests and for others."""
    every = rows()
    print("outcome | n1 | unmarked: tests, ratio | marked: tests, ratio | first order")
    for kind in OUTCOMES:
        for n1 in SIZES:
            here = [row for row in every if row.kind == kind and row.n1 == n1]
            parts = []
            for marked in (False, True):
                ratios = [row.ratio for row in here if row.rough == marked]
                span = f"{min(ratios):.2f} .. {max(ratios):.2f}" if ratios else "-"
                parts.append(f"{len(ratios)}, {span}")
            worst = max((row.first_order for row in here), default=np.nan)
            print(f"{kind} | {n1} | {parts[0]} | {parts[1]} | up to {worst:.3g}")


if __name__ == "__main__":
    main()
