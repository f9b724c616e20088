"""A command line, composed by Hydra with conf/ and checked: the plain values it asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.explain import explain, refuse_words
from pipeline.config.resolve import resolve
from pipeline.config.run_words import on_top_of_run_words
from pipeline.config.schema import register
from programde.errors import OptionError, ProgramDEError

#: Options by which Hydra answers a question about the configuration, and runs nothing.
QUESTIONS = (
    "--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i",
    "--shell-completion", "-sc",
)  # fmt: skip


def answered_by_hydra(words: Sequence[str], conf: Path) -> bool:
    """Let Hydra answer a command line that asks about the configuration; whether it did.

    Parameters
    ----------
    words
        The command line.
    conf
        The configuration folder.

    Raises
    ------
    OptionError
        The command line asks for what is not there.
    """
    if not any(word.split("=")[0] in QUESTIONS for word in words):
        return False
    register()
    # Hydra keeps "print what was asked for" apart from running by the options alone
    _run_hydra(lambda config: None, words, conf, ["hydra.job.name=programde"])
    return True


def _run_hydra(task: Any, words: Sequence[str], conf: Path, more: Sequence[str]) -> None:
    """Call `task` with what Hydra composes of a command line, and of `more` words after it."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed
    before = sys.argv
    # Hydra takes overrides in one row only, so that none of ours may follow an option
    options = [w for w in words if w.startswith("-") or not ("=" in w or w.startswith(("~", "+")))]
    overrides = [word for word in words if word not in options]
    sys.argv = [before[0], *overrides, *more, *options]
    try:
        hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise OptionError(explain(error, words, conf)) from None
    finally:
        sys.argv = before


def configured(conf: Path) -> dict[str, Any] | None:
    """What `sys.argv` and conf/ say; conf/run.yaml, where there is one, stands before `sys.argv`.

    Parameters
    ----------
    conf
        The configuration folder.

    Returns
    -------
    dict or None
        As `resolve` gives it; None where only a word about the configuration was wanted
        (``--help``, ``--cfg job``), which Hydra has printed.

    Raises
    ------
    OptionError, InputError
        What is not allowed: one line.
    """
    words = on_top_of_run_words(sys.argv[1:], conf)
    if answered_by_hydra(words, conf):
        return None
    if {"-m", "--multirun"} & set(words):
        raise OptionError("a stage takes one setting; to sweep: python -m pipeline.sweep -m")
    register()
    refuse_words(words, conf)
    found: list[dict[str, Any]] = []
    failed: list[Exception] = []

    def task(config: DictConfig) -> None:
        try:
            found.append(resolve(config))
        except (ProgramDEError, OmegaConfBaseException) as error:  # Hydra would print a line on it
            failed.append(error)

    # an experiment may ask for a sweep; a stage is one run
    more = ["hydra.mode=RUN", f"hydra.job.name={Path(sys.argv[0]).stem}"]
    _run_hydra(task, words, conf, more)
    if failed and isinstance(failed[0], ProgramDEError):
        raise failed[0]
    if failed:
        raise OptionError(explain(failed[0], words, conf))
    return found[0]
