"""What a generator hands over, and the pieces that generators are put together from.

Every generator says how cells come to be treated (by which covariates, how many targets per cell)
and how programs depend on the same covariates. Targets are null, or move some programs up and as
many down by as much: such effects sum to 0, so that the centred log-ratios of all other programs
stay where they are, and what is null is null in log-ratios too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit, softmax

N_CELLS, N_PROGRAMS = 5_000, 20
#: Targets of a screen of many targets per cell, and the share of targets that act.
N_TARGETS, ACTIVE = 200, 0.2
#: Programs that an active target moves, half of them up; how far, in standard errors.
MOVED, STRENGTH = 6, (1.0, 4.5)
#: Treated cells of a target, evenly on the log scale.
SIZES = (15.0, 500.0)
BATCHES = 4


@dataclass(frozen=True)
class Simulated:
    """A screen whose truth is known.

    Attributes
    ----------
    usage : (N, K) float64
        Rows sum to 1; zeros may occur.
    covariates : (N, m) DataFrame
        What the analyst is given.
    held : (N, n_guides) bool
        Guides in cells, one guide per target.
    targets
        Target of each guide; those called NTC are controls.
    truth : (G, K) float64
        By target (without the controls, in the order of the guides) and program: 0 where nothing
        happens, the shift of the log-ratio where something does, NaN where a target that acts
        leaves a program alone: such tests are not counted.
    moi
        ``"high"`` or ``"low"``.
    """

    usage: np.ndarray
    covariates: pd.DataFrame
    held: np.ndarray
    targets: list[str]
    truth: np.ndarray
    moi: str = "high"

    @property
    def names(self) -> list[str]:
        """The G targets that are tested."""
        return [target for target in self.targets if target != "NTC"]

    @property
    def guides(self) -> sparse.csc_matrix:
        """The guides as a screen takes them."""
        return sparse.csc_matrix(self.held.astype(np.int8))


#: From a table of covariates to what enters treatment and programs, (N, f), columns of mean
#: square about 1.
Features = Callable[[pd.DataFrame], np.ndarray]
#: (generator, N, K) -> noise of the log-usages, standard deviation about 1.
Noise = Callable[[np.random.Generator, int, int], np.ndarray]


def draw_covariates(rng: np.random.Generator, n: int = N_CELLS) -> pd.DataFrame:
    """Batch, depth on the log scale, and the mitochondrial share, which falls with depth."""
    depth = rng.standard_normal(n)
    mito = -0.3 * depth + np.sqrt(1 - 0.09) * rng.standard_normal(n)
    batch = rng.choice(BATCHES, n, p=[0.4, 0.3, 0.2, 0.1])
    return pd.DataFrame(
        {"batch": [f"b{b}" for b in batch], "log_depth": depth, "mito": mito},
        index=[f"c{i}" for i in range(n)],
    )


def dummies(labels: pd.Series) -> np.ndarray:
    """(N, levels) indicators, centred and scaled."""
    held = pd.get_dummies(labels).to_numpy(dtype=np.float64)
    return (held - held.mean(axis=0)) / held.std(axis=0)


def straight_features(table: pd.DataFrame) -> np.ndarray:
    """Batch, depth and mito as they are."""
    return np.column_stack([dummies(table["batch"]) / 2, table["log_depth"], table["mito"]])


def normal_noise(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Independent normal noise."""
    return rng.standard_normal((n, k))


def log_even(rng: np.random.Generator, low: float, high: float, size: int) -> np.ndarray:
    """Numbers that are even on the log scale."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def intercepts(eta: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Per column of eta (N, G) the a with sum expit(a + eta) = size; bisection."""
    low, high = np.full(sizes.size, -20.0), np.full(sizes.size, 20.0)
    for _ in range(16):  # to 3e-4
        middle = (low + high) / 2
        few = expit(eta + middle).sum(axis=0) < sizes
        low, high = np.where(few, middle, low), np.where(few, high, middle)
    return (low + high) / 2


