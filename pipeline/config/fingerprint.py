"""A hash of what an input file holds, remembered while its size and times stay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.files import replacing
from programde.errors import InputError
from programde.threads import in_order

#: Where hashes are remembered; DVC's own folder for what can be lost.
MEMORY = Path(".dvc/tmp/fingerprints.json")
#: Bytes that are hashed for themselves.
PIECE = 1 << 26


def fingerprint(path: Path) -> str:
    """BLAKE2b (128 bits) of a file's bytes (of its pieces' hashes, if it has several `PIECE`).

    Of a zarr store that of its files and their names.

    A file whose size, inode and times are those remembered is not read again.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        state = _state(path)
        remembered = _remembered().get(str(path))
        if isinstance(remembered, dict) and remembered.get("state") == state:
            return str(remembered["hash"])
        digest = hashlib.blake2b(digest_size=16)
        for file in _files(path):
            if file != path:
                digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            _add(digest, file)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    _remember(str(path), {"state": state, "hash": digest.hexdigest()})
    return digest.hexdigest()


def _add(digest: Any, file: Path) -> None:
    """Add a file's bytes; of a large one the hashes of its pieces, made on all cores."""
    size = file.stat().st_size
    if size <= PIECE:
        digest.update(file.read_bytes())
        return
    pieces = in_order(lambda begin: _hash_of_piece(file, begin), range(0, size, PIECE))
    digest.update(b"".join(pieces))


def _hash_of_piece(file: Path, begin: int) -> bytes:
    digest, left = hashlib.blake2b(digest_size=16), PIECE
    with file.open("rb") as stream:
        stream.seek(begin)
        while left and (block := stream.read(min(left, 1 << 22))):
            digest.update(block)
            left -= len(block)
    return digest.digest()


def fingerprint_of(paths: Sequence[Path]) -> str:
    """What identifies several files that are read together, in this order; of one, its own."""
    prints = [fingerprint(path) for path in paths]
    if len(prints) == 1:
        return prints[0]
    return hashlib.blake2b("\n".join(prints).encode(), digest_size=16).hexdigest()


def _files(path: Path) -> list[Path]:
    """The file itself, or all files of a folder, sorted."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _state(path: Path) -> list[int]:
    infos = [file.stat() for file in _files(path)]
    return [n for i in infos for n in (i.st_size, i.st_mtime_ns, i.st_ctime_ns, i.st_ino)]


def _remembered() -> dict[str, dict]:
    try:
        memory = json.loads(MEMORY.read_text())
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}


def _remember(path: str, entry: dict) -> None:
    memory = {**_remembered(), path: entry}
    MEMORY.parent.mkdir(parents=True, exist_ok=True)
    with replacing(MEMORY) as temporary:
        temporary.write_text(json.dumps(memory))
