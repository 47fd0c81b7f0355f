"""Serving the page to this computer, and to others only where that was asked for."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from emorec.errors import SpecError
from emorec.prediction.demo import pieces
from emorec.prediction.demo.judging import Judge
from emorec.prediction.demo.page import build, require_gradio
from emorec.prediction.demo.workplace import Workplace, workplace

Say = Callable[[str], None]
_LOCAL = ("127.0.0.1", "localhost", "::1")
# The browser itself sees to it that nothing is asked of another computer.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def is_local(host: str) -> bool:
    """Tell whether only this computer can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_socket(host: str, port: int) -> socket.socket:
    """Take a port, before models are loaded.

    Raises
    ------
    SpecError
        When it is taken, or cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        # Who comes before the models are loaded waits.
        found.listen()
    except (OSError, OverflowError) as error:
        found.close()
        why = getattr(error, "strerror", None) or error
        raise SpecError(
            f"--host {host} --port {port}: cannot be used ({why}). Name another "
            "--port; 0 takes a free one."
        ) from error
    return found


def serve(judge: Judge, listening: socket.socket, host: str, say: Say) -> None:
    """Show the page until the process is interrupted.

    Parameters
    ----------
    judge : Judge
        Asks the models.
    listening : socket
        Of `open_socket`; closed at the end.
    host : str
        The address it listens at.
    say : callable
        Receives lines for the user.

    Raises
    ------
    MissingExtraError
        When gradio is not installed.
    """
    # A request to end, as of `kill`, also removes the folder.
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with listening, workplace() as place:
            server = page_server(judge, place, is_local(host))
            port = listening.getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            say(f"The page is at http://{shown}:{port}/ (end it with Ctrl-C).")
            server.run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)


def page_server(judge: Judge, place: Workplace, local: bool) -> Any:
    """Return uvicorn's server of the page, which knows no port yet.

    Parameters
    ----------
    judge : Judge
        Asks the models.
    place : Workplace
        Holds all files.
    local : bool
        Whether only this computer is answered.

    Raises
    ------
    MissingExtraError
        When gradio is not installed.
    """
    gradio = require_gradio(place)
    import fastapi
    import uvicorn

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    theme = gradio.themes.Base(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    gradio.mount_gradio_app(
        app,
        build(gradio, judge, place),
        path="/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=judge.limits.max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=pieces.STYLE,
    )
    config = uvicorn.Config(
        _Guard(app, local),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class _Guard:
    """What stands before the page: who may ask, and what browsers may load and keep.

    A page of the internet that is open in the same browser can send requests to this
    computer, and can give its own name this computer's address. So the name that is
    asked for, and the page that asks, must be ours.
    """

    def __init__(self, app: Any, local: bool) -> None:
        self.app, self.local = app, local

    async def __call__(
        self, scope: dict, receive: Callable, send: Callable[[dict], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        foreign = origin not in ("", f"http://{host}", f"https://{host}")
        if foreign or (self.local and _name(host) not in _LOCAL):
            await _refuse(send)
            return

        async def answer(message: dict) -> None:
            if message["type"] == "http.response.start":
                found = [*message.get("headers", []), *_HEADERS]
                if not scope["path"].startswith(("/assets/", "/static/")):
                    found = [h for h in found if h[0].lower() != b"cache-control"]
                    found.append((b"cache-control", b"no-store"))
                message = {**message, "headers": found}
            await send(message)

        await self.app(scope, receive, answer)


def _name(host: str) -> str:
    """Return a host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


async def _refuse(send: Callable[[dict], Awaitable[None]]) -> None:
    kind = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": 403, "headers": [kind]})
    text = "This page answers itself only; open it by the address that emorec printed."
    await send({"type": "http.response.body", "body": text.encode()})
