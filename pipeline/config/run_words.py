"""What `programde run` was told, kept with the project: conf/run.yaml, a list of words.

They stand before the words of a command line, as if typed first: of two words for one key the later
holds, and another file of a folder of conf/ takes with it what was said of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from pipeline.files import parse_yaml, write_text
from programde.errors import OptionError

RUN_WORDS = "run.yaml"
_HEAD = "# The words of the last `programde run`, on top of config.yaml; edit them, or run anew.\n"


def read_run_words(conf: Path) -> list[str]:
    """The words that are kept in conf/; none where there is no such file.

    Raises
    ------
    OptionError
        The file is no list of words.
    """
    file = conf / RUN_WORDS
    if not file.is_file():
        return []
    try:
        words = parse_yaml(file.read_text(encoding="utf-8")) or []
    except yaml.YAMLError as error:
        raise OptionError(f"{file} is no YAML: {error}") from None
    if not isinstance(words, list) or not all(isinstance(w, str) and "=" in w for w in words):
        raise OptionError(f"{file} must be a list of words key=value")
    return words


def write_run_words(conf: Path, words: Sequence[str]) -> None:
    """Keep the words of a run; the file is left untouched where it says the same."""
    listed = yaml.safe_dump(list(words), allow_unicode=True, width=1000) if words else "[]\n"
    write_text(conf / RUN_WORDS, _HEAD + listed)


def on_top_of_run_words(words: Sequence[str], conf: Path) -> list[str]:
    """A command line with the words that are kept before it, but for those it replaces.

    All are as Hydra reads them: see `typed_words`.
    """
    from pipeline.config.typed_words import as_typed

    given = {_key(word) for word in words if "=" in word and not word.startswith("-")}
    kept = [
        word
        for word in read_run_words(conf)
        if _key(word) not in given and _key(word).split(".")[0] not in given
    ]
    return [*as_typed(kept), *as_typed(words)]


def _key(word: str) -> str:
    return word.split("=", 1)[0].lstrip("+~")
