"""``python -m benchmarks.large_file FILE``: an h5ad of a genome-wide screen, written row by row.

Ten million cells x 100 programs, one guide per cell: 60,000 control cells, all others shared out to
5,000 targets of 4 guides; 8 batches, two continuous covariates. Usages are gamma variables with
exact zeros, some rise with depth, and in one target of fifty one program is doubled. Every size is
an option; the file takes ``4 K + 130`` bytes a cell, and no more than one block is in memory.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd

GUIDES_PER_TARGET, CONTROL_GUIDES, BATCHES = 4, 200, 8
#: Share of the targets with an effect, and what it multiplies the program's usage by.
WITH_EFFECT, EFFECT = 0.02, 2.0
BLOCK = 200_000


def write_large(
    path: Path,
    n_cells: int = 10_000_000,
    n_programs: int = 100,
    n_controls: int = 60_000,
    n_targets: int = 5_000,
    seed: int = 0,
) -> None:
    """Write the file.

    Parameters
    ----------
    path
        The h5ad; an older one is replaced.
    n_cells, n_programs, n_controls, n_targets
        Sizes.
    seed
        Seed of all random numbers.
    """
    import h5py
    from anndata.io import write_elem

    rng = np.random.default_rng(seed)
    n_guides = GUIDES_PER_TARGET * n_targets + CONTROL_GUIDES
    guide = rng.integers(0, GUIDES_PER_TARGET * n_targets, n_cells).astype(np.int32)
    controls = rng.permutation(n_cells)[:n_controls]
    guide[controls] = GUIDES_PER_TARGET * n_targets + rng.integers(0, CONTROL_GUIDES, n_controls)
    batch = rng.integers(0, BATCHES, n_cells).astype(np.int8)
    depth = (rng.standard_normal(n_cells) + 0.3 * batch).astype(np.float64)
    mito = rng.gamma(2.0, 0.02, n_cells)
    names = [f"target_{g:05d}_g{j}" for g in range(n_targets) for j in range(GUIDES_PER_TARGET)]
    targets = [f"target_{g:05d}" for g in range(n_targets) for _ in range(GUIDES_PER_TARGET)]
    names += [f"control_{j:03d}" for j in range(CONTROL_GUIDES)]
    targets += ["non-targeting"] * CONTROL_GUIDES
    cells = [f"cell_{i:08d}" for i in range(n_cells)]

    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", pd.DataFrame(index=cells))
        write_elem(file, "var", pd.DataFrame(index=["no gene"]))
        for group in ("layers", "varm", "obsp", "varp"):
            write_elem(file, group, {})
        table = pd.DataFrame({"log_depth": depth, "mito": mito}, index=cells)
        table["batch"] = pd.Categorical.from_codes(batch, [f"b{b}" for b in range(BATCHES)])
        write_elem(file, "obsm", {})
        write_elem(file, "obsm/covar", table)
        del table, cells
        _write_guides(file, guide, n_guides)
        write_elem(file, "uns", {"guide_names": np.array(names, object),
                                 "guide_targets": np.array(targets, object)})  # fmt: skip
        usage = file.create_dataset("obsm/cnmf_usage", (n_cells, n_programs), np.float32)
        usage.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        changed = rng.random(n_targets) < WITH_EFFECT
        program = rng.integers(0, n_programs, n_targets)
        rising = np.flatnonzero(rng.random(n_programs) < 0.3)
        for low in range(0, n_cells, BLOCK):
            high = min(low + BLOCK, n_cells)
            block = rng.standard_gamma(0.5, (high - low, n_programs), dtype=np.float32)
            block[:, rising] *= np.exp(0.2 * depth[low:high, None]).astype(np.float32)
            target = guide[low:high] // GUIDES_PER_TARGET
            real = np.flatnonzero(target < n_targets)
            real = real[changed[target[real]]]
            block[real, program[target[real]]] *= EFFECT
            block[block < 0.02] = 0.0
            block[:, 0] += 0.01
            block /= block.sum(axis=1, keepdims=True)
            usage[low:high] = block
    print(f"{path}: {path.stat().st_size / 1e9:.2f} GB", file=sys.stderr)


def _write_guides(file: object, guide: np.ndarray, n_guides: int) -> None:
    """One guide per cell, in compressed rows."""
    group = file.create_group("obsm/guide_assignment")  # type: ignore[attr-defined]
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0",
                        "shape": np.array([guide.size, n_guides])})  # fmt: skip
    group.create_dataset("data", data=np.ones(guide.size, np.int8))
    group.create_dataset("indices", data=guide)
    group.create_dataset("indptr", data=np.arange(guide.size + 1, dtype=np.int64))


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.large_file", None, __doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cells", type=int, default=10_000_000)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--controls", type=int, default=60_000)
    parser.add_argument("--targets", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(words)
    need, free = asked.cells * (4 * asked.programs + 130), shutil.disk_usage(asked.file.parent).free
    if need > 0.9 * free:
        raise SystemExit(f"{need / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")
    write_large(asked.file, asked.cells, asked.programs, asked.controls, asked.targets, asked.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
