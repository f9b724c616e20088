"""A hash of what an input file holds, remembered while its size and times stay."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pipeline.files import replacing
from programde.errors import InputError

#: Where hashes are remembered; DVC's own folder for what can be lost.
MEMORY = Path(".dvc/tmp/fingerprints.json")


def fingerprint(path: Path) -> str:
    """BLAKE2b (128 bits) of a file's bytes.

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
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    _remember(str(path), {"state": state, "hash": digest.hexdigest()})
    return digest.hexdigest()


def _state(file: Path) -> list[int]:
    info = file.stat()
    return [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]


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
