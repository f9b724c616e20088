"""Tests of groups of non-targeting guides, as they are kept."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from programde.crt.results import UNREADABLE, CRTResult
from programde.errors import InputError
from programde.short_form import ShortForm, listed

CORRELATION = "correlation.parquet"


@dataclass(frozen=True, repr=False)
class NTCNull(ShortForm):
    """Tests of groups of non-targeting guides.

    Attributes
    ----------
    result
        One row per distinct group.
    partitions
        For each partition of the guides: group id -> unit name in `result`.
    guides
        Unit name -> its guides.
    group_size
        Guides per group.
    correlation
        How the statistic goes together over programs under the null (K, K), by program name; None
        where too few cells tell.
    """

    result: CRTResult
    partitions: list[dict[str, str]]
    guides: dict[str, list[str]]
    group_size: int
    correlation: pd.DataFrame | None = None

    def _facts(self) -> tuple[str, Mapping[str, object]]:
        facts: dict[str, object] = {
            "groups": listed(self.result.units, 3),
            "guides per group": self.group_size,
            "partitions": len(self.partitions),
            "programs": listed(self.result.programs),
        }
        return f"NTCNull: {len(self.result.units):,} groups of control guides, tested", facts

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the result and the groups into `folder`."""
        folder = Path(folder)
        self.result.save(folder)
        content = {
            "partitions": self.partitions,
            "guides": self.guides,
            "group_size": self.group_size,
        }
        temporary = folder / "groups.json.tmp"
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, folder / "groups.json")
        save_correlation(folder, self.correlation)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> NTCNull:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the folder does not hold readable groups and results.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / "groups.json").read_text(encoding="utf-8"))
            result, correlation = CRTResult.load(folder), load_correlation(folder)
            return cls(result=result, correlation=correlation, **content)
        except InputError:
            raise
        except UNREADABLE as error:
            raise InputError(f"{folder} holds no readable control groups ({error})") from error


def save_correlation(folder: Path, correlation: pd.DataFrame | None) -> None:
    """Write the correlation of a result's programs, where it is known."""
    if correlation is not None:
        temporary = folder / f"{CORRELATION}.tmp"
        correlation.to_parquet(temporary)
        os.replace(temporary, folder / CORRELATION)


def load_correlation(folder: str | os.PathLike[str]) -> pd.DataFrame | None:
    """Read what `save_correlation` wrote; None where it wrote nothing."""
    file = Path(folder) / CORRELATION
    return pd.read_parquet(file) if file.is_file() else None
