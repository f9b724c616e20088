"""From a composed configuration to the one that params.yaml holds, or to one clear line.

`resolve` checks every key and separates from the rest what says nothing about *what* is computed,
and on which therefore no stage depends:

* `compute`: this machine's workers;
* `tracking`: where sweeps are recorded;
* `inputs`: where the files that come in lie on this machine. What they hold is told by
  `data.fingerprint`, so that a stage reruns when a file changes and does not when it moves.

The tables of `analysis.pairs` and `data.positive_controls` are read here: params.yaml holds their
rows, as `pairs` and in their key's place. Of `report.gene_sets` it holds the fingerprint.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from pipeline.config.checking import typed
from pipeline.config.fingerprint import fingerprint, fingerprint_of
from pipeline.config.schema import BESIDE, KINDS
from programde.errors import InputError, OptionError, absent
from programde.io.containers import is_zarr
from programde.option_fields import Spec

#: Paths that are folders: cNMF's, and that of PerturbNMF's runs.
FOLDERS = ("folder", "out_dir")


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as params.yaml holds it.

    Parameters
    ----------
    config
        Composed by Hydra from conf/ and a command line.

    Returns
    -------
    dict
        Plain values. Under `data`, the paths are replaced by `fingerprint`; they are in `inputs`.

    Raises
    ------
    OptionError
        A key or value that is not allowed.
    InputError
        A file that does not exist or cannot be read.
    """
    if config.get("inputs") is not None:
        raise OptionError(
            f"inputs={config.inputs} is not allowed: it follows from the paths of data"
        )
    if config.get("point") is not None:
        raise OptionError(f"point={config.point} is not allowed: the driver of a sweep sets it")
    chosen = config.copy()
    with open_dict(chosen):
        for key in BESIDE:
            chosen.pop(key, None)
    plain = typed(chosen)

    data = plain["data"]
    given_paths = {key: data.pop(key) for key in _paths_of(data["kind"])}
    inputs = {
        key: _there(f"data.{key}", where, folder=key in FOLDERS)
        for key, where in given_paths.items()
        if where is not None
    }
    prints = {key: fingerprint_of(files_read(key, where, data)) for key, where in inputs.items()}
    if prints:
        data["fingerprint"] = prints
    if (given := data["positive_controls"]) is not None:
        if isinstance(given, str):
            inputs["positive_controls"] = given = _there("data.positive_controls", given)
        data["positive_controls"] = _positive_controls(given)
    if (sets := plain["report"]["gene_sets"]) is not None:
        inputs["gene_sets"] = _there("report.gene_sets", sets)
        plain["report"]["gene_sets"] = _gene_sets(inputs["gene_sets"])
    table = plain["analysis"].pop("pairs")
    if table is not None:
        inputs["pairs"] = _there("analysis.pairs", table)
    return {**plain, "pairs": _pairs(inputs.get("pairs")), "inputs": inputs}


def _there(key: str, given: str, folder: bool = False) -> str:
    """The absolute path of a file that can be read: no folder (unless asked for), no pipe."""
    try:
        path = Path(given).expanduser().resolve()
        kind = path.stat().st_mode
    except FileNotFoundError:
        elsewhere = absent(given) != absent("")
        raise InputError(f"{key}={given if elsewhere else path} {absent(given)}") from None
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{key}={given} cannot be read: {why}") from None
    if stat.S_ISDIR(kind):
        if not folder and not is_zarr(path):
            raise InputError(f"{key}={path} is a folder; give a file")
    elif not stat.S_ISREG(kind):
        raise InputError(
            f"{key}={path} is a pipe, socket or device, which cannot be read twice; give a file"
        )
    return str(path)


def _pairs(table: str | None) -> list[list[str]]:
    """The rows of `analysis.pairs`, none where there is no such table."""
    if table is None:
        return []
    from programde.io.pairs import read_pairs

    try:
        return read_pairs(table)
    except InputError as error:
        raise InputError(f"analysis.pairs: {error}") from None


def _positive_controls(given: str | list[str]) -> list[list[object]]:
    """The rows of `data.positive_controls`: target, program, sign."""
    from programde.io.control_pairs import read_positive_controls, written_positive_controls

    try:
        if isinstance(given, str):
            return [list(row) for row in read_positive_controls(given)]
        return [list(row) for row in written_positive_controls(given)]
    except (InputError, OptionError) as error:
        raise type(error)(f"data.positive_controls: {error}") from None


def _gene_sets(path: str) -> str:
    """What identifies the file of `report.gene_sets`, read once to see that it can be."""
    from programde.io.gmt import read_gmt

    try:
        read_gmt(path)
    except InputError as error:
        raise InputError(f"report.gene_sets: {error}") from None
    return fingerprint(Path(path))


def read_there(key: str, where: str, data: dict[str, Any]) -> Path:
    """The file that is read: of a folder, which may be large, that of one K and threshold."""
    if key not in FOLDERS:
        return Path(where)
    if data["kind"] == "perturbnmf":
        from programde.io.perturbnmf import find_run

        return find_run(where, data["run_name"], data["k"], data["density_threshold"])
    from programde.io.cnmf import find_usages

    return find_usages(where, data["k"], data["density_threshold"], data["name"])


def files_read(key: str, where: str, data: dict[str, Any]) -> list[Path]:
    """All files that are read there: beside cNMF's usages lie their spectra."""
    if key != "folder":
        return [read_there(key, where, data)]
    from programde.io.cnmf import spectra_files

    if data["kind"] == "folder":  # one day of several
        from programde.io.day_folder import find_day

        day = find_day(where, data["day"], data["k"], data["density_threshold"])
        return [*day.files(), *spectra_files(day.usages)]
    file = read_there(key, where, data)
    return [file, *spectra_files(file)]


def _paths_of(kind: str) -> list[str]:
    """The keys of a kind of data that name files."""
    keys = KINDS["data"][kind].keys
    return [name for name, spec in keys.items() if isinstance(spec, Spec) and "path" in spec.limits]
