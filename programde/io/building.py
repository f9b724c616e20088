"""The last step of every reader: files that options name are read, then the screen is built."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pandas as pd

from programde.io.text_tables import read_numbers, read_table
from programde.screen.build import Parts, build_screen
from programde.screen.screen import Screen


def screen_of(parts: Parts, options: Mapping[str, Any]) -> Screen:
    """The screen of the parts that a reader found.

    Parameters
    ----------
    parts
        What a reader found.
    options
        Keyword arguments of `build.build_screen`; ``spectra`` and ``program_names`` may be paths of
        tables.

    Returns
    -------
    Screen
    """
    options = dict(options)
    spectra = options.get("spectra")
    if spectra is not None and not isinstance(spectra, pd.DataFrame):
        parquet = str(spectra).lower().endswith(".parquet")
        options["spectra"] = read_table(spectra) if parquet else read_numbers(spectra)
    labels = options.get("program_names")
    if isinstance(labels, str | os.PathLike):
        options["program_names"] = read_table(labels, index=False)
    return build_screen(parts, **options)
