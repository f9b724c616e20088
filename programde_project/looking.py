"""Commands that look and compute nothing that is kept: check, plan, keys."""

from __future__ import annotations

import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from programde.errors import InputError, OptionError, ProgramDEWarning, absent
from programde_project import layout
from programde_project.words import take_apart


def root_of_here() -> Path:
    """The project of this folder, else what a new one would be made of."""
    here = Path.cwd()
    root = here if layout.is_project(here) else layout.template()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return root


def composed(words: Sequence[str], alone_in: Path | None = None) -> dict[str, Any]:
    """The checked configuration that some words ask for; paths are still among `data`.

    Parameters
    ----------
    words
        A screen, and words ``key=value``.
    alone_in
        A project whose kept words these are to replace; None: this folder, whose kept words stand
        before them.

    Raises
    ------
    OptionError
        One line on the first word that is not allowed.
    """
    root = alone_in or root_of_here()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    conf = root / "conf"
    from hydra.errors import HydraException
    from omegaconf import open_dict
    from omegaconf.errors import OmegaConfBaseException

    from pipeline.config.checking import typed
    from pipeline.config.explain import compose_config, explain, refuse_words
    from pipeline.config.run_words import on_top_of_run_words
    from pipeline.config.schema import BESIDE, register
    from pipeline.config.typed_words import as_typed

    _, told = take_apart(words)
    told = on_top_of_run_words(told, conf) if alone_in is None else as_typed(told)
    if not told and root != Path.cwd():
        raise InputError("name a screen: an .h5ad, .h5mu or .zarr file, or words key=value")
    register()
    refuse_words(told, conf)
    try:
        config = compose_config(conf, told)
        with open_dict(config):
            for key in BESIDE:
                config.pop(key, None)
        return typed(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise OptionError(explain(error, told, conf)) from None


def read_screen(plain: dict[str, Any]) -> tuple[Any, list[str]]:
    """The screen that a configuration names, and the labels of its controls."""
    from pipeline.config.schema import KINDS
    from pipeline.stages.entry import Options
    from pipeline.stages.prepare import read, with_burden
    from programde.screen.guides import check_ntc_labels

    data = dict(plain["data"])
    known = KINDS["data"][data["kind"]].keys
    paths = {
        key: data.pop(key) for key, spec in known.items() if "path" in getattr(spec, "limits", ())
    }
    inputs = {key: where for key, where in paths.items() if where is not None}
    for key, where in inputs.items():
        if not Path(where).expanduser().exists():
            raise InputError(f"data.{key}={where} {absent(where)}")
    screen, _ = read(Options({**plain, "data": data, "inputs": inputs}, "check"))
    labels = check_ntc_labels(screen.guide_to_target, data["ntc_labels"])
    return with_burden(screen, labels), labels


def check_screen(words: Sequence[str]) -> None:
    """Print the input report of a screen."""
    plain = composed(words)
    with told_plainly() as told:
        from pipeline.stages.prepare import BURDEN, in_one_line
        from programde.analysis.covariate_check import check_covariates
        from programde.crt.control_group import choose_control
        from programde.screen.input_report import input_report

        screen, labels = read_screen(plain)
        report = input_report(screen, ntc_labels=labels)
        asked = plain["analysis"]
        control = choose_control(
            screen, asked["control"], labels, asked["cells_with_other_targets"]
        )
        about = check_covariates(screen)
    numbers = report.numbers
    click.echo(in_one_line(numbers))
    click.echo(f"controls: {', '.join(labels)}")
    click.echo(f"compared with: {control.kind} ({control.reason})")
    table = screen.covariate_table
    names = [] if table is None else [str(name) for name in table.columns if name != BURDEN]
    columns = f"{screen.covariates.shape[1]} columns of the model"
    click.echo(f"covariates: {', '.join(names) or 'none'} ({columns})")
    few = report.targets[~report.targets["target"].isin(labels)].nsmallest(5, "n_treated")
    smallest = ", ".join(f"{row.target} {row.n_treated:,}" for row in few.itertuples())
    click.echo(f"fewest treated cells: {smallest}")
    found = filter(None, [control.warning, about.sentence])
    remarks = [*screen.notes, *told, *report.remarks, *found]
    for remark in dict.fromkeys(remarks):
        click.echo(f"note: {remark}")
    click.echo("nothing was computed; programde plan says how long a run takes")


def plan_screen(words: Sequence[str]) -> None:
    """Print what a run needs."""
    plain = composed(words)
    with told_plainly():
        from pipeline.stages.arguments import comparison, run_options, which_targets
        from pipeline.stages.entry import Options
        from programde.analysis.cost import plan_run

        screen, labels = read_screen(plain)
        o = Options(plain, "plan")
        planned = plan_run(
            screen,
            run_options(o, plain["n_resamples"], progress=False),
            ntc_labels=labels,
            n_partitions=plain["controls"]["n_partitions"],
            n_spiked=(plain["spikes"]["n_sets"], plain["spikes"]["n_unspiked_sets"]),
            pipeline=True,
            **{key: value for key, value in comparison(o).items() if key != "ntc_labels"},
            **which_targets(o),
        )
    click.echo(str(planned))


@contextmanager
def told_plainly() -> Iterator[list[str]]:
    """Collect our warnings, one line each, instead of showing them."""
    told: list[str] = []
    before = warnings.showwarning

    def show(message: Any, category: Any, *rest: Any) -> None:
        if issubclass(category, ProgramDEWarning):
            told.append(" ".join(str(message).split()))
        else:
            before(message, category, *rest)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ProgramDEWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield told


def tell_keys(parts: Sequence[str]) -> int:
    """Print the settings whose key or choice holds one of `parts`; all without any."""
    from programde_project.settings import settings

    width = min(shutil.get_terminal_size().columns, 110)
    wanted = [
        one
        for one in settings(root_of_here())
        if not parts or any(part in one.key or part in one.choice for part in parts)
    ]
    told: dict[tuple[str, ...], str] = {}
    for choice, several in groupby(wanted, key=lambda one: one.choice):
        if choice:
            click.echo(f"\nwith {choice}")
        again: dict[str, list[str]] = {}
        for one in several:
            same = (one.key, one.default, one.meaning, one.allowed)
            if same in told:
                again.setdefault(told[same], []).append(f"{one.key}={one.default}")
                continue
            told[same] = choice
            click.echo(f"{one.key}={one.default}")
            said = f"{one.meaning} ({one.allowed})" if one.allowed else one.meaning
            if said:
                click.echo(_filled(said, width))
        for other, keys in again.items():
            click.echo(_filled(f"as with {other}: {', '.join(keys)}", width))
    if not wanted:
        click.echo(f"programde: no key holds {' or '.join(parts)}", err=True)
        return 1
    return 0


def _filled(text: str, width: int) -> str:
    ends: dict[str, Any] = {"initial_indent": "    ", "subsequent_indent": "      "}
    return "\n".join(textwrap.fill(line, width, **ends) for line in text.splitlines())
