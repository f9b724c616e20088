"""What can be chosen: the type and range of every key in conf/.

conf/ holds the defaults, this module none: every field is MISSING until conf/ fills it. A section
that comes in several kinds (`sampler=bernoulli`, `sampler=stratified`) has one dataclass per kind;
its key `kind` says which one holds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class Side(enum.Enum):
    """Alternative hypothesis."""

    both = enum.auto()
    left = enum.auto()
    right = enum.auto()


class Adjust(enum.Enum):
    """Multiple-testing adjustment."""

    bh = enum.auto()
    storey = enum.auto()


class OnTrouble(enum.Enum):
    """What to do with a cell that cannot be used."""

    error = enum.auto()
    drop = enum.auto()


class RankedBy(enum.Enum):
    """What the U-test ranks."""

    clr = enum.auto()
    usage = enum.auto()


class RankMethod(enum.Enum):
    """How tied values are ranked."""

    average = enum.auto()


class BinMethod(enum.Enum):
    """How bin edges are placed."""

    quantile = enum.auto()
    uniform = enum.auto()


class Control(enum.Enum):
    """Who the treated cells of a unit are compared with."""

    complement = enum.auto()
    nt_cells = enum.auto()
    auto = enum.auto()


class UnitKind(enum.Enum):
    """What is tested as one."""

    union = enum.auto()
    guide = enum.auto()


class BatchMode(enum.Enum):
    """Where targets meet non-targeting guides."""

    auto = enum.auto()
    meta = enum.auto()
    pooled = enum.auto()


class CombineMethod(enum.Enum):
    """How the p-values of batches are combined."""

    stouffer = enum.auto()
    fisher = enum.auto()


class GeneStatistic(enum.Enum):
    """What sums up the programs of a target."""

    max_z = enum.auto()
    max_effect = enum.auto()


def number(
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A field that conf/ must fill, with the range of its value."""
    limits = {"minimum": minimum, "maximum": maximum, "above": above, "below": below}
    return field(default=MISSING, metadata={k: v for k, v in limits.items() if v is not None})


def path() -> Any:
    """A field that names a file or folder that comes in."""
    return field(default=MISSING, metadata={"path": True})


@dataclass
class Covariates:
    add_intercept: bool = MISSING
    standardize: bool = MISSING
    numeric_as_category_threshold: int | None = number(minimum=0)


@dataclass
class Analysis:
    control: Control = MISSING
    unit: UnitKind = MISSING
    by_condition: bool = MISSING
    drop_empty_batches: bool = MISSING
    tails: bool = MISSING
    min_treated: int = number(minimum=1)
    min_control: int = number(minimum=1)


@dataclass
class Controls:
    group_size: int | None = number(minimum=1)
    min_groups: int = number(minimum=1)
    n_partitions: int = number(minimum=1)
    n_bins: int = number(minimum=1)


@dataclass
class Crossfit:
    min_guides: int = number(minimum=4)
    n_ntc_units: int = number(minimum=1)
    n_holdout_units: int = number(minimum=1)


@dataclass
class Fdr:
    adjust: Adjust = MISSING
    level: float = number(above=0, below=1)


@dataclass
class Report:
    n_boot: int = number(minimum=1)
    seed: int = MISSING


@dataclass
class Compute:
    n_jobs: int | None = number(minimum=1)


@dataclass
class Tracking:
    uri: str = MISSING
    experiment: str = MISSING


@dataclass
class Config:
    """The whole configuration; the sections typed Any come in kinds, see `KINDS`."""

    data: Any = MISSING
    usage: Any = MISSING
    sampler: Any = MISSING
    test: Any = MISSING
    calibrate: Any = MISSING
    analysis: Analysis = MISSING
    covariates: Covariates = MISSING
    controls: Controls = MISSING
    crossfit: Crossfit = MISSING
    fdr: Fdr = MISSING
    report: Report = MISSING
    compute: Compute = MISSING
    tracking: Tracking = MISSING
    n_resamples: int = number(minimum=0)
    seed: int = MISSING
    side: Side = MISSING
    inputs: Any = None  # filled in params.yaml: where the files that come in lie
    point: str | None = None  # filled by the driver of a sweep


@dataclass
class SyntheticData:
    kind: str = MISSING
    N: int = number(minimum=50)
    K: int = number(minimum=2)
    n_target_genes: int = number(minimum=1)
    guides_per_gene: int = number(minimum=1)
    ntc_frac_guides: float = number(minimum=0, below=1)
    moi_mean: float = number(above=0)
    frac_causal_genes: float = number(minimum=0, maximum=1)
    n_effect_programs: int = number(minimum=1)
    effect_size: float = MISSING
    n_cov_extra: int = number(minimum=0)
    confound_strength: float = number(minimum=0)
    eps_near_zero: float = number(minimum=0)
    sprinkle_near_zero_frac: float = number(minimum=0, below=1)
    exact_zero_frac: float = number(minimum=0, maximum=1)
    n_batches: int = number(minimum=1)
    seed: int = MISSING
    condition_key: str | None = MISSING
    ntc_labels: list[str] = MISSING


