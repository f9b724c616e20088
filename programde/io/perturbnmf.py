"""What PerturbNMF leaves of a run: one MuData per number of programs and density threshold.

    OUT_DIR/RUN_NAME/Inference/adata/cNMF_<K>_<T>.h5mu

with an underscore for the point in T (``0_4``). Modality ``cNMF`` holds usages as X, programs as
variables, guides in ``obsm["guide_assignment"]``, their names and targets in ``uns``; an older
form keeps the guides in an AnnData file of their own. What is written for its later stages is in
`programde.analysis.perturbnmf`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from programde.errors import InputError, OptionError, not_a_folder, some
from programde.io.mudata import DEFAULT_KEYS, read_h5mu
from programde.io.text_tables import PathLike
from programde.screen.screen import Screen

__all__ = ["DEFAULT_KEYS", "find_run", "read_perturbnmf", "threshold_label"]

FILE_NAME = re.compile(r"cNMF_(?P<k>\d+)_(?P<dt>\d+(?:[._]\d+)?)\.h5mu")


def read_perturbnmf(
    out_dir: PathLike,
    *,
    run_name: str,
    k: int,
    density_threshold: float = 0.5,
    **keys: Any,
) -> Screen:
    """A screen from one K and density threshold of a PerturbNMF run.

    Parameters
    ----------
    out_dir, run_name
        The folder of runs, and the run.
    k, density_threshold
        Number of programs, and cNMF's density threshold.
    **keys
        Keyword arguments of `programde.io.mudata.screen_from_mudata`: `covar_columns` and
        `log1p_columns` name the columns of obs that are covariates, `condition_key` that of the
        condition, `guides_path` the file of the guides in the older form. Without covariates, the
        intercept alone.

    Returns
    -------
    Screen
        Its cells in the order of the usages.

    Raises
    ------
    InputError
        There is no such file (those there are are listed), or what `read_h5mu` raises.
    """
    path = find_run(out_dir, run_name, k, density_threshold)
    return read_h5mu(path, **{"covar_key": None, **keys})


def find_run(out_dir: PathLike, run_name: str, k: int, density_threshold: float) -> Path:
    """The file of one K and threshold.

    Raises
    ------
    InputError
        None; lists what is there.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 2:
        raise OptionError(f"k={k!r} must be a whole number of programs, at least 2")
    if isinstance(density_threshold, bool) or not isinstance(density_threshold, int | float):
        raise OptionError(f"density_threshold={density_threshold!r} must be a number")
    folder = Path(out_dir) / run_name / "Inference" / "adata"
    if not folder.is_dir():
        beside = sorted(p.name for p in Path(out_dir).glob("*") if (p / "Inference").is_dir())
        raise InputError(f"{not_a_folder(folder)}; runs in {out_dir}: {some(beside) or 'none'}")
    known = {}
    for path in sorted(folder.iterdir()):
        if found := FILE_NAME.fullmatch(path.name):
            known[int(found["k"]), float(found["dt"].replace("_", "."))] = path
    for (programs, threshold), path in known.items():
        if programs == k and np.isclose(threshold, density_threshold, rtol=1e-9, atol=0):
            return path
    there = some([f"k={programs} density_threshold={t:g}" for programs, t in known], 20) or "none"
    raise InputError(
        f"{folder} has no cNMF_{k}_{str(float(density_threshold)).replace('.', '_')}.h5mu; "
        f"there are {there}"
    )


def threshold_label(path: PathLike) -> str:
    """The threshold as a file's name has it: ``0_4`` of cNMF_15_0_4.h5mu."""
    found = FILE_NAME.fullmatch(Path(path).name)
    if found is None:
        raise InputError(f"{path} is not named like cNMF_15_0_4.h5mu")
    return found["dt"].replace(".", "_")
