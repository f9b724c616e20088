"""One line for a mistake on the command line: the key, the value, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from programde.errors import nearest


def compose_config(conf: Path, overrides: Sequence[str], config_name: str = "config") -> DictConfig:
    """The configuration that conf/ and some overrides give, without running anything."""
    with initialize_config_dir(config_dir=str(conf), version_base="1.3"):
        return compose(config_name, overrides=list(overrides))


def explain(error: Exception, arguments: Sequence[str], conf: Path) -> str:
    """Why Hydra refused a command line.

    Parameters
    ----------
    error
        What Hydra raised.
    arguments
        The command line, options and overrides.
    conf
        The configuration folder.
    """
    GlobalHydra.instance().clear()  # Hydra leaves it behind when it fails
    overrides = _overrides(arguments)
    try:
        return _culprit(overrides, conf) or _flat(error)
    except (HydraException, OmegaConfBaseException, OSError):
        return _flat(error)


def _overrides(arguments: Sequence[str]) -> list[str]:
    """The arguments that are overrides: not options, nor the value of one."""
    chosen = []
    skip = False
    for argument in arguments:
        if skip or argument.startswith("-"):
            takes_value = argument in ("--config-name", "-cn", "--config-dir", "-cd", "--cfg", "-c")
            skip = not skip and takes_value
        elif not argument.startswith("hydra"):
            chosen.append(argument)
    return chosen


def _culprit(overrides: list[str], conf: Path) -> str | None:
    """The line for the first override that cannot be taken; None where all can."""
    groups, values = [], []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            return f"{text!r} cannot be read; write key=value, and quote a value with special signs"
        if override.is_sweep_override():
            continue  # its points are checked one by one
        key = override.key_or_group
        if (conf / key).is_dir() and "." not in key:
            chosen = override.value()
            options = sorted(path.stem for path in (conf / key).glob("*.yaml"))
            for one in chosen if isinstance(chosen, list) else [chosen]:
                if one is not None and str(one) not in options:
                    return f"{key}={one} is not known{nearest(one, options)}"
            groups.append(text)
        else:
            values.append(override)
    base = compose_config(conf, groups)
    keys = _keys(base)
    for override in values:
        key = override.key_or_group
        if key not in keys and not any(known.startswith(f"{key}.") for known in keys):
            return _unknown(key, keys, _choices(conf, groups))
        value: Any = override.value()
        try:
            OmegaConf.update(base, key, value)
        except OmegaConfBaseException as error:
            return f"{key}={value} is not allowed: {str(error).splitlines()[0]}"
    return None


def _choices(conf: Path, groups: list[str]) -> dict[str, str]:
    """The file picked from each folder of conf/."""
    with initialize_config_dir(config_dir=str(conf), version_base="1.3"):
        config = compose("config", overrides=groups, return_hydra_config=True)
    return dict(config.hydra.runtime.choices)


def _unknown(key: str, keys: list[str], choices: dict[str, str]) -> str:
    """The line for a key that does not exist, with its nearest neighbours."""
    names = sorted({known.split(".")[0] for known in keys})
    section = key.split(".")[0]
    if "." in key and section in names:
        siblings = [known for known in keys if known.startswith(f"{section}.")]
        under = f" of {section}={choices[section]}" if section in choices else ""
        return f"{key} is not a key{under}{nearest(key, siblings)}"
    close = difflib.get_close_matches(key, [*names, *keys], n=3)
    guess = f"; did you mean {' or '.join(map(repr, close))}?" if close else ";"
    return f"{key} is not a key{guess} valid: {', '.join(names)}"


def _keys(config: DictConfig, prefix: str = "") -> list[str]:
    """All dotted keys that can be set."""
    keys: list[str] = []
    for key in config:
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            keys += _keys(node, f"{prefix}{key!s}.")
        else:
            keys.append(f"{prefix}{key!s}")
    return keys


def _flat(error: Exception) -> str:
    """An error's own words, and those of its cause, on one line."""
    words = " ".join(str(error).split())
    cause = error.__cause__
    if cause is not None:
        words += ": " + str(cause).splitlines()[0]
    return words
