"""The command `programde`: what each word does, and the one line where it cannot."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from programde import __version__
from programde.errors import ProgramDEError
from programde_project import layout, running


class Commands(click.Group):
    """Commands in the order in which one needs them, not of the alphabet."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


def in_one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is the user's to cure comes out as one line and status 1."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> None:
        try:
            status = function(*args, **options)
        except ProgramDEError as error:
            click.echo("programde: " + " ".join(str(error).split()), err=True)
            sys.exit(1)
        except BrokenPipeError:
            raise  # whoever read has had enough
        except OSError as error:
            click.echo(f"programde: {told(error)}", err=True)
            sys.exit(1)
        sys.exit(status or 0)

    return call


def told(error: OSError) -> str:
    """One line for an error of the system, with its cure where the stages know one."""
    sys.path.append(str(layout.template()))
    from pipeline.troubles import of_the_system

    return of_the_system(error, "files") or f"{error.filename or 'files'}: {error.strerror}"


def complete_words(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Keys and choices of conf/, and files where a screen is meant."""
    from programde_project.completion import completions

    here = Path.cwd()
    root = here if layout.is_project(here) else layout.template()
    if "=" in incomplete or incomplete[:1].isalpha():
        found = [CompletionItem(word) for word in completions(root / "conf", incomplete)]
        if "=" in incomplete:
            return found
        return [*found, CompletionItem(incomplete, type="file")]
    return [CompletionItem(incomplete, type="file")]


words_argument = click.argument(
    "words", nargs=-1, type=click.UNPROCESSED, metavar="[SCREEN] [KEY=VALUE]...",
    shell_complete=complete_words,
)  # fmt: skip
project_option = click.option(
    "--project", "-p", metavar="DIR", help="The project's folder, instead of SCREEN_programde here."
)
#: Words of Hydra (~key, +key=value) begin with signs that are no options of ours.
TAKES_ALL = {"ignore_unknown_options": True}


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Begin with:
  programde check screen.h5ad                what is in it; computes nothing
  programde run screen.h5ad                  the report, in seconds to minutes
  programde open                             look at it
  programde sweep screen.h5ad -m sampler=bernoulli,stratified
Every key=value is listed by `programde keys`.""",
)
@click.version_option(__version__, message="programDE %(version)s")
def programde() -> None:
    """Which target gene shifts which gene program in a Perturb-seq screen, with p-values that are
    checked on the screen's own non-targeting guides."""


@programde.command(
    context_settings=TAKES_ALL, short_help="Analyse a screen; the report in minutes."
)
@words_argument
@project_option
@in_one_line
def run(words: Sequence[str], project: str | None) -> int:
    """Analyse a screen and say where the report is.

    SCREEN is an .h5ad, .h5mu or .zarr file; other sources are named by words (data=cnmf
    data.folder=... data.k=30). The first run lays out a project, SCREEN_programde; the next ones
    compute what changed, and nothing else. In a project's folder, `programde run` alone repeats
    the last run's words, as `dvc repro` does.
    """
    started = time.monotonic()
    running.need_pipeline()
    folder = prepared_project(words, project)
    status = running.call(folder, ["-m", "pipeline.run"])
    if status == 0:
        click.echo(f"report: {folder / running.REPORT} ({time.monotonic() - started:.0f} s)")
    return status


@programde.command(context_settings=TAKES_ALL, short_help="Compare settings of an analysis.")
@click.option("--multirun", "-m", is_flag=True, help="Several values of a key: all combinations.")
@words_argument
@project_option
@in_one_line
def sweep(words: Sequence[str], multirun: bool, project: str | None) -> int:
    """Compare settings: programde sweep screen.h5ad -m sampler=bernoulli,stratified test=ols,utest

    Every point is computed once, by a workspace of its own; the ranking says which settings are
    calibrated on this screen's controls, and what each finds. The screen, and what else was said
    by `programde run`, holds for all points.
    """
    running.need_pipeline()
    from programde_project.words import take_apart

    screen, told = take_apart(words)
    # what is swept over is no word of the project
    folder = prepared_project([str(screen)] if screen else (), project, keep=True)
    asked = [word for word in told if screen is None or not word.startswith(("data=", "data.path"))]
    return running.call(folder, ["-m", "pipeline.sweep", *(["-m"] if multirun else []), *asked])


