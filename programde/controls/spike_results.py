"""Tests of sets of control cells, with and without known effects, as they are kept."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from programde.crt.results import UNREADABLE, CRTResult
from programde.errors import InputError

#: A usage below this share of the median positive one is off.
OFF = 0.1


@dataclass(frozen=True)
class Spikes:
    """Tests of sets of control cells, with and without known effects.

    Attributes
    ----------
    spiked : CRTResult
        One row per set. Its columns are the programs of the set times ``up, down`` times the fold
        changes times the shares, the last the fastest.
    unspiked : CRTResult
        The same sets as they are, and further ones: one column per program.
    programs
        For each set the programs that got effects.
    fold_changes, shares
        What was tried.
    effective_size
        n1 n0 / (n1 + n0) of the sets: the median target's.
    n_treated
        Treated cells of the median target.
    """

    spiked: CRTResult
    unspiked: CRTResult
    programs: list[list[str]]
    fold_changes: list[float]
    shares: list[float]
    effective_size: float
    n_treated: int

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write all of it into `folder`."""
        folder = Path(folder)
        self.spiked.save(folder / "spiked")
        self.unspiked.save(folder / "unspiked")
        content = {
            "programs": self.programs,
            "fold_changes": self.fold_changes,
            "shares": self.shares,
            "effective_size": self.effective_size,
            "n_treated": self.n_treated,
        }
        temporary = folder / "spikes.json.tmp"
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, folder / "spikes.json")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Spikes:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the folder does not hold readable spikes.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / "spikes.json").read_text(encoding="utf-8"))
            return cls(
                CRTResult.load(folder / "spiked"), CRTResult.load(folder / "unspiked"), **content
            )
        except InputError:
            raise
        except UNREADABLE as error:
            raise InputError(f"{folder} holds no readable spikes ({error})") from error