def effects(
    rng: np.random.Generator, sizes: np.ndarray, sd: np.ndarray, active: float = ACTIVE
) -> tuple[np.ndarray, np.ndarray]:
    """Shifts of log-usage (G, K), and the truth as `Simulated` keeps it.

    Parameters
    ----------
    rng
    sizes : (G,)
        Treated cells.
    sd : (K,)
        Of the noise, by which shifts are scaled so that targets of all sizes can be found.
    active
        Share of the targets that act.
    """
    G, K = sizes.size, sd.size
    shift, truth = np.zeros((G, K)), np.zeros((G, K))
    for g in rng.choice(G, round(active * G), replace=False):
        programs = rng.permutation(K)[:MOVED].reshape(2, -1)
        far = rng.uniform(*STRENGTH, MOVED // 2) * sd[programs].mean(axis=0) / np.sqrt(sizes[g])
        shift[g, programs[0]], shift[g, programs[1]] = far, -far
        truth[g] = np.where(shift[g] == 0, np.nan, shift[g])
    return shift, truth


def high_moi(
    rng: np.random.Generator,
    *,
    features: Features = straight_features,
    noise: Noise = normal_noise,
    sizes: tuple[float, float] = SIZES,
    n_targets: int = N_TARGETS,
    n_cells: int = N_CELLS,
    into_treatment: float = 0.5,
    into_programs: float = 0.5,
    zeros: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None,
    table: pd.DataFrame | None = None,
    shown: tuple[str, ...] = ("batch", "log_depth", "mito"),
) -> Simulated:
    """Many targets per cell, each held independently by its own propensity.

    Parameters
    ----------
    rng
    features
        What of the covariates enters both propensities and programs.
    noise
    sizes
        Range of the expected number of treated cells.
    n_targets, n_cells
    into_treatment, into_programs
        Standard deviation of the coefficients of the features in logits and in log-usages.
    zeros
        (rng, log-usages (N, K)) -> where usages are 0.
    table
        Covariates; drawn where not given.
    shown
        Columns of it that the analyst is given.
    """
    table = draw_covariates(rng, n_cells) if table is None else table
    F = features(table)
    wanted = log_even(rng, *sizes, n_targets)
    eta = F @ rng.normal(0, into_treatment, (F.shape[1], n_targets))
    held = rng.random(eta.shape) < expit(eta + intercepts(eta, wanted))
    return assemble(rng, table, F, held, wanted, noise, into_programs, zeros, shown)


def low_moi(
    rng: np.random.Generator,
    *,
    features: Features = straight_features,
    noise: Noise = normal_noise,
    sizes: tuple[float, float] = (15.0, 150.0),
    n_targets: int = 100,
    n_cells: int = 10_000,
    controls: float = 0.3,
    n_ntc: int = 10,
    second: float = 0.0,
    into_treatment: float = 0.5,
    into_programs: float = 0.5,
) -> Simulated:
    """One guide per cell, of a target or a control; with a share `second` a further one.

    Which guide a cell holds is a multinomial logit in the features; a share of about `controls` of
    the cells holds one of `n_ntc` control guides, which all follow the same law.
    """
    table = draw_covariates(rng, n_cells)
    F = features(table)
    wanted = log_even(rng, *sizes, n_targets)
    weights = np.concatenate([wanted, np.full(n_ntc, controls / (1 - controls) / n_ntc)
                              * wanted.sum()])  # fmt: skip
    into = np.zeros((F.shape[1], weights.size))
    into[:, :n_targets] = rng.normal(0, into_treatment, (F.shape[1], n_targets))
    eta = np.log(weights) + F @ into
    held = np.zeros(eta.shape, dtype=bool)
    held[np.arange(n_cells), _one_of(rng, eta)] = True
    again = rng.random(n_cells) < second
    held[np.flatnonzero(again), _one_of(rng, eta[again])] = True
    mean = held[:, :n_targets].sum(axis=0).clip(1)
    simulated = assemble(rng, table, F, held, mean, noise, into_programs, moi="low", n_ntc=n_ntc)
    return simulated


def _one_of(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    """A column for each row, by multinomial logits: the largest of logit + Gumbel."""
    return np.argmax(eta + rng.gumbel(size=eta.shape), axis=1)


def assemble(
    rng: np.random.Generator,
    table: pd.DataFrame,
    F: np.ndarray,
    held: np.ndarray,
    sizes: np.ndarray,
    noise: Noise,
    into_programs: float,
    zeros: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None,
    shown: tuple[str, ...] = ("batch", "log_depth", "mito"),
    moi: str = "high",
    n_ntc: int = 0,
) -> Simulated:
    """Log-usages from covariates, noise and targets' effects, closed to usages."""
    n = len(table)
    own = noise(rng, n, N_PROGRAMS)
    sd = (own - own.mean(axis=1, keepdims=True)).std(axis=0)
    shift, truth = effects(rng, np.asarray(sizes, dtype=np.float64), sd)
    logs = F @ rng.normal(0, into_programs, (F.shape[1], N_PROGRAMS)) + own
    logs += held[:, : len(shift)] @ shift
    usage = softmax(logs, axis=1)
    if zeros is not None:
        usage[zeros(rng, logs)] = 0.0
        usage /= usage.sum(axis=1, keepdims=True)
    targets = [f"T{g}" for g in range(len(shift))] + ["NTC"] * n_ntc
    return Simulated(usage, table[list(shown)], held, targets, truth, moi)
