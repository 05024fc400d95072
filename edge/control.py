"""The control socket: one JSON object a line over a unix socket, so that `joulepath status` and `switch` can talk.

Requests: ``{"command": "status"}`` and ``{"command": "switch", "variant": ID or null}``. Answers: ``{"ok": true, ...}``
or ``{"ok": false, "error": WORDS}``. A client gets a bounded line, a bounded time, and no way to hold up the daemon.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Any

from edge.errors import JoulepathError

SYSTEM = Path("/run/joulepath")
MAX_LINE_BYTES = 65_536
CLIENT_TIMEOUT_S = 2.0
MAX_CLIENTS = 8

Handler = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ControlError(JoulepathError):
    """The daemon cannot be reached, or it refused; the message says which."""


def default_socket() -> Path:
    """``$RUNTIME_DIRECTORY`` (systemd), ``/run/joulepath`` where it may be written, else the user's runtime folder."""
    given = os.environ.get("RUNTIME_DIRECTORY")
    if given:
        return Path(given.split(":")[0]) / "control.sock"
    if os.access(SYSTEM, os.W_OK):
        return SYSTEM / "control.sock"
    user = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/joulepath-{os.getuid()}"
    return Path(user) / "joulepath.sock"


def socket_to_ask() -> Path:
    """The service's socket where there is one, whoever asks; else where a daemon of this user would listen."""
    service = SYSTEM / "control.sock"
    inside = os.environ.get("RUNTIME_DIRECTORY")
    return service if not inside and os.path.exists(service) else default_socket()


class ControlServer:
    """Serves `handler` on a unix socket until `close`. A stale socket file is replaced, a live one is refused."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self.path = path
        self._make_room(path)
        gate = BoundedSemaphore(MAX_CLIENTS)

        class Connection(socketserver.StreamRequestHandler):
            timeout = CLIENT_TIMEOUT_S

            def handle(self) -> None:
                if not gate.acquire(blocking=False):
                    self._answer({"ok": False, "error": f"busy: {MAX_CLIENTS} clients are connected; try again"})
                    return
                try:
                    with contextlib.suppress(OSError, ValueError):
                        while line := self.rfile.readline(MAX_LINE_BYTES + 1):
                            self._answer(answer_line(line, handler))
                            if len(line) > MAX_LINE_BYTES:
                                return
                finally:
                    gate.release()

            def _answer(self, answer: Mapping[str, Any]) -> None:
                self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = MAX_CLIENTS

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away mid-answer is its own affair."""

        self._server = Server(str(path), Connection)
        path.chmod(0o660)
        self._thread = Thread(target=self._server.serve_forever, args=(0.2,), name="control", daemon=True)
        self._thread.start()

    @staticmethod
    def _make_room(path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror}; choose another --socket") from error
        if not stat.S_ISSOCK(mode):
            raise ControlError(f"{path}: exists and is no socket; remove it or choose another --socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.5)
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink(missing_ok=True)
                return
        raise ControlError(f"{path}: another joulepath answers there; stop it or choose another --socket")

    def close(self) -> None:
        """Stop serving and remove the socket file."""
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)


def answer_line(line: bytes, handler: Handler) -> Mapping[str, Any]:
    """The answer to one request line; whatever the line holds, an object comes back and nothing is raised."""
    if len(line) > MAX_LINE_BYTES:
        return {"ok": False, "error": f"a request is one line of at most {MAX_LINE_BYTES} bytes"}
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {"ok": False, "error": "not JSON: send one object a line"}
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        return {"ok": False, "error": 'send an object with a "command"'}
    try:
        return {"ok": True, **handler(request)}
    except JoulepathError as error:
        return {"ok": False, "error": str(error)}


def ask(path: Path, request: Mapping[str, Any], timeout_s: float = 3.0) -> dict[str, Any]:
    """Send one request to the daemon and return its answer. Raises ControlError."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout_s)
            client.connect(str(path))
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as stream:
                line = stream.readline()
    except PermissionError as error:
        raise ControlError(
            f"{path}: this user may not talk to the service: join the group joulepath "
            "(sudo usermod -aG joulepath USER, then log in anew)"
        ) from error
    except OSError as error:
        raise ControlError(
            f"{path}: no daemon answers ({error.strerror or error}); is `joulepath run` up, and with this --socket?"
        ) from error
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise ControlError(f"{path}: the answer is no JSON; is this Joulepath's socket?") from error
    if not answer.get("ok"):
        raise ControlError(str(answer.get("error", "refused")))
    return dict(answer)
