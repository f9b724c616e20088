"""What the randomization tests of G units on K programs give, before calibration."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from programde.crt.null_summary import NullSummary
from programde.crt.shifts import Shifts
from programde.errors import InputError
from programde.short_form import ShortForm, listed
from programde.tails.log_tails import LogTails

#: What reading a file that is absent, cut off or of another kind may raise.
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile)

#: Of the files that `CRTResult.save` writes; others are refused.
FORMAT = 5
#: A cell treated with a higher probability than this is treated for certain.
CERTAIN = 0.999
#: Before the names of arrays that belong to parts of a result.
PREFIXES = ("null", "probability", "tails", "shifts")

#: The rows of one block: their numbers, what was found, and words on it.
Part = dict[str, Any]


@dataclass(frozen=True, eq=False)
class TreatmentProbability:
    """How probable treatment is in the cells of each unit's test, under its null law.

    Attributes
    ----------
    lowest, highest : (G,) float64
        NaN where there is no law.
    n_certain : (G,) int64
        Cells that are treated with a probability above `CERTAIN`.
    n_columns, n_covariates : (G,) int64
        Columns of the covariates on which the propensity was fitted, and how many there are: fewer
        were taken where a unit has too few cells for all. 0 where nothing was tested.
    """

    lowest: np.ndarray
    highest: np.ndarray
    n_certain: np.ndarray
    n_columns: np.ndarray
    n_covariates: np.ndarray

    @classmethod
    def empty(cls, n_units: int) -> TreatmentProbability:
        """To be filled unit by unit."""
        nan, none = np.full(n_units, np.nan), np.zeros(n_units, dtype=np.int64)
        return cls(nan, nan.copy(), none, none.copy(), none.copy())

    def put(self, row: int, mean: np.ndarray) -> None:
        """Store what the probabilities (n,) of one unit's cells say."""
        self.lowest[row], self.highest[row] = mean.min(), mean.max()
        self.n_certain[row] = np.count_nonzero(mean > CERTAIN)


