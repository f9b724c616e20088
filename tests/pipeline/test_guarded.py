"""MLflow's pages behind a token: who knows it gets in, and nobody else."""

from __future__ import annotations

import asyncio
import importlib.machinery
import sys
from collections.abc import MutableMapping
from typing import Any

import pytest

from pipeline.sweep import ui
from pipeline.sweep.guarded import COOKIE, Guarded, Receive, Scope, Send
from programde.errors import OptionError

from .conftest import Project

TOKEN = "s3cret"


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"pages"})


def asked(query: str = "", cookie: str | None = None, kind: str = "http") -> list[Any]:
    """What is answered to a request."""
    sent: list[Any] = []
    headers = [] if cookie is None else [(b"cookie", cookie.encode())]

    async def receive() -> MutableMapping[str, Any]:
        return {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": kind, "path": "/", "query_string": query.encode(), "headers": headers}
    asyncio.run(Guarded(pages, TOKEN)(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("query", "cookie"),
    [
        ("", None), ("token=", None), ("token=x", None), ("", f"{COOKIE}=x"), ("", f"{COOKIE}="),
        ("", f"other={TOKEN}"), ("", "\x00;;="), ("token=\u00e9", None),
    ],
)  # fmt: skip
def test_who_does_not_know_it_stays_outside(query: str, cookie: str | None) -> None:
    start, body = asked(query, cookie)
    assert start["status"] == 403
    assert b"open the address that was printed" in body["body"]
    assert asked(query, cookie, "websocket") == [{"type": "websocket.close", "code": 1008}]


def test_the_address_that_is_printed_gives_a_cookie() -> None:
    start, _ = asked(f"token={TOKEN}")
    headers = dict(start["headers"])
    assert (start["status"], headers[b"location"]) == (303, b"/")
    told = headers[b"set-cookie"].decode()
    assert "HttpOnly" in told
    _, body = asked(cookie=f"a=b; {told.split(';')[0]}")
    assert body["body"] == b"pages"
    assert asked(cookie=told.split(";")[0], kind="websocket")[-1]["body"] == b"pages"
    with pytest.raises(ValueError, match="is empty"):
        Guarded(pages, "")


@pytest.mark.slow
@pytest.mark.brief
def test_no_token_is_among_the_words_of_a_command(
    swept: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, words: called.append(words))
    monkeypatch.chdir(swept.folder)
    for name in ("PROGRAMDE_UI_TOKEN", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "argv", ["ui", "--token"])
    ui.main()
    (words,) = called
    where = capsys.readouterr().out
    assert where.startswith("http://127.0.0.1:5000/?token=")
    assert words[1:4] == ["-m", "pipeline.sweep.guarded", "ui"]
    assert where.split("token=")[1].split()[0] not in " ".join(words)
    monkeypatch.setattr(sys, "argv", ["ui", "--token", "--socket", str(swept.folder / "s/s")])
    with pytest.raises(SystemExit):
        ui.main()
    assert "--token beside --socket" in capsys.readouterr().err
    small = importlib.machinery.ModuleSpec("mlflow", None, origin=str(swept.folder / "x.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: small)
    with pytest.raises(OptionError, match="pages are not installed: pip install"):
        ui.need_pages()
