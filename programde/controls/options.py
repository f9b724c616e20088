"""Options of the NTC empirical null, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from programde.controls.groups import as_labels
from programde.controls.matching import MatchingOptions
from programde.errors import check_keywords
from programde.option_fields import MANY, check_options, option

BATCH_MODES = ("meta", "pooled", "auto")
COMBINE_METHODS = ("stouffer", "fisher")
GENE_STATISTICS = ("max_z", "max_effect")


@dataclass(frozen=True)
class GroupOptions:
    """Groups of non-targeting guides, tested as if they were targets.

    Attributes
    ----------
    group_size
        Guides per group; None for the median of the real targets, or as many as leave
        `min_groups` groups.
    min_groups
        Groups that a partition should have: fewer cannot tell a false-alarm rate of 5 % from one
        of 10 %.
    n_partitions
        Random partitions of the guides into groups.
    n_bins
        Guide-frequency bins by which groups follow real targets.
    """

    group_size: int | None = option(None, minimum=1)
    min_groups: int = option(20, minimum=1, maximum=MANY)
    n_partitions: int = option(10, minimum=1, maximum=MANY)
    n_bins: int = option(10, minimum=1, maximum=MANY)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class CrossfitOptions:
    """Non-targeting guides held out and tested against the others.

    Attributes
    ----------
    min_guides
        With fewer non-targeting guides it is left out.
    n_ntc_units, n_holdout_units
        Control units that make the null, and held-out ones.
    """

    min_guides: int = option(20, minimum=4)
    n_ntc_units: int = option(1000, minimum=1, maximum=MANY)
    n_holdout_units: int = option(100, minimum=1, maximum=MANY)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class EmpiricalNullOptions:
    """What `null_kwargs` may hold.

    Attributes
    ----------
    ntc_labels
        Targets that mark NTC guides; one label or several.
    guides_per_unit
        Guides per NTC unit (pseudo-gene); None: as many as the median real target has, at most
        half of the NTC guides. With `finite_population_correction` each target is compared with
        sets of as many guides as it has itself, and this is the size of the held-out NTC units.
    n_ntc_units
        Number of NTC units; all possible ones where fewer exist.
    batch_mode
        "meta": within each batch, then combined. "pooled": once on all cells. "auto": meta where
        the screen has batches, else pooled.
    combine_method
        "stouffer" (signed, weighted by information; recommended) or "fisher" (two-sided p-values;
        blind to direction).
    matching
        See `MatchingOptions`.
    min_treated, min_control
        A unit, real or NTC, takes part in a batch only with so many treated and control cells.
    batch_key
        Covariate column that holds the batch; None: the screen's own batch labels.
    finite_population_correction
        True: the guides of a target are exchanged with NTC guides, which accounts for NTC units
        sharing guides (see `programde.controls.exchange`). False: the plain comparison with
        pseudo-genes, which finds too much where NTC guides are few.
    gene_statistic
        What sums up a target's programs: "max_z", the largest effect in units of the NTC spread
        of its program, or "max_effect", the largest effect as it is.
    qq_crossfit_seed, qq_crossfit_frac_A
        Seed and share of the NTC guides that define the null in the cross-fit.
    n_holdout_units
        Number of held-out NTC units in the cross-fit.
    """

    ntc_labels: tuple[str, ...] = ("NTC", "non-targeting", "safe-targeting", "SAFE")
    guides_per_unit: int | None = option(None, minimum=1)
    n_ntc_units: int = option(5000, minimum=1, maximum=MANY)
    batch_mode: str = option("meta", choices=BATCH_MODES)
    combine_method: str = option("stouffer", choices=COMBINE_METHODS)
    matching: MatchingOptions = field(default_factory=MatchingOptions)
    min_treated: int = option(10, minimum=0)
    min_control: int = option(10, minimum=0)
    batch_key: str | None = None
    finite_population_correction: bool = True
    gene_statistic: str = option("max_z", choices=GENE_STATISTICS)
    qq_crossfit_seed: int = 0
    qq_crossfit_frac_A: float = option(0.5, above=0, below=1)
    n_holdout_units: int = option(300, minimum=1, maximum=MANY)

    def __post_init__(self) -> None:
        check_options(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any] | None) -> EmpiricalNullOptions:
        """From `null_kwargs`; a misspelt name raises an OptionError that offers the nearest."""
        given = dict(given or {})
        check_keywords("null_kwargs", given, [f.name for f in fields(cls)])
        if "ntc_labels" in given:
            given["ntc_labels"] = tuple(as_labels(given["ntc_labels"]))
        if not isinstance(given.get("matching"), MatchingOptions):
            given["matching"] = MatchingOptions.from_dict(given.get("matching"))
        return cls(**given)
