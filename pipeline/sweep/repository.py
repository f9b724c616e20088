"""DVC in this process: the repository of a folder, its cache, and sharing it by a remote.

    python -m pipeline.sweep.repository       push what all points and `dvc repro` computed

`dvc push --run-cache` pushes the records of all computations, but data only of what dvc.lock names,
and the points of sweeps are not in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.config.params import project_root
from pipeline.locks import held
from pipeline.upstream import (
    cache_of,
    push_computations,
    quick_dvc,
    remote_of,
    without_fetching_records,
)
from programde.errors import OptionError, ProgramDEError

#: Caches into which this process has fetched the records of a remote.
_FETCHED: set[Path] = set()


@contextlib.contextmanager
def dvc_repository(folder: Path) -> Iterator[Any]:
    """DVC in this process and in `folder`, which some of its parts take from the working folder.

    What its own dependencies deprecate is nothing to tell the user. A copy without git, such as an
    archive that was unpacked, is a project too.
    """
    from dvc.repo import Repo
    from dvc.scm import SCMError

    with warnings.catch_warnings(), contextlib.chdir(folder), quick_dvc():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            opened = Repo(".")
        except SCMError:
            opened = Repo(".", config={"core": {"no_scm": True}})
        with opened as repo:
            yield repo


def without_half_written(repo: Any) -> list[str]:
    """Delete what DVC was killed at while it wrote it in place, and cannot read; their names.

    What a dvc.lock recorded is in the cache, where all computations are. An rwlock says who works
    on which files; one that cannot be read keeps nobody out, and whoever calls this holds the
    folder by a lock of ours.
    """
    from dvc.dvcfile import Lockfile
    from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError

    found = []
    try:
        Lockfile(repo, "dvc.lock").load()
    except (YAMLSyntaxError, YAMLValidationError):
        found.append("dvc.lock")
    who = Path(repo.tmp_dir) / "rwlock"
    try:
        if who.is_file() and not isinstance(json.loads(who.read_text(encoding="utf-8")), dict):
            found.append(str(who))
    except ValueError:
        found.append(str(who))
    for name in found:
        Path(name).unlink()
    return [Path(name).name for name in found]


def without_left_over(root: Path, outputs: Iterable[str], lock: Path) -> None:
    """Delete what killed stages left beside their outputs, under temporary names.

    Parameters
    ----------
    root
        The folder in which stages run.
    outputs
        What they write, within it.
    lock
        What a stage that is running holds: then nothing is deleted.
    """
    with contextlib.suppress(BlockingIOError, OSError), held(lock, wait=False):
        for path in (root / output for output in outputs):
            # as pipeline.files names them
            name = rf"\.{re.escape(path.stem)}-(old-)?[a-z0-9_]{{8}}{re.escape(path.suffix)}"
            for one in path.parent.glob(".*-*"):
                if re.fullmatch(name, one.name):
                    shutil.rmtree(one) if one.is_dir() else one.unlink()


def outputs_of(entry: dict[str, Any]) -> list[str]:
    """What a stage of dvc.yaml writes."""
    listed = [*entry.get("outs", []), *entry.get("metrics", []), *entry.get("plots", [])]
    return [name for item in listed for name in (item if isinstance(item, dict) else [item])]


def cache_dir(root: Path) -> Path:
    """The project's cache; its configuration may have put it elsewhere."""
    with dvc_repository(root) as repo:
        return cache_of(repo)


def configure(folder: Path, place: Path, root: Path) -> None:
    """DVC's settings of a point: the project's (its remote), the shared cache, no git.

    A cache within the project is named from the point's folder: what the project's own path holds
    (a comma, a hash sign, %(x)s) has a meaning in DVC's file.

    Parameters
    ----------
    folder
        Where the settings are written; made.
    place
        Where that folder will be.
    root
        The project's folder.
    """
    from configobj import ConfigObj

    folder.mkdir()
    if (root / ".dvc" / "config").is_file():
        shutil.copy2(root / ".dvc" / "config", folder)
    cache = cache_dir(root)
    if cache.is_relative_to(root):
        cache = Path(os.path.relpath(root, place)) / cache.relative_to(root)
    settings = {
        "core": {"no_scm": "true", "analytics": "false", "check_update": "false"},
        "cache": {"dir": cache.as_posix(), "type": "reflink,hardlink,copy"},
    }
    with (folder / "config.local").open("wb") as stream:
        ConfigObj(settings, interpolation=False, encoding="utf-8").write(stream)


def reproduce(folder: Path, stage: str) -> None:
    """Run or restore one stage; from the remote as well, where there is one.

    DVC would fetch the records of all computations anew for each stage; we do for each process.
    """
    with dvc_repository(folder) as repo:
        shared = remote_of(repo) is not None
        if shared:
            if (cache := cache_of(repo)) in _FETCHED:
                without_fetching_records(repo)
            _FETCHED.add(cache)
        repo.reproduce([stage], single_item=True, pull=shared)


def files_of_revision(root: Path, revision: str, names: Iterable[Path], folder: Path) -> bool:
    """Copy files, as a git revision knows them, into a folder; whether there is such a revision.

    Those that DVC keeps come from its cache, or from the remote. What is not there is left out.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    with warnings.catch_warnings(), contextlib.chdir(root):
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            files = DVCFileSystem(".", rev=revision)
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    files.get_file(name.as_posix(), str(folder / name))
        except (DvcException, SCMError):
            return False
    return True


def push(root: Path) -> str:
    """Push the records and the data of all computations in the cache; one line on what was sent.

    Raises
    ------
    OptionError
        There is no default remote, or not everything could be sent.
    """
    with dvc_repository(root) as repo:
        remote = remote_of(repo)
        if remote is None:
            raise OptionError("there is no remote: dvc remote add -d NAME PATH makes one")
        computations, sent, failed = push_computations(repo)
    if failed:
        raise OptionError(f"{failed} of {sent + failed} files could not be pushed to {remote}")
    return f"{computations} computations are on {remote}; {sent} files were new"


def main() -> None:
    """Run the command line."""
    try:
        print(push(project_root()))
    except ProgramDEError as error:
        print("push:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
