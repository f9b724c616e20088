"""Whether a composed configuration holds what the library allows, and one line where not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from pipeline.config.schema import KINDS, ROOT, SECTIONS, Section, path_of
from programde.errors import OptionError, nearest

#: The word by which Hydra knows what is made of a section; not one of its keys.
TARGET = "_target_"


def typed(config: DictConfig) -> dict[str, Any]:
    """Check every type and range; return plain values.

    Parameters
    ----------
    config
        A composed configuration, interpolations allowed.

    Returns
    -------
    dict
        The configuration as dicts, lists, numbers and strings.

    Raises
    ------
    OptionError
        One line: the key, the value and what is allowed.
    """
    known = [*KINDS, *SECTIONS, *ROOT]
    for key in config:
        if key not in known:
            raise OptionError(f"{key!s} is not a key{nearest(key, known)}")
    plain: dict[str, Any] = {}
    for name in known:
        if name not in config or OmegaConf.is_missing(config, name):
            raise OptionError(f"{name} has no value; give {name}=...")
        if name in KINDS:
            plain[name] = _typed_kind(name, config[name])
        elif name in SECTIONS:
            plain[name] = typed_section(name, config[name])
        else:
            plain[name] = ROOT[name].check(_plain(config[name]), name)
    _check_across(plain)
    return plain


def _typed_kind(name: str, node: Any) -> dict[str, Any]:
    """A section that comes in kinds, checked against that of its kind."""
    kinds = KINDS[name]
    if not isinstance(node, DictConfig) or "kind" not in node:
        raise OptionError(f"{name} has no kind{nearest('', kinds)}; choose {name}=KIND")
    kind = _plain(node["kind"])
    if not isinstance(kind, str) or kind not in kinds:
        raise OptionError(f"{name}.kind={kind!r} is not known{nearest(kind, kinds)}")
    known = kinds[kind]
    absent = sorted(set(known.keys) - {str(key) for key in node})
    if absent:
        raise OptionError(
            f"{name}.kind={kind} lacks {', '.join(absent)}; do not set the kind alone, "
            f"pick a file of conf/{name}: {name}=NAME"
        )
    return {"kind": kind, **_typed_keys(f"{name}.", known, node, also=("kind",))}


def typed_section(name: str, node: Any) -> dict[str, Any]:
    """The checked values of one section without kinds; see `typed`."""
    return _typed_keys(f"{name}.", SECTIONS[name], node)


def no_section(name: str, value: Any, keys: list[str]) -> str:
    """The line for a value where a section is wanted."""
    some = ", ".join(f"{name}.{key}" for key in keys[:3])
    more = " ..." if len(keys) > 3 else ""
    return (
        f"{name}={value} is not allowed: it is a section; set its keys ({some}{more}), or leave "
        "it out"
    )


def _typed_keys(
    prefix: str, known: Section, node: Any, also: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Every key of one section, checked one by one so that an error names its key."""
    if not isinstance(node, DictConfig):
        raise OptionError(no_section(prefix[:-1], _plain(node), list(known.keys)))
    for key in node:
        made = key == TARGET and known.target is not None and node[key] == path_of(known.target)
        if key not in known.keys and key not in also and not made:
            raise OptionError(f"{prefix}{key!s} is not a key{nearest(key, [*also, *known.keys])}")
    plain: dict[str, Any] = {}
    for key, spec in known.keys.items():
        if key not in node or OmegaConf.is_missing(node, key):
            raise OptionError(f"{prefix}{key} has no value; give {prefix}{key}=...")
        if isinstance(spec, Section):
            plain[key] = _typed_keys(f"{prefix}{key}.", spec, node[key])
        else:
            given = _plain(node[key])
            if spec.items and str not in spec.kinds and isinstance(given, spec.items):
                given = [given]  # one entry, without the brackets
            value = spec.check(given, prefix + key)
            plain[key] = list(value) if isinstance(value, tuple) else value
    _make(prefix, known, plain)
    return plain


def _make(prefix: str, known: Section, plain: Mapping[str, Any]) -> None:
    """Make the library's object of a section: it refuses what goes wrong between two keys."""
    if known.target is None:
        return
    try:
        instantiate(_node(known, plain), _convert_="all")
    except InstantiationException as error:
        if not isinstance(error.__cause__, OptionError):
            raise
        line = str(error.__cause__)
        between = prefix if line.startswith(tuple(known.keys)) else f"{prefix[:-1]}: "
        raise OptionError(f"{between}{line}") from None


def _node(known: Section, plain: Mapping[str, Any]) -> dict[str, Any]:
    """The checked values of a section with Hydra's word for what is made of them."""
    node: dict[str, Any] = {} if known.target is None else {TARGET: path_of(known.target)}
    for key in known.taken:
        spec = known.keys[key]
        value = plain[key]
        node[key] = _node(spec, value) if isinstance(spec, Section) else _escaped(value)
    return node


def _escaped(value: Any) -> Any:
    """Texts without what OmegaConf would take for a reference: a file may be called ${X}."""
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return value.replace("${", "$ {") if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """Dicts, lists, numbers, strings."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


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
        if (control := plain["analysis"]["control"]) not in ("complement", "auto"):
            raise OptionError(
                f"analysis.control={control} does not go with calibrate=ntc_empirical, which "
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
    if plain["analysis"]["targets"] == []:
        raise OptionError("analysis.targets=[] leaves nothing to test: null tests all targets")
    if not plain["data"]["ntc_labels"]:
        raise OptionError(
            "data.ntc_labels=[] leaves no control, and so no comparison with control cells, no "
            "groups of control guides and no verdict on calibration: name at least one target"
        )
