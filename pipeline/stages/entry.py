"""What turns a function into a stage: options in by Hydra, one clear line out where it fails.

A stage is `python -m pipeline.NAME`. DVC runs it with `--config-name repro`, that is, configured by
params.yaml; by hand, without that option, it is configured by conf/ and the command line.

Either way it sees only the keys that its entry in dvc.yaml declares under `params:`. A key that it
uses without declaring is an error on the first run, instead of a result that goes stale.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.explain import explain
from pipeline.config.resolve import FREE, project_root, resolve, select
from pipeline.config.schema import register
from programde.errors import ProgramDEError, ProgramDEWarning

#: File (JSON lines) to which a stage appends what it did, where this variable is set.
STAGE_LOG = "PROGRAMDE_STAGE_LOG"

#: What is told when the user interrupts.
INTERRUPTED = "interrupted"


class Options:
    """Part of the configuration: `options.sampler.kind`, `options.sampler.as_dict()`.

    Reading a key that is not there is a bug in the stage or in dvc.yaml, and says so.
    """

    def __init__(self, values: dict[str, Any], stage: str, prefix: str = "") -> None:
        self._values = values
        self._stage = stage
        self._prefix = prefix

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        if key not in self._values:
            raise LookupError(
                f"stage {self._stage} reads {self._prefix}{key}, which its params in dvc.yaml "
                f"do not declare"
            )
        value = self._values[key]
        if isinstance(value, dict):
            return Options(value, self._stage, f"{self._prefix}{key}.")
        return value

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def as_dict(self) -> dict[str, Any]:
        """The keys and values of this part, nested parts as dicts."""
        return dict(self._values)


def declared_keys(stage: str, dvc_yaml: Path = Path("dvc.yaml")) -> list[str]:
    """The keys of params.yaml that a stage's entry in dvc.yaml declares."""
    entry = yaml.safe_load(dvc_yaml.read_text())["stages"][stage]
    keys: list[str] = []
    for item in entry.get("params", []):
        keys += item.get("params.yaml", []) if isinstance(item, dict) else [item]
    return keys


def stage(name: str) -> Callable[[Callable[[Options], None]], Callable[[], None]]:
    """Decorate a function of its options as the stage `name` of dvc.yaml.

    The decorated function takes the command line; the plain one stays reachable as `.function`.
    """

    def decorate(function: Callable[[Options], None]) -> Callable[[], None]:
        def call(params: dict[str, Any]) -> None:
            function(Options(select(params, [*declared_keys(name), *FREE]), name))

        def main() -> None:
            run(name, call)

        main.function = function  # type: ignore[attr-defined]
        return main

    return decorate


def run(name: str, function: Callable[[dict[str, Any]], None]) -> None:
    """Configure `function` by the command line and call it; leave with a status and one line.

    A ProgramDEError, a mistake in the configuration and a full disk are the user's to cure: one
    line on stderr, status 1. Anything else is a bug and shows its traceback.
    """
    started = time.monotonic()
    held = _hold_the_folder()  # noqa: F841  until this process ends
    register()
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us instead of being printed

    def task(config: DictConfig) -> None:
        try:
            function(resolve(config))
        except ProgramDEError as error:
            _leave(name, started, str(error))
        except OmegaConfBaseException as error:
            _leave(name, started, explain(error, sys.argv[1:], root / "conf"))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise
            _leave(name, started, f"{error.filename or 'output'}: {error.strerror}")
        except KeyboardInterrupt:
            _leave(name, started, INTERRUPTED, status=130)

    try:
        root = project_root()
        if {"-m", "--multirun"} & set(sys.argv[1:]):
            _leave(
                name, started, "a stage takes one setting; to sweep: python -m pipeline.sweep -m"
            )
        sys.argv.append("hydra.mode=RUN")  # an experiment may ask for a sweep; a stage is one run
        conf = str(root / "conf")
        hydra.main(version_base="1.3", config_path=conf, config_name="config")(task)()
    except ProgramDEError as error:
        _leave(name, started, str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _leave(name, started, explain(error, sys.argv[1:], root / "conf"))
    except Exception as error:
        log_stage(name, started, f"{type(error).__name__}: {error}")
        raise
    log_stage(name, started, None)


def note(text: str) -> None:
    """Tell the user something that deserves a look, on one line."""
    print("note:", " ".join(text.split()), file=sys.stderr, flush=True)


def log_stage(name: str, started: float, error: str | None) -> None:
    """Tell the driver of a sweep, where there is one: which stage ran, how long, how it ended."""
    if where := os.environ.get(STAGE_LOG):
        seconds = round(time.monotonic() - started, 3)
        entry = {"stage": name, "seconds": seconds, "error": error}
        with open(where, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")


def _hold_the_folder() -> Any:
    """Wait for a stage that a killed driver left running in this folder, and hold it in turn."""
    where = os.environ.get(STAGE_LOG)
    if where is None:
        return None
    import fcntl

    stream = Path(where).with_suffix(".lock").open("a")
    fcntl.flock(stream, fcntl.LOCK_EX)
    return stream


def _leave(name: str, started: float, message: str, status: int = 1) -> None:
    line = " ".join(message.split())
    print(f"{name}: {line}", file=sys.stderr, flush=True)
    log_stage(name, started, line)
    sys.exit(status)


#: Warnings shown by this process: a stage may go through its units several times.
_told: set[str] = set()


def _show_warning(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
    """Ours as one line; those of other packages as Python formats them."""
    if issubclass(category, ProgramDEWarning):
        if str(message) in _told:
            return
        _told.add(str(message))
        print("warning:", " ".join(str(message).split()), file=sys.stderr, flush=True)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))
