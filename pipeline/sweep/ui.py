"""MLflow's pages here: python -m pipeline.sweep.ui [--port 5000] [--token | --socket PATH]

They ask nobody who he is. At a port of 127.0.0.1 every user of this machine can read and change the
record. On a machine that is shared, --token answers only who opens the address that is printed
(`guarded`), and --socket makes a socket in place of the port, in a folder that is open to its owner
alone. A browser elsewhere reaches it by ssh -L 5000:PATH MACHINE.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import secrets
import shlex
import sys
from pathlib import Path

from pipeline.config.params import project_root
from pipeline.config.schema import register
from pipeline.sweep.database import absolute, check_database, file_of
from pipeline.sweep.guarded import TOKEN
from pipeline.sweep.points import Request, Settings
from programde.errors import InputError, OptionError, ProgramDEError

#: Longest name of a socket in bytes.
LONGEST = 100


def command(uri: str, port: int, socket: Path | None) -> list[str]:
    """What shows a record, as words of MLflow."""
    words = ["ui", "--workers", "1", "--backend-store-uri", uri]
    if socket is not None:
        return [*words, "--uvicorn-opts", f"--uds {shlex.quote(str(socket))}"]
    return [*words, "--host", "127.0.0.1", "--port", str(port)]


def private(socket: Path) -> Path:
    """A place for a socket: its folder is made, for its owner alone.

    Raises
    ------
    OptionError
        The name is too long for a socket, or its folder is open to others.
    """
    socket = socket.expanduser().absolute()
    if len(os.fsencode(str(socket))) > LONGEST:
        raise OptionError(f"--socket {socket} is too long for a socket: {LONGEST} letters at most")
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if socket.parent.stat().st_mode & 0o077:
        raise OptionError(
            f"{socket.parent} is open to others: name a folder that is not there yet, or chmod 700"
        )
    return socket


def need_pages() -> None:
    """Refuse where MLflow is there without its pages, as its small packages are.

    Raises
    ------
    OptionError
        Says what to install.
    """
    found = importlib.util.find_spec("mlflow")
    place = Path(found.origin).parent if found is not None and found.origin else None
    if place is None or not (place / "server/js").is_dir():
        raise OptionError("MLflow's pages are not installed: pip install 'programde[pipeline]'")


def main() -> None:
    """Run the command line."""
    register()
    parser = argparse.ArgumentParser(prog="ui", description="MLflow's pages, on this machine only.")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--token", action="store_true")
    chosen = parser.parse_args()
    try:
        need_pages()
        root = project_root()
        uri = absolute(Settings(Request([], [], False), root / "conf").tracking["uri"], root)
        file = file_of(uri)
        if file is not None and not file.exists():
            raise InputError(f"{file} is not there yet: python -m pipeline.sweep records a run")
        check_database(uri)
        if chosen.token and chosen.socket is not None:
            raise OptionError("--token beside --socket: a socket is open to nobody else anyway")
        socket = None if chosen.socket is None else private(chosen.socket)
    except ProgramDEError as error:
        print("ui:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    where = f"http://127.0.0.1:{chosen.port}" if socket is None else f"the socket {socket}"
    module = "mlflow"
    if chosen.token:
        module, os.environ[TOKEN] = "pipeline.sweep.guarded", secrets.token_urlsafe(24)
        where += f"/?token={os.environ[TOKEN]}"
    print(f"{where} (Ctrl-C ends it)", flush=True)
    os.environ |= {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    words = command(uri, chosen.port, socket)
    os.execv(sys.executable, [sys.executable, "-m", module, *words])


if __name__ == "__main__":
    main()
