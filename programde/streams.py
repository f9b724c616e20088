"""Random streams that depend on a seed and a name, and on nothing else.

A unit's stream is a keyed BLAKE2b hash of (seed, names). So a result is the same whatever the
number of workers, the order or subset of units, the batch size, the session or PYTHONHASHSEED.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream_key(seed: int, *names: str) -> np.ndarray:
    """256 random-looking bits for (seed, names).

    Parameters
    ----------
    seed
        Any Python integer.
    names
        What the stream is for, from the general to the particular: ``("crt", "STAT1")``.

    Returns
    -------
    np.ndarray, shape (4,), uint64
        State for a 256-bit generator; never all zero.
    """
    digest = hashlib.blake2b(digest_size=32, person=b"programDE-1")
    for part in (str(int(seed)), *map(str, names)):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return np.frombuffer(digest.digest(), dtype="<u8").astype(np.uint64)


def generator(seed: int, *names: str) -> np.random.Generator:
    """A numpy generator (PCG64) for (seed, names), seeded by `stream_key`."""
    return np.random.Generator(np.random.PCG64([int(word) for word in stream_key(seed, *names)]))
