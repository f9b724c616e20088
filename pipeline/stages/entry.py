"""What turns a function into a stage: options in, one clear line out where it fails.

A stage is `python -m pipeline.stages.NAME`. DVC runs it with `--params params.yaml`; by hand,
without that option, it is configured by conf/ and the command line.

Either way it sees only the keys that its entry in dvc.yaml declares under `params:`. A key that it
uses without declaring is an error on the first run, instead of a result that goes stale.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.config.params import FREE, Options, declared_keys, project_root, read_params, select
from pipeline.config.pin import check_pin
from pipeline.locks import held
from pipeline.troubles import of_the_system
from programde.errors import OptionError, ProgramDEError, ProgramDEWarning

#: File (JSON lines) to which a stage appends what it did, where this variable is set.
STAGE_LOG = "PROGRAMDE_STAGE_LOG"

#: That file of a plain run; beside it lies the lock that a stage holds.
LOG = Path(".dvc/tmp/programde-stages.jsonl")

#: What is told when the user interrupts, and when the system ends a stage.
INTERRUPTED, ENDED = "interrupted", "ended by a signal"

#: The option by which DVC says where the configuration is.
PARAMS_OPTION = "--params"

Configure = Callable[[Path], dict[str, Any] | None]


class EndedError(KeyboardInterrupt):
    """The system asked this process to end."""


def stage(name: str) -> Callable[[Callable[[Options], None]], Callable[[], None]]:
    """Decorate a function of its options as the stage `name` of dvc.yaml.

    The decorated function takes the command line; the plain one stays reachable as `.function`.
    """

    def decorate(function: Callable[[Options], None]) -> Callable[[], None]:
        def call(params: dict[str, Any]) -> None:
            function(Options(select(params, [*declared_keys(name), *FREE]), name))

        def main() -> None:
            run(name, call, _given)

        main.function = function  # type: ignore[attr-defined]
        return main

    return decorate


def run(name: str, function: Callable[[dict[str, Any]], None], configure: Configure) -> None:
    """Configure `function` by the command line and call it; leave with a status and one line.

    A ProgramDEError, a mistake in the configuration and a full disk are the user's to cure: one
    line on stderr, status 1. Anything else is a bug and shows its traceback.

    Parameters
    ----------
    name
        Name of the stage.
    function
        Takes the configuration.
    configure
        Makes it, given the folder conf/; None where there is nothing to run.
    """
    started = time.monotonic()
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_ends_when_asked())
            root = project_root()
            _hold_the_folder(stack)
            check_pin(root)
            params = configure(root / "conf")
            if params is not None:
                function(params)
    except ProgramDEError as error:
        _leave(name, started, str(error))
    except OSError as error:
        if (line := of_the_system(error)) is None:
            log_stage(name, started, f"{type(error).__name__}: {error}")
            raise
        _leave(name, started, line)
    except EndedError:
        _leave(name, started, ENDED, status=128 + signal.SIGTERM)
    except KeyboardInterrupt:
        _leave(name, started, INTERRUPTED, status=128 + signal.SIGINT)
    except Exception as error:
        log_stage(name, started, f"{type(error).__name__}: {error}")
        raise
    log_stage(name, started, None)


def _given(conf: Path) -> dict[str, Any] | None:
    """The configuration that DVC names, or that of the command line."""
    words = sys.argv[1:]
    if PARAMS_OPTION in words:
        if len(words) != 2 or words[0] != PARAMS_OPTION:
            raise OptionError(f"{PARAMS_OPTION} FILE stands alone: what it holds is the whole")
        return read_params(Path(words[1]))
    # by hand. Not an import of this module's: what it makes is all in the keys that a stage
    # declares, so that no stage is to run again for an edit of it
    by_hand = importlib.import_module("pipeline.config.command_line")
    return by_hand.configured(conf)  # type: ignore[no-any-return]


def note(text: str) -> None:
    """Tell the user something that deserves a look, on one line."""
    print("note:", " ".join(text.split()), file=sys.stderr, flush=True)


def log_stage(name: str, started: float, error: str | None) -> None:
    """Tell the driver of a sweep, where there is one: which stage ran, how long, how it ended."""
    if where := os.environ.get(STAGE_LOG):
        seconds = round(time.monotonic() - started, 3)
        entry = {"stage": name, "seconds": seconds, "error": error}
        # a full disk: what was to be told stands on stderr
        with contextlib.suppress(OSError), open(where, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")


def logged(log: Path) -> list[dict[str, Any]]:
    """What stages did, from that file; half a line, of a full disk, is none."""
    entries: list[dict[str, Any]] = []
    if log.is_file():
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
    return entries


def _hold_the_folder(stack: contextlib.ExitStack) -> None:
    """Wait for a stage that a killed run left running in this folder, and hold it in turn."""
    where = os.environ.get(STAGE_LOG)
    if where is None and not LOG.parents[1].is_dir():
        return  # no project of DVC's
    said = "another stage is running in this folder, left by a run that was killed; waiting for it"
    lock = Path(where or LOG).with_suffix(".lock")
    stack.enter_context(held(lock, waiting=lambda: note(said)))


@contextlib.contextmanager
def _ends_when_asked() -> Iterator[None]:
    """SIGTERM ends this process as an interrupt does: nothing half-written, workers told."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt if number == signal.SIGINT else EndedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        heard.append(signal.SIGINT)
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(name: str, started: float, message: str, status: int = 1) -> None:
    line = " ".join(message.split())
    if status == 1 or STAGE_LOG not in os.environ:  # of a signal, the command tells
        print(f"{name}: {line}", file=sys.stderr, flush=True)
    log_stage(name, started, line)
    sys.exit(status)


#: Warnings shown by this process: a stage may go through its units several times.
_told: set[str] = set()


def already_said(sentences: Iterable[str]) -> None:
    """Do not warn of these again: stage prepare did, and the screen keeps what it said."""
    _told.update(sentences)


def _show_warning(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
    """Ours as one line; those of other packages as Python formats them."""
    if issubclass(category, ProgramDEWarning):
        if str(message) in _told:
            return
        _told.add(str(message))
        print("warning:", " ".join(str(message).split()), file=sys.stderr, flush=True)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))
