"""One line for a mistake on the command line: the key, the value, what is allowed."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.conf import HydraConf
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.checking import TARGET, no_section
from pipeline.config.schema import BESIDE
from pipeline.config.typed_words import in_quotes
from pipeline.upstream import forget_hydra, parse_override
from programde.errors import OptionError, nearest


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
    forget_hydra()
    if "Could not find 'hydra/sweeper/optuna'" in str(error):
        return "this sweep needs Hydra's sweeper by Optuna: pip install 'programde[optuna]'"
    overrides = _overrides(arguments)
    if line := _unknown_file(str(error), conf):
        return line
    try:
        return _culprit(overrides, conf) or _flat(error)
    except (HydraException, OmegaConfBaseException, OSError):
        return _flat(error)


def _unknown_file(said: str, conf: Path) -> str | None:
    """The line for a file of conf/ that picks another which is not there; None if it is not that.

    What the command line picks is told elsewhere, in the words that were typed.
    """
    found = re.match(r"In '.+?': Could not find '(.+)/(.+?)'\s", said)
    if found is None:
        return None
    group, name = found[1].removeprefix("/"), found[2]
    picks = re.compile(
        rf"^\s*- (override )?/?{re.escape(group)}:\s*['\"]?{re.escape(name)}\b", re.M
    )
    for path in sorted(conf.rglob("*.yaml"), key=lambda path: len(path.parts)):
        if picks.search(path.read_text(encoding="utf-8")):
            where = path.relative_to(conf.parent).as_posix()
            return f"{where}: {group}: {name} is not known{nearest(name, _files(group, conf))}"
    return None


def _overrides(arguments: Sequence[str]) -> list[str]:
    """The overrides that are ours: no options of Hydra, and no words of its own."""
    return [word for word in _words(arguments) if not word.startswith("hydra")]


def _words(arguments: Sequence[str]) -> list[str]:
    """The arguments that are overrides: not options, nor the value of one."""
    chosen = []
    skip = False
    for argument in arguments:
        if skip or argument.startswith("-"):
            takes_value = argument in TAKE_A_VALUE
            skip = not skip and takes_value
        else:
            chosen.append(argument)
    return chosen


def refuse_words(arguments: Sequence[str], conf: Path) -> None:
    """Refuse overrides that Hydra takes without a word, or fails at with a traceback.

    Raises
    ------
    OptionError
        One line: the word and what is allowed.
    """
    for text in _words(arguments):
        override = parse_override(text)
        if override is None:
            raise OptionError(cannot_be_read(text))
        key, value = override.key_or_group, override.value()
        top = key.split("@")[0]
        if top.split(".")[0] == "hydra" and "." in top:
            known = [item.name for item in fields(HydraConf)]
            if (word := top.split(".")[1]) not in known:
                raise OptionError(f"hydra.{word} is not a key{nearest(word, known)}")
        if not override.is_sweep_override() and _is_group(top, conf) and not override.is_delete():
            several = isinstance(value, list) and top != "experiment"
            if value is None or several or not isinstance(value, str | list):
                shown = "null" if value is None else value
                raise OptionError(
                    f"{top}={shown} is not allowed: choose one{nearest('', _files(top, conf))}"
                )


#: Hydra's options that the next argument belongs to.
TAKE_A_VALUE = (
    "--cfg", "-c", "--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd",
    "--package", "-p",
)  # fmt: skip


def cannot_be_read(text: str) -> str:
    """The line for a word that is no override, with one that would be."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip("+~"):
        return f"{text!r} cannot be read: write key=value"
    written = f"{key}={in_quotes(value)}"
    in_a_shell = shlex.quote(written) if set(written) & set('"$`!\\') else f'"{written}"'
    return f"{text!r} cannot be read as key=value: a value with special signs is {in_a_shell}"


def _is_group(key: str, conf: Path) -> bool:
    return "." not in key and (conf / key).is_dir()


def _files(group: str, conf: Path) -> list[str]:
    """What can be picked of a folder of conf/."""
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def _culprit(overrides: list[str], conf: Path) -> str | None:
    """The line for the first override that cannot be taken; None where all can."""
    groups, values = [], []
    for text in overrides:
        override = parse_override(text)
        if override is None:
            return cannot_be_read(text)
        if override.is_sweep_override():
            continue  # its points are checked one by one
        key = override.key_or_group
        if _is_group(key, conf):
            chosen = override.value()
            options = _files(key, conf)
            for one in chosen if isinstance(chosen, list) else [chosen]:
                if one is not None and str(one) not in options:
                    return f"{key}={one} is not known{nearest(one, options)}"
            groups.append(text)
        else:
            values.append(override)
    base = compose_config(conf, groups)
    tree = OmegaConf.to_container(base, resolve=False)
    for override in values:
        if line := _wrong_key(override.key_or_group, override.value(), tree, conf, groups):
            return line
    return None


def _wrong_key(key: str, value: Any, tree: Any, conf: Path, groups: list[str]) -> str | None:
    """The line for a key that does not exist, or a value where a section is; None if neither."""
    node, known = tree, _keys(tree)
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node or part == TARGET:
            return _unknown(key, known, _choices(conf, groups))
        node = node[part]
    if not isinstance(node, dict):
        return None
    if not isinstance(value, dict):
        return no_section(key, value, [name for name in node if name != TARGET])
    for name, one in value.items():
        if line := _wrong_key(f"{key}.{name}", one, tree, conf, groups):
            return line
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
        if not siblings:
            return f"{key} is not a key: {section} has none of its own"
        under = f" of {section}={choices[section]}" if section in choices else ""
        return f"{key} is not a key{under}{nearest(key, siblings)}"
    close = difflib.get_close_matches(key, [*names, *keys], n=3)
    guess = f"; did you mean {' or '.join(map(repr, close))}?" if close else ";"
    return f"{key} is not a key{guess} valid: {', '.join(names)}"


def _keys(tree: Any, prefix: str = "") -> list[str]:
    """All dotted keys that can be set."""
    keys: list[str] = []
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            keys += _keys(value, f"{prefix}{key}.")
        elif key != TARGET and f"{prefix}{key}" not in BESIDE:
            keys.append(f"{prefix}{key}")
    return keys


def _flat(error: Exception) -> str:
    """An error's own words, and those of its cause, on one line."""
    words = " ".join(str(error).split())
    cause = error.__cause__
    if cause is not None:
        words += ": " + str(cause).splitlines()[0]
    return words
