"""Whether a composed configuration holds what the schema says, and one line where not."""

from __future__ import annotations

import enum
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.schema import BESIDE, KINDS, PARTS, Config
from programde.errors import OptionError, nearest


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
        elif item.type in PARTS:
            plain[name] = _typed_keys(f"{name}.", PARTS[str(item.type)], config[name])
        else:
            plain[name] = _plain(config[name])
            check_range(name, plain[name], item.metadata)
    _check_across(plain)
    return plain


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
            f"{section}.kind={kind} lacks {', '.join(absent)}; do not set the kind alone, "
            f"pick a file of conf/{section}: {section}=NAME"
        )
    return _typed_keys(f"{section}.", kinds[kind], node)


def _typed_keys(prefix: str, cls: type, node: DictConfig) -> dict[str, Any]:
    """Every key of one section, checked one by one so that an error names its key."""
    known = {item.name: item for item in fields(cls)}
    template = OmegaConf.structured(cls)
    for key in node:
        if key not in known:
            raise OptionError(f"{prefix}{key!s} is not a key{nearest(key, known)}")
    plain: dict[str, Any] = {}
    for key, item in known.items():
        if key not in node or OmegaConf.is_missing(node, key):
            raise OptionError(f"{prefix}{key} has no value; give {prefix}{key}=...")
        value = node[key]
        if item.type in PARTS:
            plain[key] = _typed_keys(f"{prefix}{key}.", PARTS[str(item.type)], value)
            continue
        try:
            template[key] = value
        except OmegaConfBaseException as error:
            raise OptionError(wrong_value(f"{prefix}{key}", value, error)) from None
        plain[key] = _plain(template[key])
        check_range(prefix + key, plain[key], item.metadata)
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
    if plain["analysis"]["by_condition"] and not plain["data"]["condition_key"]:
        raise OptionError(
            "analysis.by_condition=True needs data.condition_key: name the column of the condition"
        )
    if plain["calibrate"]["kind"] == "ntc_empirical":
        # asked now, not after the draws: non-targeting guides are compared with whole targets
        for key, only in (("by_condition", False), ("unit", "union")):
            if (given := plain["analysis"][key]) != only:
                raise OptionError(
                    f"analysis.{key}={given} does not go with calibrate=ntc_empirical: "
                    "choose calibrate=saddlepoint"
                )
        if plain["analysis"]["control"] == "nt_cells":
            raise OptionError(
                "analysis.control=nt_cells does not go with calibrate=ntc_empirical, which "
                "compares with all other cells: choose analysis.control=complement or "
                "calibrate=saddlepoint"
            )
        if plain["test"]["kind"] != "ols":
            raise OptionError(
                f"test={plain['test']['kind']} does not go with calibrate=ntc_empirical, which is "
                "of least-squares effects: choose test=ols or calibrate=saddlepoint"
            )
        if plain["side"] != "both":
            raise OptionError(
                f"side={plain['side']} does not go with calibrate=ntc_empirical, which is "
                "two-sided: choose calibrate=saddlepoint"
            )
    if not plain["data"]["ntc_labels"]:
        raise OptionError("data.ntc_labels=[] leaves no control: name at least one target")
    clip = plain["sampler"].get("burden_clip_quantiles")
    if clip is not None and (len(clip) != 2 or not clip[0] < clip[1]):
        raise OptionError(
            f"sampler.burden_clip_quantiles={clip} is not allowed: must be two rising numbers"
        )
