"""One stage, as DVC calls it: python -m pipeline.stages NAME [--params FILE]

Where a run keeps a process that has loaded everything (`pipeline.warm`), the stage is a fork of
it; otherwise it loads for itself.
"""

import importlib
import os
import sys

from pipeline import signals

signals.told_while_loading("" if "PROGRAMDE_STAGE_LOG" in os.environ else "stage")
from pipeline import warm  # noqa: E402

name, words = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
if name not in warm.STAGES:
    print(f"pipeline.stages: {name!r} is no stage: {', '.join(warm.STAGES)}", file=sys.stderr)
    sys.exit(1)
status = warm.asked(name, words)
if status is not None:
    sys.exit(status)
sys.argv = [sys.argv[0], *words]
importlib.import_module(f"pipeline.stages.{name}").main()
