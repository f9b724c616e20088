"""MLflow's pages behind a random token: python -m pipeline.sweep.guarded WORDS-OF-MLFLOW

Whoever opens the address that was printed gets a cookie; nobody else gets an answer. The token goes
from process to process by the environment, which other users of a machine cannot read, and not by
words of a command, which they can.
"""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

#: Environment variable that hands the token on, and the name of the cookie.
TOKEN, COOKIE = "PROGRAMDE_UI_TOKEN", "programde-token"
REFUSED = b"403: open the address that was printed where these pages were started\n"

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guarded:
    """An ASGI application that answers those who know a token.

    Parameters
    ----------
    app
        What is guarded.
    token
        The token; must not be empty.
    """

    def __init__(self, app: App, token: str) -> None:
        if not token:
            raise ValueError(f"{TOKEN} is empty")
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._knows(_cookie(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif self._knows(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]):
            cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 303, [(b"location", b"/"), (b"set-cookie", cookie.encode())])
        else:
            await _answer(send, 403, [(b"content-type", b"text/plain")], REFUSED)

    def _knows(self, told: str) -> bool:
        return hmac.compare_digest(told.encode(), self._token.encode())


def _cookie(scope: Scope) -> str:
    """What a request has in our cookie; empty where it has none."""
    for name, value in scope.get("headers", []):
        if name == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                continue
            if found is not None:
                return found.value
    return ""


async def _answer(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b""
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def __getattr__(name: str) -> Guarded:
    """`app`, which uvicorn asks for in its own process."""
    if name != "app":
        raise AttributeError(name)
    from mlflow.server.fastapi_app import app

    return Guarded(app, os.environ[TOKEN])


def main() -> None:
    """MLflow's command line, its application in ours."""
    from mlflow import server
    from mlflow.cli import cli

    build = server._build_uvicorn_command

    def guarded(*words: Any, **options: Any) -> list[str]:
        *command, application = build(*words, **options)
        if application != "mlflow.server.fastapi_app:app":
            sys.exit("ui: this version of MLflow cannot be guarded by a token: take --socket")
        return [*command, "pipeline.sweep.guarded:app"]

    server._build_uvicorn_command = guarded
    cli(sys.argv[1:])


if __name__ == "__main__":
    main()
