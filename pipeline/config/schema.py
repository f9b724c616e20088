"""What can be chosen: the keys of conf/, each with the type, range and default of the library.

A key is a field of an option class of `programde`, and its range stands there; what is the
pipeline's own (this machine, the record of runs) is below. A section that comes in several kinds
(`sampler=bernoulli`, `sampler=stratified`) has one class per kind; its key `kind` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

from pipeline.upstream import share_store
from programde.analysis.options import Comparison
from programde.calibration.options import CalibrationOptions, FdrOptions
from programde.controls.matching import MatchingOptions
from programde.controls.options import (
    ComparisonOptions,
    ControlUnitOptions,
    CrossfitOptions,
    GroupOptions,
    SpikeOptions,
)
from programde.crt.options import RunOptions
from programde.crt.samplers import SAMPLERS
from programde.crt.statistics import STATISTICS
from programde.io.options import SOURCE_OPTIONS
from programde.memory import memory_bytes
from programde.option_fields import REQUIRED, Spec, check_options, option, specs
from programde.report.options import ReportOptions
from programde.screen.options import CovariateOptions, Floor
from programde.workers import Workers


@dataclass(frozen=True)
class Compute(Workers):
    """This machine, or who tests in its place; changes no result.

    Attributes
    ----------
    n_jobs
        Threads; None: one per core.
    memory
        What a stage may use: bytes, or a text such as ``"4GB"``; None: half of what is free. Usages
        that take more stay on disk, and targets are tested in groups whose cells fit.
    """

    n_jobs: int | None = option(None, minimum=1)
    memory: str | float | None = option(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory is not None:
            memory_bytes(self.memory)


@dataclass(frozen=True)
class Prespecified:
    """Tests that were named before the screen was seen."""

    pairs: str | None = option(None, path=True)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Tracking:
    """Where sweeps are recorded."""

    uri: str = "sqlite:///mlflow.db"
    experiment: str = "programDE"

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Section:
    """The keys of a section, or of one kind of it.

    Attributes
    ----------
    keys
        Name -> what it may hold; another section where keys are nested.
    target
        The class that is made of them; None where there is none, or they belong to several.
    taken
        The keys that the class takes.
    """

    keys: Mapping[str, Spec | Section]
    target: type | None = None
    taken: tuple[str, ...] = ()

    def node(self) -> dict[str, Any]:
        """The section for Hydra: its defaults, and the class as `_target_`."""
        named = {} if self.target is None else {"_target_": path_of(self.target)}
        return named | {
            name: spec.node() if isinstance(spec, Section) else default_of(spec)
            for name, spec in self.keys.items()
        }


def path_of(cls: type) -> str:
    """A class as Hydra's `_target_` names it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def default_of(spec: Spec) -> Any:
    """A default as YAML would hold it; Hydra's mark for a missing value where there is none."""
    if spec.default is REQUIRED:
        return "???"
    return list(spec.default) if isinstance(spec.default, tuple) else spec.default


def section(cls: Any, *, without: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> Section:
    """A section of the fields of an option class."""
    keys = {n: s for n, s in specs(cls).items() if n not in without and (not only or n in only)}
    return Section(keys, cls, tuple(keys))


def part(cls: Any, *names: str) -> Mapping[str, Spec]:
    """Some fields of an option class, others of which have their key elsewhere."""
    return {name: specs(cls)[name] for name in names}


def _analysis() -> Section:
    whole = section(Comparison)
    some = part(RunOptions, "tails", "given", "min_treated", "min_control")
    return Section({**whole.keys, **some, **specs(Prespecified)}, whole.target, whole.taken)


def _controls() -> Section:
    whole = section(GroupOptions)
    return Section({**whole.keys, "units": section(ControlUnitOptions)}, whole.target, whole.taken)


def _ntc_empirical() -> Section:
    whole = section(ComparisonOptions)
    return Section({**whole.keys, "matching": section(MatchingOptions)}, whole.target, whole.taken)


#: Sections without kinds.
SECTIONS: dict[str, Section] = {
    "analysis": _analysis(),
    "covariates": section(CovariateOptions),
    "controls": _controls(),
    "crossfit": section(CrossfitOptions),
    "spikes": section(SpikeOptions),
    "fdr": section(FdrOptions),
    "report": section(ReportOptions),
    "compute": section(Compute),
    "tracking": section(Tracking),
}

#: Section -> kind -> the keys of that kind.
KINDS: dict[str, dict[str, Section]] = {
    "data": {kind: section(cls) for kind, cls in SOURCE_OPTIONS.items()},
    "usage": {
        "quantile": section(Floor, only=("kind", "eps_quantile", "transform")),
        "positive_quantile": section(
            Floor, only=("kind", "eps_quantile", "eps_scale", "transform")
        ),
        "fixed": section(Floor, only=("kind", "eps", "transform")),
        "share": section(Floor, only=("kind", "share_of_mean", "transform")),
        "none": section(Floor, only=("kind", "transform")),
    },
    # the column of batches is that of the screen: data.batch_key
    "sampler": {kind: section(cls, without=("batch_key",)) for kind, cls in SAMPLERS.items()},
    "test": {kind: section(cls) for kind, cls in STATISTICS.items()},
    "calibrate": {
        "none": Section({}),
        "skew_normal": Section({}),
        "saddlepoint": Section({}),
        "ntc_empirical": _ntc_empirical(),
    },
}

#: Keys that are in no section.
ROOT: dict[str, Spec] = {
    **part(RunOptions, "n_resamples", "seed"),
    **part(CalibrationOptions, "side"),
}

#: Keys that are no part of what is chosen: filled in params.yaml, and by the driver of a sweep.
BESIDE = ("inputs", "point")


def register() -> None:
    """Give Hydra the option classes: the root of conf/, and one node per kind of a section.

    conf/sampler/bernoulli.yaml begins with the node `options/sampler/bernoulli_index`, and says
    what else is to be said. What the whole holds is checked when it is composed, key by key.
    """
    store = ConfigStore.instance()
    share_store(store)
    root: dict[str, Any] = dict.fromkeys(KINDS, "???")
    root |= {name: known.node() for name, known in SECTIONS.items()}
    root |= {name: default_of(spec) for name, spec in ROOT.items()}
    store.store(name="schema", node=root | dict.fromkeys(BESIDE))
    for name, kinds in KINDS.items():
        for kind, known in kinds.items():
            store.store(group=f"options/{name}", name=kind, node={**known.node(), "kind": kind})
