"""A command line, composed by Hydra with conf/ and checked: the plain values it asks for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.explain import explain, refuse_words
from pipeline.config.resolve import resolve
from pipeline.config.schema import register
from programde.errors import OptionError, ProgramDEError


def configured(conf: Path) -> dict[str, Any] | None:
    """What `sys.argv` and conf/ say.

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
    words = sys.argv[1:]
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

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed
    before = sys.argv
    # an experiment may ask for a sweep; a stage is one run
    sys.argv = [*before, "hydra.mode=RUN", f"hydra.job.name={Path(before[0]).stem}"]
    try:
        hydra.main(version_base="1.3", config_path=str(conf), config_name="config")(task)()
        if failed:
            raise failed[0]
    except (HydraException, OmegaConfBaseException) as error:
        raise OptionError(explain(error, words, conf)) from None
    finally:
        sys.argv = before
    return found[0] if found else None
