"""What the randomization tests of G units on K programs give, before calibration."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from programde.crt.null_summary import NullSummary
from programde.errors import InputError

#: What reading a file that is absent, cut off or of another kind may raise.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True)
class CRTResult:
    """Results of G units on K programs.

    Attributes
    ----------
    units : G names
    programs : K names
    effect : (G, K) float64
        Observed statistic, the effect; NaN where it cannot be computed.
    effect_se : (G, K) float64
        Its standard error, where the statistic has one; else NaN.
    n_treated, n_control : (G,) int64
        Cells of each unit's test.
    null : NullSummary
        Summary of the null draws, (G, K).
    p_max : (G,) float64
        Omnibus p-value: does the unit shift any program? Maximum over programs of the
        standardised statistic, against its own null (Westfall and Young 1993).
    status : G strings
        Why a unit was not tested; empty where it was.
    condition : G strings
        Level in whose cells the row was tested; empty where all cells were.
    """

    units: list[str]
    programs: list[str]
    effect: np.ndarray
    effect_se: np.ndarray
    n_treated: np.ndarray
    n_control: np.ndarray
    null: NullSummary
    p_max: np.ndarray
    status: list[str]
    condition: list[str]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``tests.npz`` (uncompressed) and ``tests.json`` into `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            "effect": self.effect,
            "effect_se": self.effect_se,
            "n_treated": self.n_treated,
            "n_control": self.n_control,
            "p_max": self.p_max,
        }
        for item in fields(NullSummary):
            if item.name != "n_draws":
                arrays[f"null_{item.name}"] = getattr(self.null, item.name)
        labels = {
            "units": self.units,
            "programs": self.programs,
            "status": self.status,
            "condition": self.condition,
            "n_draws": self.null.n_draws,
        }
        temporary = folder / "tests.npz.tmp"
        with open(temporary, "wb") as stream:
            np.savez(stream, **arrays)
        os.replace(temporary, folder / "tests.npz")
        text = folder / "tests.json.tmp"
        text.write_text(json.dumps(labels, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(text, folder / "tests.json")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> CRTResult:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the folder does not hold a readable result.
        """
        folder = Path(folder)
        try:
            labels = json.loads((folder / "tests.json").read_text(encoding="utf-8"))
            # opened here, since numpy leaves a file open that it cannot read
            with (
                open(folder / "tests.npz", "rb") as stream,
                np.load(stream, allow_pickle=False) as stored,
            ):
                arrays = {name: stored[name] for name in stored.files}
            null = {k.removeprefix("null_"): v for k, v in arrays.items() if k.startswith("null_")}
            plain = {k: v for k, v in arrays.items() if not k.startswith("null_")}
            return cls(
                units=labels["units"],
                programs=labels["programs"],
                status=labels["status"],
                condition=labels["condition"],
                null=NullSummary(n_draws=labels["n_draws"], **null),
                **plain,
            )
        except UNREADABLE as error:
            raise InputError(f"{folder} holds no readable test results ({error})") from error


class ResultTable:
    """A result being filled, row by row, from several threads (each row by one)."""

    def __init__(self, units: list[str], programs: list[str], n_draws: int, condition: list[str]):
        self._condition = condition
        shape = (len(units), len(programs))
        self.units = units
        self._programs = programs
        self._effect = np.full(shape, np.nan)
        self._error = np.full(shape, np.nan)
        self._n_treated = np.zeros(len(units), dtype=np.int64)
        self._n_control = np.zeros(len(units), dtype=np.int64)
        self._null = NullSummary.empty(*shape, n_draws)
        self._p_max = np.full(len(units), np.nan)
        self._status = ["not tested"] * len(units)

    def count(self, row: int, n_treated: int, n_cells: int, reason: str) -> None:
        """Note a unit's cells and why it is not tested, if so."""
        self._n_treated[row] = n_treated
        self._n_control[row] = n_cells - n_treated
        self._status[row] = reason

    def effect(self, row: int, effect: np.ndarray, error: np.ndarray, reason: str) -> None:
        """Note a unit's effects (K,) and standard errors (K,)."""
        self._effect[row] = effect
        self._error[row] = error
        self._status[row] = reason

    def null(self, row: int, summary: NullSummary, p_max: float) -> None:
        """Note the summary of a unit's draws, and its omnibus p-value."""
        for item in fields(NullSummary):
            if item.name != "n_draws":
                getattr(self._null, item.name)[row] = getattr(summary, item.name)[0]
        self._p_max[row] = p_max

    def result(self) -> CRTResult:
        """The finished result."""
        return CRTResult(
            units=self.units,
            programs=self._programs,
            effect=self._effect,
            effect_se=self._error,
            n_treated=self._n_treated,
            n_control=self._n_control,
            null=self._null,
            p_max=self._p_max,
            status=self._status,
            condition=self._condition,
        )
