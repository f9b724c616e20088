"""``python -m benchmarks.control_cells``: do targets that do nothing come out, by design of screen?

Screens of 4,000 cells, 20 targets with two guides each (the first half acts on program 0, log-ratio
1.5), a third of the guides non-targeting, 6 programs, a batch and a depth. The other half does
nothing; counted is how often one of them has p < 0.05 in any one program.

* `5 %`, `10 %`, `30 %`: one guide per cell, and a second one of any target in so many cells;
* `MOI 0.3`, `MOI 0.9`: a Poisson number of guides per cell; cells without one are not there;
* `dual vectors`: each cell holds the two guides of one target, or two controls;
* `target and control guide`: each perturbed cell holds a control guide as well.

Every design is analysed with `control="auto"`, cells of another target dropped (the default) and
kept, and as all the targets were compared before, by the number of guides per cell.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks.pages import table
from benchmarks.saddlepoint.accuracy_report import update
from programde import OLS, Bernoulli, RunOptions, calibrate, run_targets
from programde.errors import ProgramDEWarning
from programde.screen.build import Parts, build_screen
from programde.screen.screen import Screen

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "control-cells.json"
PAGE = HERE.parent / "docs" / "control-cells.md"

N_CELLS, N_TARGETS, N_NTC, N_PROGRAMS, ACTIVE, EFFECT = 4_000, 20, 20, 6, 10, 1.5
NTC = "non-targeting"
TARGETS = [f"T{i}" for i in range(N_TARGETS) for _ in range(2)] + [NTC] * N_NTC
SHARE = np.r_[np.full(2 * N_TARGETS, 0.65 / (2 * N_TARGETS)), np.full(N_NTC, 0.35 / N_NTC)]

Guides = np.ndarray


def two_targets(share: float) -> Callable[[np.random.Generator], Guides]:
    """One guide per cell, a second one in a share of the cells."""

    def draw(rng: np.random.Generator) -> Guides:
        held = np.zeros((N_CELLS, len(TARGETS)), dtype=np.int8)
        held[np.arange(N_CELLS), rng.choice(len(TARGETS), N_CELLS, p=SHARE)] = 1
        more = np.flatnonzero(rng.random(N_CELLS) < share)
        held[more, rng.choice(len(TARGETS), more.size, p=SHARE)] = 1
        return held

    return draw


def poisson(moi: float) -> Callable[[np.random.Generator], Guides]:
    """A Poisson number of guides per cell; cells without a guide are not sequenced."""

    def draw(rng: np.random.Generator) -> Guides:
        held = (rng.poisson(moi * SHARE, (5 * N_CELLS, len(TARGETS))) > 0).astype(np.int8)
        return held[held.any(axis=1)][:N_CELLS]

    return draw


def dual_vectors(rng: np.random.Generator) -> Guides:
    """Both guides of one target in each cell, or two controls."""
    held = np.zeros((N_CELLS, len(TARGETS)), dtype=np.int8)
    first = 2 * (rng.choice(len(TARGETS), N_CELLS, p=SHARE) // 2)
    held[np.arange(N_CELLS), first] = held[np.arange(N_CELLS), first + 1] = 1
    return held


def target_and_control(rng: np.random.Generator) -> Guides:
    """One guide per cell, and a control guide beside it."""
    held = two_targets(0.0)(rng)
    held[np.arange(N_CELLS), 2 * N_TARGETS + rng.integers(0, N_NTC, N_CELLS)] = 1
    return held


DESIGNS: dict[str, Callable[[np.random.Generator], Guides]] = {
    "5 % of cells with two targets": two_targets(0.05),
    "10 %": two_targets(0.10),
    "30 %": two_targets(0.30),
    "MOI 0.3": poisson(0.3),
    "MOI 0.9": poisson(0.9),
    "dual vectors": dual_vectors,
    "target and control guide": target_and_control,
}


def make_screen(design: str, seed: int) -> Screen:
    """A screen of the design; targets T0 to T9 act."""
    rng = np.random.default_rng([seed, list(DESIGNS).index(design)])
    held = DESIGNS[design](rng)
    logs = rng.standard_normal((len(held), N_PROGRAMS))
    logs[:, 0] += EFFECT * held[:, : 2 * ACTIVE].any(axis=1)
    usage = np.exp(logs)
    cells = [f"c{i}" for i in range(len(held))]
    covariates = pd.DataFrame(
        {"batch": rng.choice(["b0", "b1"], len(held)), "depth": rng.standard_normal(len(held))},
        index=cells,
    )
    names = [f"g{j}" for j in range(len(TARGETS))]
    return build_screen(
        Parts(
            cell_names=cells,
            usage=usage / usage.sum(axis=1, keepdims=True),
            covariates=covariates,
            guides=sparse.csc_matrix(held),
            guide_to_target=dict(zip(names, TARGETS, strict=True)),
            guide_names=names,
        )
    )


def p_values(screen: Screen, control: str, others: str) -> np.ndarray:
    """P-values of the idle targets in every program, exact tails."""
    options = RunOptions(OLS(), Bernoulli(), n_resamples=0, seed=1, progress=False)
    idle = [f"T{i}" for i in range(ACTIVE, N_TARGETS)]
    result = run_targets(
        screen, options, ntc_labels=NTC, control=control, targets=idle,
        cells_with_other_targets=others,
    )  # fmt: skip
    return np.asarray(calibrate(result, "saddlepoint").p_value)


def simulate(n_screens: int) -> dict[str, dict[str, list[float]]]:
    """Design -> way -> [share below 0.05, its standard error over screens]."""
    ways = {"auto, dropped": ("auto", "drop"), "kept": ("nt_cells", "keep"),
            "complement": ("complement", "drop")}  # fmt: skip
    found: dict[str, dict[str, list[float]]] = {}
    for design in DESIGNS:
        below: dict[str, list[float]] = {way: [] for way in ways}
        for seed in range(n_screens):
            screen = make_screen(design, seed)
            for way, (control, others) in ways.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ProgramDEWarning)
                    p = p_values(screen, control, others)
                below[way].append(float((p < 0.05).mean()))
        found[design] = {
            way: [float(np.mean(b)), float(np.std(b, ddof=1) / np.sqrt(n_screens))]
            for way, b in below.items()
        }
        print(design, found[design], flush=True)
    return found


def table_lines(found: dict[str, dict[str, list[float]]]) -> list[str]:
    """The results as a table in Markdown."""
    ways = list(next(iter(found.values())))
    rows = [
        [design, *(f"{100 * one[way][0]:.1f} ± {100 * one[way][1]:.1f} %" for way in ways)]
        for design, one in found.items()
    ]
    return table(["design", *ways], rows)


def main() -> None:
    """Simulate, keep the numbers, and write them into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--screens", type=int, default=100, help="screens per design")
    given = parser.parse_args()
    found = simulate(given.screens)
    RESULTS.write_text(json.dumps({"screens": given.screens, "rates": found}, indent=1) + "\n")
    update(PAGE, "rates", table_lines(found))


if __name__ == "__main__":
    main()