@programde.command(short_help="Lay out a project, or bring one up to date.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@in_one_line
def init(folder: Path) -> int:
    """Lay out a project in DIR: conf/, pipeline/, dvc.yaml, params.yaml.

    In a project, bring it up to the installed version: files that you have edited are left alone.
    """
    running.need_pipeline()
    folder = folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    changes = layout.lay_out(folder)
    tell_changes(folder, changes)
    if not (changes.written or changes.removed):
        click.echo(f"{folder} is of programDE {__version__} already", err=True)
    if not (folder / "params.yaml").is_file():
        return running.call(folder, ["-m", "pipeline.stages.compose"])
    return 0


@programde.command(
    context_settings=TAKES_ALL, short_help="Say what is in a screen; compute nothing."
)
@words_argument
@in_one_line
def check(words: Sequence[str]) -> None:
    """Read a screen and say what is in it; nothing is computed or written."""
    running.need_pipeline()
    from programde_project.looking import check_screen

    check_screen(words)


@programde.command(context_settings=TAKES_ALL, short_help="Say how long a run takes here.")
@words_argument
@in_one_line
def plan(words: Sequence[str]) -> None:
    """How long a run takes on this machine, and what it needs; a second or two of measuring."""
    running.need_pipeline()
    from programde_project.looking import plan_screen

    plan_screen(words)


@programde.command("open", short_help="Show the report.")
@click.argument("where", required=False, metavar="[DIR or SCREEN]")
@click.option("--path", is_flag=True, help="Only print where it is.")
@in_one_line
def open_report(where: str | None, path: bool) -> int:
    """Show the report of this project, or of the one that was run last here."""
    report = running.find_project(where) / running.REPORT
    if not report.is_file():
        click.echo(f"programde: {report} is not there yet: programde run makes it", err=True)
        return 1
    click.echo(report)
    if not path and sys.stdout.isatty():
        click.launch(report.as_uri())
    return 0


@programde.command(short_help="Compare the runs of sweeps in the browser.")
@click.argument("where", required=False, metavar="[DIR or SCREEN]")
@click.option("--port", default=5000, show_default=True)
@click.option("--token", is_flag=True, help="Answer only who opens the address that is printed.")
@click.option("--socket", metavar="PATH", help="A socket for you alone, in place of the port.")
@in_one_line
def ui(where: str | None, port: int, token: bool, socket: str | None) -> int:
    """Compare the runs of sweeps in the browser, on this machine only.

    Nobody is asked for a password: on a machine that others use, take --token or --socket.
    """
    folder = running.find_project(where)
    chosen = ["--port", str(port)] if socket is None else ["--socket", str(Path(socket).absolute())]
    chosen += ["--token"] if token else []
    return running.call(folder, ["-m", "pipeline.sweep.ui", *chosen])


@programde.command(
    context_settings={**TAKES_ALL, "help_option_names": []},
    short_help="Write results for other programs.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="KIND [FOLDER]...")
@in_one_line
def export(arguments: Sequence[str]) -> int:
    """Write results for other programs: perturbnmf or spreadsheet; --help says more."""
    return running.call(running.find_project(None), ["-m", "pipeline.export", *arguments])


@programde.command(short_help="All settings, their default and meaning.")
@click.argument("parts", nargs=-1, metavar="[PART]...")
@in_one_line
def keys(parts: Sequence[str]) -> int:
    """All settings with default and meaning; with PARTs those that hold one of them."""
    from programde_project.looking import tell_keys

    running.need_pipeline()
    return tell_keys(parts)


@programde.command(short_help="What makes the shell complete words.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes the shell complete commands and keys: add it to your shell's start file.

    \b
    bash: eval "$(programde completion bash)"
    zsh:  eval "$(programde completion zsh)"
    fish: programde completion fish | source
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(programde, {}, "programde", "_PROGRAMDE_COMPLETE").source())


def prepared_project(words: Sequence[str], project: str | None, keep: bool = False) -> Path:
    """The project that some words are about, laid out and up to date, with the words in it.

    They replace those of the last run, if they are allowed; else nothing is written. With `keep`,
    these stay where the words are among them.
    """
    from programde_project.looking import composed
    from programde_project.words import folder_name, take_apart

    screen, told = take_apart(words)
    here = Path.cwd()
    if project is not None:
        folder = Path(project).expanduser().resolve()
    elif layout.is_project(here):
        folder = here
    elif told:
        folder = here / folder_name(screen, told)
    else:
        folder = running.find_project(None)
    if not layout.is_project(folder) and not told:
        raise layout.InputError(f"{folder} is no project; name a screen: programde run SCREEN")
    new = not layout.is_project(folder)
    if told and new:
        composed(words, layout.template())
    if new or not (layout.is_checkout(folder) or layout.is_current(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        tell_changes(folder, layout.lay_out(folder))
    if told and not new:
        composed(words, folder)
    if told:
        from pipeline.config.run_words import read_run_words, write_run_words

        conf = folder / "conf"
        if not (keep and set(told) <= set(read_run_words(conf))):
            write_run_words(conf, told)
    return folder


def tell_changes(folder: Path, changes: layout.Changes) -> None:
    """Say on standard error what was laid out, where it is worth a word."""
    if not changes.before:
        click.echo(f"project: {folder}", err=True)
    elif changes.before != __version__:
        click.echo(
            f"note: {folder} was of programDE {changes.before} and is now of {__version__}: "
            "its stages run again",
            err=True,
        )
    elif changes.written or changes.removed:
        count = len(changes.written) + len(changes.removed)
        click.echo(f"note: {count} files of {folder} have a new form", err=True)
    for name in changes.beside:
        click.echo(f"note: you have edited {name}; its new form is {name}.new", err=True)
