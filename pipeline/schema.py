"""What can be chosen: the type and range of every key in conf/.

conf/ holds the defaults, this module none: every field is MISSING until conf/ fills it. A section
that comes in several kinds (`sampler=bernoulli`, `sampler=stratified`) has one dataclass per kind;
its key `kind` says which one holds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from programde.errors import OptionError, nearest


class Side(enum.Enum):
    """Alternative hypothesis."""

    both = enum.auto()
    left = enum.auto()
    right = enum.auto()


class Adjust(enum.Enum):
    """Multiple-testing adjustment."""

    bh = enum.auto()
    storey = enum.auto()


class OnEmpty(enum.Enum):
    """What to do with a cell whose usages are all zero."""

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
class Controls:
    group_size: int | None = number(minimum=1)
    n_partitions: int = number(minimum=1)
    n_bins: int = number(minimum=1)
    max_groups: int | None = number(minimum=1)


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
    covariates: Covariates = MISSING
    controls: Controls = MISSING
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
    n_cells: int = number(minimum=50)
    n_programs: int = number(minimum=2)
    n_targets: int = number(minimum=1)
    guides_per_target: int = number(minimum=1)
    ntc_fraction: float = number(minimum=0, below=1)
    moi: float = number(above=0)
    causal_fraction: float = number(minimum=0, maximum=1)
    n_effect_programs: int = number(minimum=1)
    effect_size: float = MISSING
    n_extra_covariates: int = number(minimum=0)
    confounding: float = number(minimum=0)
    seed: int = MISSING
    ntc_labels: list[str] = MISSING


@dataclass
class H5adData:
    kind: str = MISSING
    path: str = path()
    usage_key: str = MISSING
    covar_key: str = MISSING
    guide_assignment_key: str = MISSING
    guide_names_key: str = MISSING
    guide2gene_key: str = MISSING
    batch_key: str | None = MISSING
    on_empty: OnEmpty = MISSING
    ntc_labels: list[str] = MISSING


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
class Bernoulli:
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
class Ols:
    kind: str = MISSING


@dataclass
class Utest:
    kind: str = MISSING
    use: RankedBy = MISSING
    rank_method: RankMethod = MISSING


@dataclass
class Calibration:
    kind: str = MISSING


#: Keys of Config that are no part of what is chosen.
BESIDE = ("inputs", "point")

#: Section -> kind -> the keys of that kind.
KINDS: dict[str, dict[str, type]] = {
    "data": {"synthetic": SyntheticData, "h5ad": H5adData},
    "usage": {
        "quantile": QuantileFloor,
        "positive_quantile": PositiveQuantileFloor,
        "fixed": FixedFloor,
    },
    "sampler": {"bernoulli": Bernoulli, "stratified": Stratified},
    "test": {"ols": Ols, "utest": Utest},
    "calibrate": {"none": Calibration, "skew_normal": Calibration, "saddlepoint": Calibration},
}


def register() -> None:
    """Make the root schema known to Hydra, under the name that the defaults lists use."""
    ConfigStore.instance().store(name="schema", node=Config)


def typed(config: DictConfig) -> dict[str, Any]:
    """Check every type and range; return plain values.

    Parameters
    ----------
    config
        A composed configuration, interpolations allowed.

    Returns
    -------
    dict
        The configuration as dicts, lists, numbers and strings; enums by their name.

    Raises
    ------
    OptionError
        One line: the key, the value and what is allowed.
    """
    plain: dict[str, Any] = {}
    known = {item.name: item for item in fields(Config) if item.name not in BESIDE}
    for key in config:
        if key not in known:
            raise OptionError(f"{key!s} is not a key{nearest(key, known)}")
    for name, item in known.items():
        if name not in config or OmegaConf.is_missing(config, name):
            raise OptionError(f"{name} has no value; give {name}=...")
        if name in KINDS:
            plain[name] = _typed_section(name, config[name])
        elif item.type in _SECTIONS:
            plain[name] = _typed_keys(f"{name}.", _SECTIONS[str(item.type)], config[name])
        else:
            plain[name] = _plain(config[name])
            check_range(name, plain[name], item.metadata)
    _check_across(plain)
    return plain


#: Dataclass of each plain section, by the name that its annotation holds.
_SECTIONS = {cls.__name__: cls for cls in (Covariates, Controls, Fdr, Report, Compute, Tracking)}


def _typed_section(section: str, node: Any) -> dict[str, Any]:
    """A section that comes in kinds, checked against the dataclass of its kind."""
    kinds = KINDS[section]
    if not isinstance(node, DictConfig) or "kind" not in node:
        raise OptionError(f"{section} has no kind{nearest('', kinds)}; choose {section}=KIND")
    kind = node["kind"]
    if kind not in kinds:
        raise OptionError(f"{section}.kind={kind!r} is not known{nearest(kind, kinds)}")
    wanted = {item.name for item in fields(kinds[kind])}
    absent = sorted(wanted - {str(key) for key in node})
    if absent:
        raise OptionError(
            f"{section}.kind={kind} lacks {', '.join(absent)}; choose {section}={kind} instead of "
            f"setting the kind alone"
        )
    return _typed_keys(f"{section}.", kinds[kind], node)


def _typed_keys(prefix: str, cls: type, node: DictConfig) -> dict[str, Any]:
    """Every key of one section, checked one by one so that an error names its key."""
    known = {item.name: item for item in fields(cls)}
    template = OmegaConf.structured(cls)
    for key in node:
        if key not in known:
            raise OptionError(f"{prefix}{key!s} is not a key{nearest(key, known)}")
    for key in known:
        if key not in node or OmegaConf.is_missing(node, key):
            raise OptionError(f"{prefix}{key} has no value; give {prefix}{key}=...")
        value = node[key]
        try:
            template[key] = value
        except OmegaConfBaseException as error:
            raise OptionError(wrong_value(f"{prefix}{key}", value, error)) from None
    plain = {key: _plain(template[key]) for key in known}
    for key, value in plain.items():
        check_range(prefix + key, value, known[key].metadata)
    return plain


def _plain(value: Any) -> Any:
    """Dicts, lists, numbers, strings; an enum by its name."""
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True, enum_to_str=True)
    return value.name if isinstance(value, enum.Enum) else value


def wrong_value(key: str, value: object, error: Exception) -> str:
    """The line for a value of the wrong type, from OmegaConf's own words."""
    reason = str(error).splitlines()[0]
    shown = value.name if isinstance(value, enum.Enum) else value
    return f"{key}={shown} is not allowed: {reason[0].lower()}{reason[1:]}"


