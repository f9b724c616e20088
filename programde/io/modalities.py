"""Guides and spectra among the modalities of a MuData, or beside it.

Guides are the columns of a matrix in the usages' modality, or the variables of a modality (or a
file) of their own; see `mudata.screen_from_mudata` for the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from programde.errors import InputError, nearest, some, tell
from programde.io.containers import Slots, find, has, names_list, spectra_of, stated_moi
from programde.io.guide_tables import targets_from_metadata, targets_of_table
from programde.io.join import Piece, aligned
from programde.screen.matrices import dense_numbers

#: What modalities of guides are called, in small letters.
GUIDE_MODALITIES = ("guide", "guides", "grna", "sgrna", "crispr", "gdo")


def modality(modalities: Mapping[str, Slots], name: str, role: str) -> Slots:
    """The modality of that name, or an InputError that lists what is there."""
    if name not in modalities:
        raise InputError(f"{role}={name!r} is not a modality{nearest(name, modalities)}")
    return modalities[name]


def find_guides(
    modalities: Mapping[str, Slots], keys: Mapping[str, Any], notes: list[str]
) -> tuple[Piece, list[str] | None, Any, Any]:
    """The assignment, the names of its columns, guide -> target, and the stated multiplicity."""
    key, name, apart = keys["guide_assignment_key"], keys["guide_modality"], keys["guides_apart"]
    if apart is not None:
        return _guides_of(apart, "the file of the guides", keys, notes, in_keys=has(apart, key))
    home = modalities.get(keys["usage_modality"])
    if name is None and home is not None and has(home, key):
        what = f"modality {keys['usage_modality']!r}"
        return _guides_of(home, what, keys, notes, in_keys=True)
    if name is None:
        likely = _likely(modalities, keys)
        if len(likely) != 1:
            raise InputError(
                f"no guides found: modality {keys['usage_modality']!r} has no {key!r}; set "
                f"guide_modality, modalities are {some(modalities, 10)}"
            )
        name = likely[0]
    slots = modality(modalities, name, "guide_modality")
    return _guides_of(slots, f"modality {name!r}", keys, notes, in_keys=False)


def _likely(modalities: Mapping[str, Slots], keys: Mapping[str, Any]) -> list[str]:
    """Modalities that are called like guides; else those whose variables have targets."""
    others = [name for name in modalities if name != keys["usage_modality"]]
    named = [name for name in others if name.lower() in GUIDE_MODALITIES]
    return named or [name for name in others if keys["target_column"] in modalities[name].var()]


def _guides_of(
    slots: Slots, where: str, keys: Mapping[str, Any], notes: list[str], in_keys: bool
) -> tuple[Piece, list[str] | None, Any, Any]:
    """Guides that are the variables of an AnnData or, `in_keys`, columns of a matrix it holds."""
    key, layer = keys["guide_assignment_key"], keys["guide_layer"]
    cells, moi = slots.cell_names(), stated_moi(slots)
    if in_keys and key not in slots.keys("layers"):
        what = f"guide assignment {key!r} of {where}"
        guides = aligned(find(slots, key, "guide assignment"), what, cells, notes)
        listed = None
        if not isinstance(guides, pd.DataFrame):
            listed = names_list(find(slots, keys["guide_names_key"], "guide names"), "guide names")
        return Piece(what, cells, guides), listed, _mapping(slots, keys), moi
    what, table = f"guides of {where}", slots.var()
    names = [str(v) for v in table.index]
    in_uns = has(slots, keys["guide2gene_key"]) or has(slots, keys["guide_targets_key"])
    if keys["target_column"] not in table and in_uns:
        targets = _mapping(slots, keys)
    else:
        targets = targets_from_metadata(
            table.assign(**{"guide name": names}),
            guide_column="guide name",
            target_column=keys["target_column"],
            type_column=keys["type_column"],
            targeting_column=keys["targeting_column"],
        )
    if layer is None and key in slots.keys("layers"):
        layer = key
        tell(
            f"{what}: the layer {key!r} is taken as the assignment, not the matrix X; set "
            "guide_layer to say which",
            notes,
        )
    return Piece(what, cells, aligned(slots.matrix(layer), what, cells, notes)), names, targets, moi


def _mapping(slots: Slots, keys: Mapping[str, Any]) -> Any:
    """Guide -> target under its key, or targets parallel to the guides."""
    parallel = not has(slots, keys["guide2gene_key"]) and has(slots, keys["guide_targets_key"])
    key = keys["guide_targets_key"] if parallel else keys["guide2gene_key"]
    found = find(slots, key, "guide -> gene map")
    if isinstance(found, pd.DataFrame) and found.shape[1] > 1:
        return targets_of_table(found)
    return found


def find_spectra(modalities: Mapping[str, Slots], keys: Mapping[str, Any], notes: list[str]) -> Any:
    """Spectra from varm of the usages' modality, named by program and gene."""
    slots, key = modalities.get(keys["usage_modality"]), keys["spectra_key"]
    if slots is None or keys["usage_table"] is not None:
        return None
    key = key or next((k for k in ("loadings", "cnmf_spectra") if k in slots.keys("varm")), None)
    if key is None or key == "cnmf_spectra" or keys["usage_key"] is not None:
        return spectra_of(slots, key)
    if key not in slots.keys("varm"):
        raise InputError(f"spectra_key={key!r} is not in varm{nearest(key, slots.keys('varm'))}")
    values, programs = slots.get("varm", key), slots.var().index
    if isinstance(values, pd.DataFrame):
        return values
    weights = dense_numbers(values, f"spectra {key!r}")
    genes = [
        list(other.var().index)
        for name, other in modalities.items()
        if name != keys["usage_modality"] and len(other.var()) == weights.shape[1]
    ]
    if len(genes) != 1:
        notes.append(
            f"spectra {key!r} are left out: they carry no gene names, and {len(genes)} modalities "
            f"have {weights.shape[1]} variables"
        )
        return None
    return pd.DataFrame(weights, index=programs, columns=genes[0])
