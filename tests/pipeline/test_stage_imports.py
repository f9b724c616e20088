"""What a stage loads before it begins: libraries that take long to import, where it uses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Slow to import and of use to no stage on a usual screen.
NEVER = ("scipy.stats", "scipy.optimize", "anndata", "formulaic", "mlflow")
#: Stages in the order in which one process imports them, and what is not to be there after each.
STAGES = {
    "prepare": (*NEVER, "numba", "matplotlib", "hydra"),
    "calibrate": (*NEVER, "numba", "matplotlib", "hydra"),
    "diagnostics": (*NEVER, "numba", "hydra"),
    "crt": (*NEVER, "hydra"),
    "ntc_null": (*NEVER, "hydra"),
    "compose": NEVER,
}


@pytest.mark.slow
@pytest.mark.brief
def test_stages_load_what_they_use() -> None:
    script = "import sys\n"
    for stage, absent in STAGES.items():
        script += f"import pipeline.stages.{stage}\n"
        script += f"print({stage!r}, sorted({set(absent)} & set(sys.modules)))\n"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{stage} []" for stage in STAGES]
