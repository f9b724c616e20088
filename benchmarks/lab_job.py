"""A lab's job from its MuData to its files, timed:

    python -m benchmarks.lab_job [--cells N] [--programs K] [--targets G] [KEY=VALUE ...]

100,000 cells, 60 programs, 300 targets of 6 guides, two conditions, control groups in 10
partitions, unless smaller numbers are given (a trial: ``--cells 4000 --programs 8 --targets 20``).
Prints seconds and processor seconds of each stage and of the export, and the largest memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
STAGES = ("prepare", "crt", "ntc_null", "calibrate", "diagnostics")
KEYS = (
    "data=perturbnmf", "data.run_name=run", "data.density_threshold=0.4",
    "data.covar_columns=[sample]", "data.log1p_columns=[n_counts]", "data.condition_key=day",
    "analysis.by_condition=true", "controls.group_size=6", "data.ntc_labels=[non-targeting]",
)  # fmt: skip


def write_run(folder: Path, n_cells: int, n_programs: int, n_targets: int) -> None:
    """The made-up run: OUT_DIR/run/Inference/adata/cNMF_<K>_0_4.h5mu."""
    import anndata

    from programde.screen.synthetic import make_sceptre_style_synth

    made = make_sceptre_style_synth(N=n_cells, K=n_programs, n_target_genes=n_targets)
    table = made.obsm["covar"]
    obs = pd.DataFrame(
        {
            "day": np.random.default_rng(0).choice(["D1", "D3"], n_cells),
            "sample": table["batch"].to_numpy(),
            "n_counts": np.exp(table["log_depth"].to_numpy()),
        },
        index=made.obs_names,
    )
    home = anndata.AnnData(
        made.obsm["usage"],
        obs=obs,
        var=pd.DataFrame(index=[str(k + 1) for k in range(n_programs)]),
        obsm={"guide_assignment": made.obsm["guide_assignment"].tocsr()},
        uns={
            "guide_names": made.uns["guide_names"],
            "guide_targets": np.array(list(made.uns["guide2gene"].values()), dtype=object),
        },
    )
    path = folder / "run" / "Inference" / "adata" / f"cNMF_{n_programs}_0_4.h5mu"
    path.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces its own changes of defaults
        import mudata

        mudata.MuData({"cNMF": home}).write(path)


def timed(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds, processor seconds and GB of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, words = child.communicate()
    if child.returncode:
        raise SystemExit(words.decode()[-2000:])
    return time.perf_counter() - began, *_used()


def _used() -> tuple[float, float]:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9


def main(words: list[str]) -> None:
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m benchmarks.lab_job", None, __doc__, formatter_class=how
    )
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--programs", type=int, default=60)
    parser.add_argument("--targets", type=int, default=300)
    asked, keys = parser.parse_known_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder / "out", asked.cells, asked.programs, asked.targets)
        project = folder / "project"
        project.mkdir()
        shutil.copytree(ROOT / "conf", project / "conf")
        shutil.copy(ROOT / "dvc.yaml", project)
        words = [*KEYS, f"data.k={asked.programs}", f"data.out_dir={folder / 'out'}", *keys]
        total, before = 0.0, _used()[0]
        commands = {stage: [f"pipeline.stages.{stage}", *words] for stage in STAGES}
        commands["compose"] = ["pipeline.stages.compose", *words]  # which the export reads
        commands["export"] = ["pipeline.export", "perturbnmf"]
        for stage, command in commands.items():
            seconds, cpu, memory = timed([sys.executable, "-m", *command], project)
            print(f"{stage:12} {seconds:7.1f} s  {cpu - before:7.1f} s of processor", flush=True)
            total, before = total + seconds, cpu
        files = sorted((folder / "out" / "run" / "Evaluation").rglob("*.txt"))
        print(f"written: {', '.join(path.name for path in files)}")
        print(f"{'whole':12} {total:7.1f} s, largest memory {memory:.1f} GB")


if __name__ == "__main__":
    main(sys.argv[1:])
