"""Readers: one function per source, each giving the same `Screen`.

A further reader is one module here and one entry in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

from programde.errors import check_choice
from programde.screen.screen import Screen

SOURCES = {
    "h5ad": ("anndata", "read_h5ad"),
    "h5mu": ("mudata", "read_h5mu"),
    "cnmf": ("cnmf", "read_cnmf"),
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
