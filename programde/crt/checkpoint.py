"""Finished blocks of units, kept in a folder until the whole is done.

A run that was killed goes on from them. What it is a run of, is told by a stamp of all that its
result depends on (`programde.stamps`): the screen, the units, the options, the code. Blocks of
another stamp are never touched.

    folder/STAMP/about.json       what it is, in words
    folder/STAMP/PID-1.npz ...    finished rows, uncompressed
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from programde.crt.results import UNREADABLE, Part
from programde.errors import InputError, tell

ABOUT = "about.json"


class Checkpoint:
    """A folder for blocks; cleaned when its `with` ends, but not where an error ends it.

    Parameters
    ----------
    folder
        Where they are kept; made when the first block is.
    every
        Seconds between two writings: a shorter run writes nothing.

    Examples
    --------
    >>> import programde as pde
    >>> screen = pde.screen_from_anndata(
    ...     pde.make_sceptre_style_synth(N=600, K=5, n_target_genes=4, seed=0), usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> with pde.Checkpoint("kept") as kept:  # killed in here, it goes on when it is run again
    ...     result = pde.run_targets(screen, options, ntc_labels="NTC", checkpoint=kept)
    >>> len(result.units)
    4
    """

    def __init__(self, folder: str | os.PathLike[str], every: float = 3.0) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"checkpoint={folder} is a file; name a folder")
        self._every = every
        self._used: list[Path] = []

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.clean()

    def clean(self) -> None:
        """Delete what was kept by this process or taken up by it, and the folder if it is empty."""
        for path in self._used:
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def place(self, stamp: str) -> Path:
        """The folder of what has this stamp; deleted with the rest."""
        self._used.append(self.folder / stamp)
        return self._used[-1]

    def of(self, stamp: Callable[[], str], about: dict[str, Any]) -> Kept:
        """What was and will be kept of one run.

        Parameters
        ----------
        stamp
            Gives the run's stamp; asked once there is something to read or to write.
        about
            What the run is, for people.
        """
        return Kept(lambda: self.place(stamp()), self.folder.is_dir(), about, self._every)


class Kept:
    """The kept blocks of one run; see `Checkpoint.of`."""

    def __init__(
        self, place: Callable[[], Path], look: bool, about: dict[str, Any], every: float
    ) -> None:
        self._place = place
        self._look = look
        self._about = about
        self._every = every
        self._folder: Path | None = None
        self._waiting: list[Part] = []
        self._written = 0
        self._last = time.monotonic()

    @property
    def folder(self) -> Path:
        """Where this run's blocks lie."""
        if self._folder is None:
            self._folder = self._place()
        return self._folder

    def parts(self) -> Iterator[Part]:
        """What was kept before; a file that cannot be read is as if it were not there."""
        files = sorted(self.folder.glob("*.npz")) if self._look else []
        n_rows = 0
        for file in files:
            try:
                with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
                    part: Part = {name: stored[name] for name in stored.files}
                part |= {
                    "rows": part["rows"].tolist(),
                    "status": part["status"].tolist(),
                    "no_tails": str(part["no_tails"]),
                    "any_tails": bool(part["any_tails"]),
                }
            except UNREADABLE:
                continue
            n_rows += len(part["rows"])
            yield part
        if n_rows:
            tell(
                f"{n_rows:,} of {self._about['units']:,} {self._about['what']} were tested by a "
                f"run that was stopped, and are taken from {self.folder}"
            )

    def add(self, part: Part) -> None:
        """Keep what a block gave."""
        self._waiting.append(part)
        if time.monotonic() - self._last >= self._every:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        about = self.folder / ABOUT
        if not about.exists():
            about.write_text(json.dumps(self._about, indent=1) + "\n", encoding="utf-8")
        self._written += 1
        target = self.folder / f"{os.getpid()}-{self._written}.npz"
        temporary = target.with_suffix(".tmp")
        with open(temporary, "wb") as stream:
            np.savez(stream, **_joined(self._waiting))
        os.replace(temporary, target)
        self._waiting = []
        self._last = time.monotonic()


def _joined(parts: list[Part]) -> dict[str, Any]:
    """Several blocks as one, as arrays."""
    told = next((part["no_tails"] for part in parts if part["no_tails"]), "")
    return {name: np.concatenate([np.asarray(part[name]) for part in parts])
            for name in parts[0] if name not in ("no_tails", "any_tails")} | {
        "no_tails": np.array(told),
        "any_tails": np.array(any(part["any_tails"] for part in parts)),
    }  # fmt: skip


__all__ = ["Checkpoint", "Kept"]