@dataclass
class FileData:
    """What all sources that are files have in common."""

    kind: str = MISSING
    covar_columns: list[str] | None = MISSING
    log1p_columns: list[str] | None = MISSING
    batch_key: str | None = MISSING
    condition_key: str | None = MISSING
    on_empty: OnTrouble = MISSING
    ntc_labels: list[str] = MISSING


@dataclass
class KeyedData(FileData):
    """What all sources with keys have in common."""

    covar_key: str | None = MISSING
    guide_assignment_key: str = MISSING
    guide_names_key: str = MISSING
    guide2gene_key: str = MISSING
    guide_targets_key: str = MISSING


@dataclass
class H5adData(KeyedData):
    path: str = path()
    usage_key: str = MISSING
    program_names_key: str = MISSING


@dataclass
class H5muData(KeyedData):
    path: str = path()
    usage_modality: str = MISSING
    usage_key: str | None = MISSING
    guide_modality: str | None = MISSING
    guide_layer: str | None = MISSING
    target_column: str = MISSING
    type_column: str = MISSING
    covar_modality: str | None = MISSING
    on_missing: OnTrouble = MISSING


@dataclass
class CnmfData(KeyedData):
    folder: str = path()
    screen: str = path()
    name: str | None = MISSING
    k: int = number(minimum=2)
    density_threshold: float = number(above=0)
    on_missing: OnTrouble = MISSING


@dataclass
class GuideTablesData(FileData):
    usage: str = path()
    assignments: str = path()
    guide_metadata: str = path()
    covariates: str | None = path()
    threshold: float = MISSING
    cell_column: str = MISSING
    guide_column: str = MISSING
    value_column: str | None = MISSING
    guide_id_column: str = MISSING
    target_column: str = MISSING
    type_column: str | None = MISSING
    on_missing: OnTrouble = MISSING


@dataclass
class QuantileFloor:
    kind: str = MISSING
    eps_quantile: float = number(minimum=0, below=1)


@dataclass
class PositiveQuantileFloor:
    kind: str = MISSING
    eps_quantile: float = number(minimum=0, below=1)
    eps_scale: float = number(above=0)


@dataclass
class FixedFloor:
    kind: str = MISSING
    eps: float = number(above=0, below=1)


@dataclass
class Plain:
    """A kind without keys of its own."""

    kind: str = MISSING


@dataclass
class Stratified:
    kind: str = MISSING
    n_bins: int = number(minimum=1)
    stratify_by_batch: bool = MISSING
    min_stratum_size: int = number(minimum=1)
    burden_key: str | None = MISSING
    n_burden_bins: int = number(minimum=1)
    burden_bin_method: BinMethod = MISSING
    burden_clip_quantiles: list[float] = number(minimum=0, maximum=1)  # noqa: RUF009


@dataclass
class Utest:
    kind: str = MISSING
    use: RankedBy = MISSING
    rank_method: RankMethod = MISSING


@dataclass
class Matching:
    n_n1_bins: int = number(minimum=1)
    n_d_bins: int = number(minimum=1)
    min_ntc_per_bin: int | None = number(minimum=1)
    use_pbar: bool = MISSING
    n_pbar_bins: int = number(minimum=1)


@dataclass
class NtcEmpirical:
    kind: str = MISSING
    guides_per_unit: int | None = number(minimum=1)
    n_ntc_units: int = number(minimum=1)
    batch_mode: BatchMode = MISSING
    combine_method: CombineMethod = MISSING
    min_treated: int = number(minimum=0)
    min_control: int = number(minimum=0)
    finite_population_correction: bool = MISSING
    gene_statistic: GeneStatistic = MISSING
    crossfit: bool = MISSING
    qq_crossfit_seed: int = MISSING
    qq_crossfit_frac_A: float = number(above=0, below=1)
    n_holdout_units: int = number(minimum=1)
    matching: Matching = MISSING


#: Keys of Config that are no part of what is chosen.
BESIDE = ("inputs", "point")

#: Section -> kind -> the keys of that kind.
KINDS: dict[str, dict[str, type]] = {
    "data": {
        "synthetic": SyntheticData,
        "h5ad": H5adData,
        "h5mu": H5muData,
        "cnmf": CnmfData,
        "guide_tables": GuideTablesData,
    },
    "usage": {
        "quantile": QuantileFloor,
        "positive_quantile": PositiveQuantileFloor,
        "fixed": FixedFloor,
    },
    "sampler": {"bernoulli_index": Plain, "stratified_perm": Stratified},
    "test": {"ols": Plain, "utest": Utest},
    "calibrate": {
        "none": Plain,
        "skew_normal": Plain,
        "saddlepoint": Plain,
        "ntc_empirical": NtcEmpirical,
    },
}


def register() -> None:
    """Make the root schema known to Hydra, under the name that the defaults lists use."""
    ConfigStore.instance().store(name="schema", node=Config)


#: Dataclasses of the sections and parts of sections that have no kinds, by the name of their type.
PARTS = {
    cls.__name__: cls
    for cls in (Analysis, Covariates, Controls, Crossfit, Fdr, Matching, Report, Compute, Tracking)
}
