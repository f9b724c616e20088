"""How often each word of the verdict falls where the inflation is known.

    python -m benchmarks.verdict             some minutes: results/verdict.json
    python -m benchmarks.verdict --table     the tables of docs/verdict.md from it

Control guides have z = sqrt(lambda) x normal over K = 20 programs that are correlated, p two-sided;
a group of guides has the sum of their z over the root of their number. How programs go together is
known from 1,000 cells; one way of judging does without. Beside inflations that all directions share
stand some of the leading direction alone, by as much as makes the mean chi-square 1.2 or 1.5.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from programde.report.known_correlation import gain_of_partitions, known_law
from programde.report.mean_inflation import mean_inflation
from programde.report.metrics import _rates, bootstrap_weights
from programde.report.verdict import verdict

RESULTS = Path(__file__).parent / "results" / "verdict.json"
PROGRAMS = 20
INFLATIONS = (0.7, 1.0, 1.2, 2.0)
GUIDES = (10, 30, 100)
LEADING = (1.2, 1.5)
CELLS, SAMPLES = 1000, 50
KNOWN = ("lambda_mean_null", "lambda_apart")
GROUP_SIZE, PARTITIONS = 4, 10
N_BOOT = 200
WORDS = {"inflated": "i", "conservative": "c", "calibrated": "k", "too few controls to tell": "?"}


def correlations() -> dict[str, np.ndarray]:
    """How programs may depend: name -> (K, K)."""
    one, eye = np.ones((PROGRAMS, PROGRAMS)), np.eye(PROGRAMS)
    centred = eye - one / PROGRAMS
    return {
        "all pairs 0.2": 0.8 * eye + 0.2 * one,
        "independent": eye,
        "centred log-ratios": centred / centred[0, 0],
        "blocks of 5 at 0.5": np.kron(np.eye(4), 0.5 * np.eye(5) + 0.5),
        "all pairs 0.5": 0.5 * eye + 0.5 * one,
    }


def leading(root: np.ndarray, inflation: float) -> np.ndarray:
    """A root of the correlation, its leading direction so inflated that chi-square's mean is."""
    spread = (root**2).sum(axis=0)
    grown = root.copy()
    grown[:, -1] *= np.sqrt((spread[-1] + (inflation - 1.0) * PROGRAMS) / spread[-1])
    return grown


