"""QQ plots of the cross-fit: held-out control guides, and targets, against the other guides."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from programde.report.checked_tables import as_p_vector
from programde.report.lettering import in_pictures
from programde.report.qq import bootstrap_qq_envelope
from programde.report.qq_plots import qq_panel
from programde.report.style import file_names, save_png, styled

from ..errors import InputError, nearest

#: Begins the name of every file.
PREFIX = "qq_ntc_empirical_"


def make_ntc_empirical_qq_plots(
    out: Mapping[str, Any],
    out_dir: str | os.PathLike[str],
    programs_to_plot: str | Sequence[str] = "top_var",
    n_programs: int = 6,
    make_per_batch: bool = True,
    make_meta: bool = True,
    envelope_boot: int = 200,
    seed: int = 0,
) -> list[Path]:
    """QQ plots of the cross-fitted NTC empirical null, as PNG files.

    The NTC units are split in two: A is the null, B is held out. "Holdout" is B against A and
    shows whether the null fits; "targets" are against A too, to be read relative to
    the holdout's envelope. Target-level plots show one p-value per unit, program plots one program.

    Parameters
    ----------
    out
        What `run_all_genes_union_crt(..., null_method="ntc_empirical", qq_crossfit=True)`
        returned. Read are `out["betas_df"]` (genes x programs; its variance ranks the programs)
        and `out["ntc_crossfit"]`::

            {"info": {"split": "by guide" | "by pseudo-gene", ...},
             "meta": {"pvals_real": DataFrame genes x programs,
                      "pvals_holdout": DataFrame units x programs,
                      "gene_real": Series, one p-value per gene,
                      "gene_holdout": Series, one p-value per unit},
             "per_batch": {batch: a dict like "meta"}}

    out_dir
        Folder; made where missing. Written are `qq_ntc_empirical_genelevel_meta.png` and
        `qq_ntc_empirical_program_<program>_meta.png`, and in `per_batch/<batch>/`
        `qq_ntc_empirical_genelevel.png` and `qq_ntc_empirical_program_<program>.png`. Characters
        that a file name may not hold become "_".
    programs_to_plot
        "top_var" for the `n_programs` programs whose effects vary most, or names.
    n_programs
        How many of them.
    make_per_batch, make_meta
        Which of the two sets to write.
    envelope_boot, seed
        Replicates of the holdout's bootstrap envelope, and their seed.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        `out` has no cross-fit, or a program does not exist.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd, programde as pde
    >>> one = pd.DataFrame({"p0": [0.2, 0.7]}, index=["A", "B"])
    >>> part = {"pvals_real": one, "pvals_holdout": one, "gene_real": one["p0"],
    ...         "gene_holdout": one["p0"]}
    >>> out = {"betas_df": one, "ntc_crossfit": {"info": {}, "meta": part, "per_batch": {}}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in pde.make_ntc_empirical_qq_plots(out, folder)]
    ['qq_ntc_empirical_genelevel_meta.png', 'qq_ntc_empirical_program_p0_meta.png']
    """
    crossfit = out.get("ntc_crossfit")
    if not crossfit:
        raise InputError(
            "out has no 'ntc_crossfit'; run with null_method='ntc_empirical' and qq_crossfit=True"
        )
    programs = _programs(out, crossfit["meta"]["pvals_real"], programs_to_plot, n_programs)
    split = crossfit.get("info", {}).get("split")
    about = f"NTC units split {split}" if split else ""
    places: list[tuple[Path, str, str, Mapping[str, Any]]] = []
    if make_meta:
        places.append((Path(out_dir), "_meta", "all batches", crossfit["meta"]))
    batches = crossfit.get("per_batch", {})
    files, folders = file_names(programs), file_names(batches)
    if make_per_batch:
        places += [
            (
                Path(out_dir) / "per_batch" / folders[batch],
                "",
                f"batch {in_pictures(batch, 30)}",
                part,
            )
            for batch, part in batches.items()
        ]
    written: list[Path] = []
    for folder, suffix, where, part in places:
        for name, curves in held_out_curves(part, programs, files).items():
            what = in_pictures(curves.what, 40)
            ax = crossfit_panel(curves, f"{what}, {where}", about, envelope_boot, seed)
            written.append(save_png(ax, folder / f"{PREFIX}{name}{suffix}.png"))
    return written


@dataclass(frozen=True, eq=False)
class HeldOutCurves:
    """P-values of one picture: of targets, and of held-out control guides; `what` they are of."""

    what: str
    real: pd.Series
    holdout: pd.Series

    def named(self) -> dict[str, pd.Series]:
        """The curves by their names in the picture."""
        return {"held-out guides": self.holdout, "targets": self.real}


def held_out_curves(
    part: Mapping[str, Any], programs: Sequence[Any], files: Mapping[Any, str]
) -> dict[str, HeldOutCurves]:
    """The pictures of one part of a cross-fit: over all programs, then program by program."""
    curves = {"genelevel": HeldOutCurves("per target", part["gene_real"], part["gene_holdout"])}
    for k in programs:
        of_program = part["pvals_real"][k], part["pvals_holdout"][k]
        curves[f"program_{files[k]}"] = HeldOutCurves(str(k), *of_program)
    return curves


@styled
def crossfit_panel(
    curves: HeldOutCurves, title: str, about: str = "", n_boot: int = 200, seed: int = 0
) -> Axes:
    """Held-out guides and targets in one QQ panel, with the envelope of the former."""
    named = {name: as_p_vector(p, name) for name, p in curves.named().items()}
    held = named["held-out guides"]
    envelope = bootstrap_qq_envelope(held, n_boot, seed) if held.size and n_boot > 1 else None
    ax = qq_panel(
        named,
        looks={"held-out guides": "holdout", "targets": "real"},
        band_for="held-out guides",
        envelope=envelope,
        title=f"NTC empirical null: {title}",
    )
    if about:
        ax.text(0.98, 0.02, about, transform=ax.transAxes, ha="right", fontsize=8, color="#555555")
    return ax


def most_varying(effects: pd.DataFrame, table: pd.DataFrame, n: int) -> list[Any]:
    """The `n` programs of a table whose effects (targets x programs) vary most over targets."""
    spread = effects.var(axis=0)
    spread = spread[spread.index.isin(table.columns)].dropna()
    return list(spread.sort_values(ascending=False, kind="stable").index[:n])


def _programs(
    out: Mapping[str, Any], table: pd.DataFrame, wanted: str | Sequence[str], n: int
) -> list[Any]:
    if isinstance(wanted, str) and wanted == "top_var":
        return most_varying(out["betas_df"], table, n)
    programs = [wanted] if isinstance(wanted, str) else list(wanted)
    for program in programs:
        if program not in table.columns:
            raise InputError(f"no program {program!r}{nearest(program, table.columns)}")
    return programs
