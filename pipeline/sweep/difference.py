"""What differs between two runs: settings, numbers, hits won and lost, effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.params import read_params
from pipeline.files import read_table
from pipeline.stages import paths
from pipeline.sweep.record import all_numbers
from programde.errors import InputError

#: Sections that say where and how fast, not what.
BESIDE = ("compute", "inputs", "tracking")
#: What names a test, where the results have it.
NAMES = ("condition", "guide", "target", "program")
BOTH, LOST, WON = "both", "lost", "won"


@dataclass(frozen=True)
class Done:
    """A run that was computed.

    Attributes
    ----------
    name
        What the user called it.
    params
        Its settings by their dotted key.
    numbers
        Its numbers by their path.
    results
        Its tidy results.
    level
        The q-value at which it counts hits.
    """

    name: str
    params: Mapping[str, str]
    numbers: Mapping[str, float]
    results: pd.DataFrame
    level: float


def read_done(name: str, folder: Path) -> Done:
    """Read a run from its folder: params.yaml and reports/.

    Raises
    ------
    InputError
        There is no run, or it was not finished.
    """
    for file in (paths.RESULTS, paths.METRICS):
        if not (folder / file).exists():
            raise InputError(f"{name}: {folder} holds no {file}: no run was finished there")
    params = read_params(folder / "params.yaml")
    chosen = {key: value for key, value in params.items() if key not in BESIDE}
    return Done(
        name,
        {key: str(value) for key, value in _flat(chosen).items()},
        all_numbers(folder / paths.METRICS.parent),
        read_table(folder / paths.RESULTS),
        float(params["fdr"]["level"]),
    )


def settings_that_differ(one: Done, other: Done) -> pd.DataFrame:
    """Keys whose values differ: `key`, and a column for each run; a dash where it has no such key.

    Of files the hashes are compared, wherever they lie.
    """
    keys = [*one.params, *(key for key in other.params if key not in one.params)]
    rows = [
        (key, one.params.get(key, "–"), other.params.get(key, "–"))
        for key in keys
        if one.params.get(key) != other.params.get(key)
    ]
    return pd.DataFrame(rows, columns=["key", "first", "second"])


def side_by_side(one: Done, other: Done) -> pd.DataFrame:
    """All tests of either run, side by side.

    Returns
    -------
    DataFrame
        (condition, guide,) target, program; effect, effect_se, p_value and q_value of each run,
        with ``_first`` and ``_second``; `hit`: ``both``, ``lost`` (of the first run alone), ``won``
        (of the second alone) or nothing.

    Raises
    ------
    InputError
        One run tested single guides or conditions and the other did not.
    """
    names = [name for name in NAMES if name in one.results or name in other.results]
    for name in names:
        for run, table in ((one, one.results), (other, other.results)):
            if name not in table:
                raise InputError(f"the results of {run.name} have no column {name}")
    columns = [*names, "effect", "effect_se", "p_value", "q_value"]
    tables = [
        run.results[columns].astype(dict.fromkeys(names, str)).assign(hit=_hits(run))
        for run in (one, other)
    ]
    both = tables[0].merge(tables[1], how="outer", on=names, suffixes=("_first", "_second"))
    first, second = (both[f"hit_{end}"].eq(True) for end in ("first", "second"))
    both["hit"] = np.select([first & second, first, second], [BOTH, LOST, WON], default="")
    return both.drop(columns=["hit_first", "hit_second"])


def counts(tests: pd.DataFrame) -> dict[str, int]:
    """How many hits are of both runs, and how many were lost and won."""
    return {word: int((tests["hit"] == word).sum()) for word in (BOTH, LOST, WON)}


def numbers_side_by_side(one: Done, other: Done, names: Mapping[str, Any]) -> pd.DataFrame:
    """The numbers that people compare: `number`, and a column for each run."""
    keys = [f"{group}/{name}" for group, listed in names.items() for name in listed]
    rows = [
        (key, one.numbers.get(key, np.nan), other.numbers.get(key, np.nan))
        for key in keys
        if key in one.numbers or key in other.numbers
    ]
    return pd.DataFrame(rows, columns=["number", "first", "second"])


def same_unit(one: Done, other: Done) -> bool:
    """Whether effects of both are in one unit; else only effects over their errors compare."""
    units = [set(run.results["effect_unit"]) for run in (one, other)]
    return units[0] == units[1]


def _hits(run: Done) -> pd.Series:
    return run.results["q_value"] <= run.level


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
