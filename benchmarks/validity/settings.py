"""The settings that are compared: programDE's by all combinations, the seed's, and competitors.

A setting gives p-values (G, K) of a screen under one or more names: one run of the engine serves
all calibrations.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np

from benchmarks.validity.competitors import COMPETITORS, Comparison, compare
from benchmarks.validity.simulated import Simulated
from programde.analysis.calibrate import calibrate, raw_p
from programde.analysis.tables import results_table
from programde.analysis.targets import run_targets
from programde.crt.engine import RunOptions
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.errors import ProgramDEWarning
from programde.screen.build import Parts, build_screen
from programde.screen.options import Floor
from programde.screen.screen import Screen

COVARIATES = ("linear", "auto")
STATISTICS = ("ols", "utest")
#: Sampler -> what its law may be given; a permutation within strata has one law.
LAWS = {"bernoulli_index": ("covariates", "propensity"), "stratified_perm": ("strata",)}
N_RESAMPLES = 999
#: The default setting of each statistic.
DEFAULT = {"ols": "ols-bernoulli_index-covariates-auto",
           "utest": "utest-bernoulli_index-covariates-auto"}  # fmt: skip


class Screens:
    """A simulated screen as the package sees it, by covariate model; each made once."""

    def __init__(self, simulated: Simulated):
        self.simulated = simulated
        self._screens: dict[tuple[str, bool], Screen] = {}
        self._comparisons: dict[str, Comparison] = {}

    def screen(self, covariates: str, quantile: bool = False) -> Screen:
        """With the covariates encoded by `covariates`; `quantile`: with the seed's floor."""
        if (covariates, quantile) not in self._screens:
            one = self.simulated
            guides = [f"g{j}" for j in range(len(one.targets))]
            parts = Parts(
                cell_names=list(one.covariates.index),
                usage=one.usage,
                covariates=one.covariates,
                guides=one.guides,
                guide_to_target=dict(zip(guides, one.targets, strict=True)),
                guide_names=guides,
            )
            floor = Floor() if quantile else Floor("positive_quantile")
            self._screens[covariates, quantile] = build_screen(
                parts, formula=covariates, moi=one.moi, floor=floor
            )
        return self._screens[covariates, quantile]

    def comparison(self, covariates: str) -> Comparison:
        """What competitors are given."""
        if covariates not in self._comparisons:
            screen, one = self.screen(covariates), self.simulated
            self._comparisons[covariates] = Comparison.of(screen.clr, screen.covariates, one)
        return self._comparisons[covariates]

    @cached_property
    def sizes(self) -> np.ndarray:
        """Treated cells of each target (G,)."""
        real = [target != "NTC" for target in self.simulated.targets]
        return np.asarray(self.simulated.held[:, real].sum(axis=0))


@dataclass(frozen=True)
class Setting:
    """One way to test a screen.

    Attributes
    ----------
    name
        As results are filed.
    covariates
        Model of the covariates.
    n_resamples
        0: exact tails alone.
    """

    name: str
    covariates: str
    n_resamples: int = field(default=0, kw_only=True)

    def p_values(self, screens: Screens) -> dict[str, np.ndarray]:
        """P-values (G, K) by calibration."""
        raise NotImplementedError


@dataclass(frozen=True)
class Ours(Setting):
    """A setting of programDE.

    Attributes
    ----------
    statistic, sampler, given
        ``given="strata"`` for the stratified sampler.
    as_seed
        With everything as the original program has it: all other cells as controls, strata of
        equal cell count, empty batches kept, floor at the 1e-4 quantile.
    """

    statistic: str = "ols"
    sampler: str = "bernoulli_index"
    given: str = "covariates"
    as_seed: bool = False

    def p_values(self, screens: Screens) -> dict[str, np.ndarray]:
        """P-values (G, K): `saddlepoint`, with draws also `none` and `skew_normal`; of default
        settings also those of direct effects, `direct`."""
        stratified = self.sampler == "stratified_perm"
        own = {"bins_by": "cells"} if self.as_seed and stratified else {}
        options = RunOptions(
            make_statistic(self.statistic),
            make_sampler(self.sampler, **own),
            self.n_resamples,
            seed=1,
            progress=False,
            given="covariates" if self.given == "strata" else self.given,
            tails=not self.as_seed,
        )
        screen = screens.screen(self.covariates, quantile=self.as_seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProgramDEWarning)
            result = run_targets(
                screen,
                options,
                ntc_labels=["NTC"] if "NTC" in screens.simulated.targets else (),
                targets=screens.simulated.names,
                control="complement" if self.as_seed else "auto",
                drop_empty_batches=not self.as_seed,
            )
            found = {}
            if not self.as_seed:
                exact = calibrate(result, "saddlepoint")
                found["saddlepoint"] = np.asarray(exact.p_value)
                if self.name in DEFAULT.values():
                    direct = results_table(result, exact)["p_direct"].to_numpy(dtype=np.float64)
                    found["direct"] = direct.reshape(result.effect.shape)
            if self.n_resamples:
                smooth = calibrate(result, "skew_normal").p_value
                found |= {"none": raw_p(result), "skew_normal": np.asarray(smooth)}
        return found


@dataclass(frozen=True)
class Rival(Setting):
    """A competitor, on the same log-ratios, covariates and control cells."""

    method: str = "ols_t"

    def p_values(self, screens: Screens) -> dict[str, np.ndarray]:
        """P-values (G, K), named by the method."""
        return {self.method: compare(self.method, screens.comparison(self.covariates))}


def _ours() -> list[Setting]:
    found: list[Setting] = []
    for n_resamples, covariates, statistic in product((0, N_RESAMPLES), COVARIATES, STATISTICS):
        for sampler, laws in LAWS.items():
            for given in laws:
                drawn = "-draws" if n_resamples else ""
                name = f"{statistic}-{sampler}-{given}-{covariates}{drawn}"
                found.append(
                    Ours(name, covariates, statistic, sampler, given, n_resamples=n_resamples)
                )
    # draws are dear: settings without them first
    return sorted(found, key=lambda setting: setting.n_resamples > 0)


def _seeds() -> list[Setting]:
    return [
        Ours(f"seed-{statistic}-{sampler}", "linear", statistic, sampler, "propensity", True,
             n_resamples=N_RESAMPLES)
        for statistic in STATISTICS
        for sampler in LAWS
    ]  # fmt: skip


def _rivals() -> list[Setting]:
    return [
        Rival(f"{method}-{covariates}", covariates, method)
        for method, models in COMPETITORS.items()
        for covariates in models
    ]


#: All settings by name, in the order in which they are computed.
SETTINGS = {setting.name: setting for setting in [*_ours(), *_rivals(), *_seeds()]}
#: What the default was before the law was taken given the covariates.
BEFORE = {"ols": "ols-bernoulli_index-propensity-linear",
          "utest": "utest-bernoulli_index-propensity-linear"}  # fmt: skip
