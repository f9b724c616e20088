"""How often true nulls come out small: the simulations behind docs/ntc-empirical-null.md.

``python -m tests.controls.rates`` prints the tables of that page (a few minutes); the tests run
the same functions at reduced size. The unit of replication is a (screen, program): programs are
independent in these screens, while targets of one screen share its NTC guides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tests.controls.against import null_of
from tests.controls.simulate import null_screen


def rate(tables: Iterable, level: float = 0.05) -> tuple[float, float]:
    """Share of p-values below `level` and its Monte Carlo standard error over programs."""
    shares = np.concatenate([(t.to_numpy() < level).mean(axis=0) for t in tables])
    return float(shares.mean()), float(shares.std(ddof=1) / np.sqrt(shares.size))


def results(n_screens: int, screen: dict, **null_kwargs) -> list:
    """The null on `n_screens` simulated screens, seeds 0, 1, ..."""
    per_unit = screen["per_target"]
    return [
        null_of(
            null_screen(**screen, seed=seed),
            options={"guides_per_unit": per_unit} | null_kwargs,
        )
        for seed in range(n_screens)
    ]


FORMS: dict[str, tuple[dict, Callable]] = {
    "pseudo-genes": ({"finite_population_correction": False}, lambda e: e.pvals),
    "exchange": ({}, lambda e: e.pvals),
    "t form": ({}, lambda e: e.pvals_t),
}
SCREENS = {
    "sampling noise only": {},
    "guides differ": {"guide_sd": 0.3},
    "guides differ, unequal frequencies": {"guide_sd": 0.3, "uneven": 0.4},
    "NTC mean 1, unequal frequencies": {"uneven": 0.4, "mean": 1.0},
}


def _show(title: str, tables: list) -> None:
    cells = [f"{r:.4f} ± {e:.4f}" for r, e in (rate(tables, level) for level in (0.05, 0.01))]
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


def main(n_screens: int = 20) -> None:
    """Print the tables."""
    for n_ntc, per_target in ((12, 6), (12, 3), (60, 6)):
        for name, law in SCREENS.items():
            screen = {"n_ntc": n_ntc, "per_target": per_target, **law}
            for form, (options, pick) in FORMS.items():
                found = results(n_screens, screen, batch_mode="pooled", **options)
                _show(f"{n_ntc}/{per_target} | {name} | {form}", [pick(e) for e in found])
    for n_ntc, per_target in ((12, 3), (30, 6)):
        for name, law in (("independent", {}), ("shared", {"guide_sd_shared": 0.15})):
            screen = {"n_ntc": n_ntc, "per_target": per_target, "n_batches": 8, **law}
            screen |= {"n_targets": 10, "cells_per_guide": 15}
            for method in ("stouffer", "fisher"):
                for form, (options, pick) in FORMS.items():
                    found = results(n_screens // 2, screen, combine_method=method, **options)
                    title = f"{n_ntc}/{per_target} | {name} | {method}, {form}"
                    _show(title, [pick(e) for e in found])


if __name__ == "__main__":
    main()
