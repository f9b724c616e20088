"""What each source of a screen can be told, with ranges: the keyword arguments of its reader.

Paths are marked (`path=True`): whoever runs a pipeline asks what a file holds, not where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from programde.io.join import ON_MISSING
from programde.option_fields import MANY, check_options, option

NTC_LABELS = ("non-targeting", "safe-targeting", "NTC")


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What all sources have in common; see `screen.build.build_screen`.

    Attributes
    ----------
    condition_key
        Column by whose levels the analysis may be repeated.
    ntc_labels
        Targets that are controls.
    """

    condition_key: str | None = None
    ntc_labels: tuple[str, ...] = NTC_LABELS

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions(SourceOptions):
    """The built-in screen, small: `screen.synthetic.make_sceptre_style_synth`.

    That function's own defaults make a large screen and are the original's.
    """

    ntc_labels: tuple[str, ...] = ("non-targeting",)
    N: int = option(5000, minimum=50, maximum=100_000_000)
    K: int = option(20, minimum=2, maximum=100_000)
    n_target_genes: int = option(60, minimum=1, maximum=MANY)
    guides_per_gene: int = option(4, minimum=1, maximum=MANY)
    ntc_frac_guides: float = option(0.2, minimum=0, below=1)
    moi_mean: float = option(5.5, above=0)
    frac_causal_genes: float = option(0.35, minimum=0, maximum=1)
    n_effect_programs: int = option(3, minimum=1)
    effect_size: float = 1.0
    n_cov_extra: int = option(2, minimum=0, maximum=MANY)
    confound_strength: float = option(0.6, minimum=0)
    eps_near_zero: float = option(1e-6, minimum=0)
    sprinkle_near_zero_frac: float = option(0.2, minimum=0, below=1)
    exact_zero_frac: float = option(1.0, minimum=0, maximum=1)
    n_batches: int = option(4, minimum=1, maximum=MANY)
    seed: int = option(0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class FileOptions(SourceOptions):
    """What all sources that are files have in common; see `screen.build.build_screen`."""

    covar_columns: tuple[str, ...] | None = None
    log1p_columns: tuple[str, ...] | None = None
    batch_key: str | None = "batch"
    on_empty: str = option("error", choices=ON_MISSING)


@dataclass(frozen=True, kw_only=True)
class KeyedOptions(FileOptions):
    """What all sources whose parts have keys have in common."""

    covar_key: str | None = "covar"
    guide_assignment_key: str = "guide_assignment"
    guide_names_key: str = "guide_names"
    guide2gene_key: str = "guide2gene"
    guide_targets_key: str = "guide_targets"


@dataclass(frozen=True, kw_only=True)
class H5adOptions(KeyedOptions):
    """`io.anndata.read_h5ad`."""

    path: str = option(path=True)
    usage_key: str = "cnmf_usage"
    program_names_key: str = "program_names"


@dataclass(frozen=True, kw_only=True)
class H5muOptions(KeyedOptions):
    """`io.mudata.read_h5mu`."""

    path: str = option(path=True)
    usage_modality: str = "cNMF"
    usage_key: str | None = None
    guide_modality: str | None = None
    guide_layer: str | None = None
    target_column: str = "intended_target_name"
    type_column: str = "type"
    covar_modality: str | None = None
    on_missing: str = option("error", choices=ON_MISSING)


@dataclass(frozen=True, kw_only=True)
class CnmfOptions(KeyedOptions):
    """`io.cnmf.read_cnmf`, with guides and covariates from an h5ad or h5mu file."""

    folder: str = option(path=True)
    screen: str = option(path=True)
    name: str | None = None
    k: int = option(minimum=2)
    density_threshold: float = option(0.5, above=0)
    on_missing: str = option("error", choices=ON_MISSING)


@dataclass(frozen=True, kw_only=True)
class GuideTablesOptions(FileOptions):
    """`io.guide_tables.read_guide_tables`."""

    usage: str = option(path=True)
    assignments: str = option(path=True)
    guide_metadata: str = option(path=True)
    covariates: str | None = option(None, path=True)
    threshold: float = 1.0
    cell_column: str = "cell"
    guide_column: str = "guide"
    value_column: str | None = "value"
    guide_id_column: str = "guide_id"
    target_column: str = "intended_target_name"
    type_column: str | None = "type"
    on_missing: str = option("error", choices=ON_MISSING)


#: Name of a source -> what it can be told.
SOURCE_OPTIONS: dict[str, type[SourceOptions]] = {
    "synthetic": SyntheticOptions,
    "h5ad": H5adOptions,
    "h5mu": H5muOptions,
    "cnmf": CnmfOptions,
    "guide_tables": GuideTablesOptions,
}
