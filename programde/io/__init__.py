"""Readers: one function per source, each giving the same `Screen`.

    read_h5ad  read_h5mu  read_cnmf  read_folder  read_perturbnmf
    read_guide_tables (also: read_tables)

A further reader is one module here and one entry in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from programde.errors import check_choice
from programde.screen.screen import Screen

if TYPE_CHECKING:
    from programde.io.anndata import read_h5ad as read_h5ad
    from programde.io.cnmf import read_cnmf as read_cnmf
    from programde.io.day_folder import read_folder as read_folder
    from programde.io.guide_tables import read_guide_tables as read_guide_tables
    from programde.io.guide_tables import read_guide_tables as read_tables
    from programde.io.mudata import read_h5mu as read_h5mu
    from programde.io.perturbnmf import read_perturbnmf as read_perturbnmf

__all__ = [
    "read_cnmf",
    "read_folder",
    "read_guide_tables",
    "read_h5ad",
    "read_h5mu",
    "read_perturbnmf",
    "read_tables",
]

SOURCES = {
    "h5ad": ("anndata", "read_h5ad"),
    "h5mu": ("mudata", "read_h5mu"),
    "cnmf": ("cnmf", "read_cnmf"),
    "folder": ("day_folder", "read_folder"),
    "perturbnmf": ("perturbnmf", "read_perturbnmf"),
    "guide_tables": ("guide_tables", "read_guide_tables"),
}


class _Readers(Mapping[str, Callable[..., Screen]]):
    """Name of a source -> its reader; the module is imported when the reader is asked for."""

    def __getitem__(self, name: str) -> Callable[..., Screen]:
        module, function = SOURCES[check_choice("data.kind", name, SOURCES)]
        return getattr(import_module(f"{__name__}.{module}"), function)

    def __iter__(self) -> Iterator[str]:
        return iter(SOURCES)

    def __len__(self) -> int:
        return len(SOURCES)

    def __contains__(self, name: object) -> bool:
        return name in SOURCES


READERS: Mapping[str, Callable[..., Screen]] = _Readers()


#: Name of a reader -> its module and its name there.
_FUNCTIONS = {function: (module, function) for module, function in SOURCES.values()} | {
    "read_tables": SOURCES["guide_tables"]
}


def __getattr__(name: str) -> Any:
    """A reader; its module is imported when it is first asked for."""
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, function = _FUNCTIONS[name]
    return getattr(import_module(f"{__name__}.{module}"), function)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FUNCTIONS])
