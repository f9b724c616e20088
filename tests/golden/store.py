"""Many small arrays by name in one small file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

STORE = Path(__file__).with_name("golden.npz")

Arrays = dict[str, np.ndarray]


def save(arrays: Arrays) -> None:
    """Write arrays by name, equal ones once: a file of few large arrays and an index is small."""
    stacks: dict[str, list[np.ndarray]] = {"float": [], "integer": [], "text": []}
    length = dict.fromkeys(stacks, 0)
    seen: dict[tuple[str, bytes], int] = {}
    index = []
    for name, value in arrays.items():
        flat = np.ravel(value)
        kind = {"f": "float", "U": "text"}.get(flat.dtype.kind, "integer")
        if kind != "text":
            flat = flat.astype(np.float64 if kind == "float" else np.int64)
        key = (kind, flat.tobytes() + str(flat.dtype).encode())
        if key not in seen:
            seen[key] = length[kind]
            stacks[kind].append(flat)
            length[kind] += flat.size
        shape = "x".join(str(size) for size in np.shape(value))
        index.append(f"{name} {kind} {seen[key]} {shape}")
    packed = {kind: np.concatenate(parts) for kind, parts in stacks.items()}
    packed["text"] = np.array("\n".join(packed["text"].tolist()))
    np.savez_compressed(STORE, index=np.array("\n".join(index)), **packed)


def load() -> Arrays:
    """What `save` wrote, by name."""
    with np.load(STORE) as file:
        packed = {kind: file[kind] for kind in ("float", "integer")}
        packed["text"] = np.array(str(file["text"]).split("\n"))
        index = str(file["index"]).split("\n")
    arrays = {}
    for line in index:
        name, kind, start, sizes = line.split(" ")
        shape = tuple(int(size) for size in sizes.split("x") if size)
        n = int(np.prod(shape, dtype=np.int64))
        arrays[name] = packed[kind][int(start) : int(start) + n].reshape(shape)
    return arrays
