"""Stages that need not load numpy, pandas and numba each for itself, which takes a second.

A run starts one process beside DVC (`warmed`), which loads what the stages use and waits. A stage
(`python -m pipeline.stages NAME`) asks it by a socket that the environment names (`asked`); the
process forks a child, which takes over the asker's folder, environment and open files and is the
stage from there on, with the same code and so the same result. The asker waits and ends as the
child does.

Where anything is not as it was when the process loaded (a file of the code edited, other threads,
another interpreter) or it does not answer, the stage loads for itself: nothing depends on this
but time. Linux only: elsewhere a fork of a process with numerical libraries is not safe.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

#: The stages, in their order.
STAGES = ("compose", "prepare", "crt", "ntc_null", "calibrate", "diagnostics")
#: What is loaded, in the order in which a run comes to use it.
LOADED = (
    *("pipeline.stages.compose", "pipeline.stages.prepare", "anndata", "pipeline.stages.crt"),
    *("scipy.optimize", "pyarrow.parquet", "pipeline.stages.ntc_null", "pyarrow.dataset"),
    *("pipeline.stages.calibrate", "pipeline.stages.diagnostics", "jinja2"),
)
#: Seconds for which a process that has loaded the first of it waits for the first stage.
PATIENCE = 0.5
#: Environment variable that names the socket.
SOCKET = "PROGRAMDE_WARM"
#: Longest address of a socket in the file system, in bytes.
LONGEST = 100
#: Settings that libraries read when they are loaded.
READ_AT_LOAD = ("OMP_", "OPENBLAS_", "MKL_", "BLIS_", "NUMBA_", "PYTHON", "MPL", "LD_", "MALLOC_")
#: Largest question, in bytes: an environment and a few words.
LARGEST = 1 << 20


#: Loaded processes that are kept until this one ends, by where their code is.
_KEPT: dict[str, dict[str, str]] = {}


def kept(code: Path, environment: dict[str, str]) -> dict[str, str]:
    """As `warmed`, until this process ends; one for each place of the code, when it is asked."""
    if str(code) not in _KEPT:
        stack = contextlib.ExitStack()
        atexit.register(stack.close)
        _KEPT[str(code)] = stack.enter_context(warmed(code, environment, when_asked=True))
    return _KEPT[str(code)]


@contextlib.contextmanager
def warmed(
    folder: Path, environment: dict[str, str], when_asked: bool = False
) -> Iterator[dict[str, str]]:
    """Keep a loaded process while stages run.

    Parameters
    ----------
    folder
        In which it starts.
    environment
        What the stages' environment has beyond this process's.
    when_asked
        Start it when the first stage asks, not at once: there may be none.

    Yields
    ------
    dict
        What the stages' environment needs so that they find it; empty where there is none.
    """
    if sys.platform != "linux":
        yield {}
        return
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="pde-", ignore_cleanup_errors=True) as place:
        address = str(Path(place) / "s")
        if len(os.fsencode(address)) > LONGEST:
            yield {}
            return
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen()
        started: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.warm", str(listener.fileno())],
                stdin=subprocess.PIPE,  # closed when we end, however we do: then it ends too
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what keeps it from loading, a stage will tell
                pass_fds=[listener.fileno()],
                cwd=folder,
                env={**os.environ, **environment},
            )
            started.append(process)
            listener.close()

        over, end = os.pipe()

        def wait() -> None:
            if over not in select.select([listener.fileno(), over], [], [])[0]:
                start()

        waiting = threading.Thread(target=wait, daemon=True)
        if when_asked:
            waiting.start()
        else:
            start()
        try:
            yield {SOCKET: address}
        finally:
            os.close(end)  # wakes who waits
            if when_asked:
                waiting.join()
            os.close(over)
            listener.close()
            for process in started:  # its children are stages, which DVC has seen end
                process.kill()
                process.wait()
                if process.stdin:
                    process.stdin.close()


def asked(name: str, words: list[str]) -> int | None:
    """Have a stage done by the loaded process, if there is one; the status to leave with.

    Returns
    -------
    int or None
        None: it cannot be had, do it here.
    """
    address = os.environ.get(SOCKET)
    if not address:
        return None
    question = {
        "name": name,
        "words": words,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "loaded": loaded(),
    }
    connection = socket.socket(socket.AF_UNIX)
    with connection:
        try:
            connection.connect(address)
            socket.send_fds(connection, [b"?"], [0, 1, 2])
            connection.sendall(json.dumps(question).encode() + b"\n")
            answer = connection.recv(1)
        except OSError:
            return None
        if answer != b"y":
            return None
        return _wait(connection)


def _wait(connection: socket.socket) -> int:
    """How the child ended; a signal to us is handed on by whoever sent it to all of us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with connection.makefile("rb") as stream:
        told = stream.readline()
    # without a word the process has been killed, and the child with it
    status = int(told) if told.strip() else -signal.SIGKILL
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    return status