@dataclass(frozen=True, repr=False)
class CRTResult(ShortForm):
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
    probability : TreatmentProbability
        How probable treatment is in each unit's cells.
    tails : LogTails or None
        Exact tails of each test, (G, K); None where none were computed.
    no_tails
        Why there are no exact tails, in a few words; empty where there are.
    shifts : Shifts or None
        Effects as log-ratios and in usage points, whatever the statistic; None where the result
        was made without.
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
    probability: TreatmentProbability
    tails: LogTails | None = None
    no_tails: str = "not computed"
    shifts: Shifts | None = None

    def _facts(self) -> tuple[str, Mapping[str, object]]:
        untested = [reason for reason in self.status if reason]
        sizes = f"{self.n_treated.min():,} to {self.n_treated.max():,}" if self.units else "none"
        facts: dict[str, object] = {
            "units": listed(self.units),
            "programs": listed(self.programs),
            "treated cells": sizes,
            "draws": f"{self.null.n_draws:,}",
            "exact tails": self.no_tails or "both",
        }
        if any(self.condition):
            facts["conditions"] = listed(sorted(set(self.condition)))
        if untested:
            facts["not tested"] = listed(untested, 1)
        n = len(self.units) * len(self.programs)
        return f"CRTResult of {n:,} tests, before calibration", facts

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
        for prefix, part in (
            ("probability", self.probability),
            ("tails", self.tails),
            ("shifts", self.shifts),
        ):
            for item in fields(part) if part is not None else ():
                arrays[f"{prefix}_{item.name}"] = getattr(part, item.name)
        labels = {
            "format": FORMAT,
            "units": self.units,
            "programs": self.programs,
            "status": self.status,
            "condition": self.condition,
            "n_draws": self.null.n_draws,
            "no_tails": self.no_tails,
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
            If the folder does not hold a readable result, or one of another version.
        """
        folder = Path(folder)
        try:
            labels = json.loads((folder / "tests.json").read_text(encoding="utf-8"))
            if not isinstance(labels, dict) or labels.get("format") != FORMAT:
                raise ValueError("written by another version of programDE; test again")
            # opened here, since numpy leaves a file open that it cannot read
            with (
                open(folder / "tests.npz", "rb") as stream,
                np.load(stream, allow_pickle=False) as stored,
            ):
                arrays = {name: stored[name] for name in stored.files}
            parts: dict[str, dict[str, np.ndarray]] = {prefix: {} for prefix in PREFIXES}
            plain = {}
            for key, array in arrays.items():
                prefix, _, name = key.partition("_")
                if prefix in parts:
                    parts[prefix][name] = array
                else:
                    plain[key] = array
            return cls(
                units=labels["units"],
                programs=labels["programs"],
                status=labels["status"],
                condition=labels["condition"],
                null=NullSummary(n_draws=labels["n_draws"], **parts["null"]),
                probability=TreatmentProbability(**parts["probability"]),
                tails=LogTails(**parts["tails"]) if parts["tails"] else None,
                no_tails=labels["no_tails"],
                shifts=Shifts(**parts["shifts"]) if parts["shifts"] else None,
                **plain,
            )
        except UNREADABLE as error:
            raise InputError(f"{folder} holds no readable test results ({error})") from error


class ResultTable:
    """A result being filled row by row; the whole of it, or the rows of one block.

    Parameters
    ----------
    units, programs, condition
        As in `CRTResult`.
    n_draws
        Null draws behind each test.
    tails
        Whether exact tails are to come.
    shifts
        Whether effects on other scales are.
    rows
        Of a block: the rows that are held, by which they are spoken of as in the whole.
    """

    def __init__(
        self,
        units: list[str],
        programs: list[str],
        n_draws: int,
        condition: list[str],
        tails: bool = False,
        shifts: bool = True,
        rows: Sequence[int] | None = None,
    ):
        self.units = units
        self._programs = programs
        self._condition = condition
        self._rows = list(range(len(units))) if rows is None else list(rows)
        self._place = {row: place for place, row in enumerate(self._rows)}
        shape = (len(self._rows), len(programs))
        self._effect = np.full(shape, np.nan)
        self._error = np.full(shape, np.nan)
        self._n_treated = np.zeros(shape[0], dtype=np.int64)
        self._n_control = np.zeros(shape[0], dtype=np.int64)
        self._null = NullSummary.empty(*shape, n_draws)
        self._p_max = np.full(shape[0], np.nan)
        self._status = ["not tested"] * shape[0]
        self._probability = TreatmentProbability.empty(shape[0])
        self._shifts = Shifts.empty(*shape) if shifts else None
        self._tails = LogTails.empty(*shape) if tails else None
        self._no_tails = "" if tails else "not asked for"
        self._any_tails = False

    def block(self, rows: Sequence[int]) -> ResultTable:
        """An empty table of some rows of this one."""
        return ResultTable(
            self.units, self._programs, self._null.n_draws, self._condition,
            self._tails is not None, self._shifts is not None, rows,
        )  # fmt: skip

    def part(self) -> Part:
        """What this table holds."""
        told = {"no_tails": self._no_tails, "any_tails": self._any_tails}
        return {"rows": self._rows, "status": self._status, **told, **self._arrays()}

    def put(self, part: Part) -> None:
        """Store what the table of a block held."""
        places = [self._place[row] for row in part["rows"]]
        for name, array in self._arrays().items():
            array[places] = part[name]
        for place, status in zip(places, part["status"], strict=True):
            self._status[place] = status
        self._no_tails = part["no_tails"] or self._no_tails
        self._any_tails |= part["any_tails"]

    def _arrays(self) -> dict[str, np.ndarray]:
        """All arrays, a row for each unit, by name."""
        found = {
            "effect": self._effect,
            "error": self._error,
            "n_treated": self._n_treated,
            "n_control": self._n_control,
            "p_max": self._p_max,
        }
        held = (self._null, self._probability, self._tails, self._shifts)
        for prefix, part in zip(PREFIXES, held, strict=True):
            for item in fields(part) if part is not None else ():
                if item.name != "n_draws":
                    found[f"{prefix}_{item.name}"] = getattr(part, item.name)
        return found

    def count(self, row: int, n_treated: int, n_cells: int, reason: str) -> None:
        """Note a unit's cells and why it is not tested, if so."""
        place = self._place[row]
        self._n_treated[place] = n_treated
        self._n_control[place] = n_cells - n_treated
        self._status[place] = reason

    def effect(self, row: int, effect: np.ndarray, error: np.ndarray) -> None:
        """Note a unit's effects (K,) and standard errors (K,)."""
        self._effect[self._place[row]] = effect
        self._error[self._place[row]] = error

    def shifts(self, rows: Sequence[int], shifts: Shifts) -> None:
        """Note some units' effects on other scales."""
        assert self._shifts is not None
        places = [self._place[row] for row in rows]
        for item in fields(Shifts):
            getattr(self._shifts, item.name)[places] = getattr(shifts, item.name)

    def reason(self, row: int, reason: str) -> None:
        """Note why a unit has effects and no null law."""
        self._status[self._place[row]] = reason

    def columns(self, row: int, taken: int, of: int) -> None:
        """Note on how many columns of the covariates a unit's propensity was fitted."""
        self._probability.n_columns[self._place[row]] = taken
        self._probability.n_covariates[self._place[row]] = of

    def probability(self, row: int, mean: np.ndarray) -> None:
        """Note how probable treatment is in each of a unit's cells (n,)."""
        self._probability.put(self._place[row], mean)

    def null(self, row: int, summary: NullSummary, p_max: float) -> None:
        """Note the summary of a unit's draws, and its omnibus p-value."""
        place = self._place[row]
        for item in fields(NullSummary):
            if item.name != "n_draws":
                getattr(self._null, item.name)[place] = getattr(summary, item.name)[0]
        self._p_max[place] = p_max

    def tails(self, row: int, tails: LogTails) -> None:
        """Note a unit's exact tails (K,)."""
        assert self._tails is not None
        self._tails.put(self._place[row], tails)
        self._any_tails = True

    def without_tails(self, reason: str) -> None:
        """Note that a unit has no exact tails, and why."""
        self._no_tails = reason

    def result(self) -> CRTResult:
        """The finished result."""
        none = self._tails is None or (self._no_tails != "" and not self._any_tails)
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
            probability=self._probability,
            tails=None if none else self._tails,
            no_tails=self._no_tails,
            shifts=self._shifts,
        )
