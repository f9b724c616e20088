"""A screen as arrays, and as a folder of them, for handing it from one stage to the next.

A folder holds uncompressed ``.npy`` arrays (which can be memory-mapped), ``screen.json`` with the
sizes and the names of the arrays, and ``covariate_table.parquet``. Names are kept as one UTF-8
text with the end of each name, so nothing is padded or lost. The same screen gives the same bytes.
A screen that is not in memory is written as `kept_rows` has it, and is not in memory afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError
from programde.screen.chosen import is_stored
from programde.screen.composition import first_line
from programde.screen.kept_rows import ROWS, read_rows, write_rows
from programde.screen.screen import Screen

FORMAT, VERSION = "programde-screen", 1
MANIFEST, TABLE = "screen.json", "covariate_table.parquet"
NUMBERS = ("usage", "clr", "floor", "covariates", "guides_indices", "guides_indptr")
NAMES = ("covariate_names", "guide_names", "mapped_guides", "mapped_targets", "program_names",
         "cell_names", "notes")  # fmt: skip
BATCH_NAMES = "batch_levels"
CONDITION_NAMES = "condition_levels"
MOI, SPECTRA_GENES, TRANSFORM = "moi", "spectra_genes", "transform"
FURTHER = ("further_guides", "further_targets")
LABELS = ("labelled_programs", "program_labels")


def screen_arrays(screen: Screen) -> dict[str, np.ndarray]:
    """A screen as plain numeric arrays; the covariate table is not among them.

    Parameters
    ----------
    screen
        Any screen.

    Returns
    -------
    dict
        ``usage``, ``clr`` (N, K) float64, ``floor`` (1,) float64, ``covariates`` (N, p) float64,
        ``covariate_tiers`` (p,) int8 where there are such,
        ``guides_indices``, ``guides_indptr`` (compressed columns of ones), ``batch_codes`` (N,)
        int32 where there is a batch (``condition_codes`` likewise), ``ambiguous_indices``,
        ``ambiguous_indptr``, ``spectra`` (K, n_genes) float64 and ``unfloored`` (N, K) float64
        where there are such, and for each
        list of names ``<list>_text`` (uint8, UTF-8) and ``<list>_ends`` (int64, end of each name in
        the text).
    """
    arrays = {
        "usage": screen.usage,
        "clr": screen.clr,
        "covariates": screen.covariates,
        **_small_arrays(screen),
        **_pack("cell_names", screen.cell_names),
    }
    if screen.unfloored is not None:
        arrays["unfloored"] = screen.unfloored
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _small_arrays(screen: Screen) -> dict[str, np.ndarray]:
    """All but the matrices and the names of the cells."""
    arrays: dict[str, np.ndarray] = {
        "floor": np.array([screen.floor], dtype=np.float64),
        "guides_indices": screen.guides.indices,
        "guides_indptr": screen.guides.indptr,
    }
    lists: dict[str, Sequence[str]] = {
        "covariate_names": screen.covariate_names,
        "guide_names": screen.guide_names,
        "mapped_guides": list(screen.guide_to_target),
        "mapped_targets": list(screen.guide_to_target.values()),
        "program_names": screen.program_names,
        "notes": screen.notes,
    }
    if screen.covariate_tiers is not None:
        arrays["covariate_tiers"] = screen.covariate_tiers.astype(np.int8)
    for labels, codes, names in (
        (screen.batch, "batch_codes", BATCH_NAMES),
        (screen.condition, "condition_codes", CONDITION_NAMES),
    ):
        if labels is not None:
            places, levels = pd.factorize(labels, sort=True)
            arrays[codes] = places.astype(np.int32)
            lists[names] = [str(level) for level in levels]
    if screen.ambiguous is not None:
        arrays["ambiguous_indices"] = screen.ambiguous.indices
        arrays["ambiguous_indptr"] = screen.ambiguous.indptr
    if screen.spectra is not None:
        arrays["spectra"] = screen.spectra.to_numpy(dtype=np.float64)
        lists[SPECTRA_GENES] = [str(gene) for gene in screen.spectra.columns]
    if screen.moi is not None:
        lists[MOI] = [screen.moi]
    if screen.transform != "clr":
        lists[TRANSFORM] = [screen.transform]
    if screen.program_labels:
        lists |= dict(zip(LABELS, zip(*screen.program_labels.items(), strict=True), strict=True))
    if screen.further_targets:
        pairs = [(guide, t) for guide, ts in screen.further_targets.items() for t in ts]
        lists |= dict(zip(FURTHER, zip(*pairs, strict=True), strict=True))
    for name, texts in lists.items():
        arrays |= _pack(name, texts)
    return arrays


def screen_from_arrays(
    arrays: Mapping[str, np.ndarray], covariate_table: pd.DataFrame | None = None
) -> Screen:
    """The screen that `screen_arrays` took apart.

    Parameters
    ----------
    arrays
        As `screen_arrays` gives them; may be memory-mapped.
    covariate_table : (N, m) DataFrame or None
        The covariates before encoding; gets the cell names as its index.

    Returns
    -------
    Screen

    Raises
    ------
    InputError
        An array is missing.
    """
    wanted = [*NUMBERS, *(f"{name}_{part}" for name in NAMES for part in ("text", "ends"))]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise InputError(f"a stored screen lacks {', '.join(missing)}; make it again")
    cells = _unpack(arrays, "cell_names")
    if covariate_table is not None:
        covariate_table = covariate_table.set_axis(pd.Index(cells, dtype=object), axis=0)
    return _screen(
        arrays,
        usage=np.asarray(arrays["usage"]),
        clr=np.asarray(arrays["clr"]),
        covariates=np.asarray(arrays["covariates"]),
        covariate_table=covariate_table,
        cell_names=cells,
        unfloored=np.asarray(arrays["unfloored"]) if "unfloored" in arrays else None,
    )


def _screen(arrays: Mapping[str, np.ndarray], **matrices: Any) -> Screen:
    """A screen of its matrices and names of cells, and of all that is small."""
    names = {name: _unpack(arrays, name) for name in NAMES if name != "cell_names"}
    batch = _labels(arrays, "batch_codes", BATCH_NAMES)
    condition = _labels(arrays, "condition_codes", CONDITION_NAMES)
    n_cells = matrices["usage"].shape[0]
    spectra = None
    if "spectra" in arrays:
        genes = _unpack(arrays, SPECTRA_GENES)
        spectra = pd.DataFrame(np.asarray(arrays["spectra"]), names["program_names"], genes)
    further: dict[str, tuple[str, ...]] = {}
    if f"{FURTHER[0]}_ends" in arrays:
        for guide, target in zip(*(_unpack(arrays, name) for name in FURTHER), strict=True):
            further[guide] = (*further.get(guide, ()), target)
    labels: dict[str, str] = {}
    if f"{LABELS[0]}_ends" in arrays:
        labels = dict(zip(*(_unpack(arrays, name) for name in LABELS), strict=True))
    return Screen(
        **matrices,
        floor=float(arrays["floor"][0]),
        covariate_names=names["covariate_names"],
        covariate_tiers=(
            np.asarray(arrays["covariate_tiers"]) if "covariate_tiers" in arrays else None
        ),
        batch=batch,
        condition=condition,
        guides=_ones(arrays, "guides", n_cells),
        guide_names=names["guide_names"],
        guide_to_target=dict(zip(names["mapped_guides"], names["mapped_targets"], strict=True)),
        program_names=names["program_names"],
        notes=tuple(names["notes"]),
        moi=_unpack(arrays, MOI)[0] if f"{MOI}_ends" in arrays else None,
        ambiguous=_ones(arrays, "ambiguous", n_cells) if "ambiguous_indptr" in arrays else None,
        spectra=spectra,
        program_labels=labels,
        further_targets=further,
        transform=_unpack(arrays, TRANSFORM)[0] if f"{TRANSFORM}_ends" in arrays else "clr",
    )


def _ones(arrays: Mapping[str, np.ndarray], name: str, n_cells: int) -> sparse.csc_matrix:
    """A matrix of ones in compressed columns."""
    indices, indptr = (np.asarray(arrays[f"{name}_{part}"]) for part in ("indices", "indptr"))
    ones = np.ones(len(indices), dtype=np.int8)
    return sparse.csc_matrix((ones, indices, indptr), shape=(n_cells, len(indptr) - 1))


def save_screen(screen: Screen, folder: str | os.PathLike[str]) -> None:
    """Write a screen to a folder, all of it or nothing; an older one there is replaced.

    Raises
    ------
    InputError
        The path is a file, or a folder that holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not _replaceable(folder):
        raise InputError(f"{folder} exists and is not a stored screen; choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        fresh.chmod(0o755)
        stored = is_stored(screen)
        arrays = _small_arrays(screen) if stored else screen_arrays(screen)
        for name, array in arrays.items():
            np.save(fresh / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
        has_table = screen.covariate_table is not None and not stored
        if has_table:
            assert screen.covariate_table is not None
            screen.covariate_table.reset_index(drop=True).to_parquet(fresh / TABLE)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "cells": screen.n_cells,
            "programs": screen.n_programs,
            "guides": len(screen.guide_names),
            "covariates": screen.covariate_names,
            "has_covariate_table": has_table,
            "arrays": sorted(arrays),
        }
        if stored:
            manifest[ROWS] = write_rows(screen, fresh)
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            old = Path(
                tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent)
            )
            os.replace(folder, old)
            os.replace(fresh, folder)
            shutil.rmtree(old)
        else:
            os.replace(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def load_screen(folder: str | os.PathLike[str], mmap: bool = True) -> Screen:
    """Read a screen that `save_screen` wrote.

    Parameters
    ----------
    folder
        The folder.
    mmap
        Map the large arrays read-only instead of reading them.

    Returns
    -------
    Screen
        Equal to the one that was saved, bit for bit. One that was not in memory is not: its rows
        are read from the folder.

    Raises
    ------
    InputError
        No such folder, another format, or a damaged file.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} is not a stored screen: it has no {MANIFEST}")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
            raise InputError(f"{folder / MANIFEST} is not of format {FORMAT} {VERSION}")
        mode = "r" if mmap else None
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False)  # type: ignore[arg-type]
            for name in manifest["arrays"]
        }
        if ROWS in manifest:
            sizes = manifest["programs"], len(manifest["covariates"])
            rows = read_rows(folder, manifest[ROWS], float(arrays["floor"][0]), *sizes)
            return _screen(arrays, **rows)
        table = pd.read_parquet(folder / TABLE) if manifest["has_covariate_table"] else None
        return screen_from_arrays(arrays, table)
    except InputError:
        raise
    except Exception as error:  # numpy, json and pyarrow raise many kinds for a damaged file
        raise InputError(
            f"{folder} holds a damaged screen, make it again "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MANIFEST).is_file() or not any(folder.iterdir()))


def _labels(arrays: Mapping[str, np.ndarray], codes: str, names: str) -> np.ndarray | None:
    """Labels (N,) object from their codes and levels; None where they were not stored."""
    if codes not in arrays:
        return None
    return np.array(_unpack(arrays, names), dtype=object)[np.asarray(arrays[codes])]


def _pack(name: str, texts: Sequence[str]) -> dict[str, np.ndarray]:
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    return {
        f"{name}_text": np.frombuffer(b"".join(raw), dtype=np.uint8),
        f"{name}_ends": np.cumsum([len(r) for r in raw], dtype=np.int64),
    }


def _unpack(arrays: Mapping[str, np.ndarray], name: str) -> list[str]:
    raw, ends = np.asarray(arrays[f"{name}_text"]).tobytes(), arrays[f"{name}_ends"].tolist()
    starts = [0, *ends][: len(ends)]
    return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, ends, strict=True)]
