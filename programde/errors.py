"""Errors and warnings, each one clear line: the key, the value or count, and the cure."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable
from pathlib import Path


class ProgramDEError(ValueError):
    """Anything that a user of programDE can cure; the message is one line.

    Parameters
    ----------
    message
        What is wrong, and what to do.

    Examples
    --------
    >>> import programde as pde
    >>> issubclass(pde.InputError, pde.ProgramDEError), issubclass(pde.InputError, ValueError)
    (True, True)
    """

    def __init__(self, message: object = ""):
        # names that come in (of programs, cells, files) may hold line breaks
        super().__init__(" ".join(str(message).splitlines()))


class InputError(ProgramDEError):
    """The data that came in cannot be used as they are.

    Parameters
    ----------
    message
        What is wrong, and what to do.

    Examples
    --------
    >>> import anndata, programde as pde
    >>> try:
    ...     pde.get.results(anndata.AnnData())
    ... except pde.InputError as error:
    ...     print(error)
    uns['programde'] is not there: pde.tl.test(adata) makes it
    """


class OptionError(ProgramDEError):
    """An option has a value that is not allowed, or a name that does not exist.

    Parameters
    ----------
    message
        What is wrong, and what to do.

    Examples
    --------
    >>> import programde as pde
    >>> try:
    ...     pde.SpikeOptions(n_sets=-1)
    ... except pde.OptionError as error:
    ...     print(error)
    n_sets=-1 is out of range: must be >= 0 and <= 1,000,000
    """


class ProgramDEWarning(UserWarning):
    """Something was changed on the user's behalf; the message names what and why.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np, programde as pde
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = pde.clr_from_usage(np.array([[2.0, 6.0], [0.5, 0.5]]))
    >>> caught[0].category.__name__
    'ProgramDEWarning'
    """


def nearest(name: object, valid: Iterable[object]) -> str:
    """A tail for an error line: the nearest valid names, or all of them where few.

    Examples
    --------
    >>> nearest("bernuli", ["bernoulli", "stratified"])
    "; did you mean 'bernoulli'? valid: bernoulli, stratified"
    """
    names = [str(v) for v in valid]
    by_lower = {v.lower(): v for v in reversed(names)}  # a wrong case is a near miss
    found = difflib.get_close_matches(str(name).lower(), list(by_lower), n=3, cutoff=0.5)
    close = [by_lower[low] for low in found]
    guess = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return f"{guess}{'' if guess else ';'} valid: {shown or 'none'}"


def absent(path: object, otherwise: str = "does not exist; give an existing file") -> str:
    """Why a file is not there, with the cure: what names another machine is none of this one's.

    Parameters
    ----------
    path
        As it was typed.
    otherwise
        The words where it names no other machine.

    Examples
    --------
    >>> absent("file:///data/screen.h5ad")
    'is an address, and files on this machine are read: write /data/screen.h5ad'
    >>> absent("//server/lab/screen.h5ad")
    'does not exist; a share of another machine goes by its mount point on this one'
    >>> absent("me@server:/data/screen.h5ad")
    'is on another machine, and files on this one are read: copy it here first'
    """
    typed = str(path)
    scheme, sign, place = typed.partition("://")
    if sign and scheme.isalnum():
        local = f"write /{place.lstrip('/')}" if scheme.lower() == "file" else "copy it here first"
        return f"is an address, and files on this machine are read: {local}"
    if re.match(r"(//|\\\\)[^/\\]", typed):
        return "does not exist; a share of another machine goes by its mount point on this one"
    if re.match(r"[\w.-]+@[\w.-]+:|[\w.-]{2,}:/", typed):  # as scp takes it; C:/ is a disk
        return "is on another machine, and files on this one are read: copy it here first"
    return otherwise


def not_a_file(path: object) -> str:
    """What a reader says of a path at which there is no file to open.

    Parameters
    ----------
    path
        As it was given.

    Examples
    --------
    >>> not_a_file("absent.csv")
    'absent.csv: no such file'
    """
    there = Path(str(path)).is_dir()
    return f"{path}: {'is a folder' if there else absent(path, 'no such file')}"


def not_a_folder(path: object) -> str:
    """What a reader says of a path at which there is no folder.

    Parameters
    ----------
    path
        As it was given.

    Examples
    --------
    >>> not_a_folder("absent")
    'absent: no such folder'
    """
    there = Path(str(path)).exists()
    return f"{path}: {'is a file' if there else absent(path, 'no such folder')}"


def check_choice(key: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`, else raise an OptionError that names `key`."""
    allowed = list(allowed)
    if value not in allowed:
        raise OptionError(f"{key}={value!r} is not known{nearest(value, allowed)}")
    return str(value)


def check_keywords(what: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise an OptionError for the first name in `given` that is not in `allowed`."""
    allowed = list(allowed)
    for name in given:
        if name not in allowed:
            raise OptionError(f"{what} has no option {name!r}{nearest(name, allowed)}")


def some(names: Iterable[object], limit: int = 5) -> str:
    """The first few names for an error line: ``"a, b, c, ... (12 in all)"``."""
    shown = [str(name) for name in names]
    tail = f", ... ({len(shown)} in all)" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + tail


def tell(message: str, notes: list[str] | None = None) -> None:
    """Warn of a change made on the user's behalf, and keep the sentence in `notes`."""
    if notes is not None:
        notes.append(message)
    warnings.warn(message, ProgramDEWarning, stacklevel=3)
