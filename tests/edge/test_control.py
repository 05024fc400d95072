from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.control import MAX_LINE_BYTES, ControlError, ControlServer, answer_line, ask
from edge.errors import UsageError


def handle(request: Mapping[str, Any]) -> Mapping[str, Any]:
    if request["command"] == "status":
        return {"variant": "full"}
    raise UsageError("no such command")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlServer]:
    server = ControlServer(tmp_path / "c.sock", handle)
    yield server
    server.close()


def test_a_request_is_answered_and_a_refusal_is_an_error(server: ControlServer) -> None:
    assert ask(server.path, {"command": "status"}) == {"ok": True, "variant": "full"}
    with pytest.raises(ControlError, match="no such command"):
        ask(server.path, {"command": "dance"})


def test_no_daemon_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="is `joulepath run` up"):
        ask(tmp_path / "none.sock", {"command": "status"})


def test_a_live_socket_is_refused_a_stale_one_replaced_a_file_kept(server: ControlServer, tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="another joulepath answers"):
        ControlServer(server.path, handle)
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(stale))
    second = ControlServer(stale, handle)
    assert ask(stale, {"command": "status"})["ok"]
    second.close()
    assert not stale.exists()
    plain = tmp_path / "file"
    plain.write_text("mine")
    with pytest.raises(ControlError, match="is no socket"):
        ControlServer(plain, handle)
    assert plain.read_text() == "mine"


def test_a_hostile_client_gets_an_error_and_the_next_one_service(server: ControlServer) -> None:
    for payload in (b"\xff" * 100 + b"\n", b"[]\n", b'{"command": 3}\n', b"x" * (MAX_LINE_BYTES + 10) + b"\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(server.path))
            client.sendall(payload)
            answer = json.loads(client.makefile("rb").readline())
        assert answer["ok"] is False
    assert ask(server.path, {"command": "status"})["variant"] == "full"


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(line: bytes) -> None:
    assert answer_line(line, handle)["ok"] in (True, False)