def loaded() -> dict[str, str]:
    """Where the code is, which interpreter runs it, and what libraries read when they load."""
    settings = {key: value for key, value in os.environ.items() if key.startswith(READ_AT_LOAD)}
    return {
        **settings,
        "interpreter": sys.executable,
        "code": str(Path(__file__).resolve()),
        "path": json.dumps(sys.path[1:]),
    }


def code() -> dict[str, tuple[int, int]]:
    """When each file of the code was written, and its size."""
    above = Path(__file__).resolve().parents[1]
    files = [file for room in ("programde", "pipeline") for file in (above / room).rglob("*.py")]
    stats = [(str(file), file.stat()) for file in files]
    return {file: (stat.st_mtime_ns, stat.st_size) for file, stat in stats}


class _Task:
    """What a fork is to do: a stage, in the asker's place."""

    def __init__(self, question: dict, files: list[int]) -> None:
        self.name, self.words = question["name"], question["words"]
        self.folder, self.environment = question["folder"], question["environment"]
        self.files = files

    def take_over(self) -> None:
        """Be the asker: its folder, environment, words and open files."""
        for number, file in enumerate(self.files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.argv = [f"pipeline.stages.{self.name}", *self.words]
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]


def _question(connection: socket.socket) -> tuple[dict, list[int]]:
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    text = b""
    while not text.endswith(b"\n"):
        part = connection.recv(1 << 16)
        if not part or len(text) > LARGEST:
            raise OSError("no question")
        text += part
    return json.loads(text), files


def _serve(listener: socket.socket, before: dict[str, tuple[int, int]], names: list[str]) -> _Task:
    """Fork for every question, and load what is left between them.

    Returns in the forks that are to be a stage, and only there: they load what they still lack.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are not waited for
    mine = loaded()
    patience = PATIENCE
    while True:
        ready = select.select([listener.fileno(), 0], [], [], patience if names else None)[0]
        patience = 0.0
        if 0 in ready:  # closed: the run that started us is gone, however it went
            os._exit(0)
        if not ready:
            importlib.import_module(names.pop(0))
            if not names:
                gc.collect()
                gc.freeze()  # what is loaded stays shared with the forks
            continue
        connection, _ = listener.accept()
        if _fork():
            connection.close()
            continue
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            question, files = _question(connection)
            same = question["loaded"] == mine and before == code()
            connection.sendall(b"y" if same else b"n")
        except OSError:
            os._exit(0)
        if not same:
            os._exit(0)
        child = _fork()
        if not child:
            connection.close()
            return _Task(question, files)
        _tell(connection, child)


def _tell(connection: socket.socket, child: int) -> None:
    """Tell the asker how the stage ended; an asker that is killed takes the stage with it."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)  # nothing is said: it returns when the asker is gone
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    _, ended = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(ended)}\n".encode())
    os._exit(0)


def _fork() -> int:
    """Python warns of threads, of which none of ours is running: libraries mend their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be(stage: Callable[[], None]) -> NoReturn:
    """Be a stage, and end without taking down all that is loaded, which takes a third of a second.

    What was to be done at the end is done; an error that is told by Python goes Python's way.
    """
    status = 0
    try:
        stage()
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        status = ended.code or 0
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Load, wait, and be whatever stage is asked for."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    before = code()
    first, *names = LOADED
    importlib.import_module(first)
    task = _serve(listener, before, names)
    task.take_over()
    _be(importlib.import_module(f"pipeline.stages.{task.name}").main)


if __name__ == "__main__":
    main()