def from_cells(root: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The correlation (K, K) as so many cells show it."""
    shown = np.corrcoef(rng.standard_normal((CELLS, PROGRAMS)) @ root.T, rowvar=False)
    return np.asarray(shown)


def groups(z: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[list[int]]]:
    """z of groups of the guides, partition after partition, and their guides."""
    scores, members = [], []
    size = len(z) // GROUP_SIZE
    for _ in range(PARTITIONS):
        order = rng.permutation(len(z))[: size * GROUP_SIZE].reshape(size, GROUP_SIZE)
        scores.append(z[order].sum(axis=1) / np.sqrt(GROUP_SIZE))
        members += order.tolist()
    return np.concatenate(scores), members


def numbers_of(
    z: np.ndarray,
    correlation: np.ndarray,
    n_partitions: int = 1,
    members: list[list[int]] | None = None,
) -> dict[str, float | int]:
    """What the verdict reads of `calibration_metrics`, without the slow rest."""
    p = (2.0 * special.ndtr(-np.abs(z))).ravel()
    unit = np.repeat(np.arange(len(z)), PROGRAMS)
    independent = len(z) // n_partitions
    numbers = {"n_tests": p.size, "n_independent": independent, "n_partitions": n_partitions}
    numbers |= _rates(p, unit, weights(len(z), independent), independent)
    numbers |= mean_inflation(p, unit, independent, n_partitions, members)
    gain = gain_of_partitions(members, n_partitions)
    numbers |= known_law(z, correlation, n_partitions, gain)
    return numbers | {"lambda": 1.0}  # only for the sentence


@lru_cache(maxsize=8)
def weights(n_units: int, n_independent: int) -> np.ndarray:
    """Bootstrap weights, the same for all screens of a size."""
    return bootstrap_weights(n_units, n_independent, N_BOOT, 0)


def judged(
    z: np.ndarray, correlation: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, str]]:
    """Word of each way to judge one screen's guides."""
    alone = numbers_of(z, correlation)
    blind = {key: n for key, n in alone.items() if not key.startswith(KNOWN)}
    yield "guides, correlation not known", verdict(blind).word
    yield "guides", verdict(alone).word
    if len(z) >= 3 * GROUP_SIZE:
        scores, members = groups(z, rng)
        grouped = numbers_of(scores, correlation, PARTITIONS, members)
        yield "groups", verdict(grouped).word
        yield "guides and groups", verdict(grouped, alone).word


def simulate(runs: int, few: int) -> list[dict[str, object]]:
    """Share of each word: a row per correlation, number of guides, inflation and way to judge."""
    rows = []
    for name, matrix in correlations().items():
        value, vector = np.linalg.eigh(matrix)
        root = vector * np.sqrt(np.clip(value, 0.0, None))
        n_runs = runs if name == "all pairs 0.2" else few
        cells = np.random.default_rng(len(name))
        shown = [from_cells(root, cells) for _ in range(SAMPLES)]
        ways = [(f"λ = {at:g}", np.sqrt(at) * root, n_runs) for at in INFLATIONS]
        ways += [(f"leading, {at:g}", leading(root, at), few) for at in LEADING]
        for n in GUIDES:
            for number, (inflation, spread, times) in enumerate(ways):
                rng = np.random.default_rng([n, number, len(name)])
                counts: dict[str, dict[str, int]] = {}
                for run in range(times):
                    z = rng.standard_normal((n, PROGRAMS)) @ spread.T
                    for way, word in judged(z, shown[run % SAMPLES], rng):
                        counts.setdefault(way, dict.fromkeys(WORDS, 0))[word] += 1
                for way, words in counts.items():
                    share = {word: count / times for word, count in words.items()}
                    rows.append({"correlation": name, "guides": n, "inflation": inflation,
                                 "way": way, "runs": times, **share})  # fmt: skip
            print(name, n, "guides done", flush=True)
    return rows


def best_possible(runs: int = 20_000) -> dict[str, list[float]]:
    """Correlation -> for each number of guides, how often lambda 1 can be told from 1.2.

    By the mean chi-square, its law known exactly, where 1.2 passes for 1 in 10 % of screens.
    """
    found = {}
    for name, matrix in correlations().items():
        value = np.clip(np.linalg.eigvalsh(matrix), 0.0, None)
        shares = []
        for n in GUIDES:  # a unit's sum of squares is a weighted sum of chi-squares
            rng = np.random.default_rng(n)
            mean = rng.chisquare(n, (runs, PROGRAMS)) @ value / (n * PROGRAMS)
            shares.append(float(np.mean(mean < 1.2 * np.quantile(mean, 0.1))))
        found[name] = shares
    return found


def tables(results: dict[str, Any]) -> str:
    """The results as tables in Markdown: per cent inflated / conservative / calibrated."""
    table = pd.DataFrame(results["words"])
    parts = []
    for name, part in table.groupby("correlation", sort=False):
        runs = int(part["runs"].max())
        columns = list(part["inflation"].unique())
        head = " | ".join(columns)
        lines = [f"Programs: {name}; {runs:,} runs.", "", f"| guides | judged by | {head} |"]
        lines.append("|---|---|" + "---|" * len(columns))
        for (n, way), cells in part.groupby(["guides", "way"], sort=False):
            shown = [
                " / ".join(f"{100 * row[word]:.0f}" for word in list(WORDS)[:3])
                for _, row in cells.iterrows()
            ]
            lines.append(f"| {n} | {way} | " + " | ".join(shown) + " |")
        bound = " / ".join(f"{100 * share:.0f}" for share in results["best_possible"][name])
        of = " / ".join(map(str, GUIDES))
        lines += ["", f"Best possible share of calibrated at λ = 1, {of} guides: {bound} %."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1500)
    parser.add_argument("--few", type=int, default=300, help="runs of the other correlations")
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    if not chosen.table:
        words = simulate(chosen.runs, chosen.few)
        results = {"words": words, "best_possible": best_possible()}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
