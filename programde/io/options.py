"""What each source of a screen can be told, with ranges: the keyword arguments of its reader.

Paths are marked (`path=True`): whoever runs a pipeline asks what a file holds, not where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from programde.io.join import ON_MISSING
from programde.option_fields import MANY, check_options, option
from programde.screen.build import MOI
from programde.screen.guide_targets import MULTI_TARGET

#: What the guides of a screen do to their gene.
EFFECTS_OF_GUIDES = ("lowers", "raises")
NTC_LABELS = ("non-targeting", "safe-targeting", "NTC")
#: Of tables with a type of each guide, which gives control guides their label.
NTC_TYPES = ("non-targeting", "safe-targeting", "negative control", "NTC")


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What all sources have in common; see `screen.build.build_screen`.

    Attributes
    ----------
    condition_key
        Column by whose levels the analysis may be repeated.
    ntc_labels
        Targets that are controls; a label may be a pattern, ``NTC_*``.
    effect_of_guides
        What guides do to the gene of their target: ``"lowers"``, ``"raises"``, or None: not said.
        It says which way the program goes that the gene leads, a positive control of the report.
    positive_controls
        More of them: a table of ``target``, ``program`` and ``sign``, or entries such as
        ``STAT1:program_2:lowers``; see `io.control_pairs`.
    """

    condition_key: str | None = None
    ntc_labels: tuple[str, ...] = NTC_LABELS
    effect_of_guides: str | None = option(None, choices=EFFECTS_OF_GUIDES)
    positive_controls: str | tuple[str, ...] | None = None

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
    """What all sources that are files have in common; see `screen.build.build_screen`.

    Attributes
    ----------
    covar_columns, log1p_columns
        Columns that are covariates, the second as log(1 + x).
    batch_key
        Column of the covariates that holds the batch; None: no batch.
    on_empty
        Cells whose usages are all 0: ``"error"`` or ``"drop"``.
    guide_threshold
        A guide is present from this value on; None: wherever the value is not 0.
    guide_absent_below
        Values from here up to the threshold are neither present nor absent.
    multi_target_guides
        Guides of several targets: ``"error"``, ``"both"`` or ``"whole"``.
    moi
        ``"high"`` or ``"low"``; None: what the source states, if anything.
    spectra
        Table of programs and genes; None: the spectra of the source.
    program_names
        Table of ``program`` and ``label``: what people call the programs.
    """

    covar_columns: tuple[str, ...] | None = None
    log1p_columns: tuple[str, ...] | None = None
    batch_key: str | None = "batch"
    on_empty: str = option("error", choices=ON_MISSING)
    guide_threshold: float | None = option(None, above=0)
    guide_absent_below: float | None = option(None, above=0)
    multi_target_guides: str = option("error", choices=MULTI_TARGET)
    moi: str | None = option(None, choices=MOI)
    spectra: str | None = option(None, path=True)
    program_names: str | None = option(None, path=True)


@dataclass(frozen=True, kw_only=True)
class KeyedOptions(FileOptions):
    """What all sources whose parts have keys have in common.

    Attributes
    ----------
    covar_key
        Covariates, a table of cells; None: the intercept alone.
    guide_assignment_key
        Cells x guides, present where not 0.
    guide_names_key
        Names of the guides, in column order.
    guide2gene_key
        Guide -> target.
    guide_targets_key
        Targets as a list parallel to the guides, where there is no `guide2gene_key`.
    """

    covar_key: str | None = "covar"
    guide_assignment_key: str = "guide_assignment"
    guide_names_key: str = "guide_names"
    guide2gene_key: str = "guide2gene"
    guide_targets_key: str = "guide_targets"


@dataclass(frozen=True, kw_only=True)
class H5adOptions(KeyedOptions):
    """`io.anndata.read_h5ad`.

    Attributes
    ----------
    path
        The file, or the folder of a zarr store.
    usage_key
        Usages, cells x programs.
    program_names_key
        Names of the programs.
    spectra_key
        Genes x programs, in varm.
    """

    path: str = option(path=True)
    usage_key: str = "cnmf_usage"
    program_names_key: str = "program_names"
    spectra_key: str | None = "cnmf_spectra"


