"""Control units as files: named arrays, and names and options beside them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from programde.controls.control_units import ControlUnits, HeldOut
from programde.controls.guide_sets import NTCSplit
from programde.controls.guide_summaries import Batch, Sums
from programde.controls.options import ControlUnitOptions, CrossfitOptions
from programde.crt.results import UNREADABLE
from programde.errors import InputError

ARRAYS, LABELS = "control_units.npz", "control_units.json"

_SUMS = ("n1", "d", "score", "overlap", "pbar")


def save_control_units(
    folder: str | os.PathLike[str], units: ControlUnits | None, why_not: str = ""
) -> None:
    """Write control units into `folder`, or why there are none."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, object] = {"why_not": why_not}
    if units is not None:
        arrays = {
            "ntc": units.ntc,
            "members": np.concatenate([*units.members, np.empty(0, dtype=np.int64)]),
            "n_members": np.array([m.size for m in units.members], dtype=np.int64),
            "pseudogenes": units.pseudogenes,
            "n_cells": np.array([b.n_cells for b in units.batches], dtype=np.int64),
            "variance": np.stack([b.variance for b in units.batches]),
        }
        for kind in ("guides", "units"):
            for name in _SUMS:
                parts = [getattr(getattr(b, kind), name) for b in units.batches]
                if parts[0] is not None:
                    arrays[f"{kind}_{name}"] = np.stack(parts)
        content |= {
            "programs": units.programs,
            "guides": units.guides,
            "targets": units.targets,
            "ntc_labels": units.ntc_labels,
            "batches": [b.label for b in units.batches],
            "options": asdict(units.options),
            "seed": units.seed,
            "why_none_held_out": units.why_none_held_out,
            "notes": units.notes,
            "held_out": None,
        }
        if units.held_out is not None:
            arrays |= {"held_out": units.held_out.units, "held_out_null": units.held_out.null}
            content["held_out"] = {
                "split": asdict(units.held_out.split),
                "options": asdict(units.held_out.options),
            }
        temporary = folder / f"{ARRAYS}.tmp"
        with open(temporary, "wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        os.replace(temporary, folder / ARRAYS)
    text = folder / f"{LABELS}.tmp"
    text.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(text, folder / LABELS)


def load_control_units(folder: str | os.PathLike[str]) -> tuple[ControlUnits | None, str]:
    """Read what `save_control_units` wrote: control units, or None and why there are none.

    Raises
    ------
    InputError
        If the folder does not hold readable control units.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        if "programs" not in content:
            return None, content["why_not"]
        # opened here, since numpy leaves a file open that it cannot read
        with (
            open(folder / ARRAYS, "rb") as stream,
            np.load(stream, allow_pickle=False) as stored,
        ):
            arrays = {name: stored[name] for name in stored.files}
        return _from_stored(content, arrays), ""
    except UNREADABLE as error:
        raise InputError(f"{folder} holds no readable control units ({error})") from error


def _from_stored(content: dict[str, Any], arrays: dict[str, np.ndarray]) -> ControlUnits:
    def sums(kind: str, batch: int) -> Sums:
        pbar = arrays.get(f"{kind}_pbar")
        return Sums(
            n1=arrays[f"{kind}_n1"][batch],
            d=arrays[f"{kind}_d"][batch],
            score=arrays[f"{kind}_score"][batch],
            projection=None,
            overlap=arrays[f"{kind}_overlap"][batch],
            pbar=None if pbar is None else pbar[batch],
        )

    held_out = None
    if content["held_out"] is not None:
        split = content["held_out"]["split"]
        held_out = HeldOut(
            split=NTCSplit(
                split=split["split"],
                guides_A=tuple(split["guides_A"]),
                guides_B=tuple(split["guides_B"]),
                units_A=[tuple(unit) for unit in split["units_A"]],
                units_B=[tuple(unit) for unit in split["units_B"]],
            ),
            units=arrays["held_out"],
            null=arrays["held_out_null"],
            options=CrossfitOptions(**content["held_out"]["options"]),
        )
    ends = np.cumsum(arrays["n_members"])[:-1]
    return ControlUnits(
        programs=content["programs"],
        guides=content["guides"],
        ntc=arrays["ntc"],
        targets=content["targets"],
        ntc_labels=content["ntc_labels"],
        members=np.split(arrays["members"], ends),
        pseudogenes=arrays["pseudogenes"],
        batches=[
            Batch(
                label,
                int(arrays["n_cells"][b]),
                arrays["variance"][b],
                sums("guides", b),
                sums("units", b),
            )
            for b, label in enumerate(content["batches"])
        ],
        options=ControlUnitOptions(**content["options"]),
        seed=content["seed"],
        held_out=held_out,
        why_none_held_out=content["why_none_held_out"],
        notes=content["notes"],
    )
