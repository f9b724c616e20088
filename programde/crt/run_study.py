"""A study run: by threads or by an executor, with or without keeping what is finished."""

from __future__ import annotations

import contextlib
import os
import tempfile
from concurrent.futures import Executor
from pathlib import Path

from programde.crt.checkpoint import Checkpoint
from programde.crt.elsewhere import OnWorkers
from programde.crt.engine import run_tasks
from programde.crt.results import CRTResult
from programde.crt.study import Study
from programde.errors import OptionError

#: Within a checkpoint's folder, what workers are told.
SENT = "sent"


def run_study(
    study: Study,
    label: str,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
) -> CRTResult:
    """Run a study.

    Parameters
    ----------
    study
        What is tested.
    label
        Label of the progress bar.
    executor
        Who tests: anything that keeps to `concurrent.futures`; None for threads of this process.
    checkpoint
        Where finished blocks are kept until all are done, see `crt.checkpoint`; a path is cleaned
        when this study is, a `Checkpoint` when its `with` ends.

    Raises
    ------
    OptionError
        Something of the study cannot be handed to other processes, or be told by its content.
    ProgramDEError
        The executor is gone; says what is done and how to go on.
    """
    with contextlib.ExitStack() as stack:
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            checkpoint = stack.enter_context(Checkpoint(checkpoint))
        kept = elsewhere = None
        if checkpoint is not None:
            about = {"what": label, "units": len(study.names), "programs": len(study.programs)}
            kept = checkpoint.of(study.stamp, about)
        if executor is not None:
            if study.options.n_jobs != 1:
                raise OptionError(
                    f"n_jobs={study.options.n_jobs} counts threads of this process, and "
                    "executor= has its own workers: leave one of them away"
                )
            if checkpoint is not None:
                folder = checkpoint.place(SENT)
            else:
                made = tempfile.TemporaryDirectory(prefix="programde-", ignore_cleanup_errors=True)
                folder = Path(stack.enter_context(made))
            elsewhere = OnWorkers(study, executor, folder)
        return run_tasks(
            study.tasks(), study.names, study.programs, study.options, label=label,
            condition=study.conditions, elsewhere=elsewhere, kept=kept,
        )  # fmt: skip


__all__ = ["run_study"]