def check_range(key: str, value: Any, limits: Any) -> None:
    """Raise an OptionError where a number, or one in a list, lies outside its limits."""
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, int | float) or isinstance(one, bool):
            continue
        bad = (
            ("minimum" in limits and not one >= limits["minimum"])
            or ("maximum" in limits and not one <= limits["maximum"])
            or ("above" in limits and not one > limits["above"])
            or ("below" in limits and not one < limits["below"])
        )
        if bad:
            signs = {"minimum": ">=", "above": ">", "maximum": "<=", "below": "<"}
            allowed = " and ".join(f"{signs[k]} {limits[k]:g}" for k in signs if k in limits)
            raise OptionError(f"{key}={value} is out of range: must be {allowed}")


def _check_across(plain: dict[str, Any]) -> None:
    """Rules that tie two keys together."""
    if plain["n_resamples"] < 1 and plain["calibrate"]["kind"] != "saddlepoint":
        raise OptionError(
            f"n_resamples={plain['n_resamples']} leaves calibrate={plain['calibrate']['kind']} "
            "without null draws: must be >= 1, or choose calibrate=saddlepoint"
        )
    if not plain["data"]["ntc_labels"]:
        raise OptionError("data.ntc_labels=[] leaves no control: name at least one target")
    clip = plain["sampler"].get("burden_clip_quantiles")
    if clip is not None and (len(clip) != 2 or not clip[0] < clip[1]):
        raise OptionError(
            f"sampler.burden_clip_quantiles={clip} is not allowed: must be two rising numbers"
        )
