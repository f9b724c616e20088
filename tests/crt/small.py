"""Small screens, populations and plain twins for the tests of the randomization engine."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import sparse

from programde.crt.population import Population, population_of
from programde.screen.composition import clr, floor_and_close
from programde.screen.screen import Screen

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15


def splitmix64(z: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014) in Python integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class PlainStream:
    """SplitMix64 from a key, and the variates that the samplers take from it, one by one."""

    def __init__(self, key: int):
        self.state = int(key) & MASK

    def bits(self) -> int:
        self.state = (self.state + GAMMA) & MASK
        return splitmix64(self.state)

    def uniform(self) -> float:
        """On the centres of 2^52 equal cells of (0, 1)."""
        return ((self.bits() >> 12) + 0.5) / 2.0**52

    def exponential(self) -> float:
        return -math.log(self.uniform())

    def below(self, n: int) -> int:
        """Uniform on 0 .. n - 1 (Lemire 2019)."""
        while True:
            product = (self.bits() >> 32) * n
            if product % 2**32 >= 2**32 % n:
                return product >> 32


def screen_of(
    n: int = 200,
    k: int = 5,
    p: int = 3,
    n_targets: int = 4,
    seed: int = 0,
    *,
    n_batches: int = 0,
    share: float = 0.1,
    confounding: float = 0.0,
    n_ntc: int = 0,
    one_guide: bool = False,
    zeros: float = 0.0,
) -> Screen:
    """A screen of n cells, k programs, p numeric covariates beside the intercept.

    Each target has two guides. `share` is the chance that a cell holds a guide of a target; it and
    the usages depend on the first covariate where `confounding` > 0. With `one_guide` each cell
    holds exactly one guide. `zeros` of the usages lie on the floor.
    """
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(n, p))
    batch = rng.permutation(np.resize(np.arange(max(n_batches, 1)), n))
    dummies = (batch[:, None] == np.arange(1, max(n_batches, 1))).astype(float)
    covariates = np.column_stack([np.ones(n), numeric, dummies])
    names = (
        ["intercept"] + [f"z{j}" for j in range(p)] + [f"b{j + 1}" for j in range(n_batches - 1)]
    )
    first = numeric[:, 0] if p else np.zeros(n)

    owners = [f"T{t}" for t in range(n_targets) for _ in range(2)] + ["NTC"] * n_ntc
    n_guides = len(owners)
    if one_guide:
        held = rng.integers(n_guides, size=n)
        held[:n_guides] = np.arange(n_guides)
        presence = held[:, None] == np.arange(n_guides)
    else:
        slope = confounding * rng.choice([-1.0, 1.0], size=n_guides)
        logit = np.log(share / 2) + slope * first[:, None] + 0.3 * confounding * batch[:, None]
        presence = rng.random((n, n_guides)) < 1 / (1 + np.exp(-logit))
        presence[rng.permutation(n)[:n_guides], np.arange(n_guides)] = True
    guides = sparse.csc_matrix(presence.astype(np.int8))
    guides.sort_indices()

    logits = rng.normal(size=(n, k)) + confounding * first[:, None] * rng.normal(size=k)
    usage = np.exp(logits + 0.5 * batch[:, None] * rng.normal(size=k))
    usage /= usage.sum(axis=1, keepdims=True)
    usage[rng.random((n, k)) < zeros] = 0.0
    usage = floor_and_close(usage, 1e-4)
    guide_names = [f"{owner}_g{j}" for j, owner in enumerate(owners)]
    labels = np.array([f"B{b}" for b in batch], dtype=object)
    table = pd.DataFrame(numeric, columns=names[1 : p + 1])
    if n_batches:
        table["batch"] = labels
    return Screen(
        usage=usage,
        clr=clr(usage),
        floor=1e-4,
        covariates=covariates,
        covariate_names=names,
        covariate_table=table,
        batch=labels if n_batches else None,
        guides=guides,
        guide_names=guide_names,
        guide_to_target=dict(zip(guide_names, owners, strict=True)),
        program_names=[f"program_{j}" for j in range(k)],
        cell_names=[f"c{i}" for i in range(n)],
    )


def population(**options: object) -> Population:
    """All cells of `screen_of`."""
    return population_of(screen_of(**options))  # type: ignore[arg-type]


def draw_matrix(law: object, n_draws: int, key: np.ndarray, n: int) -> np.ndarray:
    """The draws of a law as a dense (B, n) matrix of 0 and 1."""
    indptr, indices = law.indices(n_draws, key)  # type: ignore[attr-defined]
    x = np.zeros((n_draws, n))
    np.add.at(x, (np.repeat(np.arange(n_draws), np.diff(indptr)), indices), 1.0)
    return x
