"""Writing outputs so that a reader sees all of one or nothing of it.

Everything is written under a temporary name in the same folder and then moved. A DVC cache that
hardlinks its files into the tree would be corrupted by writing in place.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.troubles import DiskFullError, disk_full, is_full

if TYPE_CHECKING:
    import pandas as pd

#: Columns of our tables that hold names and words, whatever these look like: "7" is a program,
#: "NA" a target, "None" a condition.
TEXT = (
    "condition", "target", "guide", "group", "program", "top_program", "program_label",
    "program_top_genes", "leading_guide",
    "without_control", "without_treated", "note", "calibration", "branch", "fallback", "reason",
)  # fmt: skip


#: Rows of a table that are written as CSV by one core.
PIECE = 50_000


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path to write a file to; moved over `path` at the end, deleted on an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with _told(path, temporary):
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """A temporary folder to fill; takes the place of `path` at the end, deleted on an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with _told(path, temporary):
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
                os.replace(path, old)
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _told(path: Path, temporary: Path) -> Iterator[None]:
    """Say of a full disk what was being written, and how much of it already was."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        written = size_of(temporary)
        raise DiskFullError(disk_full(path, written)) from None


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())


def parse_yaml(text: str) -> Any:
    """YAML as plain data; by libyaml where it is there, which takes a tenth of the time."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def write_text(path: Path | str, text: str) -> bool:
    """Write a text file; an identical one is left untouched. Whether it was written."""
    path = Path(path)
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return True


def write_json(path: Path | str, content: Any) -> None:
    """Write JSON that reads well in a diff; NaN becomes null."""
    write_text(path, json.dumps(_json_ready(content), indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_table(table: pd.DataFrame, *paths: Path | str) -> None:
    """Write a table as parquet or CSV, by the suffix of each path; floats to full precision."""
    for path in map(Path, paths):
        with replacing(path) as temporary:
            if path.suffix == ".parquet":
                table.to_parquet(temporary)
            elif len(table) <= PIECE:
                table.to_csv(temporary, index=False, lineterminator="\n")
            else:
                _write_pieces(table, temporary)


def _write_pieces(table: pd.DataFrame, path: Path) -> None:
    """A long table as CSV, pieces of it on each core; the same text."""
    from programde.forks import shared_out

    begins = range(0, len(table), PIECE)
    with contextlib.ExitStack() as stack:
        # nameless files: nothing is left of them, whoever is killed
        parts = [stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for _ in begins]

        def write(number: int) -> None:
            begin, part = begins[number], parts[number]
            part.seek(0)
            part.truncate()
            rows = table.iloc[begin : begin + PIECE]
            rows.to_csv(part, index=False, lineterminator="\n", header=begin == 0)
            part.flush()

        shared_out(write, range(len(parts)))
        with path.open("wb") as whole:
            for part in parts:
                part.seek(0)
                shutil.copyfileobj(part, whole, 1 << 20)


def read_table(path: Path | str) -> pd.DataFrame:
    """Read what `write_table` wrote: names come back as text, numbers exactly, "" as missing."""
    import pandas as pd

    from programde.large_tables import read_large

    path = Path(path)
    if path.is_dir():  # large, and cut by condition
        return read_large(path)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    exactly: dict[str, Any] = {}
    if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):
        exactly["float_precision"] = "round_trip"  # what later versions always do
    return pd.read_csv(
        path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""], **exactly
    )


def _json_ready(value: Any) -> Any:
    """Plain Python values: numpy scalars and arrays unpacked, NaN and infinities as null."""
    if isinstance(value, dict):
        return {str(key): _json_ready(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_json_ready(one) for one in value]
    if hasattr(value, "tolist"):
        return _json_ready(value.tolist())
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value


def _umask() -> int:
    """The process's umask; reading it means setting it twice."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
