"""The empirical null of a screen with all options in one dictionary, for short tests."""

from __future__ import annotations

from dataclasses import fields

from programde.controls.empirical_null import ntc_empirical_null
from programde.controls.options import ComparisonOptions, ControlUnitOptions, CrossfitOptions

UNITS = {f.name for f in fields(ControlUnitOptions)}
RULES = {f.name for f in fields(ComparisonOptions)}


def null_of(screen, targets=None, options=None, *, crossfit=None, **how):
    """`ntc_empirical_null` by batch, with fields of three option classes in one dictionary.

    `crossfit` is a dictionary too, of what differs from the null's own number of units.
    """
    given = {"batch_mode": "meta", **(options or {})}
    how = {"ntc_labels": given.pop("ntc_labels", "NTC"), **how}
    if "batch_key" in given:
        how["batch_key"] = given.pop("batch_key")
    units = ControlUnitOptions(**{k: v for k, v in given.items() if k in UNITS})
    rules = ComparisonOptions.from_dict({k: v for k, v in given.items() if k not in UNITS})
    if crossfit is not None:
        wanted = {"n_ntc_units": units.n_ntc_units, "n_holdout_units": 300}
        how["crossfit"] = CrossfitOptions(**{**wanted, **crossfit})
    return ntc_empirical_null(screen, targets, units, rules, **how)