@dataclass(frozen=True, kw_only=True)
class MuDataOptions(KeyedOptions):
    """What all sources that are MuData have in common; see `io.mudata.screen_from_mudata`.

    Attributes
    ----------
    guides_path
        An h5ad file of the guides alone; None: they are in the file.
    usage_modality, usage_key
        Modality of the usages, and where in it; None: its matrix X.
    guide_modality, guide_layer
        Modality whose variables are the guides, and the layer of it; None: found.
    target_column, type_column, targeting_column
        Columns of the table of guides: target, type, and whether a guide targets.
    spectra_key
        Of the usages' modality, in varm; None: found.
    covar_modality
        Modality of the covariates; None: found.
    on_missing
        Cells that are not in every modality: ``"error"`` or ``"drop"``.
    """

    ntc_labels: tuple[str, ...] = NTC_TYPES
    guides_path: str | None = option(None, path=True)
    usage_modality: str = "cNMF"
    usage_key: str | None = None
    guide_modality: str | None = None
    guide_layer: str | None = None
    target_column: str = "intended_target_name"
    type_column: str | None = "type"
    targeting_column: str | None = "targeting"
    spectra_key: str | None = None
    covar_modality: str | None = None
    on_missing: str = option("error", choices=ON_MISSING)


@dataclass(frozen=True, kw_only=True)
class H5muOptions(MuDataOptions):
    """`io.mudata.read_h5mu`.

    Attributes
    ----------
    path
        The file.
    """

    path: str = option(path=True)


@dataclass(frozen=True, kw_only=True)
class CnmfOptions(KeyedOptions):
    """`io.cnmf.read_cnmf`, with guides and covariates from an h5ad or h5mu file.

    Attributes
    ----------
    folder, name
        cNMF's folder, and the NAME of its files where it holds several.
    screen
        The h5ad or h5mu file of guides and covariates.
    guide_modality
        Of an h5mu file the modality whose variables are the guides; None: found.
    k, density_threshold
        Number of programs, and T.
    on_missing
        Cells that are in one of the two only: ``"error"`` or ``"drop"``.
    """

    folder: str = option(path=True)
    screen: str = option(path=True)
    guide_modality: str | None = None
    name: str | None = None
    k: int = option(minimum=2)
    density_threshold: float = option(0.5, above=0)
    on_missing: str = option("error", choices=ON_MISSING)


@dataclass(frozen=True, kw_only=True)
class FolderOptions(KeyedOptions):
    """`io.day_folder.read_folder`: one day of a folder of cells, beside cNMF's usages."""

    folder: str = option(path=True)
    day: str
    k: int = option(minimum=2)
    density_threshold: float = option(0.5, above=0)
    cell_column: str = "cell"
    guide_column: str = "guide"
    value_column: str | None = None
    target_column: str = "target"
    on_missing: str = option("error", choices=ON_MISSING)


@dataclass(frozen=True, kw_only=True)
class PerturbNMFOptions(MuDataOptions):
    """`io.perturbnmf.read_perturbnmf`: the MuData of one K and threshold of a run.

    Attributes
    ----------
    out_dir, run_name
        OUT_DIR/RUN_NAME, the folder of the run.
    k, density_threshold
        Number of programs, and T.
    """

    out_dir: str = option(path=True)
    run_name: str
    k: int = option(minimum=2)
    density_threshold: float = option(0.5, above=0)
    covar_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class GuideTablesOptions(FileOptions):
    """`io.guide_tables.read_guide_tables`.

    Attributes
    ----------
    usage, assignments, guide_metadata, covariates
        The tables: cells x programs; a row per cell and guide; a row per guide; cells x covariates.
    cell_column, guide_column, value_column
        Columns of the assignments; without values every row means present.
    guide_id_column, target_column, type_column, targeting_column
        Columns of the table of guides: name, target, type, and whether a guide targets.
    on_missing
        Cells that are not in every table: ``"error"`` or ``"drop"``.
    """

    ntc_labels: tuple[str, ...] = NTC_TYPES
    usage: str = option(path=True)
    assignments: str = option(path=True)
    guide_metadata: str = option(path=True)
    covariates: str | None = option(None, path=True)
    cell_column: str = "cell"
    guide_column: str = "guide"
    value_column: str | None = "value"
    guide_id_column: str = "guide_id"
    target_column: str = "intended_target_name"
    type_column: str | None = "type"
    targeting_column: str | None = "targeting"
    on_missing: str = option("error", choices=ON_MISSING)


#: Name of a source -> what it can be told.
SOURCE_OPTIONS: dict[str, type[SourceOptions]] = {
    "synthetic": SyntheticOptions,
    "h5ad": H5adOptions,
    "h5mu": H5muOptions,
    "cnmf": CnmfOptions,
    "folder": FolderOptions,
    "perturbnmf": PerturbNMFOptions,
    "guide_tables": GuideTablesOptions,
}
